"""Matchers: functions that look at evidence and tell whether it shows one thing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from signal import Signals
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.diagnosis.plain import ESCAPES

if TYPE_CHECKING:
    from collections.abc import Collection

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
    from snakemake_executor_plugin_hpcctr.task import EngineName

#: Lines that an engine or Slurm writes by itself, before the command says its first word.
ENGINE_LINE = re.compile(
    r"hpcctr: |slurmstepd\S* |srun: |pyxis: |enroot-\w+: |\[(ERROR|WARN|INFO)\] "
    r"|(FATAL|ERROR|WARNING|INFO) *: |curl: "
)
#: A log in which only the engine speaks is short; a build tool may print `[ERROR]`, too.
ENGINE_LINES_MAX = 40
#: Exit codes above it stand for a signal, as a shell reports it.
SIGNAL_BASE = 128


@dataclass(frozen=True)
class Finding:
    """What showed a cause.

    Args:
        what: The path, command or name concerned, "" if there is none.
        line: The telling line of the log, "" if something else showed it.
    """

    what: str = ""
    line: str = ""


Matcher = Callable[["Evidence"], Finding | None]


def any_of(*matchers: Matcher) -> Matcher:
    """Match what the first of several matchers finds."""

    def match(evidence: Evidence) -> Finding | None:
        return next((found for m in matchers if (found := m(evidence)) is not None), None)

    return match


def both(condition: Matcher, matcher: Matcher) -> Matcher:
    """Match what the second finds, if the first finds anything."""
    return lambda evidence: matcher(evidence) if condition(evidence) is not None else None


def holds(condition: Callable[[Evidence], bool]) -> Matcher:
    """Match if a condition on the evidence is true."""
    return lambda evidence: Finding() if condition(evidence) else None


def setup(*words: str) -> Matcher:
    """Match if the task's script stopped before the command with one of these words."""
    return lambda e: Finding(e.setup_detail) if e.setup_failure in words else None


def state(*names: str) -> Matcher:
    """Match the scheduler's state."""
    return holds(lambda evidence: state_word(evidence) in names)


def log(*patterns: str, last: bool = False) -> Matcher:
    """Match a line of the log; a group `what` names the thing concerned.

    Patterns are compiled when a task first failed, not when the package is imported.

    Args:
        patterns: Regular expressions, tried in order.
        last: Take the last line that matches, as for the command's own words; an engine's
            first words tell more than what follows from them.
    """

    def match(evidence: Evidence) -> Finding | None:
        lines = ESCAPES.sub("", evidence.log_tail).splitlines()
        for pattern in patterns:
            for line in reversed(lines) if last else lines:
                if found := re.search(pattern, line):
                    return Finding((found.groupdict().get("what") or "").strip(), line.strip())
        return None

    return match


def engine(*names: EngineName, exits: Collection[int] = ()) -> Matcher:
    """Match tasks of an engine, and only those exit codes that it uses for its own failures."""
    return holds(lambda e: e.engine in names and (not exits or exit_code(e) in {*exits, None}))


def only_engine_spoke(evidence: Evidence) -> bool:
    """Whether the log holds nothing but words of the engine: the command never started."""
    lines = [line for line in evidence.log_tail.splitlines() if line.strip()]
    return 0 < len(lines) <= ENGINE_LINES_MAX and all(map(ENGINE_LINE.match, lines))


def state_word(evidence: Evidence) -> str:
    """Return the first word of the state: sacct(1) prints `CANCELLED by 1000`, `CANCELLED+`."""
    return evidence.state.partition(" ")[0].rstrip("+")


def exit_code(evidence: Evidence) -> int | None:
    """Return the marker's exit code, and the scheduler's only where there is no marker."""
    if evidence.exit_code is not None:
        return evidence.exit_code
    return None if evidence.has_marker else evidence.scheduler_exit


def signal_number(evidence: Evidence) -> int:
    """Return the signal that ended the command, 0 if none did.

    Exit code 128 + N stands for signal N. What the scheduler tells counts only without a
    marker: the batch shell may have been killed long after the command had ended.
    """
    code = exit_code(evidence)
    if code is not None and signal_name(code - SIGNAL_BASE):
        return code - SIGNAL_BASE
    return 0 if evidence.has_marker else max(evidence.scheduler_signal, 0)


def signal_name(number: int) -> str:
    """Return the name of a signal (`SIGKILL`), "" if there is none of that number."""
    try:
        return Signals(number).name
    except ValueError:
        return ""
