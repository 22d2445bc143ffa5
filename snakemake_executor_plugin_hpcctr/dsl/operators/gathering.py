"""Operators that make one value of all items."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import (
    criterion,
    functions_in,
    ordered,
    picked,
)
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import attempt, spread
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList, freeze, is_sequence

if TYPE_CHECKING:
    from collections.abc import Callable

#: Stands for a seed that was not given: None is one.
NO_SEED = object()


def _value(name: str, run: Callable[[list[Any]], list[Any]], *given: Any) -> Operator:
    """Return an operator whose value can wait for the tasks that it depends on."""
    functions = functions_in(*given)
    return Operator(name, run=run, touched="manifest", absent="manifest", functions=functions)


def first(condition: Any) -> Operator:
    """Return `first`: the first item, or the first that fulfils a condition; empty for none."""
    if condition is None:
        return Operator("first", run=lambda items: items[:1])
    test = criterion(condition, "first")

    def run(items: list[Any]) -> list[Any]:
        return next(([item] for item in items if test(item)), [])

    return Operator("first", run=run, functions=functions_in(condition))


def last() -> Operator:
    """Return `last`: the last item; empty for none."""
    return Operator("last", run=lambda items: items[-1:])


def collect(function: Callable[..., Any] | None, *, flat: bool, sort: Any) -> Operator:
    """Return `collect`: one list of all items, lists in it flattened one level.

    An empty channel gives no value at all.
    """
    call = spread(function, "collect") if function is not None else None

    def run(items: list[Any]) -> list[Any]:
        found: list[Any] = []
        for item in items:
            made = item if call is None else call(item)
            found.extend(made if flat and is_sequence(made) else (made,))
        return [FrozenList(ordered(found, sort, "collect"))] if items else []

    return _value("collect", run, function, sort)


def to_list() -> Operator:
    """Return `toList`: one list of all items as they are; [] for an empty channel."""
    return _value("toList", lambda items: [FrozenList(items)])


def to_sorted_list(order: Any) -> Operator:
    """Return `toSortedList`: one list of all items in order; [] for an empty channel."""
    sort = True if order is None else order
    return _value("toSortedList", lambda i: [FrozenList(ordered(i, sort, "toSortedList"))], order)


def count(condition: Any) -> Operator:
    """Return `count`: how many items, or how many that fulfil a condition."""
    if condition is None:
        return _value("count", lambda items: [len(items)])
    test = criterion(condition, "count")
    return _value("count", lambda items: [sum(1 for item in items if test(item))], condition)


def smallest(name: str, order: Any) -> Operator:
    """Return `min` or `max`, by a function of one item or a comparator; empty for none."""

    def run(items: list[Any]) -> list[Any]:
        return [picked(min if name == "min" else max, items, order, name)] if items else []

    return _value(name, run, order)


def sum_(function: Callable[..., Any] | None) -> Operator:
    """Return `sum`: of items, or of what a function makes of them; lists element by element."""
    call = spread(function, "sum") if function is not None else None

    def run(items: list[Any]) -> list[Any]:
        made = [item if call is None else call(item) for item in items]
        return [functools.reduce(_plus, made)] if made else []

    return _value("sum", run, function)


def _plus(one: Any, other: Any) -> Any:
    if is_sequence(one) and is_sequence(other):
        return FrozenList(_plus(a, b) for a, b in zip(one, other, strict=False))
    return one + other


def reduce(function: Callable[[Any, Any], Any], seed: Any) -> Operator:
    """Return `reduce`: a function of what it has returned so far and the next item.

    Without a seed the first item begins, and an empty channel gives an empty value.
    """

    def call(so_far: Any, item: Any) -> Any:
        return attempt(function, "reduce", (so_far, item), so_far, item)

    def run(items: list[Any]) -> list[Any]:
        if seed is NO_SEED:
            return [functools.reduce(call, items)] if items else []
        return [functools.reduce(call, items, freeze(seed))]

    return _value("reduce", run, function)
