"""`hpcctr dsl lint`: what can be said of a pipeline without running it."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.dsl.session import planned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Plan
    from snakemake_executor_plugin_hpcctr.dsl.session import Request

TYPES_TIMEOUT_S = 300.0


def findings(request: Request, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what is doubtful in a pipeline, a sentence each.

    It is traced twice: a plan that differs is one that no run can resume.

    Raises:
        ConfigError: It cannot be planned at all.
    """
    first = planned(request, environ).plan
    yield from first.warnings
    yield from differences(first, planned(request, environ).plan)
    yield from _unused(first)
    yield from types(request.file)


def differences(first: Plan, second: Plan) -> Iterator[str]:
    """Yield in which processes two plans of one pipeline differ."""
    later = {call.name: call for call in second.calls}
    for call in first.calls:
        other = later.get(call.name)
        if other is None or list(other.tasks) != list(call.tasks):
            place = call.place
            yield (
                f"{place.file}:{place.line}: `{call.name}` is planned differently each time the "
                "file is read, so nothing of it can be resumed: look for random numbers, times, "
                "or the order of a set in what it depends on"
            )


def _unused(plan: Plan) -> Iterator[str]:
    """Yield calls whose plan has no task although nothing waits."""
    for call in plan.calls:
        if not call.tasks and not call.waits:
            place = call.place
            yield (
                f"{place.file}:{place.line}: `{call.name}` has no task: one of its inputs is empty"
            )


def types(file: Path) -> Iterator[str]:
    """Yield what mypy says of a file, where mypy is installed."""
    if importlib.util.find_spec("mypy") is None:
        return
    argv = [sys.executable, "-m", "mypy", "--no-error-summary", "--check-untyped-defs", str(file)]
    done = proc.run(argv, timeout_s=TYPES_TIMEOUT_S)
    yield from (line for line in done.out.splitlines() if ": error:" in line)
