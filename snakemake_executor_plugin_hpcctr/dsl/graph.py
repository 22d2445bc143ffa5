"""Channels of a trace as a graph: nodes with their items, and what is asked of the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from snakemake_executor_plugin_hpcctr.dsl.values import Promise, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.spans import Span
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace

Kind: TypeAlias = Literal["queue", "value"]


class Programs(Protocol):
    """Programs beside the pipeline that scripts may call."""

    def named_in(self, script: str) -> list[Any]:
        """Return the identity of each that the script names."""
        ...


class Results(Protocol):
    """What tasks have given so far; the runtime reads manifests, tests give a dict."""

    def done(self, call: str, key: str) -> bool:
        """Whether a task has its manifest."""
        ...

    def give(self, promise: Promise) -> Any:
        """Return the value of a done task's output, frozen, or ABSENT."""
        ...


class NoResults:
    """Nothing has run."""

    def done(self, _call: str, _key: str) -> bool:
        """Return False."""
        return False

    def give(self, promise: Promise) -> Any:
        """Never asked, as nothing is done."""
        raise LookupError(repr(promise))


@dataclass(frozen=True, slots=True)
class Pending:
    """Stands for items that cannot be known before the barriers are passed."""

    barriers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Barrier:
    """An operator that cannot be evaluated before some tasks have run.

    Args:
        node: Id of the operator.
        needs: (call, key) of the tasks whose results it reads.
        reason: What made it one, in words.
    """

    node: str
    needs: tuple[tuple[str, str], ...]
    reason: str


@dataclass(slots=True, eq=False)
class Node:
    """One channel of the graph.

    Args:
        id: Operator or process and a running number, the same in every trace of one file.
        operator: Name for people.
        span: Where the user wrote it.
        kind: Whether it is a queue, or a value that can be read for ever.
        sources: Channels it is made from.
        state: Its items, or what it waits for.
        apply: For an operator that may be kept for later: arguments → value or ABSENT.
        trace: The trace it belongs to.
        functions: The user's functions in it.
    """

    id: str
    operator: str
    span: Span
    kind: Kind
    sources: tuple[Node, ...]
    state: list[Any] | Pending
    trace: Trace
    apply: Callable[[list[Any]], Any] | None = None
    functions: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What `view`, `dump` or `subscribe` does with the items of a channel.

    Args:
        node: The channel.
        text: Item → what is printed; None for nothing.
        tag: What is printed in front, and what `--dump-channels` names.
        dump: Whether only `--dump-channels` shows it.
    """

    node: Node
    text: Callable[[Any], str | None]
    tag: str = ""
    dump: bool = False


def waits(nodes: Sequence[Node]) -> frozenset[str]:
    """Return all barriers that any of the nodes waits for."""
    pending = [node.state.barriers for node in nodes if isinstance(node.state, Pending)]
    return frozenset().union(*pending)


def describe_history(node: Node) -> str:
    """Return where a channel comes from: `of (main.py:3) → map (main.py:4)`."""
    steps = []
    current: Node | None = node
    while current is not None:
        steps.append(f"{current.operator} ({current.span})")
        current = current.sources[0] if current.sources else None
    return " → ".join(reversed(steps))


def describe_items(node: Node, limit: int = 1000) -> list[str]:
    """Return the items of a channel as text, for `plan --channels`."""
    if isinstance(node.state, Pending):
        return [f"known after {', '.join(sorted(node.state.barriers))}"]
    return [describe(item, limit) for item in node.state]
