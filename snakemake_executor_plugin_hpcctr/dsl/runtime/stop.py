"""What to do about a task that failed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeAlias

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import VERSION, Manifest
from snakemake_executor_plugin_hpcctr.dsl.runtime.task import told, write

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making

Decision: TypeAlias = Literal["retry", "ignore", "finish", "terminate"]
WORDS = ("retry", "ignore", "finish", "terminate")
RETRIES = 1
NO_LIMIT = -1


def decide(
    strategy: str, *, attempt: int, max_retries: int, process_failures: int, max_errors: int
) -> Decision:
    """Return what becomes of a failed task.

    Args:
        strategy: What its errorStrategy says.
        attempt: The attempt that failed, from 1: so many times the task has failed.
        max_retries: How often a task may be tried again.
        process_failures: Failures of the whole process in this run, this one included.
        max_errors: At so many of them no task is tried again; -1 for no limit.
    """
    match strategy:
        case "ignore" | "finish":
            return strategy
        case "retry":
            allowed = max_errors == NO_LIMIT or process_failures < max_errors
            return "retry" if allowed and attempt <= max_retries else "terminate"
        case _:
            return "terminate"


def failed(making: Making, exit_code: int | None, *, counts: bool = True) -> Decision:
    """Record a failure and return what becomes of the task; write its manifest if ignored.

    Args:
        making: The task.
        exit_code: Exit code of its script; None if it never came to an end.
        counts: False for a failure that is not of the user's making.

    Raises:
        DslError: The process's errorStrategy raised, or returned no strategy; or it cannot be
            recorded.
    """
    with told(making):
        return _recorded(making, exit_code, counts=counts)


def _recorded(making: Making, exit_code: int | None, *, counts: bool) -> Decision:
    failures = _count(_counter(making), add=counts)
    task = making.view
    task.exitStatus = exit_code
    task.errorCount = failures
    strategy = _strategy(making)
    retries = making.directives.get("maxRetries", RETRIES)
    decision = decide(
        strategy,
        attempt=making.attempt,
        max_retries=int(retries),
        process_failures=failures,
        max_errors=making.directives.get("maxErrors", NO_LIMIT),
    )
    if decision == "ignore":
        write(
            making,
            Manifest(
                version=VERSION,
                state="absent",
                reason="ignored",
                attempt=making.attempt,
                exit=exit_code or 0,
                tag=making.task.tag,
            ),
        )
    return decision


def mark_final(making: Making) -> None:
    """Note that a task is not to be tried again in this run."""
    (making.folder / "final").touch()


def is_final(making: Making) -> bool:
    """Whether an earlier attempt of this run was the last one."""
    return (making.folder / "final").exists()


def _strategy(making: Making) -> str:
    strategy = making.directives.get("errorStrategy", "terminate")
    if strategy != "dynamic":
        return str(strategy)
    function = making.cls.definition.directives["errorStrategy"]
    given = making.user(function, making.view)
    if given not in WORDS:
        raise DslError(
            f"`{making.call.name}`: errorStrategy returned {given!r}",
            span=making.span,
            next_step=f"return one of {', '.join(WORDS)}",
        )
    return str(given)


def _counter(making: Making) -> Path:
    return making.store.layout.root / "failures" / making.rule


def _count(path: Path, *, add: bool) -> int:
    """Return how many failures of a process this run has seen; each is one byte of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        if add:
            stream.write(b".")
    return os.stat(path).st_size  # noqa: PTH116 (a size)
