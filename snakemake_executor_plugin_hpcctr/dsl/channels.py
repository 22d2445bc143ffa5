"""Channels as the user's code sees them: symbolic, typed, one method per operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, TypeVarTuple, overload

from snakemake_executor_plugin_hpcctr.dsl.errors import SymbolicUse
from snakemake_executor_plugin_hpcctr.dsl.operators import gathering, mapping
from snakemake_executor_plugin_hpcctr.dsl.spans import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
    from snakemake_executor_plugin_hpcctr.dsl.trace import Kind, Node

T = TypeVar("T", covariant=True)  # noqa: PLC0105 (it stands in every signature)
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Symbolic:
    """Base of what has no value while a workflow is traced: Python must not look at it."""

    def _refuse(self, use: str, advice: str) -> NoReturn:
        raise SymbolicUse(f"a channel has no {use} here", span=here(), next_step=advice)

    if TYPE_CHECKING:
        __iter__: None
        __contains__: None
    else:

        def __iter__(self) -> NoReturn:
            self._refuse(
                "items to loop over",
                "write `.map(function)`, or pass the channel to a process: it runs for each item",
            )

        def __contains__(self, _item: object) -> NoReturn:
            self._refuse("items to look into", "write `.filter(lambda x: x == …)`")

        def __eq__(self, _other: object) -> NoReturn:
            self._refuse("value to compare", "write `.filter(lambda x: x == …)` or `.branch(…)`")

        def __lt__(self, _other: object) -> NoReturn:
            self._refuse("value to compare", "write `.filter(lambda x: x < …)` or `.branch(…)`")

        __ne__ = __eq__
        __le__ = __gt__ = __ge__ = __lt__
        __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 (it raises)
        self._refuse(
            "truth value",
            "`if`, `and`, `or`, `not` decide before anything ran: write `.filter(…)`, "
            "`.branch(…)` or `.ifEmpty(…)`",
        )

    def __len__(self) -> NoReturn:  # noqa: PLE0303 (it raises)
        self._refuse("length", "write `.count()`, which is a channel, too")

    def __getitem__(self, _index: object) -> NoReturn:
        self._refuse("element to take", "write `.map(lambda item: item[0])`")

    def __str__(self) -> str:  # noqa: PLE0307 (it raises)
        self._refuse(
            "text",
            "an f-string is filled before anything ran: write `${name}` in the script, or "
            "`.map(lambda x: f'…')`",
        )

    def __format__(self, _spec: str) -> str:
        return str(self)


class Channel(Symbolic, Generic[T]):
    """A channel: items that come from a factory, an operator or a process.

    A *queue* gives each consumer all its items, one by one; a *value* (see `Value`) holds one
    item and can be read for ever.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def __repr__(self) -> str:
        return f"<{self._node.kind} channel {self._node.id}>"

    def _same(self, operator: Operator, *others: Channel[Any]) -> Channel[Any]:
        """Return a channel of the same kind as this one."""
        return self._made(operator, others, self._node.kind)

    def _queue(self, operator: Operator, *others: Channel[Any]) -> Channel[Any]:
        """Return a queue."""
        return self._made(operator, others, "queue")

    def _value(self, operator: Operator, *others: Channel[Any]) -> Value[Any]:
        """Return a value."""
        made = self._made(operator, others, "value")
        assert isinstance(made, Value)  # noqa: S101 (channel_of makes one of this kind)
        return made

    def _made(
        self, operator: Operator, others: tuple[Channel[Any], ...], kind: Kind
    ) -> Channel[Any]:
        nodes = [self._node, *(other._node for other in others)]
        return channel_of(self._node.trace.apply(operator, nodes, kind))

    @overload
    def map(self: Channel[tuple[*Ts]], function: Callable[[*Ts], R]) -> Channel[R]: ...
    @overload
    def map(self, function: Callable[[T], R]) -> Channel[R]: ...
    def map(self, function: Callable[..., Any]) -> Channel[Any]:
        """Turn each item into what a function makes of it; None drops the item.

        A function with several parameters gets the elements of a tuple.

        Example:
            `channel.of(1, 2).map(lambda x: x * x)` gives 1, 4.
        """
        return self._same(mapping.map_(function))

    def first(self) -> Value[T]:
        """Take the first item, as a value that can be read for ever."""
        return self._value(gathering.first())

    def collect(self) -> Value[list[Any]]:
        """Gather all items in one list; an empty channel gives nothing."""
        return self._value(gathering.collect())


class Value(Channel[T]):
    """A channel with one item, which every task that takes it gets."""


def channel_of(node: Node) -> Channel[Any]:
    """Return the channel object of a node."""
    return Value(node) if node.kind == "value" else Channel(node)
