"""Jobs that are tasks of a DSL plan: their script is made here, their end read here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause, Diagnosis
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making
from snakemake_executor_plugin_hpcctr.dsl.runtime.stop import failed
from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store
from snakemake_executor_plugin_hpcctr.dsl.runtime.task import Prepared, finish, prepare
from snakemake_executor_plugin_hpcctr.executor.follow import read_tail
from snakemake_executor_plugin_hpcctr.executor.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.executor.follow import Ended

#: The command of a compiled rule (dsl/snakefile.py).
COMMAND = re.compile(r" dsl task --root (\S+) (\S+) (\S+?)(?: --attempt (\d+))?\s*$")
#: Failures that are not of the user's making: they do not count against a process.
FOREIGN = frozenset({Cause.NODE_FAILURE, Cause.PREEMPTED, Cause.LOST})


class NothingToRun(Exception):  # noqa: N818 (no error: the manifest is written)
    """A task is done without running: an input is absent, or its results are there."""


@dataclass
class PlannedTasks:
    """Tasks of plans that are under way.

    Args:
        say: Takes a sentence that the user should see.
    """

    say: Callable[[str], None]
    _stores: dict[str, Store] = field(default_factory=dict)
    _making: dict[str, Making] = field(default_factory=dict)

    def prepared(self, key: str, command: str) -> Prepared | None:
        """Return the script of a job that is a task of a plan; None for any other job.

        Args:
            key: The job's durable key.
            command: Its command, as Snakemake would start it.

        Raises:
            DslError: The task cannot be made.
            NothingToRun: It is done without running.
        """
        found = COMMAND.search(command)
        if found is None:
            return None
        root, rule, task, attempt = found.groups()
        store = self._stores.setdefault(root, Store(Layout(Path(root))))
        making = Making(store, rule, task, int(attempt or 1))
        self._making[key] = making
        prepared = prepare(making)
        if not prepared.command:
            self._making.pop(key)
            raise NothingToRun
        return prepared

    def judge(self, verdict: Verdict) -> tuple[Verdict, bool]:
        """Read what a task left and write its manifest.

        Returns:
            What became of it: a failure that is ignored is none, an output that did not come is
            one; and whether the whole run is to be ended.
        """
        ended, diagnosis = verdict.parts[0]
        making = self._making.pop(ended.task.row.key, None)
        if making is None or verdict.whole.task.members:
            return verdict, False
        diagnosis, fatal = self._judged(making, ended, diagnosis)
        if diagnosis is None:
            ended = replace(ended, evidence=None)
        return Verdict(ended, ((ended, diagnosis),)), fatal

    def _judged(
        self, making: Making, ended: Ended, diagnosis: Diagnosis | None
    ) -> tuple[Diagnosis | None, bool]:
        exit_code = ended.marker.exit_code if ended.marker else None
        if diagnosis is None:
            try:
                finish(making)
            except DslError as error:
                diagnosis = _missing(error)
            else:
                if making.directives.get("debug"):
                    self.say(f"{making.title}:\n{read_tail(ended.task.log)}")
                return None, False
        try:
            decision = failed(making, exit_code, counts=diagnosis.cause not in FOREIGN)
        except DslError as error:
            bridge.give_up(ended.task.job)
            return _missing(error), True
        if decision == "ignore":
            self.say(f"{making.title} failed and is ignored: {diagnosis.sentence}")
            return None, False
        if decision != "retry":
            bridge.give_up(ended.task.job)
        return diagnosis, decision == "terminate"


def _missing(error: DslError) -> Diagnosis:
    where = f"{error.where}: " if error.where else ""
    lines = tuple(line.strip() for line in error.what.splitlines()[1:])
    first = error.what.partition("\n")[0]
    return Diagnosis(Cause.EXIT_CODE, f"{where}{first}", lines, error.next_step)
