"""Operators that bring two channels together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import (
    columns_of,
    functions_in,
    key_of,
    parts,
)
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.values import describe, is_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHOWN = 10


def mix() -> Operator:
    """Return `mix`: the items of all channels, those of the first one first."""
    return Operator("mix", run=_all, absent="pass")


def concat() -> Operator:
    """Return `concat`: the items of all channels, one channel after the other."""
    return Operator("concat", run=_all, absent="pass")


def _all(*columns: list[Any]) -> list[Any]:
    return [item for column in columns for item in column]


def merge(values: Sequence[bool], function: Callable[..., Any] | None) -> Operator:
    """Return `merge`: items by position, tuples flattened one level; the shortest ends it.

    Args:
        values: For each channel behind the first, whether it is a value, which serves all.
        function: Makes an item of one item of each channel.
    """

    def run(left: list[Any], *others: list[Any]) -> list[Any]:
        lengths = [len(c) for c, value in zip(others, values, strict=True) if not value or not c]
        rounds = min([len(left), *lengths])
        rows = [
            (left[n], *(c[0] if v else c[n] for c, v in zip(others, values, strict=True)))
            for n in range(rounds)
        ]
        if function is not None:
            call = spread(function, "merge")
            return [call(row) for row in rows]
        return [tuple(part for item in row for part in parts(item)) for row in rows]

    return Operator("merge", run=run, functions=functions_in(function))


def combine(by: int | Sequence[int] | None) -> Operator:
    """Return `combine`: all pairs, or with `by` those with one key, flattened one level."""
    if by is None:
        return Operator("combine", run=_product, absent="pass")
    columns = columns_of(by, "combine")

    def run(left: list[Any], right: list[Any]) -> list[Any]:
        others: dict[Any, list[tuple[Any, ...]]] = {}
        for item in right:
            key, rest = key_of(item, columns, "combine")
            others.setdefault(key, []).append(rest)
        found = []
        for item in left:
            key, rest = key_of(item, columns, "combine")
            found += [(*key, *rest, *other) for other in others.get(key, ())]
        return found

    return Operator("combine", run=run, absent="pass")


def _product(left: list[Any], right: list[Any]) -> list[Any]:
    return [(*parts(one), *parts(other)) for one in left for other in right]


def cross(function: Callable[..., Any] | None) -> Operator:
    """Return `cross`: ((left…), (right…)) for items with one key: the first element, or a function.

    Of several left items with one key the last counts.
    """
    call = spread(function, "cross") if function is not None else _first_part

    def run(left: list[Any], right: list[Any]) -> list[Any]:
        known = {call(item): item for item in left}
        return [(known[key], item) for item in right if (key := call(item)) in known]

    return Operator("cross", run=run, functions=functions_in(function))


def _first_part(item: Any) -> Any:
    return item[0] if is_sequence(item) else item


@dataclass(frozen=True)
class Join:
    """Options of `join`.

    Args:
        columns: Columns of the key.
        remainder: Whether items without a partner are kept.
        fail_on_duplicate: Whether a key may come once only in each channel.
        fail_on_mismatch: Whether each key must be in both.
    """

    columns: tuple[int, ...]
    remainder: bool
    fail_on_duplicate: bool
    fail_on_mismatch: bool

    def run(self, left: list[Any], right: list[Any]) -> list[Any]:
        """Return the pairs, in the order in which the right items complete them."""
        open_left, open_right = _Open(), _Open()
        for item in left:
            open_left.add(*key_of(item, self.columns, "join"))
        found = []
        if self.fail_on_duplicate:
            _refuse_duplicates(open_left, "left")
        for item in right:
            key, rest = key_of(item, self.columns, "join")
            if self.fail_on_duplicate and key in open_right.seen:
                _refuse(key, "right")
            open_right.seen.add(key)
            partner = open_left.take(key)
            if partner is None:
                open_right.add(key, rest)
            else:
                found.append(_joined(key, partner, rest))
        if self.fail_on_mismatch:
            _refuse_mismatches(open_left, open_right)
        if self.remainder:
            found += [_joined(key, rest, (None,)) for key, rest in open_left.left_over()]
            found += [_joined(key, (None,), rest) for key, rest in open_right.left_over()]
        return found


@dataclass
class _Open:
    """Items without a partner, by key, the first first."""

    items: dict[Any, list[tuple[Any, ...]]] = field(default_factory=dict)
    seen: set[Any] = field(default_factory=set)

    def add(self, key: Any, rest: tuple[Any, ...]) -> None:
        self.items.setdefault(key, []).append(rest)

    def take(self, key: Any) -> tuple[Any, ...] | None:
        waiting = self.items.get(key)
        return waiting.pop(0) if waiting else None

    def left_over(self) -> list[tuple[Any, tuple[Any, ...]]]:
        return [(key, rest) for key, waiting in self.items.items() for rest in waiting]


def _joined(key: tuple[Any, ...], left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    row = (*key, *left, *right)
    return row[0] if len(row) == 1 else row


def _refuse(key: tuple[Any, ...], side: str) -> None:
    raise DslError(
        f"`join`: the key {_shown(key)} comes more than once on the {side}",
        next_step="group the items first (groupTuple), or use `combine(…, by=…)`",
    )


def _refuse_duplicates(waiting: _Open, side: str) -> None:
    for key, items in waiting.items.items():
        if len(items) > 1:
            _refuse(key, side)


def _refuse_mismatches(left: _Open, right: _Open) -> None:
    lines = [
        f"only on the {side}: {', '.join(_shown(key) for key, _ in waiting.left_over()[:SHOWN])}"
        for side, waiting in (("left", left), ("right", right))
        if waiting.left_over()
    ]
    if lines:
        raise DslError(
            f"`join`: keys without a partner, {'; '.join(lines)}",
            next_step="correct the keys, or keep what has no partner with remainder=True",
        )


def _shown(key: tuple[Any, ...]) -> str:
    return describe(key[0] if len(key) == 1 else key, 60)


def join(
    by: int | Sequence[int], *, remainder: bool, fail_on_duplicate: bool, fail_on_mismatch: bool
) -> Operator:
    """Return `join`: items of two channels with one key, the first with the first.

    Raises:
        DslError: `remainder` and `failOnMismatch` contradict each other.
    """
    if remainder and fail_on_mismatch:
        raise DslError(
            "`join`: remainder keeps what failOnMismatch refuses", next_step="give one of the two"
        )
    options = Join(columns_of(by, "join"), remainder, fail_on_duplicate, fail_on_mismatch)
    return Operator("join", run=options.run)


def join_by_field(name: str) -> Operator:
    """Return `join` of items with fields: all pairs whose field is equal, as (left, right)."""

    def value(item: Any) -> Any:
        try:
            return item[name] if isinstance(item, dict) else getattr(item, name)
        except (AttributeError, KeyError):
            raise DslError(f"`join`: the item has no field `{name}`", item=describe(item)) from None

    def run(left: list[Any], right: list[Any]) -> list[Any]:
        others: dict[Any, list[Any]] = {}
        for item in right:
            others.setdefault(value(item), []).append(item)
        return [(item, other) for item in left for other in others.get(value(item), ())]

    return Operator("join", run=run)
