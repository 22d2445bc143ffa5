"""Values of a round: as a task's methods see them, and checked against what is declared."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.values import (
    FrozenList,
    Promise,
    describe,
    is_sequence,
    is_unknown,
)

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.dsl.directives import TaskView
    from snakemake_executor_plugin_hpcctr.dsl.model import Input
    from snakemake_executor_plugin_hpcctr.dsl.process import Process
    from snakemake_executor_plugin_hpcctr.dsl.spans import Span

#: An element of a tuple that is known as a whole only when another task has run.
UNKNOWN = Promise("", "", 0, kind=object)


def view_of(cls: type[Process], inputs: tuple[Any, ...] | list[Any], task: TaskView) -> Process:
    """Return a process object as a task's methods see it: inputs are plain attributes."""
    seen = object.__new__(cls)
    seen.__dict__.update(named_values(cls.definition.inputs, inputs))
    seen.__dict__["task"] = task
    return seen


def named_values(
    inputs: tuple[Input, ...] | list[Input], values: tuple[Any, ...] | list[Any]
) -> dict[str, Any]:
    """Return name → value of inputs, and of the named elements of tuples."""
    found: dict[str, Any] = {}
    for declared, value in zip(inputs, values, strict=True):
        if declared.name:
            found[declared.name] = value
        if declared.parts:
            parts = [UNKNOWN] * len(declared.parts) if is_unknown(value) else value
            found.update(named_values(declared.parts, parts))
    return found


def check_input(declared: Input, value: Any, call: str, span: Span) -> Any:
    """Check one value of a round against its declaration; return it, paths absolute.

    What is not known yet is returned as it is: it is checked when the task is made.

    Raises:
        DslError: A tuple of another length, no path where one is wanted, too many files.
    """
    if is_unknown(value) and not value._one:
        return value
    if declared.kind == "tuple":
        if not is_sequence(value) or len(value) != len(declared.parts):
            raise DslError(
                f"`{call}`: the input `{declared.name}` is a tuple of "
                f"{len(declared.parts)} elements",
                span=span,
                item=describe(value),
            )
        parts = [
            check_input(part, element, call, span)
            for part, element in zip(declared.parts, value, strict=True)
        ]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if declared.kind != "path" or (declared.optional and value is None):
        return value
    return _check_path(declared, value, call, span)


def _check_path(declared: Input, value: Any, call: str, span: Span) -> Any:
    if is_unknown(value):
        return value
    if is_sequence(value):
        files = FrozenList(_check_path(declared, part, call, span) for part in value)
        least, most = declared.arity or (0, None)
        known = not any(is_unknown(file) for file in files)
        if known and not least <= len(files) <= (len(files) if most is None else most):
            raise DslError(
                f"`{call}`: the input `{declared.name}` wants "
                f"{least} to {'any number of' if most is None else most} files, got {len(files)}",
                span=span,
                item=describe(value),
            )
        return files
    if isinstance(value, str) and (value.startswith("/") or "://" in value):
        return Path(value) if value.startswith("/") else value
    if isinstance(value, PurePath):
        return value if value.is_absolute() else Path(os.path.abspath(value))  # noqa: PTH100 (links stay)
    raise DslError(
        f"`{call}`: the input `{declared.name}` takes a file, got {value!r}"[:300],
        span=span,
        next_step="give it a Path (channel.fromPath, file outputs), an absolute path or a URI",
    )
