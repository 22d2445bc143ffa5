"""The pyxis double: an `srun` that stands before the real one on PATH.

It takes pyxis's options out of the command line, and has the real srun start
`pyxis_step.py` on the node in the command's place, which runs the command in the image.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tests.doubles.node import python_traces, pyxis_options
from tests.doubles.node.pyxis_options import OptionError

STEP_PROGRAM = Path(__file__).with_name("pyxis_step.py")
#: srun's own options that take no value, or one only after `=`; checked on Slurm 22.05.
SHORT_WITHOUT_VALUE = frozenset("hklsuvEHIKOQVXZ")
_LONG_WITHOUT_VALUE = """
    bcast compress contiguous disable-status exact exclusive external-launcher help hold immediate
    kill-on-bad-exit label multi-prog nice no-allocate no-kill overcommit overlap oversubscribe
    preserve-env propagate pty quiet quit-on-interrupt reboot resv-ports send-libs spread-job
    stepmgr test-only unbuffered usage use-min-nodes verbose version wait-for-children
"""
LONG_WITHOUT_VALUE = frozenset(_LONG_WITHOUT_VALUE.split())
OWN_OPTION = "container"  # Slurm's own, for OCI bundles; its name begins all of pyxis's


@dataclass(frozen=True)
class Words:
    """srun's command line, sorted."""

    pyxis: list[tuple[str, str | None]]
    rest: list[str]
    command: list[str]


def split(words: list[str]) -> Words:
    """Sort a command line into pyxis's options, srun's other options, and the command.

    Raises:
        OptionError: A pyxis option lacks its value, or has one that it does not take.
    """
    sorted_words, left = Words([], [], []), list(words)
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        if not word.startswith("--"):
            sorted_words.rest.append(word)
            sorted_words.rest.extend(_value_of_short(word, left))
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        long = find_option(name)
        if long:
            given = value if equals else None
            sorted_words.pyxis.append((long, _value_of_pyxis(long, given, left)))
            continue
        sorted_words.rest.append(word)
        if not equals and name not in LONG_WITHOUT_VALUE and left:
            sorted_words.rest.append(left.pop(0))
    sorted_words.command.extend(left)
    return sorted_words


def find_option(name: str) -> str | None:
    """Return the pyxis option that a name or an unambiguous beginning of one means."""
    names = pyxis_options.long_options()
    if name in names or name == OWN_OPTION:
        return name if name in names else None
    found = [full for full in names if name and full.startswith(name)]
    return found[0] if len(found) == 1 and not _is_own(name) else None


def _is_own(name: str) -> bool:
    return name in LONG_WITHOUT_VALUE or any(own.startswith(name) for own in LONG_WITHOUT_VALUE)


def _value_of_short(word: str, left: list[str]) -> list[str]:
    """Return the next word if the last letter of a cluster such as `-un` takes it as its value."""
    for position, letter in enumerate(word[1:], start=1):
        if letter not in SHORT_WITHOUT_VALUE:
            return [left.pop(0)] if position == len(word) - 1 and left else []
        if letter in "IK":  # an optional value is the rest of the word
            return []
    return []


def _value_of_pyxis(name: str, given: str | None, left: list[str]) -> str | None:
    if not pyxis_options.long_options()[name]:
        if given is not None:
            raise OptionError(f"option '--{name}' doesn't allow an argument")
        return None
    if given is not None:
        return given
    if not left:
        raise OptionError(f"option '--{name}' requires an argument")
    return left.pop(0)


def step_words(words: Words, options: pyxis_options.Options) -> list[str]:
    """Return the arguments for the real srun: its options and what runs on the node."""
    if not options.contained or not words.command:
        return [*words.rest, *words.command]
    name = Path(words.command[0]).name
    named = any(word.startswith(("-J", "--job-name")) for word in words.rest)
    naming = [] if named or not _may_name() else [f"--job-name={name}"]
    wrapped = [sys.executable, "-IS", str(STEP_PROGRAM), json.dumps(asdict(options))]
    return [*words.rest, *naming, *wrapped, *words.command]


def _may_name() -> bool:
    """Say whether srun would name the step after its command, which is now our program."""
    return "SLURM_JOB_NAME" not in os.environ or "SLURM_JOB_ID" in os.environ


def real_srun() -> str | None:
    """Return the next `srun` on PATH that is not a double."""
    own = Path(__file__).resolve().parents[1]
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        found = shutil.which("srun", path=folder or ".")
        if found and own not in Path(found).resolve().parents:
            return found
    return None


def main(words: list[str]) -> int:
    """Run one command line; returns only if the real srun is not started."""
    program = real_srun()
    if program is None:
        sys.stderr.write("srun: command not found (double of pyxis: it needs the real srun)\n")
        return 127
    try:
        sorted_words = split(words)
    except OptionError as problem:
        sys.stderr.write(f'srun: {problem}\nTry "srun --help" for more information\n')
        return 255
    if {"--help", "-h"} & set(sorted_words.rest):
        return _help(program)
    try:
        options = pyxis_options.collect(sorted_words.pyxis)
    except OptionError as problem:
        _complain(problem.args)
        return 255
    _complain(pyxis_options.add_variables(options, os.environ))
    _complain(pyxis_options.ignored(options))
    if options.contained and "--multi-prog" in sorted_words.rest:
        sys.stderr.write("srun: error: double of pyxis: --multi-prog is not doubled\n")
        return 255
    return _become(program, step_words(sorted_words, options))


def _complain(lines: tuple[str, ...] | list[str]) -> None:
    sys.stderr.write("".join(f"srun: error: {line}\n" for line in lines))


def _help(program: str) -> int:
    done = subprocess.run((program, "--help"), stdout=subprocess.PIPE, text=True, check=False)
    head, gpu, tail = done.stdout.partition("GPU scheduling options:")
    sys.stdout.write(head + pyxis_options.help_text() + gpu + tail)
    return done.returncode


def _become(program: str, words: list[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    python_traces.undo()
    for name in [name for name in os.environ if name.startswith("PYXIS_CONTAINER_")]:
        del os.environ[name]  # a real plugin behind this double would take them again
    os.execv(program, ["srun", *words])
