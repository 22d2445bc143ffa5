"""`hpcctr status`: what ran in this working directory, stage by stage."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_executor_plugin_hpcctr.trace.store import Row

HEADER = ("rule", "tasks", "ok", "failed", "open", "engine", "image", "nodes")


def status(
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Working directory of the workflow.")
    ] = Path(),
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every task of the latest run as JSON.")
    ] = False,
) -> None:
    """Show the tasks of the latest run: counts, engine, image and nodes of each rule."""
    from snakemake_executor_plugin_hpcctr.trace.folder import STATE  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.trace.store import Trace  # noqa: PLC0415 (start-up time)

    file = directory / STATE / "trace.sqlite"
    if not file.exists():
        raise ConfigError(
            f"no run of hpcctr was found in {directory.resolve()}",
            next_step="start one with `snakemake --executor hpcctr -j 100`, or name its "
            "working directory with --directory",
        )
    rows = latest(Trace(file).rows())
    if as_json:
        output.as_json([asdict(row) for row in rows])
    else:
        output.data(output.table([HEADER, *summary(rows)]))


def latest(rows: list[Row]) -> list[Row]:
    """Keep the tasks of the run that was started last."""
    return [row for row in rows if row.run == rows[-1].run] if rows else []


def summary(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Return one line of the table per rule, in the order in which they first ran."""
    rules: dict[str, list[Row]] = {}
    for row in rows:
        rules.setdefault(row.rule, []).append(row)
    return [_line(rule, tasks) for rule, tasks in rules.items()]


def _line(rule: str, tasks: list[Row]) -> tuple[str, ...]:
    states = Counter("open" if task.cause is None else task.cause for task in tasks)
    failed = sum(states.values()) - states["ok"] - states["open"]
    counts = (len(tasks), states["ok"], failed, states["open"])
    return (
        rule,
        *map(str, counts),
        _distinct(task.engine for task in tasks),
        _distinct(Path(task.image).name for task in tasks) or "-",
        _distinct(task.node or "" for task in tasks) or "-",
    )


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(sorted({value for value in values if value}))
