"""The graph of one run of a workflow function, evaluated as it is built.

Every operator and process call makes a `Node`. A node either holds its items, or is `Pending`:
it waits behind a barrier, an operator that depends on what tasks will have made. When those
tasks are done the same file is traced again and gets further.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.deferred import (
    after,
    deferred,
    lazy,
    remembering,
    remembering_one,
)
from snakemake_executor_plugin_hpcctr.dsl.directives import limited
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.graph import (
    Barrier,
    Kind,
    Look,
    Node,
    NoResults,
    Pending,
    Programs,
    Results,
    describe_history,
    describe_items,
    waits,
)
from snakemake_executor_plugin_hpcctr.dsl.keys import Fingerprints, function_identity
from snakemake_executor_plugin_hpcctr.dsl.operators.base import DROP, Operator
from snakemake_executor_plugin_hpcctr.dsl.spans import Span, here
from snakemake_executor_plugin_hpcctr.dsl.values import (
    ABSENT,
    Touched,
    may_be_absent,
    promises,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.model import Body
    from snakemake_executor_plugin_hpcctr.dsl.outputs import Output

__all__ = [
    "Barrier",
    "Kind",
    "Look",
    "NoResults",
    "Node",
    "Pending",
    "Programs",
    "Results",
    "Trace",
    "current",
    "describe_history",
    "describe_items",
    "tracing",
    "waits",
]


@dataclass(eq=False)
class Trace:
    """One trace of a workflow.

    Args:
        results: What earlier runs have given.
        allowed: Barriers that may be passed; None for all whose tasks are done.
        evaluate: False builds the graph only, so that functions can be found by node id.
        stub: Whether bodies are replaced by their stubs.
        programs: The pipeline's `bin/` folder, if it has one.
        params: Values of the entry workflow's parameters, for `${params.…}`.
        topics: Items of topics, as an earlier pass over the same file found them.
        readers: Topic → the channel that reads it.
        writers: Topic → outputs that feed it.
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
    params: dict[str, Any] = field(default_factory=dict)
    topics: dict[str, list[Any] | Pending] = field(default_factory=dict)
    readers: dict[str, Node] = field(default_factory=dict)
    writers: dict[str, list[Node]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def source(self, name: str, items: Callable[[], list[Any]], kind: Kind = "queue") -> Node:
        """Add a factory's channel; `items` is called only if items are wanted."""
        node = self.add(name, kind, (), [])
        if self.evaluate:
            try:
                node.state = items()
            except DslError as error:
                raise _placed(error, node) from error
        return node

    def topic(self, name: str) -> Node:
        """Add the channel of a topic: what all outputs that declare it give, wherever they are.

        Its writers may stand further down, so a first pass over the file finds them.
        """
        unknown = Pending(frozenset({topic_barrier(name)}))
        state = self.topics.get(name, unknown) if self.evaluate else []
        return self.readers.setdefault(name, self.add(f"topic {name}", "queue", (), state))

    def next_pass(self) -> Trace | None:
        """Return the trace of another pass, which knows more topics; None if all are known.

        Raises:
            DslError: A process feeds a topic that it reads.
        """
        open_topics = [name for name in self.readers if name not in self.topics]
        if not open_topics or not self.evaluate:
            return None
        found = {name: state for name in open_topics if (state := self._fed(name)) is not None}
        if not found:
            name = open_topics[0]
            writer = self.writers[name][0]
            raise DslError(
                f"the topic `{name}` is read by what feeds it, so that it would never end",
                span=self.readers[name].span,
                history=describe_history(writer),
                next_step="feed another topic, or read the outputs one by one",
            )
        again = replace(
            self,
            topics={**self.topics, **found},
            nodes={},
            barriers={},
            warnings=[],
            calls={},
            workflows={},
            passed=set(),
            readers={},
            writers={},
            looks=[],
            outputs={},
            _counts={},
        )
        again.fingerprints = Fingerprints(again.functions_of)
        return again

    def _fed(self, name: str) -> list[Any] | Pending | None:
        """Return a topic's items; None while they depend on topics that are not known."""
        nodes = self.writers.get(name, [])
        waiting = waits(nodes)
        if any(barrier.startswith(TOPIC) for barrier in waiting):
            return None
        if waiting:
            return Pending(waiting)
        return [item for node in nodes if isinstance(node.state, list) for item in node.state]

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
        node = self.add(operator.name, kind, tuple(sources), [], deferred(operator))
        node.functions = operator.functions
        if self.evaluate:
            try:
                node.state = self._evaluate(node, operator)
            except DslError as error:
                raise _placed(error, node) from error
            self.warnings += [f"{node.span}: `{operator.name}`: {note}" for note in operator.notes]
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
        found = self.configured(call) if self.configured else call.definition.directives
        limits = found.get("resourceLimits", {})
        return {name: limited(name, value, limits) for name, value in found.items()}

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """What stands for values in keys; one for the whole trace, as it remembers files."""
        return Fingerprints(self.functions_of)

    def functions_of(self, node: str) -> Any:
        """Return the identity of the functions that a node holds."""
        found = self.nodes[node]
        return [found.operator, *(function_identity(f) for f in found.functions)]

    def helpers_of(self, body: Body) -> list[Any]:
        """Return the identity of the programs in `bin/` beside the pipeline that a body names."""
        return self.programs.named_in(body.text) if self.programs is not None else []

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the user about the line that is being traced."""
        self.warnings.append(f"{here()}: {sentence}")

    def look(
        self, node: Node, text: Callable[[Any], str | None], tag: str, *, dump: bool = False
    ) -> None:
        """Keep what `view`, `dump` or `subscribe` wants to do with the items of a channel."""
        self.looks.append(Look(node, text, tag, dump))

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
        made_from = after(columns)
        uncertain = operator.absent != "pass" and any(
            may_be_absent(item) for column in columns for item in column
        )
        if uncertain:
            return self._later(node, operator, columns, operator.absent, "an item may be absent")
        if operator.one is not None:
            return self._one_by_one(node, operator, columns[0])
        try:
            made = operator.run(*columns)
        except Touched as touch:
            reason = f"it looks at {touch.unknown!r}"
            return self._later(node, operator, columns, operator.touched, reason)
        if operator.absent == "pass":
            return made
        same = {id(item) for column in columns for item in column}
        return [item if id(item) in same else remembering(item, made_from) for item in made]

    def _one_by_one(self, node: Node, operator: Operator, items: list[Any]) -> list[Any] | Pending:
        assert operator.one is not None  # noqa: S101 (the caller asked)
        results = []
        for item in items:
            try:
                result = operator.one(item)
                if result is not DROP and result is not item:
                    result = remembering_one(node, result, item)
            except Touched as touch:
                if operator.touched == "barrier":
                    return self._later(
                        node, operator, [items], "barrier", f"it looks at {touch.unknown!r}"
                    )
                result = lazy(node, (item,), maybe=True)
            if result is not DROP:
                results.append(result)
        return results

    def _later(
        self, node: Node, operator: Operator, columns: list[list[Any]], how: str, reason: str
    ) -> list[Any] | Pending:
        if how == "manifest" and len(columns) == 1:
            return [lazy(node, tuple(columns[0]), maybe=True)]
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


TOPIC = "topic "


def topic_barrier(name: str) -> str:
    """Return what stands for a topic that is not known in this pass."""
    return f"{TOPIC}{name}"


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
