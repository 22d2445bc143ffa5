"""One line per trial: where it stands, what it measured. From the trace and files alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.metrics import Measured, metrics_file, read_metrics
from snakemake_executor_plugin_hpcctr.sweep.naming import digests_in, text_of
from snakemake_executor_plugin_hpcctr.sweep.trials import project
from snakemake_executor_plugin_hpcctr.trace.folder import STATE
from snakemake_executor_plugin_hpcctr.trace.store import Trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value
    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep
    from snakemake_executor_plugin_hpcctr.sweep.trials import Trial
    from snakemake_executor_plugin_hpcctr.trace.store import Row

NEW, WAITING, RUNNING, DONE, FAILED = "new", "waiting", "running", "done", "failed"
#: The order in which a live table shows trials.
STATES = (RUNNING, FAILED, WAITING, DONE, NEW)
OK = "ok"


@dataclass(frozen=True)
class Line:
    """A trial and where it stands.

    Args:
        trial: The trial.
        stage: The rule that it reached last; "" if none was submitted.
        state: new, waiting, running, done or failed.
        cause: Why it failed, a cause of the catalogue; "" if it did not.
        metrics: What it has measured.
        problem: What is wrong with its metrics file; "" for nothing.
        log: Log of the task that failed.
    """

    trial: Trial
    stage: str = ""
    state: str = NEW
    cause: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    log: str = ""


@dataclass(frozen=True)
class _Attempt:
    """The latest attempt of a trial's rule, and its place in the order of submission."""

    order: int
    row: Row


def lines_of(sweep: Sweep, workdir: Path) -> list[Line]:
    """Return a line for each trial, in the order of the sweep; asks no scheduler."""
    attempts = _attempts(_rows(workdir))
    digests = _digests_of(sweep)
    found = []
    for trial in sweep.trials:
        own = [a for digest in digests[trial] for a in attempts.get(digest, {}).values()]
        found.append(_line(trial, own, _measure(sweep, trial, workdir)))
    return found


def _rows(workdir: Path) -> list[Row]:
    file = workdir / STATE / "trace.sqlite"
    if not file.exists():
        return []
    trace = Trace(file)
    try:
        return trace.rows()
    finally:
        trace.close()


def _attempts(rows: Iterable[Row]) -> dict[str, dict[str, _Attempt]]:
    """Return hash → rule → latest attempt."""
    found: dict[str, dict[str, _Attempt]] = {}
    for order, row in enumerate(rows):
        for digest in digests_in(row.wildcards):
            found.setdefault(digest, {})[row.rule] = _Attempt(order, row)
    return found


def _digests_of(sweep: Sweep) -> dict[Trial, list[str]]:
    """Return, for each trial, its hash in each stage."""
    uses = {sweep.names, *sweep.stages.values()}
    return {
        trial: [view.digest for used in uses if (view := project(trial, used)) is not None]
        for trial in sweep.trials
    }


def _measure(sweep: Sweep, trial: Trial, workdir: Path) -> Measured:
    metrics = sweep.loaded.config.metrics
    if metrics is None:
        return Measured()
    return read_metrics(workdir / metrics_file(sweep, trial), metrics.keys)


def _line(trial: Trial, attempts: Sequence[_Attempt], measured: Measured) -> Line:
    rows = [attempt.row for attempt in sorted(attempts, key=lambda attempt: attempt.order)]
    failed = [row for row in rows if row.cause not in {None, OK}]
    row = failed[-1] if failed else rows[-1] if rows else None
    return Line(
        trial=trial,
        stage=row.rule if row else "",
        state=_state(row, measured),
        cause=str(failed[-1].cause) if failed else "",
        metrics=measured.values,
        problem=measured.problem,
        log=failed[-1].log if failed else "",
    )


def _state(row: Row | None, measured: Measured) -> str:
    if row is None:
        return DONE if measured.values or measured.problem else NEW
    if row.cause is None:
        return RUNNING if Path(row.log).exists() else WAITING
    return DONE if row.cause == OK else FAILED


def counts(lines: Iterable[Line]) -> dict[str, int]:
    """Return how many trials are in each state, those that occur."""
    found = Counter(line.state for line in lines)
    return {state: found[state] for state in STATES if found[state]}


def metric_names(sweep: Sweep, lines: Iterable[Line]) -> list[str]:
    """Return the metrics, in the order of sweep.yaml or of the files."""
    metrics = sweep.loaded.config.metrics
    if metrics is not None and metrics.keys is not None:
        return list(metrics.keys)
    return list(dict.fromkeys(name for line in lines for name in line.metrics))


def goal_of(sweep: Sweep, lines: Sequence[Line], metric: str | None = None) -> tuple[str, str]:
    """Return the metric that counts and its direction.

    Args:
        sweep: The sweep.
        lines: Its trials.
        metric: Takes the place of the file's goal.

    Raises:
        ConfigError: The metric is not known, or nothing says which one counts.
    """
    if metric is None:
        return declared_goal(sweep.loaded)
    names = metric_names(sweep, lines)
    if metric not in names:
        raise ConfigError(
            f"no trial has the metric `{metric}`",
            next_step=did_you_mean(metric, names)
            or f"the metrics are {', '.join(names) or 'none yet'}",
        )
    metrics = sweep.loaded.config.metrics
    goal = metrics.goal if metrics else None
    return metric, (goal or {}).get(metric, "maximize")


def declared_goal(loaded: Loaded) -> tuple[str, str]:
    """Return the metric that counts by sweep.yaml, and its direction.

    Raises:
        ConfigError: It names none.
    """
    metrics = loaded.config.metrics
    if metrics is None or not metrics.goal:
        raise ConfigError(
            "nothing says which metric counts",
            where=loaded.name,
            next_step="add `goal: {accuracy: maximize}` under `metrics:`",
        )
    return next(iter(metrics.goal.items()))


def ranked(lines: Iterable[Line], metric: str, direction: str) -> list[Line]:
    """Return the lines, best first; those without the metric, or where it is NaN, come last."""
    sign = -1 if direction == "maximize" else 1

    def rank(line: Line) -> tuple[int, float]:
        number = number_of(line, metric)
        return (1, 0.0) if number is None else (0, sign * number)

    return sorted(lines, key=rank)


def number_of(line: Line, metric: str) -> float | None:
    """Return what a trial measured; None for nothing, and for NaN."""
    number = line.metrics.get(metric, math.nan)
    return None if math.isnan(number) else number


def sort_lines(sweep: Sweep, lines: Sequence[Line], key: str) -> list[Line]:
    """Return the lines by a metric, best first, or by a parameter, least first.

    Lines without the metric, or where it is NaN, come last.

    Raises:
        ConfigError: Neither a metric nor a parameter has this name.
    """
    names = metric_names(sweep, lines)
    if key in names:
        return ranked(lines, *goal_of(sweep, lines, key))
    if key not in sweep.names:
        known = [*names, *sweep.names]
        raise ConfigError(
            f"`{key}` is neither a metric nor a parameter",
            next_step=did_you_mean(key, known) or f"sort by one of {', '.join(known)}",
        )
    return sorted(lines, key=lambda line: _value_rank(line.trial.values[key]))


def best_of(sweep: Sweep, lines: Sequence[Line], metric: str | None = None) -> Line:
    """Return the trial with the best metric.

    Raises:
        ConfigError: No trial has one yet, or nothing says which metric counts.
    """
    name, direction = goal_of(sweep, lines, metric)
    best = next(iter(ranked(lines, name, direction)), None)
    if best is None or number_of(best, name) is None:
        raise ConfigError(
            f"no trial has a number for `{name}` yet",
            where=sweep.loaded.name,
            next_step="`hpcctr sweep status` shows where they stand",
        )
    return best


def _value_rank(value: Value) -> tuple[int, float, str]:
    if isinstance(value, (bool, str)):
        return (1, 0.0, str(value))
    return (0, float(value), "")


def record(sweep: Sweep, line: Line, metrics: Sequence[str]) -> dict[str, Any]:
    """Return a line as plain values, for tables and programs."""
    values = {name: line.trial.values[name] for name in sweep.names}
    return {
        "trial": line.trial.name,
        **values,
        "stage": line.stage,
        "state": line.state,
        **{name: line.metrics.get(name) for name in metrics},
        "cause": line.cause,
        "problem": line.problem,
        "log": line.log,
    }


def cells(line: Line, names: Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
    """Return a line for people: parameters, stage, state, metrics, what is wrong."""
    numbers = (line.metrics.get(name) for name in metrics)
    return (
        *(text_of(line.trial.values[name]) for name in names),
        line.stage or "-",
        line.state,
        *("-" if number is None else f"{number:.6g}" for number in numbers),
        line.cause or line.problem,
    )
