"""Inputs of a task → names in its folder, and what its script sees."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.interpolate import as_text
from snakemake_executor_plugin_hpcctr.dsl.runtime.collect import other_number
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.model import Input

MARKS = re.compile(r"\?+")


class StagedPath(type(Path())):  # type: ignore[misc]  # PosixPath, by its public name
    """A staged file: its name in the task's folder; `source` is where it is."""

    source: Path


@dataclass(frozen=True)
class Link:
    """One link in a task's folder: where it points, and its name, folders included."""

    source: Path
    name: str


@dataclass
class Staging:
    """What a task gets.

    Args:
        links: Files to link.
        values: Input → what the script sees of it.
        variables: Environment variables.
        stdin: What is piped into the script; None for nothing.
    """

    links: list[Link] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    stdin: str | None = None


def stage(
    inputs: Sequence[Input], values: Sequence[Any], fill: Callable[[str, dict[str, Any]], str]
) -> Staging:
    """Return how the inputs of a task appear in its folder.

    Args:
        inputs: Declared inputs.
        values: Their values, absolute paths.
        fill: Fills `${…}` of a name pattern, given the values known so far.

    Raises:
        DslError: Two files with one name, a wrong number of files, no file where one is wanted.
    """
    found = Staging()
    found.values.update(_plain_values(inputs, values))
    for declared, value in zip(inputs, values, strict=True):
        if declared.name:
            found.values[declared.name] = _take(declared, value, found, fill)
        else:
            _take(declared, value, found, fill)
    _check_names(found.links)
    return found


def _plain_values(inputs: Sequence[Input], values: Sequence[Any]) -> dict[str, Any]:
    """Return values that are no files: name patterns may use them wherever they stand."""
    known: dict[str, Any] = {}
    for declared, value in zip(inputs, values, strict=True):
        if declared.kind == "tuple":
            known |= _plain_values(declared.parts, value)
        elif declared.kind == "val":
            known[declared.name] = value
    return known


def _take(
    declared: Input, value: Any, found: Staging, fill: Callable[[str, dict[str, Any]], str]
) -> Any:
    match declared.kind:
        case "tuple":
            parts = tuple(
                _take(part, element, found, fill)
                for part, element in zip(declared.parts, value, strict=True)
            )
            for part, seen in zip(declared.parts, parts, strict=True):
                if part.name:
                    found.values[part.name] = seen
            return type(value)(*parts) if hasattr(value, "_fields") else parts
        case "path" if declared.optional and value is None:
            return None
        case "env":
            found.variables[declared.variable or declared.name] = _text(value)
            return value
        case "stdin":
            found.stdin = _text(value)
            return value
        case "path":
            return _files(declared, value, found, fill)
        case "val":
            return value


def _text(value: Any) -> str:
    return str(value) if isinstance(value, PurePath) else as_text(value)


def _files(
    declared: Input, value: Any, found: Staging, fill: Callable[[str, dict[str, Any]], str]
) -> Any:
    several = isinstance(value, (list, tuple))
    sources = [_source(declared, part) for part in (value if several else [value])]
    if wanted := other_number(declared.arity or (0, None), len(sources)):
        raise DslError(
            f"the input `{declared.name}` wants {wanted} file(s), got {len(sources)}",
            item=repr([str(source) for source in sources])[:200],
        )
    pattern = fill(declared.stage_as, found.values) if declared.stage_as else ""
    names = staged_names(pattern, [source.name for source in sources])
    staged = []
    for source, name in zip(sources, names, strict=True):
        link = StagedPath(name)
        link.source = source
        staged.append(link)
        found.links.append(Link(source, name))
    one = declared.arity == (1, 1) or (not declared.arity and len(staged) == 1)
    return staged[0] if one else FrozenList(staged)


def _source(declared: Input, value: Any) -> Path:
    if isinstance(value, PurePath) and value.is_absolute():
        return Path(value)
    if isinstance(value, str) and value.startswith("/"):
        return Path(value)
    if isinstance(value, str) and "://" in value:
        raise DslError(
            f"the input `{declared.name}` is the URI {value!r}, which hpcctr does not download",
            next_step="download it first, or in a process of its own",
        )
    raise DslError(f"the input `{declared.name}` takes a file, got {value!r}"[:300])


def staged_names(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the names of files in a task's folder (facts: Nextflow's `stageAs`).

    Args:
        pattern: A name, with `*` or `?` where files are numbered; "" keeps the files' names.
        names: The files' own names.
    """
    if pattern in {"", "*"}:
        return list(names)
    if pattern.endswith("/*"):
        folder = pattern.removesuffix("/*")
        return [
            f"{_numbered(folder, n, len(names), always=True)}/{name}"
            for n, name in enumerate(names, 1)
        ]
    if "*" not in pattern and "?" not in pattern and len(names) > 1:
        pattern += "*"
    return [_numbered(pattern, n, len(names)) for n in range(1, len(names) + 1)]


def _numbered(pattern: str, number: int, count: int, *, always: bool = False) -> str:
    index = str(number) if count > 1 or always else ""
    text = pattern.replace("*", index)
    return MARKS.sub(lambda marks: str(number).zfill(len(marks[0])), text)


def _check_names(links: list[Link]) -> None:
    seen: dict[str, Path] = {}
    for link in links:
        other = seen.setdefault(link.name, link.source)
        if other != link.source or links.count(link) > 1:
            raise DslError(
                f"two input files would both be named `{link.name}` in the task's folder: "
                f"{other} and {link.source}",
                next_step='give one of the inputs another name: path("other_name"), or number '
                'them: path("name*")',
            )
