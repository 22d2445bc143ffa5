"""A parameter → its values, or the function that draws them. Reads the files that it names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.config.yamlfile import read_text
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.sweep.load import SEED
from snakemake_executor_plugin_hpcctr.sweep.model import MOST_TRIALS, NAME
from snakemake_executor_plugin_hpcctr.sweep.naming import text_of
from snakemake_executor_plugin_hpcctr.sweep.values import (
    DELIMITERS,
    parse_lines,
    parse_table,
    parse_value,
    rounded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snakemake_executor_plugin_hpcctr.sweep.load import Loaded
    from snakemake_executor_plugin_hpcctr.sweep.model import Parameter
    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

Point: TypeAlias = "tuple[Value, ...]"

#: Digits of drawn and logarithmically spread numbers: short names, and nobody needs more.
DRAWN_DIGITS = 6
#: A normal distribution ends somewhere: 1 in 10^9 lies outside.
EDGE = 1e-9


@dataclass(frozen=True)
class Axis:
    """One or several parameters whose values belong together.

    Args:
        names: The parameters.
        points: Their values, in order; () for a distribution.
        draw: A number from 0 to below 1 → values; for a distribution.
    """

    names: tuple[str, ...]
    points: Sequence[Point] = ()
    draw: Callable[[float], Point] | None = None

    def at(self, share: float) -> Point:
        """Return the values at a share of the axis, 0 ≤ share < 1."""
        if self.draw is not None:
            return self.draw(share)
        return self.points[min(int(share * len(self.points)), len(self.points) - 1)]


def axes_of(loaded: Loaded) -> list[Axis]:
    """Return the axes of a sweep, in the order of the file, replicates last.

    Raises:
        ConfigError: A file cannot be read, a value stands twice, a range is empty or endless.
    """
    config = loaded.config
    axes = [_rows(loaded, config.rows)] if config.rows else []
    axes += [axis_of(loaded, name, one) for name, one in (config.parameters or {}).items()]
    if config.replicates:
        axes.append(Axis((SEED,), [(seed,) for seed in config.replicates]))
    if config.halving:
        axes.append(Axis((config.halving.parameter,), [(config.halving.to,)]))
    seen: set[str] = set()
    for name in (name for axis in axes for name in axis.names):
        if name in seen or name in (config.constants or {}):
            raise ConfigError(
                f"the parameter `{name}` is there twice",
                where=loaded.at("parameters", name),
                next_step="rows, replicates, halving and constants bring parameters, too: keep one",
            )
        seen.add(name)
    return axes


def axis_of(loaded: Loaded, name: str, parameter: Parameter) -> Axis:
    """Return a parameter's axis.

    Raises:
        ConfigError: As for `axes_of`.
    """
    place = loaded.at("parameters", name)
    try:
        if parameter.distribution:
            return Axis((name,), draw=_drawer(parameter))
        if parameter.start is not None:
            return Axis((name,), [(value,) for value in _range(parameter)])
        if parameter.file:
            found = _file(loaded, name, parameter)
        else:
            found = [(place, value) for value in parameter.values or ()]
            if parameter.type == "text":
                found = [(place, text_of(value)) for value in parameter.values or ()]
        _refuse_twins(name, found)
    except ConfigError as error:
        raise error.at(place) from None
    return Axis((name,), [(value,) for _, value in found])


def _refuse_twins(name: str, found: Iterable[tuple[str, Value]]) -> None:
    seen: dict[tuple[bool, Value], str] = {}
    for where, value in found:
        key = (isinstance(value, bool), value)
        if key in seen:
            first = f", first at {seen[key]}" if seen[key] != where else ""
            raise ConfigError(
                f"the value {text_of(value)} of `{name}` stands twice{first}",
                where=where,
                next_step="remove one of the two: they would be the same trial",
            )
        seen[key] = where


def _file(loaded: Loaded, name: str, parameter: Parameter) -> list[tuple[str, Value]]:
    """Return where each value of a file stands, and the value."""
    path = loaded.file.parent / (parameter.file or "")
    text = read_text(path, str(parameter.file), f"file of values of `{name}`")
    as_text = parameter.type == "text"
    if path.suffix.lower() in DELIMITERS:
        column = parameter.column or name
        header, rows = parse_table(text, str(parameter.file))
        if column not in header:
            raise ConfigError(
                f"{parameter.file} has no column `{column}`",
                next_step=did_you_mean(column, header)
                or f"its columns are {', '.join(header)}; name one with `column:`",
            )
        at = header.index(column)
        cells = [(line, cells[at]) for line, cells in rows]
        found = [(line, cell if as_text else parse_value(cell)) for line, cell in cells]
    else:
        found = parse_lines(text, as_text=as_text)
    if not found:
        raise ConfigError(f"{parameter.file} has no values", next_step="write one value per line")
    return [(f"{parameter.file}:{line}", value) for line, value in found]


def _rows(loaded: Loaded, table: str) -> Axis:
    text = read_text(loaded.file.parent / table, table, "table of rows")
    header, rows = parse_table(text, table)
    for name in header:
        if NAME.fullmatch(name) is None:
            raise ConfigError(
                f"the column {name!r} cannot be the name of a parameter",
                where=f"{table}:1",
                next_step="use letters, digits and `_`, a letter first",
            )
    points = [tuple(parse_value(cell) for cell in cells) for _, cells in rows]
    seen: dict[Point, int] = {}
    for (line, _), point in zip(rows, points, strict=True):
        if seen.setdefault(point, line) != line:
            raise ConfigError(
                f"the row stands twice, first on line {seen[point]}",
                where=f"{table}:{line}",
                next_step="remove one of the two: they would be the same trial",
            )
    return Axis(header, points)


def _range(parameter: Parameter) -> list[Value]:
    first, last = parameter.start, parameter.to
    if first is None or last is None or (parameter.count is None) == (parameter.step is None):
        raise ConfigError(
            "a range needs `from`, `to`, and either `count` or `step`",
            next_step="write {from: 0.001, to: 0.1, count: 3, scale: log}",
        )
    if parameter.scale == "log":
        return _logarithmic(first, last, parameter)
    if parameter.step is not None:
        return _steps(first, last, parameter.step)
    count = _bounded(parameter.count or 1)
    if count == 1:
        return [first]
    spread = [first + (last - first) * index / (count - 1) for index in range(count)]
    whole = isinstance(first, int) and isinstance(last, int)
    if whole and all(float(value).is_integer() for value in spread):
        return [int(value) for value in spread]
    return [rounded(value) for value in spread]


def _steps(first: float, last: float, step: float) -> list[Value]:
    if step == 0 or (last - first) / step < 0:
        raise ConfigError(f"no steps of {step} lead from {first} to {last}")
    count = _bounded(math.floor((last - first) / step + 1e-9) + 1)
    if all(isinstance(number, int) for number in (first, last, step)):
        return [first + step * index for index in range(count)]
    return [rounded(first + step * index) for index in range(count)]


def _logarithmic(first: float, last: float, parameter: Parameter) -> list[Value]:
    if parameter.count is None or first <= 0 or last <= 0:
        raise ConfigError(
            "a logarithmic range needs `count`, and ends above 0",
            next_step="write {from: 0.001, to: 0.1, count: 3, scale: log}",
        )
    count = _bounded(parameter.count)
    if count == 1:
        return [first]
    low, high = math.log(first), math.log(last)
    spread = [math.exp(low + (high - low) * index / (count - 1)) for index in range(count)]
    between = [rounded(value, DRAWN_DIGITS) for value in spread[1:-1]]
    if all(isinstance(end, int) for end in (first, last)) and all(
        value.is_integer() for value in between
    ):
        return [first, *map(int, between), last]
    return [float(first), *between, float(last)]


def _bounded(count: int) -> int:
    if count > MOST_TRIALS:
        raise ConfigError(
            f"the range has {count:,} values, more than the {MOST_TRIALS:,} trials of a sweep",
            next_step="give a smaller `count` or a larger `step`",
        )
    return count


def _drawer(parameter: Parameter) -> Callable[[float], Point]:
    kind = str(parameter.distribution)
    wanted = ("mean", "std") if "normal" in kind else ("low", "high")
    first, second = (getattr(parameter, name) for name in wanted)
    if first is None or second is None:
        raise ConfigError(f"{kind} needs `{wanted[0]}` and `{wanted[1]}`")
    if kind == "loguniform" and first <= 0:
        raise ConfigError("loguniform needs a `low` above 0")
    if "normal" in kind and second <= 0:
        raise ConfigError(f"{kind} needs a `std` above 0")
    if "normal" not in kind and first >= second:
        raise ConfigError(f"{kind} needs a `low` below its `high`, got {first:g} and {second:g}")
    if kind == "integer":
        return lambda share: (int(first) + int(share * (int(second) - int(first) + 1)),)
    quantile = _quantile(kind, first, second)
    return lambda share: (rounded(quantile(share), DRAWN_DIGITS),)


def _quantile(kind: str, first: float, second: float) -> Callable[[float], float]:
    if kind == "uniform":
        return lambda share: first + (second - first) * share
    if kind == "loguniform":
        low, high = math.log(first), math.log(second)
        return lambda share: math.exp(low + (high - low) * share)
    normal = NormalDist(first, second)
    if kind == "normal":
        return lambda share: normal.inv_cdf(min(max(share, EDGE), 1 - EDGE))
    return lambda share: math.exp(normal.inv_cdf(min(max(share, EDGE), 1 - EDGE)))
