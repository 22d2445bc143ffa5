"""`hpcctr dsl`: pipelines of processes and channels, written in Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from snakemake_executor_plugin_hpcctr.cli import output

if TYPE_CHECKING:
    from typer._click.core import Context

app = typer.Typer(
    help="Pipelines of processes and channels, written in Python.", no_args_is_help=True
)
EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}
File = Annotated[Path, typer.Argument(help="The pipeline's Python file.")]
Stub = Annotated[bool, typer.Option("--stub", help="Run the stubs in place of the scripts.")]
Root = Annotated[Path, typer.Option("--root", help="Folder of plans and manifests.")]
ROOT = Path(".hpcctr/dsl")


class Divided(TyperCommand):
    """A command whose words behind `--` belong to another program."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Keep what stands behind the first `--` apart, in `ctx.obj`."""
        cut = args.index("--") if "--" in args else len(args)
        ctx.obj = args[cut + 1 :]
        return super().parse_args(ctx, args[:cut])


@app.command(cls=Divided, context_settings=EXTRA)
def run(
    context: typer.Context,
    file: File,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use no results of earlier runs.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Say what would run.")] = False,
    stub: Stub = False,
) -> None:
    """Run a pipeline: its parameters as --name value, then `--` and options of Snakemake."""
    path = _compiled(file, context.args, stub=stub, fresh=fresh)
    words = list(context.obj)
    if not {"-e", "--executor", "--profile"} & set(words):
        words += ["--executor", "hpcctr"]
    if not any(word.startswith(("-j", "-c", "--jobs", "--cores", "--profile")) for word in words):
        words += ["--jobs", "100"]
    if preview:
        words.append("--dry-run")
    raise typer.Exit(_snakemake(path, words))


@app.command("compile", context_settings=EXTRA)
def compile_(context: typer.Context, file: File, *, stub: Stub = False) -> None:
    """Write a pipeline's plan and Snakefile; print the Snakefile's path."""
    output.data(str(_compiled(file, context.args, stub=stub, fresh=False)))


@app.command(context_settings=EXTRA)
def plan(
    context: typer.Context,
    file: File,
    *,
    channels: Annotated[
        bool, typer.Option("--channels", help="Show each channel's items, kind and source line.")
    ] = False,
    stub: Stub = False,
) -> None:
    """Print a pipeline's plan as JSON, without running anything."""
    from snakemake_executor_plugin_hpcctr.dsl.params import read_arguments  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.pipeline import load  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.run import Options, make_plan  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)

    pipeline = load(file)
    arguments = read_arguments(pipeline, context.args)
    made = make_plan(pipeline, arguments, Layout(), Options(stub=stub, channels=channels))
    if not channels:
        output.data(made.model_dump_json(indent=2, exclude_defaults=True))
        return
    for channel in made.channels:
        where = f"{os.path.relpath(channel.place.file)}:{channel.place.line}"
        output.data(f"{channel.id}  {channel.kind}  {where}")
        for item in channel.items:
            output.data(f"    {item}")


@app.command(hidden=True)
def task(
    rule: str,
    key: str,
    *,
    root: Root = ROOT,
    attempt: Annotated[int, typer.Option("--attempt")] = 1,
) -> None:
    """Run one task of the compiled plan here; the Snakefile's rules call it."""
    from snakemake_executor_plugin_hpcctr.dsl.errors import DslError  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.local import run as run_here  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.stop import (  # noqa: PLC0415 (start-up time)
        failed,
        is_final,
        mark_final,
    )
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.task import finish  # noqa: PLC0415 (start-up time)

    making = Making(Store(Layout(root)), rule, key, attempt)
    if attempt > 1 and is_final(making):
        raise typer.Exit(1)  # Snakemake cannot be told to stop trying
    ended = run_here(making, output.note)
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
    decision = failed(making, ended.exit_code)
    if decision == "ignore":
        output.note(f"{making.title}: the failure is ignored")
        return
    if decision != "retry":
        mark_final(making)
    raise typer.Exit(ended.exit_code or 1)


@app.command(hidden=True)
def segment(name: str, *, root: Root = ROOT) -> None:
    """Write the part of the plan behind some barriers; the Snakefile's checkpoint calls it."""
    from snakemake_executor_plugin_hpcctr.dsl.run import write_segment  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)

    write_segment(Layout(root), name)


def _compiled(file: Path, words: list[str], *, stub: bool, fresh: bool) -> Path:
    from snakemake_executor_plugin_hpcctr.dsl.params import read_arguments  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.pipeline import load  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.run import (  # noqa: PLC0415 (start-up time)
        STUB_ROOT,
        Options,
        compile_plan,
        make_plan,
    )
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout  # noqa: PLC0415 (start-up time)

    layout = Layout(Path(STUB_ROOT)) if stub else Layout()
    pipeline = load(file)
    arguments = read_arguments(pipeline, words)
    made = make_plan(pipeline, arguments, layout, Options(stub=stub, fresh=fresh))
    for warning in made.warnings:
        output.note(f"warning: {warning}")
    return compile_plan(made, layout)


def _snakemake(path: Path, words: list[str]) -> int:
    from snakemake_executor_plugin_hpcctr import proc  # noqa: PLC0415 (start-up time)

    argv = [sys.executable, "-m", "snakemake", "--snakefile", str(path)]
    return proc.attach([*argv, "--rerun-triggers", "mtime", *words])
