"""What operators leave for later: functions that wait, and what known items were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.operators.base import DROP, Operator
from snakemake_executor_plugin_hpcctr.dsl.values import (
    ABSENT,
    Lazy,
    Promise,
    attach,
    may_be_absent,
    unknowns,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl.graph import Node


def after(columns: list[list[Any]]) -> tuple[Promise | Lazy, ...]:
    """Return the unknown leaves of all items, each once."""
    found = {id(leaf): leaf for column in columns for item in column for leaf in unknowns(item)}
    return tuple(found.values())


def remembering(item: Any, made_from: tuple[Promise | Lazy, ...]) -> Any:
    """Return an item that waits for what it was made from."""
    if not made_from or any(True for _ in unknowns(item)):
        return item
    try:
        return attach(item, made_from)
    except TypeError:
        return item


def remembering_one(node: Node, result: Any, item: Any) -> Any:
    """Return what a function made of an item; it waits for, and is absent with, that item."""
    made_from = tuple(unknowns(item))
    if not made_from or any(True for _ in unknowns(result)):
        return result
    try:
        return attach(result, made_from)
    except TypeError:
        return lazy(node, (item,), maybe=may_be_absent(item))


def deferred(operator: Operator) -> Callable[[list[Any]], Any] | None:
    """Return the operator as a function of real arguments, to be applied later."""
    one = operator.one
    if one is not None:

        def apply_one(items: list[Any]) -> Any:
            if not items:
                return ABSENT
            result = one(items[0])
            return ABSENT if result is DROP else result

        return apply_one

    def apply_all(items: list[Any]) -> Any:
        results = operator.run(items)
        return results[0] if results else ABSENT

    return apply_all


def lazy(node: Node, arguments: tuple[Any, ...], *, maybe: bool) -> Lazy:
    """Return a leaf that applies a node's function when its arguments are known."""
    assert node.apply is not None  # noqa: S101 (operators have one)
    return Lazy(node.id, node.apply, arguments, maybe=maybe)
