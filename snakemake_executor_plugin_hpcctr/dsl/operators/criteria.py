"""Conditions, orders and column numbers, as several operators take them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import arity, attempt, spread
from snakemake_executor_plugin_hpcctr.dsl.values import (
    Lazy,
    Promise,
    describe,
    is_sequence,
    is_unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TWO = 2
#: Orders that do not depend on arrival and need no values.
STEADY = ("hash", "deep")


def criterion(condition: Any, operator: str) -> Callable[[Any], bool]:
    """Return a test of items.

    Args:
        condition: A function, a type, a compiled regular expression that must match the whole
            text, or a value that items are compared with.
        operator: For messages.
    """
    if isinstance(condition, type):
        return lambda item: isinstance(item, condition)
    if isinstance(condition, re.Pattern):
        return lambda item: isinstance(item, str) and condition.fullmatch(item) is not None
    if callable(condition):
        call = spread(condition, operator)
        return lambda item: bool(call(item))
    return lambda item: bool(item == condition)


def functions_in(*given: Any) -> tuple[Any, ...]:
    """Return those of an operator's options that are functions of the user."""
    return tuple(one for one in given if callable(one) and not isinstance(one, type))


def _ordering(given: Any, operator: str) -> Callable[[Any], Any]:
    """Return a sort key: from a function of one item, or of two (a comparator).

    Raises:
        DslError: It is no function.
    """
    if given is None or given is True:
        return lambda item: item
    if not callable(given):
        raise DslError(
            f"`{operator}`: the order cannot be {given!r}",
            next_step="give a function of one item, or of two (a comparator)",
        )
    if arity(given) == TWO:

        def compare(a: Any, b: Any) -> int:
            return int(attempt(given, operator, (a, b), a, b))

        return functools.cmp_to_key(compare)
    return spread(given, operator)


def ordered(items: list[Any], given: Any, operator: str) -> list[Any]:
    """Return items in order.

    Args:
        items: What to sort.
        given: True for their natural order, a function of one item, a comparator, `hash` or
            `deep` for an order that does not depend on arrival and needs no values; False or
            None to leave them.
        operator: For messages.

    Raises:
        DslError: They cannot be compared.
    """
    if given is False or given is None:
        return list(items)
    if isinstance(given, str) and given in STEADY:
        return sorted(items, key=_steady)
    found: list[Any] = picked(sorted, items, given, operator)
    return found


def picked(pick: Callable[..., Any], items: Sequence[Any], given: Any, operator: str) -> Any:
    """Return what `sorted`, `min` or `max` makes of items, by an order as `_ordering` takes it.

    Raises:
        DslError: They cannot be compared.
    """
    try:
        return pick(items, key=_ordering(given, operator))
    except TypeError as error:
        raise DslError(
            f"`{operator}`: the items cannot be put in order: {error}",
            item=describe(items[0]),
            next_step="give a function that returns a number or text for each item",
        ) from None


def _steady(item: Any) -> tuple[Any, ...]:
    """Return a sort key that any item has, a promise included."""
    if is_unknown(item):
        return ("unknown", _name(item))
    if type(item) in {tuple, list} or is_sequence(item):
        return ("list", *(_steady(part) for part in item))
    return (type(item).__name__, repr(item))


def _name(leaf: Promise | Lazy) -> tuple[Any, ...]:
    if type(leaf) is Promise:
        return (leaf._call, leaf._key, leaf._emit, leaf._leaf)
    return (leaf._node, *(_steady(argument) for argument in leaf._arguments))


def columns_of(by: int | Sequence[int], operator: str) -> tuple[int, ...]:
    """Return the columns that `by` names.

    Raises:
        DslError: It names none, or something that is no number.
    """
    numbers = (by,) if isinstance(by, int) else tuple(by)
    bad = [number for number in numbers if not isinstance(number, int) or number < 0]
    if bad or not numbers:
        raise DslError(
            f"`{operator}`: `by` must be a column's number from 0, or a list of them, got {by!r}"
        )
    return numbers


def key_of(item: Any, columns: tuple[int, ...], operator: str) -> tuple[Any, tuple[Any, ...]]:
    """Return an item's key and what is left of it.

    An item that is no list is its own key, with nothing left.

    Raises:
        DslError: The item has no such column.
        Touched: The key is not known.
    """
    if not is_sequence(item):
        if columns != (0,):
            raise DslError(
                f"`{operator}`: the item is no tuple, so it has no column {columns[-1]}",
                item=describe(item),
            )
        hash(item)
        return (item,), ()
    if max(columns) >= len(item):
        raise DslError(
            f"`{operator}`: the item has no column {max(columns)}: it has {len(item)} elements",
            item=describe(item),
        )
    key = tuple(item[number] for number in columns)
    _check_key(key, operator, item)
    return key, tuple(part for number, part in enumerate(item) if number not in columns)


def _check_key(key: tuple[Any, ...], operator: str, item: Any) -> None:
    try:
        hash(key)
    except TypeError:
        raise DslError(
            f"`{operator}`: the key {describe(key)} cannot be compared",
            item=describe(item),
            next_step="use text, numbers, tuples, or frozen dataclasses as keys",
        ) from None


def parts(item: Any) -> tuple[Any, ...]:
    """Return the elements of a tuple or list, or the item itself as one."""
    return tuple(item) if is_sequence(item) else (item,)
