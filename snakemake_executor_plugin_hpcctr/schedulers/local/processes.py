"""Processes of a task on this machine, by what /proc tells (proc(5))."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC = Path("/proc")
LOOK_EVERY_S = 0.05
#: Fields of /proc/PID/stat after the name, counted from 0.
STATE, PARENT, SESSION, START = 0, 1, 3, 19


@dataclass(frozen=True)
class Process:
    """One process.

    Args:
        pid: Its number, which another process may have later.
        start: When it started, in clock ticks since boot: with the number, it is unique.
        parent: Number of its parent.
        session: Number of its session's leader.
    """

    pid: int
    start: int
    parent: int
    session: int


def read_process(pid: int) -> Process | None:
    """Return a process that has not ended, or None."""
    with suppress(OSError, ValueError, IndexError):
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        # The name, in parentheses, may itself hold blanks and parentheses.
        fields = text.rpartition(")")[2].split()
        if fields[STATE] not in "ZX":
            return Process(pid, int(fields[START]), int(fields[PARENT]), int(fields[SESSION]))
    return None


def all_processes() -> Iterator[Process]:
    """Yield the processes of this machine that have not ended."""
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (process := read_process(int(entry.name))):
            yield process


def family(leader: int) -> set[Process]:
    """Return a session's processes and their descendants, which may have left the session."""
    everyone = list(all_processes())
    members = {process for process in everyone if process.session == leader}
    while True:
        known = {process.pid for process in members}
        more = {p for p in everyone if p.parent in known} - members
        if not more:
            return members
        members |= more


def kill(members: Iterable[Process]) -> None:
    """End processes at once; one that has ended is not mistaken for another of its number."""
    for process in members:
        now = read_process(process.pid)
        if now is not None and now.start == process.start and process.pid != os.getpid():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def leaders(variable: str) -> dict[str, Process]:
    """Return the session leaders that have a variable in their environment, by its value."""
    found = {}
    mark = f"{variable}=".encode()
    for process in all_processes():
        if process.pid != process.session:
            continue
        with suppress(OSError):
            for entry in (PROC / str(process.pid) / "environ").read_bytes().split(b"\0"):
                if entry.startswith(mark):
                    found[os.fsdecode(entry[len(mark) :])] = process
    return found


def is_alive(process: Process) -> bool:
    """Tell whether a process has not ended."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start


def end(some: Iterable[Process], grace_s: float) -> None:
    """Send TERM to processes that are not our children, and KILL to their families at the end."""
    leaders_ = list(some)
    members = set().union(*(family(process.pid) for process in leaders_))
    for process in leaders_:
        if is_alive(process):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGTERM)
    until = time.monotonic() + grace_s
    while time.monotonic() < until and any(map(is_alive, leaders_)):
        time.sleep(LOOK_EVERY_S)
    kill(members.union(*(family(process.pid) for process in leaders_)))
