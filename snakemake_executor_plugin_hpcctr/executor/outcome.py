"""The end of a task: its diagnosis, its line in the trace, what is left to do for Snakemake."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import finish
from snakemake_executor_plugin_hpcctr.diagnosis import diagnose, render

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Diagnosis
    from snakemake_executor_plugin_hpcctr.executor.follow import Ended
    from snakemake_executor_plugin_hpcctr.trace.store import Row


def judge(ended: Ended) -> Diagnosis | None:
    """Return why a task failed; None if it succeeded."""
    return None if ended.evidence is None else diagnose(ended.evidence)


def row(ended: Ended, diagnosis: Diagnosis | None) -> Row:
    """Return the task's line of the trace, completed."""
    marker, evidence = ended.marker, ended.evidence
    return replace(
        ended.task.row,
        started=marker.started if marker else None,
        ended=marker.ended if marker else None,
        node=marker.host if marker else (evidence.node if evidence else None),
        exit_code=marker.exit_code if marker else None,
        cpu_s=marker.cpu_s if marker else None,
        peak_mb=marker.peak_mb if marker else (evidence.peak_mb if evidence else None),
        cause="ok" if diagnosis is None else diagnosis.cause.value,
    )


def words(ended: Ended, diagnosis: Diagnosis) -> str:
    """Return the failure in plain words: which task, where, why, what to change."""
    task = ended.task
    node = f" on {ended.evidence.node}" if ended.evidence and ended.evidence.node else ""
    head = f"{task.title} failed{node} ({task.element or 'not submitted'})"
    tail = ended.evidence.log_tail if ended.evidence else ""
    where = f"  log:    {task.log}\n  script: {task.script}"
    return f"{head}\n{render(diagnosis, tail)}\n{where}"


async def after_success(workflow: Any, ended: Ended) -> None:
    """Do what Snakemake expects of an executor before a success is reported."""
    if ended.marker is not None:
        finish.write_benchmark(workflow, ended.task.job, ended.marker)
    await finish.store_in_cache(workflow, ended.task.job)
    finish.remove_script(workflow, ended.task.command)
    show_late_files(ended)


def show_late_files(ended: Ended) -> None:
    """List the folders of the outputs: on NFS that makes files of another node visible now."""
    for folder in {os.path.dirname(f) for f in ended.task.job.output}:  # noqa: PTH120 (strings, hot)
        with suppress(OSError):
            os.listdir(folder or ".")  # noqa: PTH208 (only the side effect is wanted)


def keep_or_remove_log(log: Path, keep: str) -> None:
    """Remove the log of a task that succeeded, unless all logs are kept."""
    if keep == "failed":
        with suppress(OSError):
            log.unlink()
