"""The table of causes, and `diagnose`, which takes the first row that fits.

Order is precedence, from what is certain to what is likely:

1. SCRIPT: what the task's own script says of a failure before the command;
2. SCHEDULER: memory, then what the scheduler says of the end;
3. FILES: a full disk, and logs or folders that the node cannot reach;
4. RUNNER: Snakemake's Python did not start on the node; LAUNCH: what launchers of several
   processes say;
5. ENGINE: the engine's own words, believed only with an exit code that the engine uses;
6. COMMAND: the command's exit codes 126 and 127, then its last words; BLOCK: errors of `run:`;
7. END: signals, other exit codes, tasks that vanished.

A new cause is a row in one of the `rules_` files, a word in `evidence.Cause`, a line in
RETRYABLE, an entry in the catalogue (docs/reference/diagnosis.md) and a case in
tests/unit/test_diagnosis.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause, Diagnosis
from snakemake_executor_plugin_hpcctr.diagnosis.rules_command import COMMAND
from snakemake_executor_plugin_hpcctr.diagnosis.rules_engine import ENGINE
from snakemake_executor_plugin_hpcctr.diagnosis.rules_launch import LAUNCH
from snakemake_executor_plugin_hpcctr.diagnosis.rules_runner import BLOCK, RUNNER
from snakemake_executor_plugin_hpcctr.diagnosis.rules_scheduler import END, FILES, SCHEDULER
from snakemake_executor_plugin_hpcctr.diagnosis.rules_script import SCRIPT
from snakemake_executor_plugin_hpcctr.diagnosis.text import facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
    from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

#: Whether another attempt may end better, as it is or with more of what ran out.
RETRYABLE: Mapping[Cause, bool] = {
    Cause.OUT_OF_MEMORY: True,
    Cause.TIME_LIMIT: True,
    Cause.CANCELLED: False,
    Cause.NODE_FAILURE: True,
    Cause.PREEMPTED: True,
    Cause.COMMAND_NOT_FOUND: False,
    Cause.COMMAND_NOT_EXECUTABLE: False,
    Cause.IMAGE_MISSING: False,
    Cause.IMAGE_CORRUPT: False,
    Cause.IMAGE_PULL: True,
    Cause.BIND_MISSING: False,
    Cause.WORKDIR_MISSING: False,
    Cause.NO_GPU: False,
    Cause.NOT_CONTAINED: False,
    Cause.ENGINE_MISSING: False,
    Cause.ENGINE_FAILED: True,
    Cause.RUNNER: False,
    Cause.LOG_NOT_WRITABLE: False,
    Cause.NO_SHARED_FOLDER: False,
    Cause.DISK_FULL: True,
    Cause.SIGNAL: True,
    Cause.EXIT_CODE: True,
    Cause.OUTPUT_MISSING: True,
    Cause.PARTNER_FAILED: True,
    Cause.NOT_STARTED: True,
    Cause.LOST: True,
}

ROWS: tuple[Row, ...] = (
    *(*SCRIPT, *SCHEDULER, *FILES, *RUNNER, *LAUNCH),
    *(*ENGINE, *COMMAND, *BLOCK, *END),
)


def diagnose(evidence: Evidence) -> Diagnosis:
    """Tell why a task failed: the first row of the table that fits.

    Never raises, whatever the log holds; the last row fits everything.
    """
    for row in ROWS:
        found = row.found(evidence)
        if found is not None:
            return Diagnosis(
                cause=row.cause,
                sentence=row.write(row.sentence, evidence, found),
                evidence=facts(evidence, found),
                advice=row.write(row.advice, evidence, found),
            )
    raise AssertionError("the last row fits everything")  # pragma: no cover
