"""Paths that differ only in an array element's index."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os.path import commonprefix
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGITS = "0123456789"
NUMBER = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True)
class Pattern:
    """Paths `before + index + after`.

    Args:
        before: What stands before the index.
        after: What stands after it.
        indices: The index of each path, in their order.
    """

    before: str
    after: str
    indices: tuple[int, ...]


def find_pattern(paths: Sequence[str]) -> Pattern:
    """Return the pattern of two or more paths.

    Raises:
        ValueError: They differ in more than one whole number without leading zeros.
    """
    before = _common_start(paths).rstrip(DIGITS)
    rest = [path[len(before) :] for path in paths]
    after = _common_start([text[::-1] for text in rest])[::-1].lstrip(DIGITS)
    middles = [text[: len(text) - len(after)] for text in rest]
    if len(set(middles)) != len(paths) or not all(map(NUMBER.fullmatch, middles)):
        raise ValueError(f"not the paths of one array: {paths[0]} … {paths[-1]}")
    return Pattern(before, after, tuple(map(int, middles)))


def _common_start(texts: Sequence[str]) -> str:
    return commonprefix(texts)  # noqa: RUF071 (characters are meant, not components of a path)
