"""Channels as the user's code sees them: one typed method per operator.

What each does is in `operators`; names, options and results are Nextflow's. Operators that
need a function give it real, frozen values; one with several parameters gets a tuple's elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple, overload

from snakemake_executor_plugin_hpcctr.dsl.branches import Branches
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators import (
    combining,
    gathering,
    grouping,
    looking,
    mapping,
    selecting,
    windows,
)
from snakemake_executor_plugin_hpcctr.dsl.spans import here
from snakemake_executor_plugin_hpcctr.dsl.splitters import Splitters
from snakemake_executor_plugin_hpcctr.dsl.symbolic import Symbolic
from snakemake_executor_plugin_hpcctr.dsl.trace import current
from snakemake_executor_plugin_hpcctr.dsl.values import freeze

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
    from snakemake_executor_plugin_hpcctr.dsl.trace import Kind, Node

T = TypeVar("T", covariant=True)  # noqa: PLC0105 (it stands in every signature)
R = TypeVar("R")
S = TypeVar("S")
Ts = TypeVarTuple("Ts")


class Channel(Splitters, Symbolic, Generic[T]):
    """A channel: items that come from a factory, an operator or a process.

    A *queue* gives each consumer all its items, one by one; a *value* (see `Value`) holds one
    item and can be read for ever.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def __repr__(self) -> str:
        return f"<{self._node.kind} channel {self._node.id}>"

    def _same(self, operator: Operator, *others: Any) -> Channel[Any]:
        """Return a channel of the same kind as this one."""
        return self._made(operator, others, self._node.kind)

    def _queue(self, operator: Operator, *others: Any) -> Channel[Any]:
        """Return a queue."""
        return self._made(operator, others, "queue")

    def _value(self, operator: Operator, *others: Any) -> Value[Any]:
        """Return a value."""
        made = self._made(operator, others, "value")
        assert isinstance(made, Value)  # noqa: S101 (channel_of makes one of this kind)
        return made

    def _made(self, operator: Operator, others: tuple[Any, ...], kind: Kind) -> Channel[Any]:
        nodes = [self._node, *(node_of(other) for other in others)]
        return channel_of(self._node.trace.apply(operator, nodes, kind))

    # --- one item at a time ---------------------------------------------------

    @overload
    def map(self: Channel[tuple[*Ts]], function: Callable[[*Ts], R | None]) -> Channel[R]: ...
    @overload
    def map(self, function: Callable[[T], R | None]) -> Channel[R]: ...
    def map(self, function: Callable[..., Any]) -> Channel[Any]:
        """Turn each item into what a function makes of it; None drops the item.

        Example:
            `channel.of(1, 2).map(lambda x: x * x)` gives 1, 4.
        """
        return self._same(mapping.map_(function))

    @overload
    def flatMap(
        self: Channel[tuple[*Ts]], function: Callable[[*Ts], Sequence[R]]
    ) -> Channel[R]: ...
    @overload
    def flatMap(self, function: Callable[[T], Sequence[R]]) -> Channel[R]: ...
    @overload
    def flatMap(self, function: Callable[..., Any] | None = None) -> Channel[Any]: ...
    def flatMap(self, function: Callable[..., Any] | None = None) -> Channel[Any]:
        """Emit the elements of what a function returns: of a list, or a dict's (key, value).

        Example:
            `channel.of(1, 2).flatMap(lambda n: [n, n * 10])` gives 1, 10, 2, 20.
        """
        return self._queue(mapping.flat_map(function))

    @overload
    def filter(self: Channel[tuple[*Ts]], condition: Callable[[*Ts], object]) -> Channel[T]: ...
    @overload
    def filter(self, condition: Callable[[T], object] | type | re.Pattern[str]) -> Channel[T]: ...
    @overload
    def filter(self, condition: Any) -> Channel[T]: ...
    def filter(self, condition: Any) -> Channel[Any]:
        """Keep items that fulfil a condition: a function, a type, a compiled regex, a literal.

        Example:
            `channel.of("a1", "b", 3).filter(re.compile("[a-z]"))` gives "b".
        """
        return self._same(mapping.filter_(condition))

    def branch(self, **labels: Any) -> Branches:
        """Give each item to the first label whose condition holds; the rest is dropped.

        A label is a condition as in `filter`, True for all that is left, or a pair (condition,
        function of the value).

        Example:
            `b = ch.branch(small=lambda x: x < 10, large=True)`; then `b.small`, `b.large`.
        """
        chosen = self._same(mapping.branch(labels))
        return Branches({label: chosen._same(mapping.select(label)) for label in labels})

    def multiMap(self, **labels: Callable[..., Any]) -> Branches:
        """Give every item to every label, each as its function makes it.

        Example:
            `m = ch.multiMap(one=lambda x: x + 1, square=lambda x: x * x)`; then `m.one`.
        """
        return Branches({n: self._same(mapping.multi_map(n, f)) for n, f in labels.items()})

    def flatten(self) -> Channel[Any]:
        """Emit every element of lists and tuples, however deep."""
        return self._queue(mapping.flatten())

    # --- several channels -----------------------------------------------------

    def mix(self, *others: Channel[S]) -> Channel[T | S]:
        """Emit the items of all channels."""
        return self._queue(combining.mix(), *others)

    def concat(self, *others: Channel[S]) -> Channel[T | S]:
        """Emit the items of all channels, one channel after the other."""
        return self._queue(combining.concat(), *others)

    def merge(self, *others: Any, by: Callable[..., Any] | None = None) -> Channel[Any]:
        """Pair items by position, tuples flattened one level. Prefer `join` or `combine`.

        Which item meets which depends on the order in which parallel tasks end; hpcctr takes
        the order of the tasks' numbers, and warns.
        """
        nodes = [node_of(other) for other in others]
        trace = self._node.trace
        trace.warn("`merge` pairs by position: prefer `join` or `combine`, which pair by key")
        values = [node.kind == "value" for node in nodes]
        return self._same(combining.merge(values, by), *others)

    def combine(self, other: Any, *, by: int | Sequence[int] | None = None) -> Channel[Any]:
        """Emit all pairs with another channel or list, or with `by` those that share a key.

        Example:
            `channel.of((1, "a")).combine(channel.of((1, "x"), (2, "y")), by=0)` gives
            (1, "a", "x").
        """
        return self._queue(combining.combine(by), _listed(other))

    def cross(self, other: Any, by: Callable[..., Any] | None = None) -> Channel[Any]:
        """Emit (left item, right item) for each right item whose key a left item has.

        The key is the first element, or what `by` returns.
        """
        return self._queue(combining.cross(by), other)

    def join(
        self,
        other: Any,
        *,
        by: int | Sequence[int] | str = 0,
        remainder: bool = False,
        failOnMismatch: bool = False,
        failOnDuplicate: bool = False,
    ) -> Channel[Any]:
        """Pair items of two channels that share a key: (key, left…, right…).

        Args:
            other: The other channel.
            by: Column of the key, or several; a field's name for items with fields, which
                are then paired as (left, right), duplicates multiplied.
            remainder: Keep items without a partner, with None for the missing side.
            failOnMismatch: Refuse items without a partner.
            failOnDuplicate: Refuse a key that comes twice.
        """
        if isinstance(by, str):
            return self._queue(combining.join_by_field(by), other)
        operator = combining.join(
            by,
            remainder=remainder,
            fail_on_duplicate=failOnDuplicate,
            fail_on_mismatch=failOnMismatch,
        )
        return self._queue(operator, other)

    # --- groups ---------------------------------------------------------------

    def groupTuple(
        self,
        *,
        by: int | Sequence[int] = 0,
        size: int = 0,
        remainder: bool = False,
        sort: Any = False,
    ) -> Channel[Any]:
        """Gather items with one key: (K, V, W) → (K, [V], [W]).

        Args:
            by: Column of the key, or several.
            size: Emit a group as soon as it has so many items (see `groupKey` for one per key).
            remainder: Keep groups that never had so many.
            sort: Order of each list, on its own: True, "hash", a function, a comparator.
        """
        return self._queue(grouping.group_tuple(by, size=size, remainder=remainder, sort=sort))

    def transpose(
        self, *, by: int | Sequence[int] | None = None, remainder: bool = False
    ) -> Channel[Any]:
        """Emit an item for each element of the list columns, in step: the reverse of groupTuple."""
        return self._queue(grouping.transpose(by, remainder=remainder))

    # --- one value of all -----------------------------------------------------

    def collect(
        self, function: Callable[..., Any] | None = None, *, flat: bool = True, sort: Any = False
    ) -> Value[list[Any]]:
        """Gather all items in one list, lists in it flattened one level; nothing for no items."""
        return self._value(gathering.collect(function, flat=flat, sort=sort))

    def toList(self) -> Value[list[T]]:
        """Gather all items in one list as they are; [] for no items."""
        return self._value(gathering.to_list())

    def toSortedList(self, order: Callable[..., Any] | None = None) -> Value[list[T]]:
        """Gather all items in one list, in order: by a function, a comparator, or naturally."""
        return self._value(gathering.to_sorted_list(order))

    def count(self, condition: Any = None) -> Value[int]:
        """Count items, or those that fulfil a condition; 0 for none."""
        return self._value(gathering.count(condition))

    def min(self, order: Callable[..., Any] | None = None) -> Value[T]:
        """Take the smallest item, by a function or a comparator."""
        return self._value(gathering.smallest("min", order))

    def max(self, order: Callable[..., Any] | None = None) -> Value[T]:
        """Take the largest item, by a function or a comparator."""
        return self._value(gathering.smallest("max", order))

    def sum(self, function: Callable[..., Any] | None = None) -> Value[Any]:
        """Add up items, or what a function makes of them."""
        return self._value(gathering.sum_(function))

    @overload
    def reduce(self, seed: R, function: Callable[[R, T], R]) -> Value[R]: ...
    @overload
    def reduce(self, seed: Callable[[Any, T], R]) -> Value[R]: ...
    def reduce(self, seed: Any, function: Callable[[Any, Any], Any] | None = None) -> Value[Any]:
        """Fold items into one: `reduce(seed, function)`, or `reduce(function)` from the first on.

        Example:
            `channel.of(1, 2, 3).reduce(lambda a, b: a + b)` gives 6.
        """
        if function is None:
            return self._value(gathering.reduce(seed, gathering.NO_SEED))
        return self._value(gathering.reduce(function, seed))

    def first(self, condition: Any = None) -> Value[T]:
        """Take the first item, or the first that fulfils a condition."""
        if self._node.kind == "value" and condition is None:
            self._node.trace.warn("`first` of a value changes nothing: leave it out")
        return self._value(gathering.first(condition))

    def last(self) -> Value[T]:
        """Take the last item."""
        return self._value(gathering.last())

    # --- some of all ----------------------------------------------------------

    def take(self, number: int) -> Channel[T]:
        """Keep the first items; -1 keeps all."""
        return self._queue(selecting.take(number))

    def until(self, condition: Any) -> Channel[T]:
        """Keep the items before the first that fulfils a condition."""
        return self._same(selecting.until(condition))

    def unique(self, function: Callable[..., Any] | None = None) -> Channel[T]:
        """Keep the first of items that are equal, or of which a function returns the same."""
        return self._same(selecting.unique(function))

    def distinct(self, function: Callable[..., Any] | None = None) -> Channel[T]:
        """Keep items that differ from the one before."""
        return self._same(selecting.distinct(function))

    def ifEmpty(self, item: Any) -> Channel[Any]:
        """Emit one item, or what a function returns, in place of none."""
        return self._same(selecting.if_empty(item))

    def randomSample(self, number: int, seed: int | None = None) -> Channel[T]:
        """Keep so many items, chosen at random by a seed."""
        return self._queue(selecting.random_sample(number, seed))

    # --- neighbours -----------------------------------------------------------

    def collate(
        self,
        size: int,
        step: int | bool | None = None,  # noqa: FBT001 (Nextflow's order)
        remainder: bool = True,  # noqa: FBT001, FBT002 (as above)
    ) -> Channel[list[T]]:
        """Emit lists of `size` neighbours, each `step` items on; incomplete ones at the end, too.

        Example:
            `channel.of(1, 2, 3, 4, 5).collate(2)` gives [1, 2], [3, 4], [5].
        """
        if isinstance(step, bool):
            return self._queue(windows.collate(size, None, remainder=step))
        return self._queue(windows.collate(size, step, remainder=remainder))

    def buffer(
        self, *conditions: Any, size: int = 0, skip: int = 0, remainder: bool = False
    ) -> Channel[list[T]]:
        """Emit lists: `buffer(close)`, `buffer(open, close)`, or `buffer(size=…, skip=…)`.

        Example:
            `channel.of(1, 2, 3, 1, 2).buffer(2)` gives [1, 2], [3, 1, 2].
        """
        if size and not conditions:
            return self._queue(windows.buffer_size(size, skip, remainder=remainder))
        if size or skip or not 1 <= len(conditions) <= 2:  # noqa: PLR2004 (opening and closing)
            raise DslError(
                "`buffer` takes a closing condition, an opening and a closing one, or a size",
                span=here(),
            )
        opening = conditions[0] if len(conditions) > 1 else None
        return self._queue(windows.buffer_until(opening, conditions[-1], remainder=remainder))

    # --- looking --------------------------------------------------------------

    def view(self, function: Callable[..., object] | None = None, *, tag: str = "") -> Channel[T]:
        """Print each item of a run, or what a function makes of it, and pass it on."""
        made = self._same(looking.look("view"))
        self._node.trace.look(made._node, looking.shown(function, "view"), tag)
        return made

    def dump(self, *, tag: str = "") -> Channel[T]:
        """Print each item in runs with `--dump-channels TAG`, and pass it on."""
        made = self._same(looking.look("dump"))
        self._node.trace.look(made._node, looking.shown(None, "dump"), tag, dump=True)
        return made

    def subscribe(self, function: Callable[..., object]) -> None:
        """Call a function with each item of a run, as soon as it is known."""
        made = self._same(looking.look("subscribe"))
        self._node.trace.look(made._node, looking.called(function, "subscribe"), "")


class Value(Channel[T]):
    """A channel with one item, which every task that takes it gets."""


def channel_of(node: Node) -> Channel[Any]:
    """Return the channel object of a node."""
    return Value(node) if node.kind == "value" else Channel(node)


def node_of(given: Any) -> Node:
    """Return the node of a channel, of a call with one output, or of a value."""
    if isinstance(given, Channel):
        return given._node
    outputs = getattr(given, "__dict__", {}).get("_outputs")
    if outputs is None:
        return current().source("value", lambda: [freeze(given)], "value")
    if len(outputs) != 1:
        raise DslError(
            f"the call of `{type(given).__name__}` has {len(outputs)} outputs",
            span=here(),
            next_step=f"say which: {', '.join(f'.{name}' for name in outputs)}",
        )
    channel: Channel[Any] = next(iter(outputs.values()))
    return channel._node


def _listed(given: Any) -> Any:
    """Return a channel of a list's elements; anything else as it is."""
    if isinstance(given, (list, tuple, range)):
        return Channel(current().source("of", lambda: [freeze(item) for item in given]))
    return given
