"""What a compiled Snakefile asks while Snakemake builds its graph: lookups in the plan's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.snakefile import translate

if TYPE_CHECKING:
    from collections.abc import Callable


class Planned:
    """The tasks of a plan, those of segments as soon as they are written.

    Args:
        root: Folder of plans and manifests.
        names: The Snakefile's names: `checkpoints` among them.
    """

    def __init__(self, root: str, names: dict[str, Any]) -> None:
        self.root, self._names = root, names
        self._parts: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._calls: dict[str, dict[str, Any]] = {}
        self._segments: dict[str, dict[str, Any]] = {}
        self._rules: dict[str, str] = {}
        self._add("", Path(root) / "plan.json")

    def _add(self, name: str, path: Path) -> dict[str, Any]:
        if name in self._parts:
            return self._parts[name]
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self._parts[name] = part
        for call in part.get("calls", ()):
            self._calls.setdefault(call["rule"], call)
            self._rules[call["name"]] = call["rule"]
            self._tasks.setdefault(call["rule"], {}).update(call.get("tasks", {}))
        for segment in part.get("segments", ()):
            self._segments.setdefault(segment["name"], segment)
        return part

    def wanted(self, _wildcards: Any) -> list[str]:
        """Return all manifests, and the segments that are still to be written.

        All, not only the last ones: a task whose results were removed is then run again.
        """
        found = [f"{self.root}/segments/{name}.json" for name in self._segments]
        checkpoints = self._names["checkpoints"]
        for name in list(self._segments):
            output = checkpoints.segment.get(segment=name).output[0]
            self._add(name, Path(str(output)))
        if len(found) < len(self._segments):
            return self.wanted(_wildcards)
        found += [
            f"{self.root}/{rule}/{key}.json" for rule, tasks in self._tasks.items() for key in tasks
        ]
        return found

    def read_by_segment(self, wildcards: Any) -> list[str]:
        """Return the manifests that a segment reads."""
        return self._manifests(self._segments[wildcards.segment].get("needs", ()))

    def needs(self, rule: str) -> Callable[[Any], list[str]]:
        """Return the input function of a rule: the manifests of the tasks before."""
        tasks = self._tasks.setdefault(rule, {})

        def manifests(wildcards: Any) -> list[str]:
            return self._manifests(tasks[wildcards.key].get("needs", ()))

        return manifests

    def _manifests(self, needs: Any) -> list[str]:
        return [
            f"{self.root}/{self._rules[call]}/{key}.json"
            for call, key in (n.rsplit("/", 1) for n in needs)
        ]

    def value(self, rule: str, resource: str) -> Callable[..., Any]:
        """Return the function of a resource that differs by task or attempt."""

        def look(wildcards: Any, attempt: int = 1) -> Any:
            for name, value in self._attempt(rule, wildcards.key, attempt).items():
                found = translate(name, value)
                if resource in found:
                    return found[resource]
            return None

        return look

    def container(self, rule: str) -> Callable[[Any], Any]:
        """Return the function of a container that differs by task."""

        def look(wildcards: Any) -> Any:
            return self._attempt(rule, wildcards.key, 1).get("container")

        return look

    def _attempt(self, rule: str, key: str, attempt: int) -> dict[str, Any]:
        attempts = self._tasks[rule][key].get("directives") or self._calls[rule].get("attempts")
        found: dict[str, Any] = attempts[min(attempt, len(attempts)) - 1] if attempts else {}
        return found
