"""Plan a pipeline in the working directory, compile it, and go on from what is there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl import snakefile
from snakemake_executor_plugin_hpcctr.dsl.encoding import decode
from snakemake_executor_plugin_hpcctr.dsl.pipeline import load
from snakemake_executor_plugin_hpcctr.dsl.planner import plan_of, rule_name, trace_pipeline
from snakemake_executor_plugin_hpcctr.dsl.programs import BinFolder
from snakemake_executor_plugin_hpcctr.dsl.runtime.store import ManifestResults, Store
from snakemake_executor_plugin_hpcctr.dsl.trace import Trace
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snakemake_executor_plugin_hpcctr.dsl.calls import CallNode
    from snakemake_executor_plugin_hpcctr.dsl.model import Call, Plan
    from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout


@dataclass(frozen=True)
class Options:
    """How a pipeline is planned.

    Args:
        stub: Whether bodies are replaced by their stubs.
        channels: Whether the plan describes every channel.
        fresh: Whether results of earlier runs are left aside.
        configured: What configuration files say of processes.
    """

    stub: bool = False
    channels: bool = False
    fresh: bool = False
    configured: Callable[[CallNode], dict[str, Any]] | None = None


def make_plan(
    pipeline: Pipeline, arguments: Mapping[str, Any], layout: Layout, options: Options
) -> Plan:
    """Return the plan of a pipeline, as far as results in `layout` allow.

    Raises:
        DslError: It cannot be planned.
    """
    return plan_and_trace(pipeline, arguments, layout, options)[0]


def plan_and_trace(
    pipeline: Pipeline, arguments: Mapping[str, Any], layout: Layout, options: Options
) -> tuple[Plan, Trace]:
    """Return the plan, and the trace that it was made of; see `make_plan`."""
    results = ManifestResults(layout, rule_name)
    allowed = frozenset[str]() if options.fresh else None
    trace = Trace(
        results,
        allowed=allowed,
        stub=options.stub,
        configured=options.configured,
        programs=BinFolder(pipeline.file.parent / "bin"),
    )
    trace = trace_pipeline(pipeline, arguments, trace)
    plan = plan_of(pipeline, arguments, trace, channels=options.channels)
    plan.root = str(layout.root)
    return plan, trace


def rule_of(plan: Plan, process: str) -> str:
    """Return the rule of a process, by its qualified name, or by its simple one if that is unique.

    Raises:
        ConfigError: No call has that name.
    """
    names = {call.name: call.rule for call in plan.calls}
    simple = [name for name in names if name.rsplit(":", 1)[-1] == process]
    found = names.get(process) or (names[simple[0]] if len(simple) == 1 else None)
    if found is None:
        raise ConfigError(
            f"there is no process `{process}`",
            next_step=did_you_mean(process, names) or f"the processes are {', '.join(names)}",
        )
    return found


def compile_plan(plan: Plan, layout: Layout) -> Path:
    """Write plan and Snakefile, with no parts of earlier runs beside them; return the Snakefile."""
    for old in layout.segment("x").parent.glob("*.json"):
        old.unlink()
    for name in ("failures", "published"):
        shutil.rmtree(layout.root / name, ignore_errors=True)
    return snakefile.write(plan, layout)


def write_segment(
    layout: Layout, name: str, configured: Callable[[CallNode], dict[str, Any]] | None = None
) -> None:
    """Plan on behind some barriers, whose tasks have run, and write that part of the plan.

    Raises:
        DslError: It cannot be planned.
    """
    store = Store(layout)
    plan = store.plan
    segment = next(s for part in store.plans() for s in part.segments if s.name == name)
    pipeline = load(Path(plan.file), plan.workflow)
    arguments = {key: decode(value) for key, value in plan.arguments.items()}
    allowed = frozenset({*plan.passed, *segment.operators})
    trace = Trace(
        store.results,
        allowed=allowed,
        stub=plan.stub,
        configured=configured,
        programs=BinFolder(pipeline.file.parent / "bin"),
    )
    trace = trace_pipeline(pipeline, arguments, trace)
    part = plan_of(pipeline, arguments, trace)
    known = {(c.rule, key) for old in store.plans() for c in old.calls for key in c.tasks}
    part.calls = [_without(call, known) for call in part.calls]
    part.calls = [call for call in part.calls if call.tasks]
    passed = frozenset(plan.passed)
    for later in part.segments:
        later.operators = sorted({*later.operators} - passed)
    path = layout.segment(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(part.model_dump_json(exclude_defaults=True), encoding="utf-8")
    draft.replace(path)


def _without(call: Call, known: set[tuple[str, str]]) -> Call:
    call.tasks = {key: task for key, task in call.tasks.items() if (call.rule, key) not in known}
    return call
