"""Undo what starting Python changes for the programs that it becomes."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def undo() -> None:
    """Give up LC_CTYPE, set by PEP 538 in a C locale, and heed SIGPIPE and SIGXFSZ again."""
    given = Path("/proc/self/environ").read_bytes().split(b"\0")
    if not any(item.startswith(b"LC_CTYPE=") for item in given):
        os.environ.pop("LC_CTYPE", None)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
