"""How far a transfer is: bytes, speed and time left, said from time to time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = ("B", "kB", "MB", "GB", "TB")
MINUTE = 60
HOUR = 3600
THOUSAND = 1000


def size(count: float) -> str:
    """Return bytes for people, in powers of 1000: `1.2 GB`."""
    unit = 0
    while count >= THOUSAND and unit < len(UNITS) - 1:
        count, unit = count / THOUSAND, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 else f"{count:.1f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    """Return a time for people: `12 s`, `3 min 20 s`, `1 h 5 min`."""
    whole = round(seconds)
    if whole >= HOUR:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // MINUTE} min {whole % MINUTE} s" if whole >= MINUTE else f"{whole} s"


@dataclass
class Progress:
    """Counts the bytes of one pull; safe to use from several threads.

    Args:
        name: What is transferred, for people.
        total: Bytes of all parts.
        say: Where a line goes.
        every_s: Seconds between two lines.
        stopped: Whether transfers that still run shall end, since another has failed.
    """

    name: str
    total: int
    say: Callable[[str], None]
    every_s: float = 10.0
    stopped: bool = False
    _done: int = 0
    _had: int = 0
    _started: float = field(default_factory=time.monotonic)
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def had(self, count: int) -> None:
        """Count bytes that were there already; they don't count for the speed."""
        with self._lock:
            self._had += count

    def add(self, count: int) -> None:
        """Count bytes that have arrived (fewer than none if they must come again)."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now < (self._next or self._started + self.every_s):
                return
            self._next = now + self.every_s
        self.say(f"{self.name}: {self.text(now)}")

    def text(self, now: float) -> str:
        """Return `1.2 GB of 8.9 GB, 85.0 MB/s, 1 min 30 s left`."""
        here = self._had + self._done
        speed = self._done / max(now - self._started, 1e-3)
        left = f", {duration((self.total - here) / speed)} left" if speed > 0 else ""
        return f"{size(here)} of {size(self.total)}, {size(speed)}/s{left}"
