"""Write the generated parts of docs/reference/flags.md and docs/reference/cli.md.

Run it after a change of a flag or a command: `python docs/generate.py`. What stands outside
the two marks on these pages is written by hand and stays.
"""

from __future__ import annotations

import inspect
import typing
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.models import ArgumentInfo

from snakemake_executor_plugin_hpcctr.cli.app import app
from snakemake_executor_plugin_hpcctr.executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REFERENCE = Path(__file__).parent / "reference"
BEGIN = "<!-- begin: docs/generate.py writes this part -->\n"
END = "<!-- end -->\n"
NOTHING = "-"

#: Flag → key of hpcctr.yaml that says the same, "" where only the flag exists.
KEYS = {
    "scheduler": "scheduler",
    "engine": "engine",
    "config": "",
    "python": "python",
    "image_dir": "image_dir",
    "locked": "",
    "binds": "defaults: {binds: …}",
    "account": "defaults: {account: …}",
    "partition": "defaults: {partition: …}",
    "array": "array",
    "max_parallel": "defaults: {max_parallel: …}",
    "poll_min": "",
    "poll_max": "",
    "log_dir": "logs: {dir: …}",
    "keep_logs": "logs: {keep: …}",
    "keep_scripts": "",
}

VALUES: dict[Any, str] = {str: "text", Path: "path", int: "number", float: "seconds"}

#: What a parameter has that needs not be given.
UNSET = (None, "", [], inspect.Parameter.empty)


def pages() -> dict[Path, str]:
    """Return the whole text of each page, its generated part renewed."""
    parts = {"flags.md": flags_table(), "cli.md": command_sections()}
    return {REFERENCE / name: _renewed(REFERENCE / name, part) for name, part in parts.items()}


def flags_table() -> str:
    """Return the table of the `--hpcctr-…` flags."""
    head = ("flag", "value", "meaning", "default", "in hpcctr.yaml")
    return _table(head, [_flag_row(one) for one in fields(ExecutorSettings)])


def command_sections() -> str:
    """Return a section for each command of `hpcctr`."""
    return "\n".join(
        f"## `{name}`\n\n{_prose(function.__doc__)}\n\n{_options(function)}".rstrip() + "\n"
        for name, function in commands("hpcctr", app)
    )


def _renewed(page: Path, part: str) -> str:
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    return f"{head}{BEGIN}\n{part}\n{END}{rest.partition(END)[2]}"


def _flag_row(one: Field[Any]) -> tuple[str, ...]:
    """Return a flag's line; a new flag needs its line in KEYS, and a variable."""
    if not one.metadata.get("env_var"):
        raise ValueError(f"the page says that each flag has a variable; {one.name} has none")
    meaning, _, default = one.metadata["help"].partition(" Default: ")
    if not default and isinstance(one.default, float):
        default = f"{one.default:g}"
    key = KEYS[one.name]
    return (
        f"`--hpcctr-{one.name.replace('_', '-')}`",
        _value(one),
        meaning.removesuffix("."),
        default or NOTHING,
        f"`{key}`" if key else NOTHING,
    )


def _value(one: Field[Any]) -> str:
    if one.default is False:
        return NOTHING
    if choices := one.metadata.get("choices"):
        return ", ".join(f"`{choice}`" for choice in choices)
    kinds = [kind for kind in typing.get_args(one.type) if kind is not type(None)] or [one.type]
    several = ", one or more" if one.default_factory is not MISSING else ""
    return VALUES[kinds[0]] + several


def commands(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and functions of all commands, in the order of the help."""
    for command in group.registered_commands:
        if command.hidden:
            continue
        yield f"{name} {command.name or command.callback.__name__}", command.callback
    for child in group.registered_groups:
        yield from commands(f"{name} {child.name}", child.typer_instance)


def _options(function: Any) -> str:
    hints = typing.get_type_hints(function, include_extras=True)
    found = inspect.signature(function).parameters.values()
    told = [(one, typing.get_args(hints[one.name])) for one in found]
    rows = [_option_row(one, *parts) for one, parts in told if parts]
    return _table(("option or word", "value", "meaning", "default"), rows) if rows else ""


def _option_row(one: inspect.Parameter, kind: Any, option: Any) -> tuple[str, ...]:
    """Return an option's line; `kind` and `option` are the two parts of its Annotated type."""
    if isinstance(option, ArgumentInfo):
        words = option.metavar or one.name.upper()
        return f"`{words}`", NOTHING, _ended(option.help), NOTHING
    is_switch = kind is bool
    default = getattr(one.default, "value", one.default)
    return (
        ", ".join(f"`{name}`" for name in _names(one.name, option, is_switch=is_switch)),
        NOTHING if is_switch else option.metavar or _kind(kind),
        _ended(option.help),
        NOTHING if is_switch or default in UNSET else f"`{default}`",
    )


def _ended(sentence: str | None) -> str:
    return (sentence or "").removesuffix(".")


def _names(parameter: str, option: Any, *, is_switch: bool) -> list[str]:
    """Return an option's names: as given (typer puts the first into `default`), else its own."""
    given = [name for name in (option.default, *(option.param_decls or ())) if _is_option(name)]
    word = parameter.replace("_", "-")
    return given or [f"--{word}", *([f"--no-{word}"] if is_switch else [])]


def _is_option(name: object) -> bool:
    return isinstance(name, str) and name.startswith("-")


def _kind(kind: Any) -> str:
    if inner := [part for part in typing.get_args(kind) if part is not type(None)]:
        several = ", may be repeated" if typing.get_origin(kind) is list else ""
        return _kind(inner[0]) + several
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{one.value}`" for one in kind)
    return VALUES[kind]


def _prose(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines]) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
