"""Text as programs in C and shell see it: bytes, whose lines end at a newline and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

SPACE = " \t\n\v\f\r"  # isspace(3); Python knows more kinds


def read(path: Path | str) -> str:
    """Return a file's text; what is no UTF-8 comes through."""
    return os.fsdecode(Path(path).read_bytes())


def write(path: Path | str, text: str) -> None:
    """Replace a file's text."""
    Path(path).write_bytes(os.fsencode(text))


def lines(text: str) -> list[str]:
    """Split a text at its newlines."""
    parts = text.split("\n")
    return parts if parts[-1] else parts[:-1]


def words(line: str) -> list[str]:
    """Split a line at white space."""
    same = line.translate(str.maketrans(SPACE, " " * len(SPACE)))
    return [word for word in same.split(" ") if word]
