"""Tasks that were handed over and have not ended: our own registry, shared by two threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
    from snakemake_executor_plugin_hpcctr.script.marker import Marker
    from snakemake_executor_plugin_hpcctr.trace.folder import Number
    from snakemake_executor_plugin_hpcctr.trace.store import Row


@dataclass
class Live:
    """One task between submission and its end.

    Args:
        job: Snakemake's job; only the executor looks into it.
        number: The task's number within the run.
        title: Rule and wildcards, for people.
        command: What it runs, a benchmark's repeats included.
        script: Its job script.
        log: Its log.
        rule_logs: The rule's own `log:` files, into which many commands send all they say.
        evidence: What is known of it beforehand (engine, image, request).
        row: Its line of the trace.
        requeue: Whether the scheduler may start it again by itself.
        element: The scheduler's id; "" while the submission waits to be accepted.
        info: What was reported to Snakemake.
        failed: A marker that tells of a failure, while the scheduler is asked for its side.
        suspect_since: When the marker failed or the scheduler stopped knowing it, seconds.
        members: The tasks of a group, which has no command and no line in the trace itself.
        unit: Of a member: those with the same number run together.
        unshadowed: Whether the node has moved its outputs out of its shadow folder.
    """

    job: Any
    number: Number
    title: str
    command: str
    script: Path
    log: Path
    rule_logs: tuple[str, ...]
    evidence: Evidence
    row: Row
    requeue: bool = False
    element: str = ""
    info: Any = None
    failed: Marker | None = None
    suspect_since: float | None = None
    members: tuple[Live, ...] = ()
    unit: int | None = None
    unshadowed: bool = False

    @property
    def tasks(self) -> tuple[Live, ...]:
        """The members of a group, or the task itself."""
        return self.members or (self,)


@dataclass
class Registry:
    """All live tasks, by number."""

    _tasks: dict[Number, Live] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, task: Live) -> None:
        """Follow a task from now on."""
        with self._lock:
            self._tasks[task.number] = task

    def remove(self, task: Live) -> None:
        """Follow it no longer."""
        with self._lock:
            self._tasks.pop(task.number, None)

    def get(self, number: Number) -> Live | None:
        """Return the task of a number, or None."""
        return self._tasks.get(number)

    def all(self) -> list[Live]:
        """Return a copy of the list, in order of submission."""
        with self._lock:
            return list(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)
