"""A task's folder → the values of its outputs."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.values import FrozenList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.model import Emit, Leaf

SHOWN = 20
BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


class Missing(DslError):  # noqa: N818 (reads as what it is)
    """A declared output is not there."""


def collect(
    emits: Sequence[Emit],
    work: Path,
    staged: frozenset[str],
    value: Callable[[Leaf, int, int], Any],
    fill: Callable[[str], str],
) -> list[list[Any] | None]:
    """Return the values of each output's elements; None for an optional output that is missing.

    Args:
        emits: Declared outputs.
        work: The task's folder.
        staged: Names of staged inputs in it.
        value: Returns what an element that is no path gave (leaf, number of the emit, of the
            leaf); raises Missing if it is not there.
        fill: Fills `${…}` in a glob.

    Returns:
        Paths relative to `work`: one, or a list if a pattern matched several (or its arity says
        so).

    Raises:
        DslError: An output is missing, or has the wrong number of files.
    """
    found: list[list[Any] | None] = []
    for number, emit in enumerate(emits):
        try:
            found.append(
                [
                    files(leaf, fill(leaf.text), work, staged, emit.name)
                    if leaf.kind == "path" and not leaf.function
                    else value(leaf, number, position)
                    for position, leaf in enumerate(emit.leaves)
                ]
            )
        except Missing:
            if not emit.optional:
                raise
            found.append(None)
    return found


def files(leaf: Leaf, pattern: str, work: Path, staged: frozenset[str], output: str) -> Any:
    """Return what a path output matches.

    Raises:
        Missing: Nothing.
        DslError: An absolute pattern, or another number of files than declared.
    """
    if pattern.startswith("/"):
        raise DslError(
            f"the output `{output}` has an absolute path, {pattern!r}",
            next_step="write it relative to the task's folder",
        )
    names = sorted(match(leaf, pattern, work))
    hidden_inputs = [] if leaf.include_inputs else [name for name in names if _top(name, staged)]
    names = [name for name in names if name not in hidden_inputs]
    arity = leaf.arity or (1, None)
    if not names and arity[0] > 0:
        note = (
            f"; it matches the staged input {hidden_inputs[0]}, which does not count without "
            "includeInputs=True"
            if hidden_inputs
            else ""
        )
        raise Missing(
            f"the output `{output}` is missing: nothing matches {pattern!r}{note}",
            item=f"the task's folder holds {listing(work)}",
            next_step="correct the pattern or the script; declare it optional if it may be missing",
        )
    if wanted := other_number(arity, len(names)):
        raise DslError(
            f"the output `{output}` wants {wanted} file(s), {pattern!r} matches {len(names)}",
            item=", ".join(names[:SHOWN]),
        )
    paths = [Path(name) for name in names]
    one = leaf.arity == (1, 1) or (not leaf.arity and len(paths) == 1)
    return paths[0] if one else FrozenList(paths)


def other_number(arity: tuple[int, int | None], count: int) -> str:
    """Return how many files are wanted where it is another number than `count`; "" if it is not.

    Args:
        arity: Smallest and largest number; None for no limit.
        count: How many there are.
    """
    least, most = arity
    if least <= count and (most is None or count <= most):
        return ""
    return f"{least}" if least == most else f"{least} to {'any number' if most is None else most}"


def _top(name: str, staged: frozenset[str]) -> bool:
    return name in staged or any(name.startswith(f"{other}/") for other in staged)


def listing(work: Path) -> str:
    """Return what a folder holds, for a message."""
    names = sorted(os.listdir(work)) if work.is_dir() else []  # noqa: PTH208 (names only)
    shown = ", ".join(names[:SHOWN]) or "nothing"
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def match(leaf: Leaf, pattern: str, work: Path) -> Iterator[str]:
    """Yield the names, relative to a folder, that a pattern matches."""
    plain = pattern.removeprefix("./").rstrip("/")
    if not leaf.glob or not set("*?[{") & set(plain):
        there = os.path.exists if leaf.follow_links else os.path.lexists
        if plain and there(work / plain):
            yield plain
        return
    kind = leaf.type or ("file" if "**" in plain else "any")
    seen = set()
    for alternative in expand_braces(plain):
        for name in _walk(work, "", alternative.split("/"), leaf, 0):
            if name not in seen and _is_kind(work / name, kind):
                seen.add(name)
                yield name


def expand_braces(pattern: str) -> list[str]:
    """Return the patterns that `{a,b}` stands for."""
    found = BRACES.search(pattern)
    if found is None:
        return [pattern]
    return [
        expanded
        for word in found[1].split(",")
        for expanded in expand_braces(pattern[: found.start()] + word + pattern[found.end() :])
    ]


def _walk(work: Path, base: str, parts: list[str], leaf: Leaf, depth: int) -> Iterator[str]:
    """Match the parts of a pattern against the entries of a folder, one level at a time."""
    part, rest = parts[0], parts[1:]
    if "**" in part:
        deeper = part == "**" and bool(rest)  # `**/x` is never in the folder itself, `**x` may be
        if not deeper:
            yield from _walk(work, base, [part.replace("**", "*"), *rest], leaf, depth)
        if leaf.max_depth is not None and depth >= leaf.max_depth:
            return
        for name in _entries(work / base, leaf, "*"):
            path = f"{base}{name}"
            if (work / path).is_dir() and (leaf.follow_links or not (work / path).is_symlink()):
                if deeper:
                    yield from _walk(work, f"{path}/", rest, leaf, depth + 1)
                yield from _walk(work, f"{path}/", parts, leaf, depth + 1)
        return
    for name in _entries(work / base, leaf, part):
        path = f"{base}{name}"
        if not rest:
            yield path
        elif (work / path).is_dir():
            yield from _walk(work, f"{path}/", rest, leaf, depth)


def _entries(folder: Path, leaf: Leaf, part: str) -> Iterable[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names only)
    except OSError:
        return []
    shown = leaf.hidden or part.startswith(".")
    return [
        name
        for name in names
        if fnmatch.fnmatchcase(name, part) and (shown or not name.startswith("."))
    ]


def _is_kind(path: Path, kind: str) -> bool:
    if kind == "any":
        return True
    return path.is_dir() if kind == "dir" else not path.is_dir()
