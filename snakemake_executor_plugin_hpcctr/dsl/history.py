"""What became of each task: of this run, and of runs before."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from snakemake_executor_plugin_hpcctr.dsl.operators.texts import write_once
from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Call
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout

Status: TypeAlias = Literal["done", "cached", "skipped", "ignored", "failed", "waiting"]
FIELDS = ("process", "tag", "status", "attempt", "exit", "key", "workdir", "engine", "container")


@dataclass(frozen=True)
class TaskRecord:
    """One task as a run left it.

    Args:
        process: Qualified name.
        tag: What names it.
        key: Its key.
        status: `done` in this run, `cached` from an earlier one, `skipped` (an input was absent,
            or `when` said no), `ignored` (it failed), `failed`, `waiting` (never started).
        attempt: Attempt that ended it.
        exit: Its exit code.
        workdir: Where it ran.
        engine: Engine that its process names.
        container: Image that its process names.
    """

    process: str
    tag: str
    key: str
    status: Status
    attempt: int = 1
    exit: int = 0
    workdir: str = ""
    engine: str = ""
    container: str = ""


@dataclass(frozen=True)
class Run:
    """One run of a pipeline, as hooks and `hpcctr dsl log` see it.

    Args:
        name: Its time, as a name.
        file: The pipeline's file.
        arguments: Values of parameters, as text.
        success: Whether all that was to run did.
        exit: Exit code of Snakemake.
        seconds: How long it took.
        tasks: Every task.
    """

    name: str
    file: str
    arguments: dict[str, str]
    success: bool
    exit: int
    seconds: float
    tasks: list[TaskRecord] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks have each status."""
        return dict(Counter(task.status for task in self.tasks))


def finished(layout: Layout) -> dict[Path, int]:
    """Return the manifests that are there, each with its time in ns."""
    return {
        path: path.stat().st_mtime_ns
        for path in layout.root.glob("*/*.json")
        if path.parent.name != "segments"
    }


def records(layout: Layout, before: Mapping[Path, int]) -> list[TaskRecord]:
    """Return what became of every task of the plan.

    Args:
        layout: Where it is.
        before: What `finished` said before the run.
    """
    return [
        _record(layout, call, key, before)
        for plan in Store(layout).plans()
        for call in plan.calls
        for key in call.tasks
    ]


def _record(layout: Layout, call: Call, key: str, before: Mapping[Path, int]) -> TaskRecord:
    path = layout.manifest(call.rule, key)
    manifest = read_manifest(path)
    folder = layout.folder(call.rule, key)
    status: Status
    if manifest is None:
        status = "failed" if folder.exists() else "waiting"
    elif manifest.state == "absent":
        status = "ignored" if manifest.reason == "ignored" else "skipped"
    else:
        status = "cached" if before.get(path) == path.stat().st_mtime_ns else "done"
    return TaskRecord(
        process=call.name,
        tag=call.tasks[key].tag,
        key=key,
        status=status,
        attempt=manifest.attempt if manifest else 1,
        exit=manifest.exit if manifest else 1 if status == "failed" else 0,
        workdir=str(layout.work(call.rule, key)),
        engine=str(call.directives.get("engine", "")),
        container=str(call.directives.get("container", "")),
    )


def save(layout: Layout, run: Run) -> None:
    """Keep a run for `hpcctr dsl log`."""
    path = layout.root / "runs" / f"{run.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_once(path, json.dumps(asdict(run)).encode())


def runs(layout: Layout) -> list[Run]:
    """Return the runs that were kept, the oldest first."""
    return list(_read(sorted((layout.root / "runs").glob("*.json"))))


def _read(paths: Iterable[Path]) -> Iterator[Run]:
    for path in paths:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["tasks"] = [TaskRecord(**task) for task in content["tasks"]]
        yield Run(**content)


def new_name() -> str:
    """Return a name for a run that begins now; names sort by time."""
    return time.strftime("%Y%m%d-%H%M%S")


HEADER = ("process", "tasks", "done", "cached", "skipped", "ignored", "failed", "engine")


def summary(tasks: Iterable[TaskRecord]) -> list[tuple[str, ...]]:
    """Return a table: one line per process."""
    processes: dict[str, list[TaskRecord]] = {}
    for task in tasks:
        processes.setdefault(task.process, []).append(task)
    rows: list[tuple[str, ...]] = [HEADER]
    for name, found in processes.items():
        counts = Counter(task.status for task in found)
        states = [str(counts[s]) for s in ("done", "cached", "skipped", "ignored", "failed")]
        engines = ", ".join(sorted({task.engine for task in found if task.engine})) or "-"
        rows.append((name, str(len(found)), *states, engines))
    return rows
