"""The environment as Enroot writes it: text lines `NAME=VALUE`, checked, trimmed and unquoted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.doubles.node import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
REFERENCE = re.compile(r"\$\{(" + NAME + r")\}")
DECLARED = re.compile(NAME + r"(=|$)")
ASSIGNED = re.compile(NAME + r"=")
QUOTED = re.compile(rf"({NAME})=[\"'](.*)[\"']\s*$")


def split_values(values: Iterable[str]) -> list[str]:
    """Return what Enroot makes of the arguments of `--env` or `--mount`: lines.

    The values travel through its shell as one text, so a newline inside one begins another.
    """
    text = "\n".join(values).rstrip("\n")
    return text.split("\n") if text else []


def is_declaration(line: str) -> bool:
    """Say whether `--env` takes this line: `NAME` or `NAME=…`."""
    return DECLARED.match(line) is not None


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace each `${NAME}`; a name that is not set becomes empty."""
    return REFERENCE.sub(lambda found: environment.get(found[1], ""), text)


def declare(lines: Iterable[str], environment: Mapping[str, str]) -> str:
    """Return the text for the arguments of `--env`: a bare name takes the host's value."""
    whole = (line if "=" in line else f"{line}={environment.get(line, '')}" for line in lines)
    return "".join(f"{line}\n" for line in whole)


def tidy(text: str) -> str:
    """Drop what is no variable and Enroot's own, and one pair of outer quotes of each value."""
    kept = []
    for raw in texts.lines(text):
        line = raw.lstrip(texts.SPACE)
        if ASSIGNED.match(line) and not line.startswith("ENROOT_"):
            kept.append(QUOTED.sub(r"\1=\2", line))
    return "".join(f"{line}\n" for line in kept)


def parse(text: str) -> dict[str, str]:
    """Read tidy text; the last value of a name counts."""
    found = (line.partition("=") for line in texts.lines(text) if ASSIGNED.match(line))
    return {name: value for name, _, value in found}
