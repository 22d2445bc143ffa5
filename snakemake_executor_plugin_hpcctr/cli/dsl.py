"""`hpcctr dsl`: pipelines of processes and channels, written in Python."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from snakemake_executor_plugin_hpcctr.cli import dsl_inner, dsl_keep, output
from snakemake_executor_plugin_hpcctr.errors import ConfigError, HpcctrError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer._click.core import Context

    from snakemake_executor_plugin_hpcctr.dsl.history import Run
    from snakemake_executor_plugin_hpcctr.dsl.looks import Viewer
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import ManifestResults
    from snakemake_executor_plugin_hpcctr.dsl.session import Planned, Request

app = typer.Typer(
    help="Pipelines of processes and channels, written in Python.", no_args_is_help=True
)
#: Manifests are written in one step: what a killed head left half-made is made again.
AGAIN = ("--rerun-incomplete",)
EXTRA = {"allow_extra_args": True, "ignore_unknown_options": True}
File = Annotated[Path, typer.Argument(help="The pipeline's Python file.")]
Stub = Annotated[bool, typer.Option("--stub", help="Run the stubs in place of the scripts.")]
Profile = Annotated[
    list[str], typer.Option("--profile", help="Profile of hpcctr.yaml; may be repeated.")
]
ParamsFile = Annotated[
    Path | None, typer.Option("--params-file", help="YAML or JSON file with parameters.")
]


@dataclass(frozen=True)
class Shown:
    """What of a run's channels is shown and published: tags of `dump`, folder of outputs."""

    tags: tuple[str, ...]
    output_dir: Path


class Divided(TyperCommand):
    """A command with a pipeline's own words, and another program's behind `--`."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Keep what stands behind the first `--` apart, in `ctx.obj`; add a pipeline's help."""
        cut = args.index("--") if "--" in args else len(args)
        ctx.obj = args[cut + 1 :]
        own = args[:cut]
        file = next((word for word in own if word.endswith(".py")), None)
        if file is not None and {"--help", "-h"} & set(own):
            output.data(_pipeline_help(Path(file)))
        return super().parse_args(ctx, own)


def _pipeline_help(file: Path) -> str:
    from snakemake_executor_plugin_hpcctr.dsl.params import help_text  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.pipeline import load  # noqa: PLC0415 (start-up time)

    return help_text(load(file))


@app.command(cls=Divided, context_settings=EXTRA)
def run(  # noqa: PLR0913 (one parameter for each option)
    context: typer.Context,
    file: File,
    *,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use no results of earlier runs.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Say what would run.")] = False,
    until: Annotated[str, typer.Option("--until", help="Stop behind this process.")] = "",
    dag: Annotated[
        Path | None, typer.Option("--dag", help="Write the graph of processes: .mmd or .dot.")
    ] = None,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", help="Folder of the workflow's outputs.")
    ] = Path("results"),
    dump_channels: Annotated[
        list[str], typer.Option("--dump-channels", help="Show what `dump` with this tag sees.")
    ] = [],  # noqa: B006 (typer reads it)
    profile: Profile = [],  # noqa: B006 (typer reads it)
    params_file: ParamsFile = None,
    stub: Stub = False,
) -> None:
    """Run a pipeline: its parameters as --name value, then `--` and options of Snakemake."""
    from snakemake_executor_plugin_hpcctr.dsl.lock import only_run  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.stale import drop_stale  # noqa: PLC0415 (start-up time)

    request = _request(
        file, context.args, profile, params_file, stub=stub, fresh=fresh, channels=dag is not None
    )
    with only_run(request.layout) as held:
        if not preview:
            drop_stale(request.layout)
        found = _planned(request)
        if dag is not None:
            _draw(found, dag)
        words = _snakemake_words(found, list(context.obj), until)
        path = _compile(found, fresh=fresh and not preview)
        if preview:
            code = _preview(found, path, words)
        else:
            shown = Shown(tuple(dump_channels), output_dir)
            code = _run(request, found, (path, words), held, shown)
    raise typer.Exit(code)


@app.command("compile", cls=Divided, context_settings=EXTRA)
def compile_(
    context: typer.Context,
    file: File,
    *,
    profile: Profile = [],  # noqa: B006 (typer reads it)
    params_file: ParamsFile = None,
    stub: Stub = False,
) -> None:
    """Write a pipeline's plan and Snakefile; print the Snakefile's path."""
    from snakemake_executor_plugin_hpcctr.dsl.lock import only_run  # noqa: PLC0415 (start-up time)

    request = _request(file, context.args, profile, params_file, stub=stub)
    with only_run(request.layout):
        output.data(str(_compile(_planned(request), fresh=False)))


@app.command(cls=Divided, context_settings=EXTRA)
def plan(  # noqa: PLR0913 (one parameter for each option)
    context: typer.Context,
    file: File,
    *,
    channels: Annotated[
        bool, typer.Option("--channels", help="Show each channel's items, kind and source line.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --channels: print the plan as JSON, channels too.")
    ] = False,
    profile: Profile = [],  # noqa: B006 (typer reads it)
    params_file: ParamsFile = None,
    stub: Stub = False,
) -> None:
    """Print a pipeline's plan as JSON, without running anything."""
    found = _planned(
        _request(file, context.args, profile, params_file, stub=stub, channels=channels)
    )
    if as_json or not channels:
        output.data(found.plan.model_dump_json(indent=2, exclude_defaults=True))
        return
    for channel in found.plan.channels:
        where = f"{os.path.relpath(channel.place.file)}:{channel.place.line}"
        output.data(f"{channel.id}  {channel.kind}  {where}")
        for item in channel.items:
            output.data(f"    {item}")
    output.data(_totals(found))


@app.command(cls=Divided, context_settings=EXTRA)
def lint(
    context: typer.Context,
    file: File,
    *,
    profile: Profile = [],  # noqa: B006 (typer reads it)
    params_file: ParamsFile = None,
) -> None:
    """Look for what is doubtful in a pipeline; exit code 1 if something is."""
    from snakemake_executor_plugin_hpcctr.dsl.check import findings  # noqa: PLC0415 (start-up time)

    request = _request(file, context.args, profile, params_file)
    found = list(findings(request, os.environ))
    for sentence in found:
        output.data(sentence)
    if not found:
        output.note("nothing found")
    raise typer.Exit(int(bool(found)))


app.command("log")(dsl_keep.log)
app.command("clean")(dsl_keep.clean)
app.command("task", hidden=True)(dsl_inner.task)
app.command("segment", hidden=True)(dsl_inner.segment)


def _request(  # noqa: PLR0913 (as the options)
    file: Path,
    words: list[str],
    profiles: list[str],
    params_file: Path | None,
    *,
    stub: bool = False,
    fresh: bool = False,
    channels: bool = False,
) -> Request:
    from snakemake_executor_plugin_hpcctr.dsl.session import Request  # noqa: PLC0415 (start-up time)

    names = tuple(name for word in profiles for name in word.split(",") if name)
    return Request(file, words, names, params_file, stub, fresh, channels)


def _planned(request: Request) -> Planned:
    from snakemake_executor_plugin_hpcctr.dsl.session import planned  # noqa: PLC0415 (start-up time)

    found = planned(request, os.environ)
    for warning in found.plan.warnings:
        output.note(f"warning: {warning}")
    return found


def _compile(found: Planned, *, fresh: bool) -> Path:
    from snakemake_executor_plugin_hpcctr.dsl import tidy  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.run import compile_plan  # noqa: PLC0415 (start-up time)

    if fresh:
        tidy.forget(found.layout, [call.rule for call in found.plan.calls])
    return compile_plan(found.plan, found.layout)


def _snakemake_words(found: Planned, words: list[str], until: str) -> list[str]:
    """Return options for Snakemake: the user's, and what they leave open."""
    from snakemake_executor_plugin_hpcctr.dsl.run import rule_of  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.snakefile import limits  # noqa: PLC0415 (start-up time)

    words = with_defaults(words, limits(found.plan), segments=bool(found.plan.segments))
    return [*words, "--until", rule_of(found.plan, until)] if until else words


def with_defaults(words: list[str], limited: list[str], *, segments: bool) -> list[str]:
    """Return options for Snakemake with what they leave open.

    Args:
        words: The user's.
        limited: Words of `--resources` that keep limits of processes.
        segments: Whether checkpoints read what tasks write.
    """

    def lacks(*options: str) -> bool:
        return not any(word.startswith(options) for word in words)

    found = list(words)
    if lacks("-e", "--executor", "--profile"):
        found += ["--executor", "hpcctr"]
    if lacks("-j", "-c", "--jobs", "--cores", "--profile"):
        found += ["--jobs", "100"]
    if segments and lacks("-w", "--latency-wait", "--output-wait"):
        found += ["--latency-wait", "5"]
    if limited:  # of two `--resources` the second would count alone
        if not {"--resources", "--res"} & set(found):
            found.append("--resources")
        option = next(n for n, word in enumerate(found) if word in {"--resources", "--res"})
        found[option + 1 : option + 1] = limited
    return found


def _preview(found: Planned, path: Path, words: list[str]) -> int:
    for segment in found.plan.segments:
        for place, reason in zip(segment.places, segment.reasons, strict=True):
            where = f"{os.path.relpath(place.file)}:{place.line}"
            output.note(f"behind {where} it is planned when the tasks before ran: {reason}")
    return _snakemake(path, [*words, "--dry-run"])


def _run(
    request: Request, found: Planned, command: tuple[Path, list[str]], held: int, shown: Shown
) -> int:
    from snakemake_executor_plugin_hpcctr.dsl import history  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.looks import Viewer  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.republish import republish  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store  # noqa: PLC0415 (start-up time)

    name, began = history.new_name(), time.monotonic()
    path, words = command
    viewer, store = Viewer(shown.tags), Store(found.layout)
    republish(store)
    _show(viewer, found, store.results)
    before = history.finished(found.layout)
    code = _snakemake(path, [*words, *AGAIN], held)
    if found.trace.looks or found.trace.outputs:
        try:
            _look_again(request, viewer, shown.output_dir)
        except HpcctrError as error:  # the run itself is over: it is kept, and its hooks are called
            output.error(error)
            code = code or error.exit_code
    tasks = history.records(found.layout, before)
    ended = history.Run(
        name=name,
        file=str(found.pipeline.file),
        arguments={key: str(value) for key, value in found.arguments.items()},
        success=code == 0,
        exit=code,
        seconds=time.monotonic() - began,
        tasks=tasks,
    )
    history.save(found.layout, ended)
    output.note(output.table(history.summary(tasks)))
    return _after(found, ended)


def _look_again(request: Request, viewer: Viewer, folder: Path) -> None:
    """Show and publish what is known since the tasks have run."""
    from snakemake_executor_plugin_hpcctr.dsl.outputs import publish_outputs  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.runtime.store import Store  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.dsl.session import planned  # noqa: PLC0415 (start-up time)

    later = planned(request, os.environ)
    results = Store(later.layout).results
    _show(viewer, later, results)
    for title, items in publish_outputs(later.trace, results, folder).items():
        output.note(f"output {title}: {items} items in {folder}")


def _show(viewer: Viewer, found: Planned, results: ManifestResults) -> None:
    for line in viewer.lines(found.trace, results):
        output.data(line)


def _after(found: Planned, ended: Run) -> int:
    """Call the workflow's hooks; return the exit code, 1 if a hook failed."""
    hooks = found.pipeline.entry.hooks
    wanted: list[Callable[[Run], Any]] = [*hooks["onComplete"]]
    wanted += [] if ended.success else hooks["onError"]
    code = ended.exit
    for hook in wanted:
        try:
            hook(ended)
        except Exception as error:  # noqa: BLE001 (the user's code: the run itself is over)
            title = getattr(hook, "__name__", hook)
            output.note(f"warning: `{title}` raised {type(error).__name__}: {error}")
            code = code or 1
    return code


def _draw(found: Planned, path: Path) -> None:
    from snakemake_executor_plugin_hpcctr.dsl import picture  # noqa: PLC0415 (start-up time)

    text = picture.dot(found.plan) if path.suffix == ".dot" else picture.mermaid(found.plan)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the graph cannot be written: {error.strerror}",
            where=str(path),
            next_step="name a file in a folder that exists and that you may write to",
        ) from None


def _totals(found: Planned) -> str:
    plan = found.plan
    tasks = sum(len(call.tasks) for call in plan.calls)
    barriers = [f"{s.name}, {p.file}:{p.line}" for s in plan.segments for p in s.places]
    words = f"{len(plan.calls)} processes, {tasks} tasks"
    return f"{words}, {len(barriers)} checkpoint(s): {'; '.join(barriers)}" if barriers else words


def _snakemake(path: Path, words: list[str], *held: int) -> int:
    from snakemake_executor_plugin_hpcctr import proc  # noqa: PLC0415 (start-up time)

    argv = [sys.executable, "-m", "snakemake", "--snakefile", str(path)]
    return proc.attach([*argv, "--nolock", "--rerun-triggers", "mtime", *words], keep=held)
