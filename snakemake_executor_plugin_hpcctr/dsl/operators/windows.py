"""Operators that cut a channel into lists of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import criterion, functions_in
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable


def collate(size: int, step: int | None, *, remainder: bool) -> Operator:
    """Return `collate`: windows of `size` items, each `step` items behind the one before.

    Raises:
        DslError: A size or step below 1.
    """
    width = size if step is None else step
    if size < 1 or width < 1:
        raise DslError(f"`collate`: size and step must be at least 1, got {size} and {width}")

    def run(items: list[Any]) -> list[Any]:
        windows = [FrozenList(items[n : n + size]) for n in range(0, len(items), width)]
        return windows if remainder else [one for one in windows if len(one) == size]

    return Operator("collate", run=run)


def buffer_size(size: int, skip: int, *, remainder: bool) -> Operator:
    """Return `buffer(size=…)`: lists of `size` items, `skip` items left out before each.

    Raises:
        DslError: A size below 1, or a negative skip.
    """
    if size < 1 or skip < 0:
        raise DslError(f"`buffer`: size must be at least 1 and skip 0, got {size} and {skip}")

    def run(items: list[Any]) -> list[Any]:
        found = []
        for start in range(0, len(items), size + skip):
            part = items[start + skip : start + skip + size]
            if len(part) == size or (part and remainder):
                found.append(FrozenList(part))
        return found

    return Operator("buffer", run=run)


def buffer_until(opening: Any, closing: Any, *, remainder: bool) -> Operator:
    """Return `buffer(close)` or `buffer(open, close)`: lists that end with an item that closes.

    Args:
        opening: Condition of the item that begins a list; None for the next one.
        closing: Condition of the item that ends it, which belongs to it.
        remainder: Whether a list that was not closed is kept.
    """
    begins: Callable[[Any], bool] | None = None
    if opening is not None:
        begins = criterion(opening, "buffer")
    ends = criterion(closing, "buffer")

    def run(items: list[Any]) -> list[Any]:
        found: list[Any] = []
        current: list[Any] | None = None
        for item in items:
            if current is None:
                if begins is not None and not begins(item):
                    continue
                current = []
            current.append(item)
            if ends(item):
                found.append(FrozenList(current))
                current = None
        return [*found, FrozenList(current)] if current and remainder else found

    return Operator("buffer", run=run, functions=functions_in(opening, closing))
