"""A plan as a graph for people: processes, and how channels connect them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.model import Plan


def edges(plan: Plan) -> list[tuple[str, str]]:
    """Return pairs of processes (or factories) of which the second takes what the first gives.

    Operators in between are left out; the plan must describe its channels.
    """
    by_id = {channel.id: channel for channel in plan.channels}
    calls = {call.name: call for call in plan.calls}
    owners = {
        channel.id: call.name
        for call in plan.calls
        for channel in plan.channels
        if channel.operator in {f"{call.name}.{emit.name}" for emit in call.emits}
    }
    found: dict[tuple[str, str], None] = {}
    for channel in plan.channels:
        name = channel.operator.removeprefix("inputs of ")
        if name == channel.operator or name not in calls:
            continue
        pending = list(channel.sources)
        seen = set()
        while pending:
            source = pending.pop()
            if source in seen:
                continue
            seen.add(source)
            if source in owners:
                found[owners[source], name] = None
            elif by_id[source].sources:
                pending += by_id[source].sources
            elif by_id[source].operator != "value":
                found[by_id[source].operator, name] = None
    return list(found)


def mermaid(plan: Plan) -> str:
    """Return the graph in Mermaid's language."""
    names = list(dict.fromkeys([*(call.name for call in plan.calls), *sum(edges(plan), ())]))
    numbers = {name: f"n{number}" for number, name in enumerate(names)}
    lines = ["flowchart TD"]
    lines += [f'  {numbers[name]}["{name}"]' for name in names]
    lines += [f"  {numbers[a]} --> {numbers[b]}" for a, b in edges(plan)]
    return "\n".join(lines) + "\n"


def dot(plan: Plan) -> str:
    """Return the graph in Graphviz's language."""
    lines = ["digraph pipeline {", "  node [shape=box];"]
    lines += [f'  "{call.name}";' for call in plan.calls]
    lines += [f'  "{a}" -> "{b}";' for a, b in edges(plan)]
    return "\n".join([*lines, "}"]) + "\n"
