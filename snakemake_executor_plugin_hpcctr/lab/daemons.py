"""Start a daemon, tell whether it lives, end it: by pid file and by what /proc says of it.

A pid alone proves nothing, since the number may belong to another process by now. So a process
counts as the lab's only if its environment names the lab's slurm.conf, or, for slurmstepd, which
overwrites its environment, if it holds the log of one of the lab's slurmd open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROC = Path("/proc")
START_S = 30.0
STOP_S = 10.0
POLL_S = 0.05
LOG_LINES = 8
#: Lines of Slurm's logs that look like the cause of any failure and never are.
HARMLESS = (
    "MailProg is invalid",
    "pmix",
    "MPI: Cannot create context",
    "Could not open",
    "backup state save file",
    "No fed_mgr state file",
    "Database settings not recommended",
    "ccounting information",
)


@dataclass(frozen=True)
class Daemon:
    """One daemon of a lab.

    Args:
        name: `slurmctld`, `slurmd-n1`, `munged` …; names its log, too.
        argv: Starts it in the background.
        pid_file: Written by the daemon.
        log_file: Written by the daemon.
    """

    name: str
    argv: tuple[str, ...]
    pid_file: Path
    log_file: Path


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition`, at most `timeout_s` seconds; return whether it came true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def start(daemon: Daemon, env: Mapping[str, str]) -> None:
    """Start a daemon unless it lives, and wait until it has written its pid file.

    Raises:
        CommandError: It did not start; the message holds the end of its log.
    """
    if pid_of(daemon, env) is not None:
        return
    daemon.pid_file.unlink(missing_ok=True)
    old = len(_log_text(daemon))
    done = proc.run(daemon.argv, timeout_s=START_S, env=env)
    if not done.ok:
        raise failure(daemon, "did not start", done.err)
    wait_until(
        lambda: pid_of(daemon, env) is not None or "fatal: " in _log_text(daemon)[old:], START_S
    )
    if pid_of(daemon, env) is None:
        raise failure(daemon, "ended soon after its start", done.err)


def stop(daemon: Daemon, env: Mapping[str, str]) -> None:
    """End a daemon with TERM; with KILL if it still lives after some seconds."""
    pid = pid_of(daemon, env)
    if pid is not None:
        end([pid])
    daemon.pid_file.unlink(missing_ok=True)


def end(pids: list[int], first: signal.Signals = signal.SIGTERM) -> None:
    """Send a signal to processes, wait, and kill those that remain."""
    for number in (first, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if wait_until(lambda: not any(map(is_running, pids)), STOP_S):
            return


def pid_of(daemon: Daemon, env: Mapping[str, str]) -> int | None:
    """Return the daemon's process number if it lives and belongs to this lab."""
    try:
        pid = int(daemon.pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    mark = f"SLURM_CONF={env['SLURM_CONF']}".encode()
    return pid if is_running(pid) and mark in _read(pid, "environ").split(b"\0") else None


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that ended and was not waited for does not (proc(5))."""
    status = _read(pid, "stat").rpartition(b")")[2].split()
    return bool(status) and status[0] not in {b"Z", b"X"}


def steps_of(logs: set[Path]) -> list[int]:
    """Return the slurmstepd that hold one of these slurmd logs open."""
    wanted = {os.fspath(log) for log in logs}
    return [
        pid
        for pid in _pids()
        if _read(pid, "comm").startswith(b"slurmstepd") and wanted & set(_open_files(pid))
    ]


def with_descendants(roots: list[int]) -> list[int]:
    """Return these processes and all that they started, by parentage."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if len(fields) > 1:
            children.setdefault(int(fields[1]), []).append(pid)
    found = list(roots)
    for pid in found:
        found += [child for child in children.get(pid, []) if child not in found]
    return found


def failure(daemon: Daemon, what: str, said: str = "") -> CommandError:
    """Describe a daemon's failure by the end of its log."""
    lines = telling_lines(_log_text(daemon)) or said.strip().splitlines()[-LOG_LINES:]
    return CommandError(
        "\n  ".join([f"`{daemon.name}` {what}; its last words:", *(lines or ["(none)"])]),
        next_step=_advice("\n".join(lines)) + f"the whole log is `{daemon.log_file}`",
    )


def telling_lines(log: str) -> list[str]:
    """Return the last lines of a log, those that say error or fatal if there are any."""
    lines = [line for line in log.splitlines() if not any(text in line for text in HARMLESS)]
    telling = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (telling or lines)[-LOG_LINES:]


def _log_text(daemon: Daemon) -> str:
    try:
        return daemon.log_file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


#: What a daemon says → what to do about it.
ADVICE = {
    "Address already in use": "another program took the port just now, run the same command again",
    "Hybrid mode is not supported": "cgroups cannot be used here, add `--memory-limit sampled`",
    "cgroup": "if cgroups cannot be used here, add `--memory-limit sampled`",
    "Insecure": "choose another folder with `--dir`, which only you can write to",
    "No space left": "free some space, or choose another disk with `--dir`",
}


def _advice(text: str) -> str:
    return next((f"{advice}; " for sign, advice in ADVICE.items() if sign in text), "")


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _read(pid: int, name: str) -> bytes:
    """Read a file of /proc; empty where the process has gone or is another user's."""
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""


def _open_files(pid: int) -> Iterator[str]:
    folder = PROC / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            with contextlib.suppress(OSError):
                yield os.fspath(entry.readlink())
