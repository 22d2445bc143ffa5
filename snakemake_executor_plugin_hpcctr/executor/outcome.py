"""The end of a task: its diagnosis, its line in the trace, what is left to do for Snakemake."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import finish
from snakemake_executor_plugin_hpcctr.diagnosis import Cause, diagnose, render
from snakemake_executor_plugin_hpcctr.executor.follow import Ended, gather

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Diagnosis, Evidence
    from snakemake_executor_plugin_hpcctr.executor.live import Live
    from snakemake_executor_plugin_hpcctr.script.marker import Marker
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder
    from snakemake_executor_plugin_hpcctr.trace.store import Row

#: A command that writes into a pipe which nobody reads any more ends so.
BROKEN_PIPE = 128 + 13
#: Causes of members for which another member of the group is to blame.
CONSEQUENCES = frozenset({Cause.NOT_STARTED, Cause.PARTNER_FAILED})


@dataclass(frozen=True)
class Verdict:
    """What became of a task, or of a group and each of its members.

    Args:
        whole: The end of the task or group.
        parts: The end of each member, or of the task itself; and why it failed, None if not.
    """

    whole: Ended
    parts: tuple[tuple[Ended, Diagnosis | None], ...]

    @property
    def success(self) -> bool:
        """Whether all of it succeeded."""
        return self.whole.evidence is None and not any(why for _, why in self.parts)

    @property
    def culprits(self) -> list[tuple[Ended, Diagnosis]]:
        """Return the tasks that failed by themselves, and not because others did."""
        return [(part, why) for part, why in self.parts if why and why.cause not in CONSEQUENCES]

    @property
    def sentence(self) -> str:
        """Return why it failed, in one line."""
        if not self.whole.task.members or not self.culprits:
            return self._whole_diagnosis().sentence
        return "; ".join(f"{part.task.title}: {why.sentence}" for part, why in self.culprits)

    @property
    def logs(self) -> tuple[Path, ...]:
        """Return the logs that tell of the failure."""
        return tuple(part.task.log for part, _ in self.culprits) or (self.whole.task.log,)

    def rows(self) -> list[Row]:
        """Return the lines of the trace, completed."""
        return [_row(part, diagnosis) for part, diagnosis in self.parts]

    def words(self) -> str:
        """Return the failure in plain words: which task, where, why, what to change."""
        culprits = self.culprits
        if not culprits:
            return _words(self.whole, self._whole_diagnosis())
        blocks = [_words(part, why) for part, why in culprits]
        if self.whole.task.members:
            blocks.append(self._count(len(culprits)))
        return "\n".join(blocks)

    def _whole_diagnosis(self) -> Diagnosis:
        if not self.whole.task.members and self.parts[0][1] is not None:
            return self.parts[0][1]
        evidence = self.whole.evidence or self.whole.task.evidence
        return diagnose(evidence)

    def _count(self, failed: int) -> str:
        """Say what became of the group's other members."""
        causes = [why.cause for _, why in self.parts if why]
        skipped = causes.count(Cause.NOT_STARTED)
        ended = len(causes) - failed - skipped
        words = [
            f"{failed} of its {len(self.parts)} jobs failed",
            f"{ended} ended with it" if ended else "",
            f"{skipped} did not start" if skipped else "",
        ]
        return f"{self.whole.task.title}: {', '.join(filter(None, words))}"


def judge(ended: Ended, folder: RunFolder) -> Verdict:
    """Say what became of a task, or of all members of a group.

    Args:
        ended: The end of the task or group.
        folder: Where the members' markers are.
    """
    parts = [ended] if not ended.task.members else list(_members(ended, folder))
    return Verdict(
        ended, tuple((p, None if p.evidence is None else diagnose(p.evidence)) for p in parts)
    )


def _members(group: Ended, folder: RunFolder) -> Iterator[Ended]:
    markers = {task.number: folder.last_marker(task.number) for task in group.task.members}
    for task in group.task.members:
        marker = markers[task.number]
        task.element = group.task.element
        if group.evidence is None or _ended_well(marker):
            yield Ended(task, marker)
            continue
        evidence = gather(task, marker, group.account)
        if marker is None and not task.log.exists():
            evidence = _blamed(evidence, "not_started", group.task)
        elif marker is not None and marker.exit_code == BROKEN_PIPE:
            partners = (t for t in group.task.members if t.unit == task.unit and t is not task)
            failed = (t for t in partners if (m := markers[t.number]) and m.exit_code)
            if partner := next(failed, None):
                evidence = _blamed(evidence, "partner_failed", partner)
        yield Ended(task, marker, group.account, evidence)


def _ended_well(marker: Marker | None) -> bool:
    """Whether a member succeeded; who was killed for memory, its exit code tells."""
    return marker is not None and marker.exit_code == 0 and not marker.setup


def _blamed(evidence: Evidence, word: str, other: Live) -> Evidence:
    return replace(evidence, setup_failure=word, setup_detail=other.title)


def _row(ended: Ended, diagnosis: Diagnosis | None) -> Row:
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


def _words(ended: Ended, diagnosis: Diagnosis) -> str:
    task = ended.task
    node = f" on {ended.evidence.node}" if ended.evidence and ended.evidence.node else ""
    head = f"{task.title} failed{node} ({task.element or 'not submitted'})"
    tail = ended.evidence.log_tail if ended.evidence else ""
    where = f"  log:    {task.log}\n  script: {task.script}"
    return f"{head}\n{render(diagnosis, tail)}\n{where}"


async def after_success(workflow: Any, verdict: Verdict) -> None:
    """Do what Snakemake expects of an executor before a success is reported."""
    for part, _ in verdict.parts:
        task = part.task
        finish.settle_shadow(task.job, moved=task.unshadowed)
        if part.marker is not None:
            finish.write_benchmark(workflow, task.job, part.marker)
        await finish.store_in_cache(workflow, task.job)
        finish.remove_script(workflow, task.job, task.command)
    show_late_files(verdict.whole.task)


def after_failure(verdict: Verdict) -> None:
    """Do what Snakemake expects before a failure is reported."""
    for part, why in verdict.parts:
        finish.settle_shadow(part.task.job, moved=part.task.unshadowed and why is None)
    show_late_files(verdict.whole.task)


def show_late_files(task: Live) -> None:
    """List the folders of the outputs: on NFS that makes files of another node visible now."""
    outputs = [path for one in task.tasks for path in one.job.output]
    for folder in {os.path.dirname(f) for f in outputs}:  # noqa: PTH120 (strings, hot)
        with suppress(OSError):
            os.listdir(folder or ".")  # noqa: PTH208 (only the side effect is wanted)


def keep_or_remove_logs(task: Live, keep: str) -> None:
    """Remove the logs of a task that succeeded, unless all logs are kept."""
    if keep == "failed":
        for one in {task.log, *(member.log for member in task.members)}:
            with suppress(OSError):
                one.unlink()
