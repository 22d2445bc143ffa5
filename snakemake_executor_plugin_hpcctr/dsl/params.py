"""Parameters of a pipeline: those of its entry workflow, typed.

Low to high: the default in the workflow, `params:` of hpcctr.yaml (profiles on top), a file of
`--params-file`, `--name value`.
"""

from __future__ import annotations

import enum
import inspect
import json
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl.typed import to_number, type_hints
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.pipeline import Pipeline

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})
MISSING = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Args:
        name: As in the workflow's signature.
        kind: Its type.
        default: Value if nobody gives one; MISSING if it must be given.
        about: What the workflow's docstring says of it.
    """

    name: str
    kind: Any
    default: Any = MISSING
    about: str = ""

    @property
    def flag(self) -> str:
        """How it is typed: `--name`."""
        return f"--{self.name}"

    @property
    def kind_name(self) -> str:
        """Its type, for people."""
        return kind_name(self.kind)


def kind_name(kind: Any) -> str:
    """Return a type for people: `list of float`, `file`, `text`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {list, tuple, set}:
        return f"list of {kind_name(arguments[0]) if arguments else 'text'}"
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin in {typing.Union, types.UnionType}:
        return " | ".join(kind_name(part) for part in arguments if part is not type(None))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " | ".join(str(member.value) for member in kind)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "file"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def parameters(pipeline: Pipeline) -> dict[str, Parameter]:
    """Return a pipeline's parameters, in the order of the signature."""
    entry = pipeline.entry
    hints, about = type_hints(entry.function, entry.span), described(entry.__doc__ or "")
    found = {}
    for name, given in entry.signature.parameters.items():
        plain = given.default is MISSING or given.default is None
        kind = hints.get(name, str if plain else type(given.default))
        default = False if given.default is MISSING and kind is bool else given.default
        found[name] = Parameter(name, kind, default, about.get(name, ""))
    return found


def described(docstring: str) -> dict[str, str]:
    """Return what the `Args:` section of a docstring says of each parameter."""
    found: dict[str, str] = {}
    lines = inspect.cleandoc(docstring).splitlines()
    if "Args:" not in lines:
        return found
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        head, colon, rest = line.strip().partition(":")
        if colon and line.startswith("    ") and not line.startswith("     "):
            name = head.split(" ")[0]
            found[name] = rest.strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def read_arguments(
    pipeline: Pipeline,
    words: Sequence[str],
    *,
    config: Mapping[str, Any] | None = None,
    file: Path | None = None,
) -> dict[str, Any]:
    """Return the values of a pipeline's parameters.

    Args:
        pipeline: The loaded file.
        words: `--name value …` as typed.
        config: `params:` of configuration files.
        file: A YAML or JSON file with parameters.

    Raises:
        ConfigError: An unknown name, a value of the wrong type, a parameter that is missing.
    """
    known = parameters(pipeline)
    given: dict[str, Any] = {}
    for source, where in ((config or {}, "hpcctr.yaml, params"), (_from_file(file), str(file))):
        for typed, value in source.items():
            given[_known(typed, known, where)] = (value, where)
    given |= {name: (value, "the command line") for name, value in _split(words, known).items()}
    found = {}
    for name, parameter in known.items():
        if name in given:
            value, where = given[name]
            found[name] = convert(value, parameter, where)
        elif parameter.default is MISSING:
            raise ConfigError(
                f"the parameter {parameter.flag} is missing ({parameter.kind_name})",
                where=str(pipeline.entry.span),
                next_step=f"give it: {parameter.flag} VALUE; `--help` lists all parameters",
            )
        else:
            found[name] = parameter.default
    return found


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(
            f"the parameters cannot be read: {error.strerror}", where=str(file)
        ) from None
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"the parameters cannot be read: {str(error).splitlines()[0]}", where=str(file)
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError("it holds no parameters", where=str(file), next_step="write name: value")
    return {str(name): value for name, value in content.items()}


def _split(words: Sequence[str], known: Mapping[str, Parameter]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            typed, equals, value = word[2:].partition("=")
            name = _known(typed, known, "the command line")
            given[name] = [value] if equals else []
        elif not name:
            raise ConfigError(
                f"{word!r} belongs to no parameter",
                next_step="write --name value; options of Snakemake come after ` -- `",
            )
        else:
            given[name].append(word)
    for flag, values in given.items():
        if not values and known[flag].kind is not bool:
            raise ConfigError(
                f"the parameter --{flag} has no value", next_step=f"write --{flag} VALUE"
            )
    return given


def _known(typed: str, known: Mapping[str, Parameter], where: str) -> str:
    """Return the parameter that was typed: `--input-file` is `input_file` or `inputFile`."""
    names = {name.lower().replace("_", ""): name for name in known}
    found = names.get(typed.lower().replace("-", "").replace("_", ""))
    if found is None:
        listed = ", ".join(f"--{name}" for name in known)
        raise ConfigError(
            f"there is no parameter `{typed}`",
            where=where,
            next_step=did_you_mean(typed, known)
            or (f"the parameters are {listed}" if listed else "this pipeline has none")
            + "; options of Snakemake come after ` -- `",
        )
    return found


def convert(value: Any, parameter: Parameter, where: str) -> Any:
    """Turn what was given into a parameter's type.

    Args:
        value: Words of the command line, or what a file holds.
        parameter: What it is for.
        where: Who gave it, for messages.

    Raises:
        ConfigError: It is not of that type, or a file that does not exist.
    """
    try:
        return _typed(value, parameter.kind)
    except (ValueError, TypeError):
        shown = " ".join(value) if isinstance(value, list) else value
        raise ConfigError(
            f"the parameter {parameter.flag} wants {parameter.kind_name}, got {shown!r}",
            where=where,
        ) from None
    except FileNotFoundError as error:
        raise ConfigError(
            f"the parameter {parameter.flag} names {error.args[0]}, which does not exist",
            where=where,
            next_step="check the path; a relative one counts from the current folder",
        ) from None


def _typed(value: Any, kind: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {list, tuple, set} or kind in {list, tuple, set}:
        return _several(value, origin or kind, arguments[0] if arguments else str)
    if origin in {typing.Union, types.UnionType}:
        if value is None:
            return None
        return _typed(value, next(part for part in arguments if part is not type(None)))
    if origin is dict or kind is dict:
        return _mapping(value)
    one = " ".join(value) if isinstance(value, list) else value
    if origin is typing.Literal:
        return _chosen(one, {str(choice): choice for choice in arguments})
    return _scalar(one, kind)


def _chosen(value: Any, choices: Mapping[str, Any]) -> Any:
    if str(value) not in choices:
        raise ValueError(value)
    return choices[str(value)]


def _several(value: Any, form: Any, inner: Any) -> Any:
    words = value if isinstance(value, list) else [value]
    parts = [
        part for word in words for part in (word.split(",") if isinstance(word, str) else [word])
    ]
    return form(_typed(part, inner) for part in parts)


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    words = value if isinstance(value, list) else [value]
    pairs = [str(part).partition("=") for part in words]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(value)
    return {name: text for name, _, text in pairs}


def _scalar(value: Any, kind: Any) -> Any:
    if kind is bool:
        return value if isinstance(value, bool) else _switch(str(value))
    if kind is Path:
        return _file(str(value))
    if kind is str:
        return value if isinstance(value, str) else str(value)
    if kind in {int, float}:
        return to_number(value, kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _chosen(value, {m.name: m for m in kind} | {str(m.value): m for m in kind})
    return value


def _switch(text: str) -> bool:
    if text.lower() in {*TRUE, ""}:
        return True
    if text.lower() in FALSE:
        return False
    raise ValueError(text)


def _file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise FileNotFoundError(text)
    return path


def help_text(pipeline: Pipeline) -> str:
    """Return what `hpcctr dsl run FILE --help` prints of a pipeline's parameters."""
    lines = []
    about = inspect.cleandoc(pipeline.entry.__doc__ or "").partition("\n")[0]
    lines += [about, ""] if about else []
    known = parameters(pipeline)
    lines.append("Parameters:" if known else "It has no parameters.")
    width = max((len(p.flag) for p in known.values()), default=0)
    for parameter in known.values():
        default = (
            "required" if parameter.default is MISSING else f"default: {_shown(parameter.default)}"
        )
        words = f"{parameter.kind_name}; {default}"
        lines.append(f"  {parameter.flag.ljust(width)}  {words}")
        lines += [f"  {' ' * width}  {parameter.about}"] if parameter.about else []
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None or value == "" else str(value)
