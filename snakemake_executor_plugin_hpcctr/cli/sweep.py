"""`hpcctr sweep …`: run a parameter sweep, and see what its trials measured."""

from __future__ import annotations

import csv
import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep
    from snakemake_executor_plugin_hpcctr.sweep.table import Line

app = typer.Typer(
    help="Run a workflow for many combinations of parameters, and compare what came out.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(metavar="SWEEP", help="The sweep's file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it for programs.")]
Metric = Annotated[
    str | None,
    typer.Option(metavar="METRIC", help="The metric that counts, in place of the file's goal."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Run only the trials that have failed.")
]
Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="SAMPLER", help="Search by Optuna: tpe, random, qmc, cmaes, gp, or halving."
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="How many trials a sampler tries in all.")]
Parallel = Annotated[
    int, typer.Option(min=1, help="How many trials a sampler tries at once, in one array.")
]
DEFAULT = Path("sweep.yaml")
REDRAW_S = 1.0


@app.command()
def run(
    file: File = DEFAULT,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", help="What runs Snakemake, with its flags."),
    ] = None,
    *,
    retry_failed: RetryFailed = False,
    sampler: Sampler = None,
    trials: Trials = 20,
    parallel: Parallel = 8,
) -> None:
    """Run the trials, each with its own configuration and folder, or search for the best.

    Trials that are done are left alone, failed ones don't stop the others. Exit code 1 if a
    trial failed.

    hpcctr sweep run sweep.yaml -- snakemake --executor hpcctr -j 100
    """
    from snakemake_executor_plugin_hpcctr.sweep import search  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.load import load  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.rounds import Rounds  # noqa: PLC0415 (start-up time)

    words = command or []
    if not file.suffix:  # `sweep run -- snakemake`: what stands first is the command's
        file, words = DEFAULT, [str(file), *words]
    loaded = load(file, searched=sampler not in {None, "halving"})
    with Rounds(loaded, words, output.note) as rounds:
        if sampler is None:
            code = _run_all(rounds, only_failed=retry_failed)
        elif sampler == "halving":
            code = int(search.halve(rounds) > 0)
        else:
            plan = search.Plan(sampler, trials, parallel, retry_failed)
            code = int(search.optimize(rounds, plan) > 0)
    raise typer.Exit(code)


def _run_all(rounds: Any, *, only_failed: bool) -> int:
    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.table import FAILED, lines_of  # noqa: PLC0415 (start-up time)

    rounds.forget()
    sweep = Sweep(rounds.loaded.file)
    chosen = sweep.trials
    if only_failed:
        lines = lines_of(sweep, Path.cwd())
        chosen = tuple(line.trial for line in lines if line.state == FAILED)
        if not chosen:
            output.note("no trial has failed")
            return 0
    return int(rounds.run(chosen) != 0)


@app.command()
def status(
    file: File = DEFAULT,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Draw it anew each second, until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where each trial stands: parameters, stage, state, metrics so far.

    It reads files of this folder only and asks the scheduler nothing.
    """
    if as_json:
        sweep, lines = _look(file)
        output.as_json(_records(sweep, lines))
    elif watch and sys.stdout.isatty():
        _watch(file)
    else:
        sweep, lines = _look(file)
        output.data(_text(sweep, lines))
        output.data(_summary(lines))


@app.command()
def table(
    file: File = DEFAULT,
    *,
    sort: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A metric, best first, or a parameter."),
    ] = None,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write it as CSV; - for stdout.")
    ] = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as Parquet.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show parameters and metrics of all trials, in the terminal or as a file."""
    from snakemake_executor_plugin_hpcctr.sweep.table import sort_lines  # noqa: PLC0415 (start-up time)

    sweep, lines = _look(file)
    if sort is not None:
        lines = sort_lines(sweep, lines, sort)
    records = _records(sweep, lines)
    if as_json:
        output.as_json(records)
    elif as_csv is not None or parquet is not None:
        try:
            _write_csv(records, as_csv)
            _write_parquet(records, parquet)
        except OSError as error:
            raise ConfigError(
                f"cannot write the table: {error}", next_step="name a file in a folder that exists"
            ) from None
    else:
        output.data(_text(sweep, lines))


@app.command()
def best(file: File = DEFAULT, *, metric: Metric = None, as_json: AsJson = False) -> None:
    """Show the trial with the best metric: name, values, folder."""
    from snakemake_executor_plugin_hpcctr.sweep.naming import text_of  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.table import best_of  # noqa: PLC0415 (start-up time)

    sweep, lines = _look(file)
    line = best_of(sweep, lines, metric)
    if as_json:
        output.as_json(_records(sweep, [line])[0])
        return
    rows = [("trial", line.trial.name)]
    rows += [(name, text_of(value)) for name, value in line.trial.values.items()]
    rows += [(name, f"{number:.6g}") for name, number in line.metrics.items()]
    output.data(output.table(rows))


@app.command()
def plot(
    file: File = DEFAULT,
    *,
    page: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The page. Default: plot.html there."),
    ] = None,
    metric: Metric = None,
) -> None:
    """Write one HTML page with plots of the metric, which opens without a network."""
    from snakemake_executor_plugin_hpcctr.sweep.plot import render_page  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.table import best_of, goal_of  # noqa: PLC0415 (start-up time)

    sweep, lines = _look(file)
    name, _ = goal_of(sweep, lines, metric)
    line = best_of(sweep, lines, name)
    target = page or Path(sweep.output, "plot.html")
    text = render_page(f"Sweep {file}: {name}", sweep.names, lines, name, line)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}") from None
    output.data(str(target))


@app.command()
def schema() -> None:
    """Print the JSON Schema of sweep.yaml, for editors."""
    from snakemake_executor_plugin_hpcctr.sweep.model import schema as text  # noqa: PLC0415 (start-up time)

    output.as_json(text())


def _look(file: Path) -> tuple[Sweep, list[Line]]:
    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.sweep.table import lines_of  # noqa: PLC0415 (start-up time)

    sweep = Sweep(file)
    return sweep, lines_of(sweep, Path.cwd())


def _header(sweep: Sweep, lines: Sequence[Line]) -> tuple[list[str], tuple[str, ...]]:
    from snakemake_executor_plugin_hpcctr.sweep.table import metric_names  # noqa: PLC0415 (start-up time)

    metrics = metric_names(sweep, lines)
    return metrics, (*sweep.names, "stage", "state", *metrics, "")


def _text(sweep: Sweep, lines: Sequence[Line]) -> str:
    from snakemake_executor_plugin_hpcctr.sweep.table import cells  # noqa: PLC0415 (start-up time)

    metrics, header = _header(sweep, lines)
    return output.table([header, *(cells(line, sweep.names, metrics) for line in lines)])


def _summary(lines: Sequence[Line]) -> str:
    from snakemake_executor_plugin_hpcctr.sweep.table import counts  # noqa: PLC0415 (start-up time)

    parts = [f"{number} {state}" for state, number in counts(lines).items()]
    return f"{len(lines)} trials: {', '.join(parts)}"


def _records(sweep: Sweep, lines: Sequence[Line]) -> list[dict[str, Any]]:
    from snakemake_executor_plugin_hpcctr.sweep.table import metric_names, record  # noqa: PLC0415 (start-up time)

    metrics = metric_names(sweep, lines)
    return [record(sweep, line, metrics) for line in lines]


def _write_csv(records: Sequence[dict[str, Any]], target: Path | None) -> None:
    if target is None:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    if str(target) == "-":
        output.data(text.getvalue().rstrip("\n"))
    else:
        target.write_text(text.getvalue(), encoding="utf-8")


def _write_parquet(records: list[dict[str, Any]], target: Path | None) -> None:
    if target is None:
        return
    try:
        import pyarrow as pa  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed",
            where="--parquet",
            next_step="pip install 'snakemake-executor-plugin-hpcctr[sweep]', or write --csv",
        ) from None
    columns = {name: [record[name] for record in records] for name in records[0]}
    parquet.write_table(
        pa.table({name: _of_one_type(column) for name, column in columns.items()}), target
    )


def _of_one_type(column: list[Any]) -> list[Any]:
    """Return a column as it is if it holds only texts, only numbers or only switches; else text."""
    from snakemake_executor_plugin_hpcctr.sweep.naming import text_of  # noqa: PLC0415 (start-up time)

    kinds = {float if type(value) is int else type(value) for value in column if value is not None}
    if len(kinds) <= 1:
        return column
    return [None if value is None else text_of(value) for value in column]


def _watch(file: Path) -> None:
    """Redraw the table each second, later if a look takes long, until all trials ended."""
    from rich.live import Live  # noqa: PLC0415 (start-up time)

    from snakemake_executor_plugin_hpcctr.sweep.table import DONE, FAILED  # noqa: PLC0415 (start-up time)

    with Live(auto_refresh=False, screen=False) as live:
        while True:
            started = time.monotonic()
            sweep, lines = _look(file)
            live.update(_drawn(sweep, lines, live.console.height - 4), refresh=True)
            if all(line.state in {DONE, FAILED} for line in lines):
                return
            cost = time.monotonic() - started
            time.sleep(max(REDRAW_S, 4 * cost))


def _drawn(sweep: Sweep, lines: Sequence[Line], height: int) -> RenderableType:
    """Return the table as it fits the terminal: what moves first."""
    from rich.table import Table  # noqa: PLC0415 (start-up time)

    from snakemake_executor_plugin_hpcctr.sweep.table import STATES, cells  # noqa: PLC0415 (start-up time)

    metrics, header = _header(sweep, lines)
    table = Table(*header, box=None, title=_summary(lines), title_justify="left")
    for line in sorted(lines, key=lambda line: STATES.index(line.state))[: max(height, 1)]:
        table.add_row(*cells(line, sweep.names, metrics))
    return table
