"""Operators that put items with one key together, and apart again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import (
    columns_of,
    functions_in,
    key_of,
    ordered,
)
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList, describe, is_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 10


@dataclass(frozen=True, eq=False)
class GroupKey:
    """A key that knows how many items its group has; equal to the plain key.

    Args:
        key: The key.
        size: Items of its group.
    """

    key: Any
    size: int

    def __eq__(self, other: object) -> bool:
        return bool(self.key == (other.key if isinstance(other, GroupKey) else other))

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return str(self.key)


def groupKey(key: Any, size: int) -> GroupKey:
    """Say how many items the group of a key has, so that `groupTuple` emits it when it is full."""
    return GroupKey(key, size)


@dataclass
class _Group:
    row: list[Any]
    size: int
    count: int = 0


def group_tuple(by: int | Sequence[int], *, size: int, remainder: bool, sort: Any) -> Operator:
    """Return `groupTuple`: (K, V, W) → (K, [V], [W]), all columns in step.

    Args:
        by: Columns of the key, which keep their places.
        size: Items of a full group; 0 for all that have the key.
        remainder: Whether groups that did not become full are kept.
        sort: Order of each column, see `ordered`.
    """
    columns = columns_of(by, "groupTuple")
    notes: list[str] = []

    def run(items: list[Any]) -> list[Any]:
        groups: dict[Any, _Group] = {}
        found: list[Any] = []
        for item in items:
            if not is_sequence(item):
                raise DslError(
                    "`groupTuple`: the item is no tuple",
                    item=describe(item),
                    next_step="give it a key first: .map(lambda x: (key, x))",
                )
            key, _ = key_of(item, columns, "groupTuple")
            group = groups.get(key)
            if group is None:
                group = groups[key] = _Group(_empty(item, columns), _size(key, size))
            _add(group, item, columns)
            if group.size and group.count == group.size:
                found.append(_row(groups.pop(key), columns, sort))
        return found + _rest(groups, columns, sort, remainder=remainder, notes=notes)

    return Operator("groupTuple", run=run, functions=functions_in(sort), notes=notes)


def _size(key: tuple[Any, ...], size: int) -> int:
    return next((part.size for part in key if isinstance(part, GroupKey)), size)


def _empty(item: Any, columns: tuple[int, ...]) -> list[Any]:
    return [
        (part.key if isinstance(part, GroupKey) else part) if number in columns else []
        for number, part in enumerate(item)
    ]


def _add(group: _Group, item: Any, columns: tuple[int, ...]) -> None:
    if len(item) != len(group.row):
        raise DslError(
            f"`groupTuple`: the item has {len(item)} elements, others of its group "
            f"{len(group.row)}",
            item=describe(item),
        )
    for number, part in enumerate(item):
        if number not in columns:
            group.row[number].append(part)
    group.count += 1


def _row(group: _Group, columns: tuple[int, ...], sort: Any) -> tuple[Any, ...]:
    return tuple(
        part if number in columns else FrozenList(ordered(part, sort, "groupTuple"))
        for number, part in enumerate(group.row)
    )


def _rest(
    groups: dict[Any, _Group],
    columns: tuple[int, ...],
    sort: Any,
    *,
    remainder: bool,
    notes: list[str],
) -> list[Any]:
    open_groups = {key: group for key, group in groups.items() if group.size}
    if open_groups and not remainder:
        listed = ", ".join(
            f"{describe(key[0] if len(key) == 1 else key, 60)} ({g.count} of {g.size})"
            for key, g in list(open_groups.items())[:SHOWN]
        )
        notes.append(f"groups that never became full are dropped: {listed}")
    return [_row(group, columns, sort) for group in groups.values() if not group.size or remainder]


def transpose(by: int | Sequence[int] | None, *, remainder: bool) -> Operator:
    """Return `transpose`: one item per element of the list columns, in step."""
    wanted = None if by is None else columns_of(by, "transpose")

    def run(items: list[Any]) -> list[Any]:
        return [row for item in items for row in _rows(item, wanted, remainder=remainder)]

    return Operator("transpose", run=run)


def _rows(item: Any, wanted: tuple[int, ...] | None, *, remainder: bool) -> list[Any]:
    if not is_sequence(item):
        return [item]
    if wanted is None:
        columns = [number for number, part in enumerate(item) if is_sequence(part)]
    else:
        columns = list(wanted)
        for number in columns:
            if number >= len(item) or not is_sequence(item[number]):
                raise DslError(
                    f"`transpose`: column {number} is no list",
                    item=describe(item),
                    next_step="name a column that holds a list with by=",
                )
    if not columns:
        return [item]
    lengths = [len(item[number]) for number in columns]
    count = max(lengths) if remainder else min(lengths)
    return [
        tuple(
            (part[row] if row < len(part) else None) if number in columns else part
            for number, part in enumerate(item)
        )
        for row in range(count)
    ]
