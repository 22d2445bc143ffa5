"""Text from a program's log, as it would look on paper."""

from __future__ import annotations

import re

#: Colours and cursor movements, as programs write them to a terminal (ECMA-48).
ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])")


def printable(text: str) -> str:
    """Return a text without colours and control characters; tabs become spaces."""
    plain = ESCAPES.sub("", text).expandtabs(4)
    return "".join(c if c.isprintable() else " " for c in plain).rstrip()
