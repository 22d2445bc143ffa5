"""Operators that let some items pass."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import criterion, functions_in
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import attempt, spread
from snakemake_executor_plugin_hpcctr.dsl.values import freeze

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = -1


def take(number: int) -> Operator:
    """Return `take`: the first items; -1 for all.

    Raises:
        DslError: No such number.
    """
    if not _is_number(number, ALL):
        raise DslError(f"`take`: expected a number of items, or -1 for all, got {number!r}")
    return Operator("take", run=lambda items: items if number == ALL else items[:number])


def _is_number(number: object, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def until(condition: Any) -> Operator:
    """Return `until`: items before the first that fulfils a condition."""
    test = criterion(condition, "until")

    def run(items: list[Any]) -> list[Any]:
        found = []
        for item in items:
            if test(item):
                break
            found.append(item)
        return found

    return Operator("until", run=run, functions=functions_in(condition))


def unique(function: Callable[..., Any] | None) -> Operator:
    """Return `unique`: of items that are equal, or of which a function says so, the first."""
    key = spread(function, "unique") if function is not None else _itself

    def run(items: list[Any]) -> list[Any]:
        found: dict[Any, Any] = {}
        for item in items:
            found.setdefault(_hashable(key(item)), item)
        return list(found.values())

    return Operator("unique", run=run, functions=functions_in(function))


def _itself(item: Any) -> Any:
    return item


def _hashable(key: Any) -> Any:
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key


def distinct(function: Callable[..., Any] | None) -> Operator:
    """Return `distinct`: items that differ from the one before."""
    key = spread(function, "distinct") if function is not None else _itself

    def run(items: list[Any]) -> list[Any]:
        keys = [key(item) for item in items]
        return [item for n, item in enumerate(items) if n == 0 or keys[n] != keys[n - 1]]

    return Operator("distinct", run=run, functions=functions_in(function))


def if_empty(given: Any) -> Operator:
    """Return `ifEmpty`: one item in place of none; a function is called only then."""

    def run(items: list[Any]) -> list[Any]:
        if items:
            return items
        if not callable(given):
            return [freeze(given)]
        return [attempt(given, "ifEmpty", None)]

    return Operator("ifEmpty", run=run, functions=functions_in(given))


def random_sample(number: int, seed: int | None) -> Operator:
    """Return `randomSample`: so many items in random order, all if there are fewer.

    Raises:
        DslError: No such number, or no seed: each run would choose others, and nothing could be
            resumed.
    """
    if not _is_number(number, 0):
        raise DslError(f"`randomSample`: expected a number of items, got {number!r}")
    if seed is None:
        raise DslError(
            "`randomSample` needs a seed",
            next_step="write randomSample(n, seed=1): without one, no run could be resumed",
        )

    def run(items: list[Any]) -> list[Any]:
        return random.Random(seed).sample(items, min(number, len(items)))  # noqa: S311 (no secret)

    return Operator("randomSample", run=run)
