"""Parameters of a pipeline: those of its entry workflow, typed, from the command line."""

from __future__ import annotations

import inspect
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


def read_arguments(pipeline: Pipeline, words: Sequence[str]) -> dict[str, Any]:
    """Return the values of a pipeline's parameters.

    Args:
        pipeline: The loaded file.
        words: `--name value …` as typed.

    Raises:
        ConfigError: An unknown name, a value of the wrong type, a parameter that is missing.
    """
    signature = pipeline.entry.signature
    hints = _hints(pipeline)
    given = _split(words, signature, hints)
    found: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        kind = hints.get(name, str)
        if name in given:
            found[name] = convert(given[name], kind, name)
        elif parameter.default is not inspect.Parameter.empty:
            found[name] = parameter.default
        elif kind is bool:
            found[name] = False
        else:
            raise ConfigError(
                f"the parameter --{name} is missing",
                where=str(pipeline.entry.span),
                next_step=f"give it: --{name} {getattr(kind, '__name__', kind)}",
            )
    return found


def _hints(pipeline: Pipeline) -> dict[str, Any]:
    function = pipeline.entry.function
    try:
        return typing.get_type_hints(function)
    except NameError:  # imported for type checkers only
        return typing.get_type_hints(function, {**function.__globals__, "Path": Path})


def _split(
    words: Sequence[str], signature: inspect.Signature, hints: dict[str, Any]
) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            typed, equals, value = word[2:].partition("=")
            name = _known(typed, signature)
            given[name] = [value] if equals else []
        elif not name:
            raise ConfigError(f"{word!r} belongs to no parameter", next_step="write --name value")
        else:
            given[name].append(word)
    for flag, values in given.items():
        if not values and hints.get(flag) is not bool:
            raise ConfigError(f"the parameter --{flag} has no value")
    return given


def _known(typed: str, signature: inspect.Signature) -> str:
    names = {name.lower().replace("_", ""): name for name in signature.parameters}
    found = names.get(typed.lower().replace("-", "").replace("_", ""))
    if found is None:
        raise ConfigError(
            f"there is no parameter --{typed}",
            next_step=did_you_mean(typed, signature.parameters)
            or f"the parameters are {', '.join(f'--{name}' for name in signature.parameters)}",
        )
    return found


def convert(words: list[str], kind: Any, name: str) -> Any:
    """Turn what was typed into a parameter's type.

    Raises:
        ConfigError: It is not of that type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {list, tuple} or kind is list:
        inner = arguments[0] if arguments else str
        parts = [part for word in words for part in word.split(",")]
        return [convert([part], inner, name) for part in parts]
    if origin in {typing.Union, types.UnionType}:
        inner = next(part for part in arguments if part is not type(None))
        return convert(words, inner, name)
    text = " ".join(words)
    try:
        if kind is bool:
            return _switch(text)
        if kind is Path:
            return _file(text, name)
        return kind(text) if kind in {int, float, str} else text
    except ValueError:
        raise ConfigError(f"the parameter --{name} wants {kind.__name__}, got {text!r}") from None


def _switch(text: str) -> bool:
    if text.lower() in {*TRUE, ""}:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(text)


def _file(text: str, name: str) -> Path:
    path = Path(text).absolute()
    if not path.exists():
        raise ConfigError(f"the parameter --{name} names {text}, which does not exist")
    return path
