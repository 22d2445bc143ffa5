"""How commands speak: data on stdout, as text or JSON; everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.errors import HpcctrError

RED, CYAN = "31", "36"


def data(text: str) -> None:
    """Print what was asked for."""
    sys.stdout.write(f"{text}\n")


def as_json(value: object) -> None:
    """Print what was asked for, for programs."""
    data(json.dumps(value, indent=2, default=str))


def note(text: str) -> None:
    """Tell what happens; never part of the data."""
    sys.stderr.write(f"{text}\n")


def table(rows: Iterable[Sequence[str]]) -> str:
    """Align columns with two spaces between them."""
    lines = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def error(problem: HpcctrError) -> None:
    """Say what is wrong, where, and on a line of its own what to do next."""
    text = f"{problem.where}: {problem.what}" if problem.where else problem.what
    note(f"{styled('error:', RED, sys.stderr)} {text}")
    if problem.next_step:
        note(f"{styled('hint:', CYAN, sys.stderr)} {problem.next_step}")


def bug(problem: Exception, log: Path) -> None:
    """Say that hpcctr itself failed, and where the traceback is."""
    text = f"an unexpected failure in hpcctr: {type(problem).__name__}: {problem}"
    note(f"{styled('error:', RED, sys.stderr)} {text}")
    note(f"{styled('hint:', CYAN, sys.stderr)} please report it with the file `{log}`")


def styled(text: str, colour: str, stream: TextIO) -> str:
    """Colour a word if the stream is a terminal and NO_COLOR (no-color.org) is not set."""
    if os.environ.get("NO_COLOR") or not stream.isatty():
        return text
    return f"\x1b[1;{colour}m{text}\x1b[0m"


def version() -> str:
    """Return the version of the installed package."""
    from importlib import metadata  # noqa: PLC0415 (start-up time)

    try:
        return metadata.version("snakemake-executor-plugin-hpcctr")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"
