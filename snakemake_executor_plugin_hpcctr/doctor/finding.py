"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.doctor.facts import Trouble


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        level: How bad it is.
        check: The check's name, stable for scripts.
        what: One sentence without a full stop.
        next_step: What to do; "" if all is well.
    """

    level: Level
    check: str
    what: str
    next_step: str = ""


def ok(check: str, what: str) -> Finding:
    """Return what is as it should be."""
    return Finding(Level.OK, check, what)


def warning(check: str, what: str, next_step: str) -> Finding:
    """Return what may become a problem."""
    return Finding(Level.WARNING, check, what, next_step)


def error(check: str, what: str, next_step: str) -> Finding:
    """Return what will keep tasks from running."""
    return Finding(Level.ERROR, check, what, next_step)


def of_trouble(check: str, trouble: Trouble, level: Level = Level.ERROR) -> Finding:
    """Return an error that was met while facts were gathered."""
    what = f"{trouble.where}: {trouble.what}" if trouble.where else trouble.what
    return Finding(level, check, what, trouble.next_step)
