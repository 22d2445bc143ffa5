"""Amounts as people write them → numbers: memory in MB, time in minutes, counts, switches."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from snakemake_executor_plugin_hpcctr.errors import ConfigError

MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(IB|B)?", re.IGNORECASE | re.ASCII)
POWERS = "KMGTP"
MIB = 1024**2
MB = 1000**2

TIME_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)
SECONDS = {
    name: seconds
    for names, seconds in (
        ("s sec secs second seconds", 1),
        ("m min mins minute minutes", 60),
        ("h hr hrs hour hours", 3600),
        ("d day days", 86400),
        ("w week weeks", 604800),
    )
    for name in names.split()
}
SLURM_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
SWITCHES = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*", re.ASCII)
GPU = re.compile(r"(?:([A-Za-z0-9_.-]*[A-Za-z_.-][A-Za-z0-9_.-]*):)?(-?\d+)", re.ASCII)


def parse_memory(value: object) -> int:
    """Read an amount of memory; return the number that is sent as `--mem=…M`.

    `32GB` is 32000, as Snakemake reads it (`mem="32GB"` is `mem_mb=32000`); `32GiB` is 32768;
    a bare K, M, G or T is binary, as in sbatch(1); a number alone is the number itself.
    Part of a MB counts as a whole one. 0 means that nothing is asked for.

    Raises:
        ConfigError: Not an amount of memory.
    """
    amount = _number(value)
    if amount is None and not isinstance(value, bool):
        match = MEMORY.fullmatch(str(value).strip())
        if match is not None:
            amount = Fraction(match[1]) * _megabytes(match[2].upper(), (match[3] or "").upper())
    if amount is None or amount < 0:
        raise ConfigError(
            f"expected an amount of memory, got {value!r}",
            next_step="write 32GB, 2GiB, or a number of MB",
        )
    return math.ceil(amount)


def _megabytes(prefix: str, suffix: str) -> Fraction:
    """Return how many MB (MiB for a binary unit) the unit is."""
    if not prefix:
        return Fraction(1, MB) if suffix else Fraction(1)
    power = POWERS.index(prefix) + 1
    binary = suffix != "B"
    return Fraction(1024**power, MIB) if binary else Fraction(1000**power, MB)


def describe_memory(amount_mb: int) -> str:
    """Return an amount for people: what Slurm is told, and how much that is.

    Slurm's M is 1024 KiB (sbatch(1), `--mem`), so 32000 becomes `32000M (31.2 GiB)`.
    """
    if amount_mb <= 0:
        return "not asked for"
    if amount_mb < 1024:  # noqa: PLR2004 (MiB in a GiB)
        return f"{amount_mb}M ({amount_mb} MiB)"
    return f"{amount_mb}M ({amount_mb / 1024:.3g} GiB)"


def parse_minutes(value: object) -> int:
    """Read a time limit; return whole minutes, a started one counting as one.

    A number is minutes. Otherwise numbers with units (`1h30m`, `2d`, `1.5 hours`), or a form
    of sbatch(1): `minutes:seconds`, `hours:minutes:seconds`, `days-hours`,
    `days-hours:minutes`, `days-hours:minutes:seconds`. 0 means that nothing is asked for.

    Raises:
        ConfigError: Not a time.
    """
    minutes = _number(value)
    if minutes is None and not isinstance(value, bool):
        text = str(value).strip()
        seconds = _seconds_of_units(text)
        seconds = _seconds_of_slurm(text) if seconds is None else seconds
        minutes = None if seconds is None else seconds / 60
    if minutes is None or minutes < 0:
        raise ConfigError(
            f"expected a time limit, got {value!r}",
            next_step="write 90 (minutes), 1h30m, 2d, or Slurm's 1-12:00:00",
        )
    return math.ceil(minutes)


def _seconds_of_units(text: str) -> Fraction | None:
    total, position = Fraction(0), 0
    while match := TIME_PART.match(text, position):
        unit = SECONDS.get(match[2].lower())
        if unit is None:
            return None
        total, position = total + Fraction(match[1]) * unit, match.end()
    return total if position and position == len(text) else None


def _seconds_of_slurm(text: str) -> Fraction | None:
    match = SLURM_TIME.fullmatch(text)
    if match is None:
        return None
    days, *clock = match.groups()
    fields = [int(field) for field in clock if field is not None]
    if days is not None:
        hours, minutes, seconds = (*fields, 0, 0)[:3]
    elif len(fields) == 3:  # noqa: PLR2004 (hours:minutes:seconds)
        hours, minutes, seconds = fields
    else:
        hours, (minutes, seconds) = 0, (*fields, 0)[:2]
    return Fraction(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_count(value: object, *, least: int = 0) -> int:
    """Read a whole number.

    Raises:
        ConfigError: Not a whole number, or below `least`.
    """
    number = _number(value)
    if number is None or number.denominator != 1:
        raise ConfigError(f"expected a whole number, got {value!r}")
    if number < least:
        raise ConfigError(f"expected a number of at least {least}, got {value!r}")
    return int(number)


def parse_switch(value: object) -> bool:
    """Read true or false (also yes/no, on/off, 1/0).

    Raises:
        ConfigError: Neither.
    """
    switch = SWITCHES.get(str(value).strip().lower())
    if switch is None:
        raise ConfigError(f"expected true or false, got {value!r}")
    return switch


def parse_gpu(value: object) -> tuple[int, str | None]:
    """Read `2` or `a100:2`; return count and model.

    Raises:
        ConfigError: Another form, or a negative count.
    """
    text = str(value).strip()
    match = None if isinstance(value, bool) else GPU.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"expected a number of GPUs, got {value!r}",
            next_step="write `gpu: 2`, and the model apart: `gpu_model: a100`",
        )
    if int(match[2]) < 0:
        raise ConfigError(
            f"expected a number of GPUs of at least 0, got {value!r}",
            next_step="write 0 for a task without a GPU",
        )
    return int(match[2]), match[1]


def _number(value: object) -> Fraction | None:
    """Return a number, or a text that is one, exactly; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and NUMBER.fullmatch(value) is None:
        return None
    if not isinstance(value, (str, int, float)) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        return None
    return Fraction(value)


def parse_array(value: object) -> str | int:
    """Read `auto`, `off`, or the largest number of tasks in one array.

    Raises:
        ConfigError: Anything else.
    """
    word = str(value).strip().lower()
    if word == "auto":
        return "auto"
    if word in {"off", "false", "no"}:
        return "off"
    try:
        return parse_count(value, least=1)
    except ConfigError:
        raise ConfigError(
            f"expected auto, off, or the largest number of tasks in one array, got {value!r}"
        ) from None
