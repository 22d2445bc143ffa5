"""A traced pipeline → the plan document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl import model
from snakemake_executor_plugin_hpcctr.dsl.definition import place_of
from snakemake_executor_plugin_hpcctr.dsl.directives import WITHOUT_EFFECT
from snakemake_executor_plugin_hpcctr.dsl.encoding import encode
from snakemake_executor_plugin_hpcctr.dsl.errors import users_code
from snakemake_executor_plugin_hpcctr.dsl.trace import (
    Node,
    Pending,
    Trace,
    describe_items,
    tracing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline

#: Rules that every compiled workflow has.
TAKEN = frozenset({"all", "segment"})
#: Directives that tell a front end more than the plan needs to keep.
NOT_KEPT = frozenset({"tag", "publishDir", "errorStrategy"})


def trace_pipeline(pipeline: Pipeline, arguments: Mapping[str, Any], trace: Trace) -> Trace:
    """Run the entry workflow, symbolically, and return the trace.

    It runs once, and once more for each round of topics that must be known first.

    Raises:
        DslError: The pipeline cannot be planned.
    """
    trace.params = dict(arguments)
    while True:
        _run(pipeline, arguments, trace)
        following = trace.next_pass()
        if following is None:
            return trace
        trace = following


def _run(pipeline: Pipeline, arguments: Mapping[str, Any], trace: Trace) -> None:
    entry = pipeline.entry
    with tracing(trace), users_code(f"the workflow `{entry.name}`", entry.span):
        entry.function(**arguments)


def plan_of(
    pipeline: Pipeline, arguments: Mapping[str, Any], trace: Trace, *, channels: bool = False
) -> model.Plan:
    """Return the plan of a traced pipeline.

    Args:
        pipeline: The file.
        arguments: Values of the workflow's parameters.
        trace: What `trace_pipeline` returned.
        channels: Whether to describe every channel, for people.
    """
    calls = [_call(call) for call in trace.calls.values()]
    return model.Plan(
        version=model.VERSION,
        file=str(pipeline.file),
        workflow=pipeline.entry.name,
        arguments={name: encode(value) for name, value in arguments.items()},
        stub=trace.stub,
        passed=sorted(trace.passed),
        calls=calls,
        segments=_segments(trace),
        channels=[_channel(node) for node in trace.nodes.values()] if channels else [],
        warnings=[*trace.warnings, *_without_effect(trace)],
    )


def _without_effect(trace: Trace) -> list[str]:
    return [
        f"{call.span}: `{call.name}`: the directive `{name}` has no effect here"
        for call in trace.calls.values()
        for name in WITHOUT_EFFECT
        if name in trace.directives_of(call)
    ]


def rule_name(name: str) -> str:
    """Return a qualified process name as the name of a rule and a folder."""
    rule = re.sub(r"\W", "_", name)
    return f"{rule}_" if rule in TAKEN else rule


def segment_name(barriers: Iterable[str]) -> str:
    """Return the name of the segment behind these barriers."""
    return "+".join(re.sub(r"\W+", "_", barrier).strip("_") for barrier in sorted(barriers))


def _call(call: CallNode) -> model.Call:
    definition, trace = call.definition, call.pair.trace
    body = definition.body
    assert body is not None  # noqa: S101 (checked at the call)
    directives = trace.directives_of(call)
    fixed = {name: value for name, value in directives.items() if not callable(value)}
    state = call.pair.state
    made = model.Call(
        name=call.name,
        rule=rule_name(call.name),
        place=place_of(call.span),
        inputs=list(definition.inputs),
        emits=list(definition.emits),
        body=body,
        directives=_kept(directives, fixed),
        code=_needs_code(call, directives),
        publish=[
            model.Publish(**place.fields, save_as=place.save_as is not None)
            for place in fixed.get("publishDir", ())
        ],
        tasks=call.tasks,
        waits=sorted(state.barriers) if isinstance(state, Pending) else [],
    )
    _hoist(made)
    return made


def _kept(directives: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: encode(value) for name, value in fixed.items() if name not in NOT_KEPT}
    if "errorStrategy" in directives:
        kept["errorStrategy"] = fixed.get("errorStrategy", "dynamic")
    return kept


def _hoist(call: model.Call) -> None:
    """Keep directives that differ by attempt only once, where all tasks agree."""
    tasks = iter(call.tasks.values())
    first = next(tasks, None)
    if first is None or not first.directives:
        return
    if all(task.directives == first.directives for task in tasks):
        call.attempts = first.directives
        for task in call.tasks.values():
            task.directives = []


def _needs_code(call: CallNode, directives: Mapping[str, Any]) -> bool:
    """Whether making or ending a task calls functions of the pipeline's file."""
    definition, body = call.definition, call.definition.body
    assert body is not None  # noqa: S101 (checked at the call)
    stub = body.stub is not None and body.stub.kind != "script"
    functions = any(leaf.function for emit in definition.emits for leaf in emit.leaves)
    saves = any(place.save_as is not None for place in directives.get("publishDir", ()))
    lazy = any(_holds_lazy(task.inputs) for task in call.tasks.values())
    return (
        body.kind != "script"
        or stub
        or functions
        or saves
        or lazy
        or callable(directives.get("errorStrategy"))
        or bool(definition.variables)
        or hasattr(call.cls, "when")
    )


def _holds_lazy(value: Any) -> bool:
    if isinstance(value, dict):
        return "$lazy" in value or any(_holds_lazy(part) for part in value.values())
    return isinstance(value, list) and any(_holds_lazy(part) for part in value)


def _segments(trace: Trace) -> list[model.Segment]:
    """Return what waits, each set of barriers once."""
    sets: dict[frozenset[str], None] = {}
    for node in trace.nodes.values():
        if isinstance(node.state, Pending):
            sets[node.state.barriers] = None
    return [_segment(trace, barriers) for barriers in sets]


def _segment(trace: Trace, barriers: frozenset[str]) -> model.Segment:
    operators = sorted(barriers)
    found = [trace.barriers[name] for name in operators]
    allowed = barriers | (trace.allowed or frozenset())
    return model.Segment(
        name=segment_name(allowed),
        operators=sorted(allowed),
        needs=list(dict.fromkeys(f"{call}/{key}" for b in found for call, key in b.needs)),
        places=[place_of(trace.nodes[name].span) for name in operators],
        reasons=[barrier.reason for barrier in found],
    )


def _channel(node: Node) -> model.Channel:
    return model.Channel(
        id=node.id,
        operator=node.operator,
        kind=node.kind,
        place=place_of(node.span),
        sources=[source.id for source in node.sources],
        items=describe_items(node),
    )
