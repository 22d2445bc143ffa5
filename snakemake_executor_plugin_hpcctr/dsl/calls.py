"""A process call in a workflow: arguments → rounds → tasks → channels of outputs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.channels import channel_of, node_of
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.spans import Span, here
from snakemake_executor_plugin_hpcctr.dsl.tasks import TaskMaker
from snakemake_executor_plugin_hpcctr.dsl.trace import (
    Node,
    Pending,
    Trace,
    current,
    describe_history,
)
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList, is_sequence

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.channels import Channel
    from snakemake_executor_plugin_hpcctr.dsl.definition import Definition
    from snakemake_executor_plugin_hpcctr.dsl.model import Input, Task
    from snakemake_executor_plugin_hpcctr.dsl.process import Process
    from snakemake_executor_plugin_hpcctr.dsl.trace import Kind


@dataclass(eq=False)
class CallNode:
    """One call, with its tasks as far as they are known.

    Args:
        name: Qualified name, `WORKFLOW:PROCESS`.
        cls: The process's class.
        span: Where it is called.
        pair: The channel of rounds.
        outputs: Name → channel.
        tasks: Key → task.
    """

    name: str
    cls: type[Process]
    span: Span
    pair: Node
    outputs: dict[str, Node] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def definition(self) -> Definition:
        """What its class declares."""
        return self.cls.definition


def call(
    cls: type[Process], arguments: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Channel[Any]]:
    """Add a process call to the current trace; return the channels of its outputs.

    Raises:
        DslError: Inputs are missing, too many, or cannot be taken; a second call of one name.
    """
    trace = current()
    definition = cls.definition
    name = ":".join([*trace.scopes, definition.name])
    _check_first(trace, name, definition)
    given = _bind(definition, arguments, named)
    nodes = [
        _each_node(trace, declared, argument) if declared.each else _node(trace, argument)
        for declared, argument in zip(definition.inputs, given, strict=True)
    ]
    once = all(node.kind == "value" for node in nodes) and not any(
        declared.each for declared in definition.inputs
    )
    kind: Kind = "value" if once else "queue"
    pair = trace.apply(_pairing(definition, nodes, name), nodes, kind)
    made = CallNode(name, cls, here(), pair)
    trace.calls[name] = made
    _warn_of_short_queue(trace, made, nodes)
    _warn_of_empty(trace, made, nodes)
    columns: list[list[Any]] | None = None
    if trace.evaluate and not isinstance(pair.state, Pending):
        columns = TaskMaker(trace, made).make(pair.state)
    for number, emit in enumerate(definition.emits):
        state = (
            pair.state if isinstance(pair.state, Pending) else columns[number] if columns else []
        )
        made.outputs[emit.name] = trace.add(f"{name}.{emit.name}", kind, (pair,), state)
        if emit.topic:
            trace.writers.setdefault(emit.topic, []).append(made.outputs[emit.name])
    return {emit: channel_of(node) for emit, node in made.outputs.items()}


def _check_first(trace: Trace, name: str, definition: Definition) -> None:
    if definition.body is None:
        raise DslError(
            f"`{definition.name}` has no script",
            span=definition.span,
            next_step='write script = r"""…""", or def exec(self)',
        )
    _check_store_dir(definition)
    if name in trace.calls:
        raise DslError(
            f"`{name}` is called twice: here, and at {trace.calls[name].span}",
            span=here(),
            next_step="give the second call a name: "
            f'{definition.name}.alias("{definition.name}_2")(…)',
        )


def _check_store_dir(definition: Definition) -> None:
    if "storeDir" not in definition.directives:
        return
    kinds = {leaf.kind for emit in definition.emits for leaf in emit.leaves}
    if kinds & {"stdout", "env", "eval"}:
        raise DslError(
            f"`{definition.name}`: storeDir keeps files only, but an output is "
            f"{min(kinds & {'stdout', 'env', 'eval'})}",
            span=definition.span,
            next_step="write it into a file, or leave storeDir out",
        )
    if all(emit.optional for emit in definition.emits):
        raise DslError(
            f"`{definition.name}`: with storeDir one output must not be optional, or the task "
            "would never run",
            span=definition.span,
        )


def _bind(definition: Definition, arguments: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    names = [declared.name for declared in definition.inputs]
    expects = f"it takes {len(names)}: {', '.join(names)}" if names else "it takes none"
    if len(arguments) > len(names):
        raise DslError(
            f"`{definition.name}` got {len(arguments)} inputs", span=here(), next_step=expects
        )
    found = dict(zip(names, arguments, strict=False))
    for name, argument in named.items():
        if name not in names or name in found:
            problem = "twice" if name in found else "which it does not have"
            raise DslError(
                f"`{definition.name}` got the input `{name}` {problem}",
                span=here(),
                next_step=expects,
            )
        found[name] = argument
    missing = [name for name in names if name not in found]
    if missing:
        raise DslError(
            f"`{definition.name}` lacks the input `{missing[0]}`", span=here(), next_step=expects
        )
    return [found[name] for name in names]


def _node(trace: Trace, argument: Any) -> Node:
    node = node_of(argument)
    trace.check_own(node)
    return node


def _each_node(trace: Trace, declared: Input, argument: Any) -> Node:
    """Return a value that holds the list of all elements."""
    source = _node(trace, argument)

    def gather(items: list[Any]) -> list[Any]:
        if source.kind == "queue":
            return [FrozenList(items)]
        return [FrozenList(item) if is_sequence(item) else FrozenList([item]) for item in items]

    return trace.apply(Operator(f"each {declared.name}", run=gather), [source], "value")


def _pairing(definition: Definition, nodes: list[Node], call: str) -> Operator:
    """Return the operator that makes rounds: one tuple of input values per task."""
    queues = [n for n, node in enumerate(nodes) if node.kind == "queue"]
    each = [n for n, declared in enumerate(definition.inputs) if declared.each]
    name = f"inputs of {call}"

    def run(*columns: list[Any]) -> list[Any]:
        return pair(list(columns), queues, each)

    return Operator(name, run=run, absent="barrier" if len(queues) > 1 else "pass")


def pair(columns: list[list[Any]], queues: list[int], each: list[int]) -> list[Any]:
    """Return one tuple of values for each task.

    Queues are paired by position, the shortest ends it; values serve every round; each round
    is repeated for the product of the `each` lists; no column at all is one task.

    Args:
        columns: Items of each input; an `each` column holds one list.
        queues: Numbers of the columns that are queues.
        each: Numbers of the columns that repeat.
    """
    if any(not column for column in columns):
        return []
    rounds = min((len(columns[n]) for n in queues), default=1)
    options = [columns[n][0] for n in each]
    made = []
    for number in range(rounds):
        base = [column[number] if n in queues else column[0] for n, column in enumerate(columns)]
        for choice in itertools.product(*options):
            for position, value in zip(each, choice, strict=True):
                base[position] = value
            made.append(tuple(base))
    return made


def _warn_of_short_queue(trace: Trace, made: CallNode, nodes: list[Node]) -> None:
    """Warn where a queue of one item meets a longer one: a value was probably meant."""
    queues = [node for node in nodes if node.kind == "queue" and isinstance(node.state, list)]
    lengths = [len(node.state) for node in queues if isinstance(node.state, list)]
    if len(queues) > 1 and 1 in lengths and max(lengths) > 1:
        short = queues[lengths.index(1)]
        trace.warnings.append(
            f"{made.span}: `{made.name}` runs once only: the queue `{short.operator}` of "
            f"{short.span} has one item and meets one of {max(lengths)}; "
            "write `.first()` after it if every task is meant to get that item"
        )


def _warn_of_empty(trace: Trace, made: CallNode, nodes: list[Node]) -> None:
    """Warn where a call has no task because of an input that was not meant to be empty."""
    for declared, node in zip(made.definition.inputs, nodes, strict=True):
        if trace.evaluate and node.state == [] and _speaks(_root(node)):
            trace.warnings.append(
                f"{made.span}: `{made.name}` has no task: its input `{declared.name}` is empty: "
                f"{describe_history(node)}"
            )
            return


def _speaks(root: Node) -> bool:
    """Whether a beginning is worth a word: not a call, which has had its own."""
    return not root.operator.startswith(("inputs of ", "empty", "topic"))


def _root(node: Node) -> Node:
    """Return where a channel begins; an output of a call has no root of its own."""
    while node.sources and not node.operator.startswith("inputs of "):
        node = node.sources[0]
    return node
