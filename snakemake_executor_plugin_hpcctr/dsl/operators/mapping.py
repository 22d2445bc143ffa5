"""Operators that look at one item at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import DROP, Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import criterion, functions_in
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.values import is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TWO = 2


def map_(function: Callable[..., Any]) -> Operator:
    """Return `map`: each item becomes what the function makes of it; None drops it."""
    call = spread(function, "map")

    def one(item: Any) -> Any:
        result = call(item)
        return DROP if result is None else result

    return Operator("map", one=one, touched="manifest", absent="pass", functions=(function,))


def multi_map(label: str, function: Callable[..., Any]) -> Operator:
    """Return one label of `multiMap`: every item, as its function makes it."""
    name = f"multiMap.{label}"
    call = spread(function, name)
    return Operator(name, one=call, touched="manifest", absent="pass", functions=(function,))


def flat_map(function: Callable[..., Any] | None) -> Operator:
    """Return `flatMap`: the elements of what the function returns, one level.

    A dict gives its entries, anything else itself, an empty list nothing.
    """
    call = spread(function, "flatMap") if function is not None else None

    def run(items: list[Any]) -> list[Any]:
        return [part for item in items for part in _elements(item if call is None else call(item))]

    return Operator("flatMap", run=run, functions=functions_in(function), absent="barrier")


def _elements(result: Any) -> Iterator[Any]:
    if is_unknown(result):
        if is_sequence(result):  # raises where it may be a list
            return
        yield result
    elif isinstance(result, dict):
        yield from result.items()
    elif is_sequence(result):
        yield from result
    elif isinstance(result, (set, frozenset, range)):
        yield from sorted(result) if not isinstance(result, range) else result
    elif result is not None:
        yield result


def flatten() -> Operator:
    """Return `flatten`: every element of lists and tuples, however deep; dicts stay whole."""

    def run(items: list[Any]) -> list[Any]:
        return [leaf for item in items for leaf in _leaves(item)]

    return Operator("flatten", run=run)


def _leaves(item: Any) -> Iterator[Any]:
    if is_sequence(item):
        for part in item:
            yield from _leaves(part)
    else:
        yield item


def filter_(condition: Any) -> Operator:
    """Return `filter`: items that fulfil a condition."""
    test = criterion(condition, "filter")

    def one(item: Any) -> Any:
        return item if test(item) else DROP

    return Operator("filter", one=one, absent="pass", functions=functions_in(condition))


def branch(labels: Mapping[str, Any]) -> Operator:
    """Return `branch`: (label, item) for the first label whose condition holds.

    A label is a condition, True for all that is left, or (condition, function of the value).
    """
    tests = {label: _choice(label, given) for label, given in labels.items()}

    def one(item: Any) -> Any:
        for label, (test, make) in tests.items():
            if test(item):
                return (label, make(item))
        return DROP

    given = [part for g in labels.values() for part in (g if isinstance(g, tuple) else (g,))]
    return Operator("branch", one=one, absent="pass", functions=functions_in(*given))


def _choice(label: str, given: Any) -> tuple[Callable[[Any], bool], Callable[[Any], Any]]:
    name = f"branch, {label}"
    if isinstance(given, tuple):
        if len(given) != TWO or not callable(given[1]):
            raise DslError(
                f"`{name}`: expected (condition, function), got {given!r}"[:300],
                next_step="write `label=condition`, or `label=(condition, function of the value)`",
            )
        return _test(given[0], name), spread(given[1], name)
    return _test(given, name), lambda item: item


def _test(condition: Any, name: str) -> Callable[[Any], bool]:
    if condition is True:
        return lambda _item: True
    return criterion(condition, name)


def select(label: str) -> Operator:
    """Return what one label of a branch gets."""

    def one(pair: Any) -> Any:
        return pair[1] if pair[0] == label else DROP

    return Operator(f"branch.{label}", one=one, absent="pass")
