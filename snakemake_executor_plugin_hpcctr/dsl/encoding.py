"""Items ↔ JSON, in the forms that `model` lists."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.values import (
    KNOWN,
    FrozenDict,
    FrozenList,
    Lazy,
    Promise,
    attach,
    describe,
    may_be_absent,
    plain,
    unknowns,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SCALARS = frozenset({str, int, float, bool, type(None)})


def encode(value: Any) -> Any:
    """Return an item as JSON values.

    Raises:
        DslError: A value that cannot be written down, such as an open file.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is Promise:
        return {"$out": [value._call, value._key, value._emit, value._leaf]}
    if kind is Lazy:
        return {"$lazy": [value._node, [encode(part) for part in value._arguments]]}
    if kind is tuple:
        return {"$tuple": [encode(part) for part in value]}
    if kind in KNOWN:
        return _encode_known(value)
    if isinstance(value, PurePath):
        return {"$path": str(value)}
    if isinstance(value, list):
        return [encode(part) for part in value]
    if isinstance(value, dict):
        return _encode_dict(value)
    return _encode_object(value)


def _encode_dict(value: dict[Any, Any]) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: encode(part) for key, part in value.items()}
    return {"$map": [[encode(key), encode(part)] for key, part in value.items()]}


def _encode_known(value: Any) -> Any:
    """Keep what a value was made from only where that decides whether there is a value."""
    maybe = [leaf for leaf in unknowns(value) if may_be_absent(leaf)]
    content = encode(plain(value))
    return {"$after": [content, [encode(leaf) for leaf in maybe]]} if maybe else content


def _encode_object(value: Any) -> Any:
    if isinstance(value, (str, int, float)):
        return encode(_plain(value))
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted((encode(part) for part in value), key=repr)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = list(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, item.name) for item in dataclasses.fields(value)]
    else:
        raise DslError(
            f"an item holds a {type(value).__name__}, which cannot be kept in a plan",
            item=describe(value),
            next_step="use text, numbers, paths, lists, dicts, tuples, NamedTuples or dataclasses",
        )
    kind = type(value)
    return {"$py": [kind.__module__, kind.__qualname__, [encode(part) for part in parts]]}


def _plain(value: Any) -> Any:
    """Return a number or text of a subclass (numpy's float64, an enum) as the builtin."""
    base = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
    return base(value)


def decode(value: Any, lazy: Callable[[str], Callable[[list[Any]], Any]] | None = None) -> Any:
    """Return an item from its JSON values, frozen.

    Args:
        value: What `encode` returned.
        lazy: Returns the function that a node holds; None where no function may occur.
    """
    if isinstance(value, list):
        return FrozenList(decode(part, lazy) for part in value)
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        form, content = next(iter(value.items()))
        if form.startswith("$"):
            return _decode_form(form, content, lazy)
    return FrozenDict((key, decode(part, lazy)) for key, part in value.items())


def _decode_form(form: str, content: Any, lazy: Any) -> Any:
    match form:
        case "$path":
            return Path(content)
        case "$tuple":
            return tuple(decode(part, lazy) for part in content)
        case "$out":
            call, key, emit, leaf = content
            return Promise(call, key, emit, leaf)
        case "$lazy":
            node, arguments = content
            parts = tuple(decode(part, lazy) for part in arguments)
            return Lazy(node, lazy(node), parts, maybe=True)
        case "$after":
            known, after = content
            return attach(decode(known, lazy), tuple(decode(part, lazy) for part in after))
        case "$set":
            return frozenset(decode(part, lazy) for part in content)
        case "$map":
            return FrozenDict((decode(key, lazy), decode(part, lazy)) for key, part in content)
        case "$py":
            module, name, parts = content
            kind = importlib.import_module(module)
            for word in name.split("."):
                kind = getattr(kind, word)
            return kind(*(decode(part, lazy) for part in parts))  # type: ignore[operator]
        case _:
            raise DslError(f"the plan holds a value of an unknown form, {form!r}")
