"""The graph of one run of a workflow function, evaluated as it is built.

Every operator and process call makes a `Node`. A node either holds its items, or is `Pending`:
it waits behind a barrier, an operator that depends on what tasks will have made. When those
tasks are done the same file is traced again and gets further.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.keys import Fingerprints, function_identity
from snakemake_executor_plugin_hpcctr.dsl.operators.base import DROP, Operator
from snakemake_executor_plugin_hpcctr.dsl.spans import Span, here
from snakemake_executor_plugin_hpcctr.dsl.values import (
    ABSENT,
    Lazy,
    Promise,
    Touched,
    attach,
    describe,
    may_be_absent,
    promises,
    resolve,
    unknowns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.model import Body

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


@dataclass(eq=False)
class Trace:
    """One trace of a workflow.

    Args:
        results: What earlier runs have given.
        allowed: Barriers that may be passed; None for all whose tasks are done.
        evaluate: False builds the graph only, so that functions can be found by node id.
        stub: Whether bodies are replaced by their stubs.
        programs: The pipeline's `bin/` folder, if it has one.
        configured: Returns a call's directives with those of configuration files.
    """

    results: Results = field(default_factory=NoResults)
    allowed: frozenset[str] | None = None
    evaluate: bool = True
    nodes: dict[str, Node] = field(default_factory=dict)
    barriers: dict[str, Barrier] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    calls: dict[str, CallNode] = field(default_factory=dict)
    workflows: dict[str, Span] = field(default_factory=dict)
    stub: bool = False
    configured: Callable[[CallNode], dict[str, Any]] | None = None
    programs: Programs | None = None
    passed: set[str] = field(default_factory=set)
    _counts: dict[str, int] = field(default_factory=dict)

    def source(self, name: str, items: Callable[[], list[Any]], kind: Kind = "queue") -> Node:
        """Add a factory's channel; `items` is called only if items are wanted."""
        state = items() if self.evaluate else []
        return self.add(name, kind, (), state)

    def add(
        self,
        name: str,
        kind: Kind,
        sources: tuple[Node, ...],
        state: list[Any] | Pending,
        apply: Callable[[list[Any]], Any] | None = None,
    ) -> Node:
        """Add a node whose state is known."""
        number = self._counts.get(name, 0) + 1
        self._counts[name] = number
        node = Node(f"{name}#{number}", name, here(), kind, sources, state, self, apply)
        self.nodes[node.id] = node
        return node

    def apply(self, operator: Operator, sources: Sequence[Node], kind: Kind) -> Node:
        """Add an operator's result, evaluated as far as results allow.

        Raises:
            DslError: The operator cannot take the items; with their history.
        """
        for source in sources:
            self.check_own(source)
        node = self.add(operator.name, kind, tuple(sources), [], _deferred(operator))
        node.functions = operator.functions
        if self.evaluate:
            try:
                node.state = self._evaluate(node, operator)
            except DslError as error:
                raise _placed(error, node) from error
        return node

    def enter_workflow(self, name: str, span: Span) -> None:
        """Note that a workflow is called.

        Raises:
            DslError: It was called before under this name.
        """
        if name in self.workflows:
            raise DslError(
                f"the workflow `{name}` is called twice: here, and at {self.workflows[name]}",
                span=span,
                next_step="give the second call a name: "
                f'{name.rsplit(":", maxsplit=1)[-1]}.alias("…")(…)',
            )
        self.workflows[name] = span

    def directives_of(self, call: CallNode) -> dict[str, Any]:
        """Return the directives of a call, configuration files included."""
        if self.configured is not None:
            return self.configured(call)
        return call.definition.directives

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """What stands for values in keys; one for the whole trace, as it remembers files."""
        return Fingerprints(self._functions_of)

    def _functions_of(self, node: str) -> Any:
        found = self.nodes[node]
        return [found.operator, *(function_identity(f) for f in found.functions)]

    def helpers_of(self, body: Body) -> list[Any]:
        """Return the identity of the programs in `bin/` beside the pipeline that a body names."""
        return self.programs.named_in(body.text) if self.programs is not None else []

    def check_own(self, node: Node) -> None:
        """Refuse a channel that another run of a workflow made.

        Raises:
            DslError: It is one.
        """
        if node.trace is not self:
            raise DslError(
                f"the channel `{node.operator}` of {node.span} belongs to another run of "
                "a workflow",
                span=here(),
                next_step="make channels inside the workflow function that uses them",
            )

    def _evaluate(self, node: Node, operator: Operator) -> list[Any] | Pending:
        waiting = waits(node.sources)
        if waiting:
            return Pending(waiting)
        columns = [source.state for source in node.sources if isinstance(source.state, list)]
        after = _after(columns)
        uncertain = operator.absent != "pass" and any(
            may_be_absent(item) for column in columns for item in column
        )
        if uncertain:
            return self._later(node, operator, columns, operator.absent, "an item may be absent")
        if operator.one is not None:
            return self._one_by_one(node, operator, columns[0])
        try:
            return [_remembering(item, after) for item in operator.run(*columns)]
        except Touched as touch:
            reason = f"it looks at {touch.unknown!r}"
            return self._later(node, operator, columns, operator.touched, reason)

    def _one_by_one(self, node: Node, operator: Operator, items: list[Any]) -> list[Any] | Pending:
        assert operator.one is not None  # noqa: S101 (the caller asked)
        results = []
        for item in items:
            try:
                result = operator.one(item)
                if result is not DROP and result is not item:
                    result = _remembering_one(node, result, item)
            except Touched as touch:
                if operator.touched == "barrier":
                    return self._later(
                        node, operator, [items], "barrier", f"it looks at {touch.unknown!r}"
                    )
                result = _lazy(node, (item,), maybe=True)
            if result is not DROP:
                results.append(result)
        return results

    def _later(
        self, node: Node, operator: Operator, columns: list[list[Any]], how: str, reason: str
    ) -> list[Any] | Pending:
        if how == "manifest" and len(columns) == 1:
            return [_lazy(node, tuple(columns[0]), maybe=True)]
        waiting = {
            (promise._call, promise._key): None
            for column in columns
            for item in column
            for promise in promises(item)
        }
        allowed = self.allowed is None or node.id in self.allowed
        if not (allowed and all(self.results.done(*task) for task in waiting)):
            self.barriers[node.id] = Barrier(node.id, tuple(waiting), reason)
            return Pending(frozenset({node.id}))
        self.passed.add(node.id)
        known = [
            [real for item in column if (real := resolve(item, self.results.give)) is not ABSENT]
            for column in columns
        ]
        if operator.one is None:
            return operator.run(*known)
        return [result for item in known[0] if (result := operator.one(item)) is not DROP]


def _after(columns: list[list[Any]]) -> tuple[Promise | Lazy, ...]:
    """Return the unknown leaves of all items, each once."""
    found = {id(leaf): leaf for column in columns for item in column for leaf in unknowns(item)}
    return tuple(found.values())


def _remembering(item: Any, after: tuple[Promise | Lazy, ...]) -> Any:
    """Return an item that waits for what it was made from."""
    if not after or any(True for _ in unknowns(item)):
        return item
    try:
        return attach(item, after)
    except TypeError:
        return item


def _remembering_one(node: Node, result: Any, item: Any) -> Any:
    """Return what a function made of an item; it waits for, and is absent with, that item."""
    after = tuple(unknowns(item))
    if not after or any(True for _ in unknowns(result)):
        return result
    try:
        return attach(result, after)
    except TypeError:
        return _lazy(node, (item,), maybe=may_be_absent(item))


def waits(nodes: Sequence[Node]) -> frozenset[str]:
    """Return all barriers that any of the nodes waits for."""
    pending = [node.state.barriers for node in nodes if isinstance(node.state, Pending)]
    return frozenset().union(*pending)


def _deferred(operator: Operator) -> Callable[[list[Any]], Any] | None:
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


def _lazy(node: Node, arguments: tuple[Any, ...], *, maybe: bool) -> Lazy:
    assert node.apply is not None  # noqa: S101 (operators have one)
    return Lazy(node.id, node.apply, arguments, maybe=maybe)


def _placed(error: DslError, node: Node) -> DslError:
    """Return an error with the channel's history, and a place if it has none."""
    if error.history:
        return error
    what = error.what.partition("\n")[0]
    return type(error)(
        what,
        span=error.span or node.span,
        next_step=error.next_step,
        history=describe_history(node),
        item=error.item,
    )


def describe_history(node: Node) -> str:
    """Return where a channel comes from: `of (main.py:3) → map (main.py:4)`."""
    steps = []
    current: Node | None = node
    while current is not None:
        steps.append(f"{current.operator} ({current.span})")
        current = current.sources[0] if current.sources else None
    return " → ".join(reversed(steps))


def describe_items(node: Node, limit: int = 100) -> list[str]:
    """Return the items of a channel as text, for `plan --channels`."""
    if isinstance(node.state, Pending):
        return [f"known after {', '.join(sorted(node.state.barriers))}"]
    return [describe(item, limit) for item in node.state]


_ACTIVE: list[Trace] = []


def current() -> Trace:
    """Return the trace that is being made.

    Raises:
        DslError: No workflow is being traced.
    """
    if not _ACTIVE:
        raise DslError(
            "channels and processes exist only while a workflow is traced",
            span=here(),
            next_step="move this line into a function with `@workflow`",
        )
    return _ACTIVE[-1]


@contextmanager
def tracing(trace: Trace) -> Iterator[Trace]:
    """Make a trace the current one."""
    _ACTIVE.append(trace)
    try:
        yield trace
    finally:
        _ACTIVE.pop()
