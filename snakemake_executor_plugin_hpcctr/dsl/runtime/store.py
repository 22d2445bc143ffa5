"""The plan as the runtime sees it: calls and tasks by name, the parts of segments included."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from snakemake_executor_plugin_hpcctr.dsl.encoding import decode
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import VERSION, Call, Manifest, Plan, Task
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, FrozenList, freeze
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.dsl.process import Process
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
    from snakemake_executor_plugin_hpcctr.dsl.trace import Trace
    from snakemake_executor_plugin_hpcctr.dsl.values import Promise


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: It is missing, damaged, or of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and document.get("version") != VERSION:
            raise ConfigError(
                f"the plan has version {document.get('version')}, this hpcctr reads {VERSION}",
                where=str(path),
                next_step="plan again with `hpcctr dsl compile FILE`",
            )
        return Plan.model_validate(document)
    except OSError as error:
        raise ConfigError(
            f"there is no plan: {error.strerror}",
            where=str(path),
            next_step="make one with `hpcctr dsl compile FILE`",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"the plan cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            next_step="plan again with `hpcctr dsl compile FILE`",
        ) from None


def read_manifest(path: Path) -> Manifest | None:
    """Read a manifest; None if it is missing or not whole."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


@dataclass
class ManifestResults:
    """Results of tasks, from their manifests.

    Args:
        layout: Where they are.
        rules: Qualified process name → rule.
    """

    layout: Layout
    rules: Callable[[str], str]
    _manifests: dict[tuple[str, str], Manifest | None] = field(default_factory=dict)

    def manifest(self, call: str, key: str) -> Manifest | None:
        """Return a task's manifest; None if there is none."""
        task = (call, key)
        if self._manifests.get(task) is None:
            self._manifests[task] = read_manifest(self.layout.manifest(self.rules(call), key))
        return self._manifests[task]

    def done(self, call: str, key: str) -> bool:
        """Whether a task has its manifest."""
        return self.manifest(call, key) is not None

    def give(self, promise: Promise) -> Any:
        """Return what a task gave, paths absolute, or ABSENT.

        Raises:
            DslError: It has no manifest.
        """
        manifest = self.manifest(promise._call, promise._key)
        if manifest is None:
            raise DslError(
                f"the results of {promise._call} {promise._key} are not there",
                next_step="run the workflow again: it makes what is missing",
            )
        if manifest.state == "absent":
            return ABSENT
        emit = manifest.emits[promise._emit]
        if emit is None:
            return ABSENT
        work = self.layout.work(self.rules(promise._call), promise._key).absolute()
        value = decode(emit[promise._leaf])
        return freeze(_below(value, work))


def _below(value: Any, work: Path) -> Any:
    if isinstance(value, Path):
        return work / value
    if isinstance(value, list):
        return FrozenList(_below(part, work) for part in value)
    return value


@dataclass
class Store:
    """The plan of a working directory.

    Args:
        layout: Where it is.
    """

    layout: Layout
    _parts: dict[Path, tuple[int, Plan]] = field(default_factory=dict)

    @cached_property
    def plan(self) -> Plan:
        """The plan as it was before anything ran."""
        return read_plan(self.layout.plan)

    @cached_property
    def results(self) -> ManifestResults:
        """What tasks have given."""
        return ManifestResults(self.layout, self._rule)

    def _rule(self, name: str) -> str:
        from snakemake_executor_plugin_hpcctr.dsl.planner import rule_name  # noqa: PLC0415 (start-up time)

        return rule_name(name)

    def find(self, rule: str, key: str) -> tuple[Call, Task]:
        """Return a task and its call.

        Raises:
            ConfigError: The plan has no such task.
        """
        for plan in self.plans():
            for call in plan.calls:
                if call.rule == rule and key in call.tasks:
                    return call, call.tasks[key]
        raise ConfigError(
            f"the plan has no task {key} of {rule}",
            where=str(self.layout.plan),
            next_step="plan again with `hpcctr dsl compile FILE`",
        )

    def plans(self) -> list[Plan]:
        """Return the plan and the parts that segments have written."""
        plans = [self.plan]
        folder = self.layout.segment("x").parent
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            stamp = path.stat().st_mtime_ns
            known = self._parts.get(path)
            if known is None or known[0] != stamp:
                known = self._parts[path] = (stamp, read_plan(path))
            plans.append(known[1])
        return plans

    @cached_property
    def structure(self) -> Trace:
        """The pipeline's graph without items: its functions by node, its classes by call."""
        from snakemake_executor_plugin_hpcctr.dsl.pipeline import load  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.dsl.planner import trace_pipeline  # noqa: PLC0415 (as above)
        from snakemake_executor_plugin_hpcctr.dsl.trace import Trace  # noqa: PLC0415 (as above)

        pipeline = load(Path(self.plan.file), self.plan.workflow)
        arguments = {name: decode(value) for name, value in self.plan.arguments.items()}
        return trace_pipeline(pipeline, arguments, Trace(evaluate=False, stub=self.plan.stub))

    def function(self, node: str) -> Callable[[list[Any]], Any]:
        """Return the function that a node of the pipeline holds."""
        apply = self.structure.nodes[node].apply
        assert apply is not None  # noqa: S101 (only operators are written into plans)
        return apply

    def process(self, call: Call) -> type[Process]:
        """Return the class of a call."""
        return self.structure.calls[call.name].cls
