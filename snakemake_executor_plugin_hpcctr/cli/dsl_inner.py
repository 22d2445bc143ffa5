"""`hpcctr dsl task` and `segment`: what the rules of a compiled Snakefile call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output

Root = Annotated[Path, typer.Option("--root", help="Folder of plans and manifests.")]
ROOT = Path(".hpcctr/dsl")


def task(
    rule: str,
    key: str,
    *,
    root: Root = ROOT,
    attempt: Annotated[int, typer.Option("--attempt")] = 1,
) -> None:
    """Run one task of the compiled plan here; the Snakefile's rules call it."""
    from snakemake_executor_plugin_hpcctr.dsl.errors import DslError  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime import local, stop  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.task import finish  # noqa: PLC0415 (start-up time)

    making = Making(Store(Layout(root)), rule, key, attempt)
    if attempt > 1 and stop.is_final(making):
        raise typer.Exit(1)  # Snakemake cannot be told to stop trying
    ended = local.run(making, output.note)
    if ended is None:
        return
    if not ended.success:
        output.note(f"{making.title} failed with exit code {ended.exit_code}: {making.folder}")
    else:
        try:
            finish(making)
        except DslError as error:
            output.error(error)
        else:
            return
    decision = stop.failed(making, ended.exit_code)
    if decision == "ignore":
        output.note(f"{making.title}: the failure is ignored")
        return
    if decision != "retry":
        stop.mark_final(making)
    raise typer.Exit(ended.exit_code or 1)


def segment(name: str, *, root: Root = ROOT) -> None:
    """Write the part of the plan behind some barriers; the Snakefile's checkpoint calls it."""
    from snakemake_executor_plugin_hpcctr.dsl.run import write_segment  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import read_plan  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.session import settings  # noqa: PLC0415 (start-up time)

    layout = Layout(root)
    configured, _ = settings(read_plan(layout.plan).profiles, os.environ)
    write_segment(layout, name, configured)
