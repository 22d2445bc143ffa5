"""A diagnosis as text for a terminal: plain, without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.diagnosis.match import (
    SIGNAL_BASE,
    exit_code,
    signal_name,
)
from snakemake_executor_plugin_hpcctr.diagnosis.plain import printable
from snakemake_executor_plugin_hpcctr.diagnosis.words import mib, minutes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Diagnosis, Evidence
    from snakemake_executor_plugin_hpcctr.diagnosis.match import Finding

LOG_LINES = 15
LINE_LENGTH = 300
#: Words of a group about a member whose command did start, or was never meant to.
AFTER_THE_COMMAND = {"output_missing", "service_silent", "partner_failed", "not_started"}


def render(diagnosis: Diagnosis, log_tail: str = "") -> str:
    """Write a diagnosis for a terminal: sentence, evidence, what to do, the log's last lines.

    Args:
        diagnosis: What `diagnose` returned.
        log_tail: The end of the task's log; at most 15 lines of it are shown.
    """
    lines = [diagnosis.sentence]
    lines += [f"  {line}" for line in diagnosis.evidence]
    lines += [f"hint: {diagnosis.advice}"] if diagnosis.advice else []
    if shown := last_lines(log_tail):
        lines += ["last lines of the log:", *(f"    {line}" for line in shown)]
    return "\n".join(lines)


def last_lines(log_tail: str, count: int = LOG_LINES) -> list[str]:
    """Return the last lines that hold something, as they would look on paper."""
    lines = [_log_line(line) for line in log_tail.split("\n")]
    return [line for line in lines if line][-count:]


def _log_line(line: str) -> str:
    """Return a line, cut where it is very long; of a progress bar the last state stays."""
    text = printable(line.rstrip("\r").rpartition("\r")[2])
    return text if len(text) <= LINE_LENGTH else text[: LINE_LENGTH - 1] + "…"


def facts(evidence: Evidence, found: Finding) -> tuple[str, ...]:
    """Return the lines that show a diagnosis: exit code, scheduler, memory, the log's words."""
    return tuple(_log_line(line) for line in _facts(evidence, found))


def _facts(evidence: Evidence, found: Finding) -> Iterator[str]:
    after_it = evidence.setup_failure in AFTER_THE_COMMAND
    if evidence.exit_code is not None and (after_it or not evidence.setup_failure):
        name = signal_name(evidence.exit_code - SIGNAL_BASE)
        ran = f" after {minutes(evidence.elapsed_s)}" if evidence.elapsed_s is not None else ""
        yield f"exit code {evidence.exit_code}" + (f" ({name})" if name else "") + ran
    if not evidence.has_marker and not after_it:
        yield "exit marker: none"
    if evidence.setup_failure and not after_it:
        yield f"stopped before the command: {evidence.setup_failure} {evidence.setup_detail}"
    if scheduler := _scheduler(evidence):
        yield f"scheduler: {scheduler}"
    if memory := _memory(evidence):
        yield f"memory: {memory}"
    if found.line:
        yield f"log: {found.line}"


def _scheduler(evidence: Evidence) -> str:
    parts = [evidence.state] if evidence.state else []
    if evidence.reason and evidence.reason != "None":
        parts.append(f"reason {evidence.reason}")
    if evidence.state and exit_code(evidence) is not None and evidence.exit_code is None:
        parts.append(f"exit code {evidence.scheduler_exit}")
    if evidence.scheduler_signal > 0:
        name = signal_name(evidence.scheduler_signal)
        parts.append(f"signal {evidence.scheduler_signal}" + (f" ({name})" if name else ""))
    return ", ".join(parts)


def _memory(evidence: Evidence) -> str:
    parts = []
    if evidence.peak_mb is not None:
        limit = f" of {mib(evidence.mem_mb)}" if evidence.mem_mb else ""
        parts.append(f"peak {mib(evidence.peak_mb)}{limit}")
    if evidence.oom_kills > 0:
        parts.append(f"{evidence.oom_kills} process(es) killed for memory")
    return ", ".join(parts)
