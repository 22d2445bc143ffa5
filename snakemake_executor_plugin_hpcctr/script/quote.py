"""The only place that quotes text for a shell.

Single quotes are used throughout: inside them sh, dash, busybox and bash change no byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
SPECIAL = re.compile(r'[\\"$`]')
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quote(text: str) -> str:
    """Return `text` as one word of a POSIX shell.

    Raises:
        ValueError: `text` holds a NUL, which no argument or variable can carry.
    """
    if "\0" in text:
        raise ValueError(f"a NUL character cannot be passed to a program: {text!r}")
    if PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def double_quoted(text: str) -> str:
    r"""Return `text` as one word in double quotes.

    For scripts in images: Apptainer 1.4 reads `'it'\''s'` as `it\'s`, and this as it is meant.
    """
    return '"' + SPECIAL.sub(r"\\\g<0>", text) + '"'


def words(items: Iterable[str]) -> str:
    """Return the items as words of one command line."""
    return " ".join(quote(item) for item in items)


def array(name: str, items: Iterable[str]) -> str:
    """Return the assignment of a bash array, one item a line if there are several."""
    quoted = [quote(item) for item in items]
    if len(quoted) <= 1:
        return f"{name}=({' '.join(quoted)})"
    return f"{name}=(\n" + "".join(f"  {item}\n" for item in quoted) + ")"


def exports(variables: Mapping[str, str]) -> str:
    """Return `export NAME=value` lines.

    Raises:
        ValueError: A name that no shell can set.
    """
    for name in variables:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of an environment variable")
    return "".join(f"export {name}={quote(value)}\n" for name, value in variables.items())


def heredoc(text: str, mark: str) -> tuple[str, str]:
    """Return the opening and the body of a quoted here-document that holds `text` verbatim.

    The mark is lengthened until no line of the text equals it. For bash: dash 0.5.12 loses bytes
    of a line that begins as the mark does.
    """
    lines = set(text.split("\n"))
    while mark in lines:
        mark += "_"
    return f"<<'{mark}'", f"{text}\n{mark}\n"
