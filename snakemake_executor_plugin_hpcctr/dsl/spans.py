"""Where in the user's code something stands: file, line and columns."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType

#: Frames of this package are ours; the first one outside is the user's.
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 (a str, as co_filename)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of source text.

    Args:
        file: Path of the file as Python knows it.
        line: First line, from 1.
        column: First column, from 1; 0 if it is not known.
        end_line: Last line.
        end_column: Column of the last character.
    """

    file: str
    line: int
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        text = f"{shorten(self.file)}:{self.line}"
        if not self.column:
            return text
        if self.end_line != self.line:
            return f"{text}:{self.column} to {self.end_line}:{self.end_column}"
        return f"{text}:{self.column}-{self.end_column}"


#: Stands where no user's code is concerned.
NOWHERE = Span("", 0)


def shorten(file: str) -> str:
    """Return a path below the working directory relative to it, any other as it is."""
    base = os.getcwd() + os.sep  # noqa: PTH109 (text in, text out)
    return file.removeprefix(base)


def here() -> Span:
    """Return the place in the user's code from which this package was called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_not_users(frame.f_code.co_filename):
        frame = frame.f_back
    return NOWHERE if frame is None else _span(frame.f_code, frame.f_lasti, frame.f_lineno)


def raised_at(trace: TracebackType | None) -> Span | None:
    """Return the innermost place of the user's code in a traceback, or None."""
    found = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_ours(code.co_filename) and not is_foreign(code.co_filename):
            found = _span(code, trace.tb_lasti, trace.tb_lineno)
        trace = trace.tb_next
    return found


def of_code(code: CodeType) -> Span:
    """Return where a function begins."""
    return Span(code.co_filename, code.co_firstlineno)


def is_ours(file: str) -> bool:
    """Whether a file belongs to this package."""
    return file.startswith(PACKAGE)


def _is_not_users(file: str) -> bool:
    return is_ours(file) or is_foreign(file)


def is_foreign(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    return (
        file.startswith(("<", sys.base_prefix + os.sep + "lib", sys.prefix + os.sep))
        or f"{os.sep}site-packages{os.sep}" in file
    )


def _span(code: CodeType, instruction: int, line: int) -> Span:
    nothing = (None, None, None, None)
    first, last, column, end = next(islice(code.co_positions(), instruction // 2, None), nothing)
    if first is None or column is None:
        return Span(code.co_filename, line)
    return Span(code.co_filename, first, column + 1, last or first, end or 0)
