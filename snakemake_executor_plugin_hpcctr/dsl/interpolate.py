"""`${name}` in scripts, file names and tags; everything else is the shell's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.values import is_unknown
from snakemake_executor_plugin_hpcctr.script.quote import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

REFERENCE = re.compile(
    r"\$\{\s*(?P<name>[A-Za-z_]\w*)(?P<path>(?:\.[A-Za-z_]\w*(?:\(\))?|\[-?\d+\]|\['[^']*'\]|\[\"[^\"]*\"\])*)"
    r"\s*\}"
)
STEP = re.compile(
    r"\.(?P<attribute>[A-Za-z_]\w*)(?P<call>\(\))?|\[(?P<index>-?\d+)\]|\[(?P<q>['\"])(?P<key>.*?)(?P=q)\]"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${name.attribute[0]}`.

    Args:
        name: What it begins with.
        text: The whole, as it is written.
        steps: What follows: attribute names, indices and keys.
    """

    name: str
    text: str
    steps: tuple[tuple[str, str], ...]

    def value(self, lookup: Callable[[str], Any]) -> Any:
        """Return what it stands for.

        Raises:
            AttributeError, KeyError, IndexError: There is no such part.
        """
        value = lookup(self.name)
        for kind, word in self.steps:
            if kind == "attribute":
                value = value[word] if isinstance(value, dict) else getattr(value, word)
            elif kind == "call":
                value = getattr(value, word)()
            else:
                value = value[int(word)] if kind == "index" else value[word]
        return value


@lru_cache(maxsize=4096)
def parse(text: str) -> tuple[str | Reference, ...]:
    """Cut a text into literal pieces and references."""
    pieces: list[str | Reference] = []
    position = 0
    for match in REFERENCE.finditer(text):
        pieces += [text[position : match.start()], _reference(match)]
        position = match.end()
    return tuple(piece for piece in (*pieces, text[position:]) if piece != "")


def _reference(match: re.Match[str]) -> Reference:
    steps = []
    for step in STEP.finditer(match["path"]):
        if step["attribute"]:
            steps.append(("call" if step["call"] else "attribute", step["attribute"]))
        elif step["index"]:
            steps.append(("index", step["index"]))
        else:
            steps.append(("key", step["key"]))
    return Reference(match["name"], match[0], tuple(steps))


def references(text: str) -> Iterator[Reference]:
    """Yield the references of a text in order."""
    return (piece for piece in parse(text) if isinstance(piece, Reference))


def fill(
    text: str,
    names: Collection[str],
    lookup: Callable[[str], Any],
    show: Callable[[Any], str],
) -> str:
    """Return a text with references to `names` replaced; any other stays as it is.

    Args:
        text: The text.
        names: Inputs, script variables, `task` and `params`.
        lookup: Name → value.
        show: Value → text.
    """
    return "".join(
        piece
        if isinstance(piece, str)
        else show(piece.value(lookup))
        if piece.name in names
        else piece.text
        for piece in parse(text)
    )


def as_text(value: Any) -> str:
    """Return a value as plain text: file names by their last part, lists joined by blanks.

    Raises:
        Touched: A value that is not known yet.
    """
    if is_unknown(value):
        return value.name if getattr(value, "_name", None) else str(value)
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, (list, tuple)):
        return " ".join(as_text(part) for part in value)
    return scalar(value)


def as_words(value: Any) -> str:
    """Return a value for a bash script: paths quoted, lists joined by blanks."""
    if isinstance(value, PurePath):
        return quote(str(value))
    if isinstance(value, (list, tuple)):
        return " ".join(as_words(part) for part in value)
    return scalar(value)


def scalar(value: Any) -> str:
    """Return a plain value as text: true and false as shells write them, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
