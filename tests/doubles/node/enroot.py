"""The command line of the Enroot double."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.node import python_traces, settings, start, store, variables
from tests.doubles.node.settings import BANNER, VERSION, EnrootError, error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOT_DOUBLED = frozenset(("batch", "bundle", "exec", "load"))
GENERAL_USAGE = f"""\
Usage: enroot COMMAND [ARG...]

Command line utility for manipulating container sandboxes ({BANNER}).

 Commands:
   create [options] [--] IMAGE
   digest [options] [--] URI
   export [options] [--] NAME
   import [options] [--] URI
   list   [options]
   remove [options] [--] NAME...
   start  [options] [--] NAME|IMAGE [COMMAND] [ARG...]
   info
   version
"""


@dataclass(frozen=True)
class Command:
    """One subcommand: its options and its usage text.

    Args:
        values: Options with a value, long name → short name or "".
        switches: Options without one.
        arguments: What follows the options, for the usage text.
    """

    arguments: str
    values: Mapping[str, str] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)

    def usage(self, name: str) -> str:
        """Return the usage text."""
        options = {**self.values, **self.switches}
        lines = (
            f"   {f'-{short}, ' if short else '    '}--{long}{' VALUE' * (long in self.values)}\n"
            for long, short in options.items()
        )
        return f"Usage: enroot {name} [options] [--] {self.arguments}\n\n Options:\n" + "".join(
            lines
        )


FORCE = {"force": "f"}
COMMANDS = {
    "create": Command("IMAGE", {"name": "n"}, FORCE),
    "digest": Command("URI", {"arch": "a"}),
    "export": Command("NAME", {"output": "o"}, FORCE),
    "import": Command("URI", {"arch": "a", "output": "o"}),
    "info": Command(""),
    "list": Command("", {}, {"fancy": "f"}),
    "remove": Command("NAME...", {}, FORCE),
    "start": Command(
        "NAME|IMAGE [COMMAND] [ARG...]",
        {"conf": "c", "env": "e", "rc": "", "mount": "m"},
        {"root": "r", "rw": "w"},
    ),
}


class UsageError(Exception):
    """The words make no sense; the answer is the usage text."""


@dataclass(frozen=True)
class Parsed:
    """A subcommand's words, sorted: option → its values, and the arguments."""

    options: dict[str, list[str]]
    arguments: list[str]

    def last(self, name: str) -> str:
        """Return the last value of an option, or ""."""
        return self.options.get(name, [""])[-1]


def parse(command: Command, words: list[str]) -> Parsed:
    """Sort a subcommand's words; options end at the first word that is none.

    Raises:
        UsageError: An unknown option, a missing or empty value; `--help` has the text "help".
    """
    longs = {f"-{short}": long for long, short in {**command.values, **command.switches}.items()}
    options: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if word in {"-h", "--help"}:
            raise UsageError("help")
        name, equals, value = word.partition("=")
        long = longs.get(word) or name.removeprefix("--")
        if long in command.switches and not equals:
            options[long] = ["y"]
            continue
        if long not in command.values or (not equals and word not in {f"--{long}", *longs}):
            raise UsageError
        if not equals:
            value = rest.pop(0) if rest else ""
        if not value:
            raise UsageError
        options.setdefault(long, []).append(value)
    return Parsed(options, rest)


def main(words: list[str]) -> int:
    """Run one command line; returns the exit code."""
    python_traces.undo()
    if words[:1] == ["--version"]:
        sys.stdout.write(f"{BANNER}\n")
        return 0
    name, arguments = (words[0], words[1:]) if words else ("", [])
    if name == "version":
        sys.stdout.write(f"{VERSION}\n")
        return 0
    try:
        if name in NOT_DOUBLED:
            raise error(f"double of enroot: {name} is not doubled")
        settings.load()
        if name not in COMMANDS:
            sys.stdout.write(GENERAL_USAGE)
            return 0 if name in {"help", "-h", "--help"} else 1
        parsed = parse(COMMANDS[name], arguments)
        ACTIONS[name](parsed)
    except UsageError as problem:
        sys.stdout.write(COMMANDS[name].usage(name))
        return 0 if str(problem) else 1
    except EnrootError as problem:
        sys.stderr.write(f"{problem}\n" if str(problem) else "")
        return problem.code
    return 0


def _one(parsed: Parsed) -> str:
    if len(parsed.arguments) != 1:
        raise UsageError
    return parsed.arguments[0]


def _force(parsed: Parsed) -> bool:
    return "force" in parsed.options or settings.switched_on("FORCE_OVERRIDE")


def _start(parsed: Parsed) -> None:
    if not parsed.arguments:
        raise UsageError
    name, *words = parsed.arguments
    conf, rc = parsed.last("conf"), parsed.last("rc")
    if conf and Path(conf).is_file():
        settings.load_directives(Path(conf))
    if "root" in parsed.options:
        os.environ["ENROOT_REMAP_ROOT"] = "y"
    if "rw" in parsed.options:
        os.environ["ENROOT_ROOTFS_WRITABLE"] = "y"
    root = start.find_root(name)
    mounts = variables.split_values(parsed.options.get("mount", []))
    environment = variables.split_values(parsed.options.get("env", []))
    start.check_lines(mounts, environment)
    start.run(
        start.Start(
            root=root,
            rc=start.find_file(rc) if rc else None,
            config=start.check_config(conf) if conf else None,
            mounts=tuple(mounts),
            variables=tuple(environment),
            words=tuple(words),
        )
    )


def _create(parsed: Parsed) -> None:
    store.create(_one(parsed), parsed.last("name"), force=_force(parsed))


def _export(parsed: Parsed) -> None:
    store.export(_one(parsed), parsed.last("output"), force=_force(parsed))


def _import(parsed: Parsed) -> None:
    store.import_image(_one(parsed), parsed.last("output"))


def _remove(parsed: Parsed) -> None:
    if not parsed.arguments:
        raise UsageError
    for name in parsed.arguments:
        store.remove(name, force=_force(parsed))


def _list(parsed: Parsed) -> None:
    if "fancy" in parsed.options:
        store.list_table()
    else:
        store.list_names()


def _info(parsed: Parsed) -> None:
    if parsed.arguments:
        raise UsageError
    names = sorted(name for name in os.environ if name.startswith("ENROOT_"))
    lines = "".join(f"  {name}={os.environ[name]}\n" for name in names)
    sys.stdout.write(
        f"Enroot version: {VERSION}\nConfig file: none ({BANNER})\n\n"
        f"Environment variables:\n{lines}"
    )


ACTIONS: dict[str, Callable[[Parsed], None]] = {
    "create": _create,
    "digest": lambda parsed: store.digest(_one(parsed)),
    "export": _export,
    "import": _import,
    "info": _info,
    "list": _list,
    "remove": _remove,
    "start": _start,
}
