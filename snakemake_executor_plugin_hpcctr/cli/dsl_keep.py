"""`hpcctr dsl log` and `clean`: past runs, and what they left."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.cli.dsl_inner import ROOT, Root
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.history import Run, TaskRecord


def log(
    run: Annotated[str, typer.Argument(help="Name of a run; the latest if it is left out.")] = "",
    *,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs.")] = False,
    fields: Annotated[
        str, typer.Option("--fields", "-f", help="Columns, with commas.")
    ] = "process,tag,status,workdir",
    where: Annotated[
        list[str], typer.Option("--filter", help="FIELD=VALUE; may be repeated.")
    ] = [],  # noqa: B006 (typer reads it)
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: Root = ROOT,
) -> None:
    """Show the tasks of past runs."""
    from snakemake_executor_plugin_hpcctr.dsl import history  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)

    known = history.runs(Layout(root))
    if not known:
        raise ConfigError(
            "no run of a pipeline was found here", next_step="start one with `hpcctr dsl run FILE`"
        )
    if runs:
        _list_runs(known)
        return
    chosen = next((r for r in known if r.name == run), None) if run else known[-1]
    if chosen is None:
        names = ", ".join(r.name for r in known[-5:])
        raise ConfigError(f"there is no run `{run}`", next_step=f"the latest are {names}")
    columns = _columns(fields)
    tasks = [task for task in chosen.tasks if _fits(task, where)]
    if as_json:
        output.as_json([{name: asdict(task)[name] for name in columns} for task in tasks])
        return
    rows = [[str(getattr(task, name)) or "-" for name in columns] for task in tasks]
    output.data(output.table([columns, *rows]))


def _list_runs(known: list[Run]) -> None:
    rows = [
        (r.name, "ok" if r.success else "failed", f"{r.seconds:.0f} s", str(len(r.tasks)), r.file)
        for r in known
    ]
    output.data(output.table([("run", "state", "time", "tasks", "file"), *rows]))


def _columns(fields: str) -> list[str]:
    from snakemake_executor_plugin_hpcctr.dsl.history import FIELDS  # noqa: PLC0415 (start-up time)

    columns = [name.strip() for name in fields.split(",") if name.strip()]
    unknown = [name for name in columns if name not in FIELDS]
    if unknown:
        raise ConfigError(
            f"there is no field `{unknown[0]}`", next_step=f"the fields are {', '.join(FIELDS)}"
        )
    return columns


def _fits(task: TaskRecord, where: list[str]) -> bool:
    content = asdict(task)
    for condition in where:
        name, equals, value = condition.partition("=")
        if not equals or name not in content:
            raise ConfigError(
                f"{condition!r} is no filter",
                next_step=f"write FIELD=VALUE with {', '.join(content)}",
            )
        if str(content[name]) != value:
            return False
    return True


def clean(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Say what would be removed.")
    ] = False,
    root: Root = ROOT,
) -> None:
    """Remove results that the current plan does not name: older inputs, scripts, parameters."""
    from snakemake_executor_plugin_hpcctr.dsl import tidy  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.lock import only_run  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)

    layout = Layout(root)
    found = tidy.left_over(layout)
    with nullcontext() if dry_run else only_run(layout):  # a run may be about to name them
        for path in found:
            output.data(str(path))
        if not dry_run:
            tidy.remove(found)
