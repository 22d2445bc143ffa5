"""The exit marker: what a task's script leaves behind when it ends."""

from __future__ import annotations

import re
from dataclasses import dataclass

MINUTES = re.compile(r"(\d+)m(\d+)[.,](\d+)s")


@dataclass(frozen=True)
class Measured:
    """What one run of a command with `benchmark:` used. None where nothing was seen of it.

    Memory is the greatest of the samples, each summed over the command's processes; MiB.

    Args:
        seconds: From start to end.
        cpu_s: CPU seconds of the command and its children.
        rss_mb: Resident memory.
        vms_mb: Virtual memory.
        uss_mb: Memory that no other process shares.
        pss_mb: Resident memory, where shared pages count by the number of their users.
        read_mb: Read from disks.
        written_mb: Written to disks.
    """

    seconds: float
    cpu_s: float
    rss_mb: float | None = None
    vms_mb: float | None = None
    uss_mb: float | None = None
    pss_mb: float | None = None
    read_mb: float | None = None
    written_mb: float | None = None


@dataclass(frozen=True)
class Marker:
    """One attempt of a task as its own script saw it. None where it could not be measured.

    Args:
        exit_code: Exit code of the command; 1 if `setup` stopped it before.
        setup: Why the command was never started, "" if it was (words in hpcctr.sh).
        detail: The path or sentence that belongs to `setup`.
        started: Seconds since 1970.
        ended: Seconds since 1970, both by the node's clock.
        host: The node.
        cpu_s: CPU seconds of the command and its children.
        peak_mb: Peak memory of the step's cgroup, MiB.
        oom_kills: Processes of the step that were killed for memory.
        signal: Name of the last signal that reached the script, "" if none.
        measured: One record for each run of a command with `benchmark:`.
    """

    exit_code: int
    setup: str = ""
    detail: str = ""
    started: float = 0.0
    ended: float = 0.0
    host: str = ""
    cpu_s: float | None = None
    peak_mb: float | None = None
    oom_kills: int = 0
    signal: str = ""
    measured: tuple[Measured, ...] = ()

    @property
    def success(self) -> bool:
        """Whether the command succeeded: exit code 0, and nothing was killed for memory."""
        return self.exit_code == 0 and not self.setup and self.oom_kills == 0


def parse_marker(text: str) -> Marker | None:
    """Read a marker; None if it is not whole (a full disk, a file system that shows it late)."""
    fields = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    try:
        return Marker(
            exit_code=int(fields["exit"]),
            setup=fields["setup"],
            detail=fields["detail"],
            started=float(fields["started"]),
            ended=float(fields["ended"]),
            host=fields["host"],
            cpu_s=_cpu_seconds(fields["user"], fields["system"]),
            peak_mb=int(fields["peak"]) / 2**20 if fields["peak"] else None,
            oom_kills=int(fields["oom"] or 0),
            signal=fields["signal"],
            measured=tuple(map(_parse_measured, fields.get("measured", "").split(";")[:-1])),
        )
    except (KeyError, ValueError):
        return None


def _parse_measured(record: str) -> Measured:
    """Read a record of measure.sh: times, KiB, bytes, ms of CPU."""
    started, ended, *seen, cpu_ms = record.split(" ")
    units = (2**10,) * 4 + (2**20,) * 2
    amounts = [
        None if amount == "-" else int(amount) / unit
        for amount, unit in zip(seen, units, strict=True)
    ]
    return Measured(float(ended) - float(started), int(cpu_ms) / 1000, *amounts)


def _cpu_seconds(*times: str) -> float | None:
    """Add up times as bash's `times` prints them: `0m1.250s`, in some locales `0m1,250s`."""
    found = [MINUTES.fullmatch(text) for text in times]
    if not all(found):
        return None
    return sum(int(m[1]) * 60 + float(f"{m[2]}.{m[3]}") for m in found if m)
