"""Amounts of memory and time as Nextflow writes them: 1 GB is 1024³ bytes."""

from __future__ import annotations

import math
import re
from typing import Self

POWERS = "BKMGTPEZ"
MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTPEZ]?)(I?B)?\s*", re.IGNORECASE)
PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)
CLOCK = re.compile(r"(\d+):(\d+):(\d+)")
MS = {
    name: amount
    for names, amount in (
        ("ms milli millis", 1),
        ("s sec second seconds", 1000),
        ("m min minute minutes", 60_000),
        ("h hour hours", 3_600_000),
        ("d day days", 86_400_000),
    )
    for name in names.split()
}


class Memory(int):
    """An amount of memory in bytes; prints as `16 GB`."""

    __slots__ = ()

    def __new__(cls, value: str | int) -> Self:
        """Read `'16 GB'`, `'512.MB'`, or a number of bytes.

        Raises:
            ValueError: Another form.
        """
        if isinstance(value, int):
            return int.__new__(cls, value)
        match = MEMORY.fullmatch(str(value).replace(".", " ", 1) if _dotted(value) else str(value))
        if match is None:
            raise ValueError(f"expected an amount of memory such as '4 GB', got {value!r}")
        power = POWERS.index(match[2].upper() or "B")
        return int.__new__(cls, math.ceil(float(match[1]) * 1024**power))

    def __str__(self) -> str:
        power = 0
        while power < len(POWERS) - 1 and self >= 1024 ** (power + 1):
            power += 1
        amount = f"{int(self) / 1024**power:.1f}".removesuffix(".0")
        return f"{amount} {POWERS[power]}{'B' if power else ''}"

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)

    def toKilo(self) -> int:
        """Return whole KB."""
        return int(self) // 1024

    def toMega(self) -> int:
        """Return whole MB."""
        return int(self) // 1024**2

    def toGiga(self) -> int:
        """Return whole GB."""
        return int(self) // 1024**3

    def toBytes(self) -> int:
        """Return bytes."""
        return int(self)


class Duration(int):
    """A time in milliseconds; prints as `1h 30m`."""

    __slots__ = ()

    def __new__(cls, value: str | int) -> Self:
        """Read `'1h 30m'`, `'1:30:00'`, `'2 days'`, or a number of milliseconds.

        Raises:
            ValueError: Another form.
        """
        if isinstance(value, int):
            return int.__new__(cls, value)
        text = str(value).strip()
        clock = CLOCK.fullmatch(text)
        if clock:
            hours, minutes, seconds = map(int, clock.groups())
            return int.__new__(cls, ((hours * 60 + minutes) * 60 + seconds) * 1000)
        total, position = 0.0, 0
        while match := PART.match(text, position):
            if match[2].lower() not in MS:
                break
            total, position = total + float(match[1]) * MS[match[2].lower()], match.end()
        if not position or position != len(text):
            raise ValueError(f"expected a time such as '1h 30m' or '2 days', got {value!r}")
        return int.__new__(cls, round(total))

    def __str__(self) -> str:
        rest, words = int(self), []
        for unit, amount in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
            count, rest = divmod(rest, amount)
            words += [f"{count}{unit}"] if count else []
        words += [f"{rest}ms"] if rest or not words else []
        return " ".join(words)

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)

    def toSeconds(self) -> int:
        """Return whole seconds."""
        return int(self) // 1000

    def toMinutes(self) -> int:
        """Return whole minutes."""
        return int(self) // 60_000

    def toHours(self) -> int:
        """Return whole hours."""
        return int(self) // 3_600_000


def _dotted(value: object) -> bool:
    """Whether an amount is written as a Groovy literal, `16.GB`."""
    return re.fullmatch(r"\d+\.[A-Za-z]+", str(value)) is not None
