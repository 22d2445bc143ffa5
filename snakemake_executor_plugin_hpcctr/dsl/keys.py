"""Identities: what makes a task the same task in the next run.

A key holds everything that a task's result can depend on, so that a finished task is found by
its key alone. Values enter as canonical JSON, source files by path, size and time, results of
other tasks by those tasks' keys, functions by their code without its layout.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import re
import textwrap
import types
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl import spans
from snakemake_executor_plugin_hpcctr.dsl.encoding import encode
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import ROOT
from snakemake_executor_plugin_hpcctr.dsl.values import KNOWN, Lazy, Promise, is_unknown, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLUG = re.compile(r"[^A-Za-z0-9._+=-]+")
DIGITS = 14


def digest(parts: Any) -> str:
    """Return a short hash of JSON values."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def task_key(tag: str, parts: Any) -> str:
    """Return a task's key: its tag as a file name, and a hash."""
    slug = SLUG.sub("_", tag).strip("._-")[:40]
    return f"{slug}-{digest(parts)[:DIGITS]}" if slug else digest(parts)[:DIGITS]


class Fingerprints:
    """Values → JSON for keys; remembers files and functions that occur again and again.

    Args:
        cache: What stands for a source file: True path, size and time; `lenient` path and
            size; `deep` its content.
        functions: Node id → identity of the operator's functions.
    """

    def __init__(self, functions: Callable[[str], Any]) -> None:
        self._files: dict[tuple[str, object], Any] = {}
        self._functions = functions
        self._root = os.path.abspath(ROOT) + os.sep  # noqa: PTH100 (speed)

    def of(self, value: Any, cache: object) -> Any:
        """Return what stands for an item in a key."""
        kind = type(value)
        if kind is str or kind is int or kind is float or kind is bool or value is None:
            return value
        if kind is Promise:
            return {"$out": [value._call, value._key, value._emit, value._leaf]}
        if kind is Lazy:
            arguments = [self.of(part, cache) for part in value._arguments]
            return {"$lazy": [self._functions(value._node), arguments]}
        if kind in KNOWN:
            return self.of(plain(value), cache)
        if isinstance(value, PurePath):
            return self._file(str(value), cache)
        if isinstance(value, (list, tuple)):
            return self._sequence(value, cache)
        if isinstance(value, dict):
            pairs = [[self.of(key, cache), self.of(part, cache)] for key, part in value.items()]
            return {"$map": sorted(pairs, key=repr)}
        return encode(value)

    def _sequence(self, value: list[Any] | tuple[Any, ...], cache: object) -> Any:
        parts = [self.of(part, cache) for part in value]
        if isinstance(value, list) and value and all(_is_file(part) for part in value):
            return {"$bag": sorted(parts, key=repr)}  # order of arrival must not matter
        return parts

    def _file(self, path: str, cache: object) -> Any:
        if path.startswith(self._root):
            return {"$path": path.removeprefix(self._root)}  # holds its task's key
        known = self._files.get((path, cache))
        if known is None:
            known = self._files[path, cache] = {"$path": _identity(path, cache)}
        return known


def _is_file(value: object) -> bool:
    return is_unknown(value) or isinstance(value, PurePath)


def _identity(path: str, cache: object) -> list[Any]:
    try:
        stat = os.stat(path)  # noqa: PTH116 (speed)
    except OSError:
        return [path]
    if cache == "lenient":
        return [path, stat.st_size]
    if cache == "deep" and os.path.isfile(path):  # noqa: PTH113 (speed)
        with open(path, "rb") as stream:  # noqa: PTH123 (speed)
            return [hashlib.file_digest(stream, "blake2b").hexdigest()]
    return [path, stat.st_size, stat.st_mtime_ns]


def function_identity(function: Any) -> Any:
    """Return what stands for a function in a key: its code, what it captured, what it calls.

    Layout, comments and docstrings do not matter. Functions of the user's own files that it
    names are followed; those of installed packages enter by name.

    Raises:
        DslError: It captured a value that has no identity.
    """
    return _identity_of(function, "the function", set())


def _identity_of(value: Any, name: str, seen: set[int]) -> Any:
    if isinstance(value, partial):
        parts = (value.func, value.args, value.keywords)
        return ["partial", *(_identity_of(part, name, seen) for part in parts)]
    if isinstance(value, types.MethodType):
        return _identity_of(value.__func__, name, seen)
    if isinstance(value, types.FunctionType):
        return _function(value, seen)
    if isinstance(value, (types.BuiltinFunctionType, type, types.ModuleType)) or callable(value):
        return _named(value, seen)
    if isinstance(value, (set, frozenset)):
        return ["set", sorted(repr(part) for part in value)]
    try:
        return encode(value)
    except DslError:
        raise DslError(
            f"`{name}` is captured by a function and holds a {type(value).__name__}, whose "
            "value cannot be part of a task's key",
            next_step="capture text, numbers, paths, lists, dicts or tuples",
        ) from None


def _named(value: Any, seen: set[int]) -> Any:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(type(value)))
    if isinstance(value, type) and id(value) not in seen and _is_users(value):
        seen.add(id(value))
        return ["class", name, _class_source(value)]
    return ["named", getattr(value, "__module__", "") or "", name]


def _is_users(value: Any) -> bool:
    try:
        file = inspect.getfile(value)
    except (TypeError, OSError):
        return False
    return not spans.is_ours(file) and not spans.is_foreign(file)


def _class_source(value: type) -> str:
    try:
        return _normalised(inspect.getsource(value))
    except (OSError, SyntaxError, TypeError):
        return value.__qualname__


def _function(function: types.FunctionType, seen: set[int]) -> Any:
    if id(function) in seen:
        return ["again", function.__qualname__]
    seen.add(id(function))
    code = function.__code__
    if spans.is_ours(code.co_filename) or spans.is_foreign(code.co_filename):
        return ["named", function.__module__, function.__qualname__]
    cells = function.__closure__ or ()
    captured = {
        name: _cell(cell, name, seen) for name, cell in zip(code.co_freevars, cells, strict=True)
    }
    helpers = {
        name: _identity_of(function.__globals__[name], name, seen)
        for name in sorted(_global_names(code))
        if name in function.__globals__ and not _is_plumbing(function.__globals__[name])
    }
    defaults = [_identity_of(d, function.__name__, seen) for d in function.__defaults__ or ()]
    named = {key: _identity_of(d, key, seen) for key, d in (function.__kwdefaults__ or {}).items()}
    return ["function", code_text(function), captured, helpers, defaults, named]


def _cell(cell: Any, name: str, seen: set[int]) -> Any:
    try:
        value = cell.cell_contents
    except ValueError:
        return "unset"
    return _identity_of(value, name, seen)


def _is_plumbing(value: Any) -> bool:
    """Whether a global is of this package: it changes with hpcctr, not with the pipeline."""
    return str(getattr(value, "__module__", "")).startswith(__package__ or "")


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def code_text(function: types.FunctionType) -> str:
    """Return a function's syntax tree as text, without layout, comments and docstring."""
    code = function.__code__
    node = _find(code)
    if node is None:
        return _bytecode(code)
    return _dump(node)


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(item) if isinstance(item, types.CodeType) else repr(item)
        for item in code.co_consts
    ]
    return repr((code.co_code, code.co_names, constants))


def _find(code: types.CodeType) -> ast.AST | None:
    """Return the lambda or function of a code object in its file's syntax tree."""
    candidates = [node for node in _functions(code.co_filename) if _matches(node, code)]
    return candidates[0] if len(candidates) == 1 else None


def _matches(node: ast.Lambda | ast.FunctionDef, code: types.CodeType) -> bool:
    if isinstance(node, ast.FunctionDef):
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        return node.name == code.co_name and first == code.co_firstlineno
    if code.co_name != "<lambda>":
        return False
    body = node.body
    wanted = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
    return wanted in set(code.co_positions())


@lru_cache(maxsize=64)
def _functions(file: str) -> tuple[ast.Lambda | ast.FunctionDef, ...]:
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ()
    kinds = (ast.Lambda, ast.FunctionDef)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds))


def _normalised(source: str) -> str:
    return _dump(ast.parse(textwrap.dedent(source)).body[0])


def _dump(node: ast.AST) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    if isinstance(node, ast.Lambda):
        return ast.dump(node)
    if isinstance(node, ast.FunctionDef):
        return ast.dump(node.args) + "".join(ast.dump(item) for item in node.body)
    return ast.dump(node)
