"""A program in a terminal of its own, typed into as a person would."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

PATIENCE_S = 60.0
#: What a shell writes to move the cursor, colour words or tell of pasted text.
CONTROL = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\x07")
#: 50 lines of 400 characters: no line is broken.
WIDE = struct.pack("4H", 50, 400, 0, 0)
UP = "\x1b[A"
CTRL_C = "\x03"


class Terminal:
    """A program that believes it talks to a person; killed at the end."""

    def __init__(self, argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._said = b""
        self.pid, self._side = pty.fork()
        if self.pid == 0:  # pragma: no cover (the other process)
            fcntl.ioctl(0, termios.TIOCSWINSZ, WIDE)
            os.chdir(folder)
            os.execvpe(argv[0], list(argv), {**environ, "TERM": "xterm"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._side)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    @property
    def said(self) -> str:
        """What it has printed so far, as plain text."""
        return CONTROL.sub("", self._said.decode(errors="replace"))

    def type(self, text: str) -> None:
        """Type text; a line ends with a carriage return."""
        os.write(self._side, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Read until a pattern is on the screen; return what it matched, and forget it all."""
        until = time.monotonic() + PATIENCE_S
        while (found := re.search(pattern, self.said)) is None:
            assert time.monotonic() < until, f"never said {pattern!r}:\n{self.said}"
            assert self._read(), f"ended before it said {pattern!r}:\n{self.said}"
        self._said = b""
        return found[0]

    def finish(self) -> int:
        """Wait for its end and return its exit code."""
        until = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < until, f"never ended:\n{self.said}"
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        """Read what there is; False at the end."""
        ready, _, _ = select.select([self._side], [], [], 0.2)
        if not ready:
            return True
        try:
            more = os.read(self._side, 65536)
        except OSError:
            return False
        self._said += more
        return bool(more)
