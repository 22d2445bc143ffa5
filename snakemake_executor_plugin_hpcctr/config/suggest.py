"""The nearest known word for one that is not known."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Share of letters in common from which two words count as a slip of the pen.
CLOSE = 0.75


def nearest(word: str, known: Iterable[str], *, close: float = CLOSE) -> str | None:
    """Return the known word that `word` was probably meant to be, or None.

    Upper case and `-` in place of `_` are forgiven.
    """
    plain = word.lower().replace("-", "_")
    found = difflib.get_close_matches(plain, list(known), n=1, cutoff=close)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean `x`?", or "" if no known word is near."""
    found = nearest(word, known)
    return f"did you mean `{found}`?" if found else ""
