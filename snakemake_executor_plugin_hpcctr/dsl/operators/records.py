"""Entries of FASTA and FASTQ texts, and their parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import lines_of
from snakemake_executor_plugin_hpcctr.dsl.values import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields of a record that are wanted, by name; True for all.
Wanted: TypeAlias = "Mapping[str, Any] | bool"
FASTQ_LINES = 4
DESCRIPTION = re.compile(r"\S+\s+(.*)")


def fasta_entries(text: str) -> list[str]:
    """Return the sequences of a FASTA text, each with its header line.

    Comments (`;`) and blank lines are left out, and so is what stands in front of the first
    header.
    """
    found: list[list[str]] = []
    for line in lines_of(text):
        if line.startswith(">"):
            found.append([line])
        elif line.strip() and not line.startswith(";") and found:
            found[-1].append(line)
    return ["".join(f"{line}\n" for line in lines) for lines in found]


def fasta_letters(entry: str) -> int:
    """Return the length of a sequence, in characters."""
    return sum(len(line) for line in lines_of(entry)[1:])


def fasta_fields(entry: str, wanted: Wanted) -> dict[str, Any]:
    """Return parts of a sequence: id, header, desc, text, seqString, sequence (with `width`).

    Raises:
        DslError: Something else is wanted.
    """
    head, *lines = lines_of(entry)
    header = head[1:]
    letters = "".join(line.strip() for line in lines)
    about = DESCRIPTION.fullmatch(header)
    known = {
        "id": header.partition(" ")[0],
        "header": header,
        "desc": about[1] if about else None,
        "text": entry,
        "seqString": letters,
        "sequence": _folded(letters, lines, wanted),
    }
    return _chosen(known, wanted, "splitFasta", ("width",))


def _folded(letters: str, lines: list[str], wanted: Wanted) -> str:
    width = None if isinstance(wanted, bool) else wanted.get("width")
    if width is None:
        return "".join(f"{line.strip()}\n" for line in lines)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise DslError(f"`splitFasta`: width must be a whole number from 1, got {width!r}")
    return "".join(f"{letters[n : n + width]}\n" for n in range(0, len(letters), width))


def fastq_entries(text: str) -> list[str]:
    """Return the reads of a FASTQ text, four lines each.

    Raises:
        DslError: It is not in this format, or ends within a read.
    """
    lines = lines_of(text)
    while lines and not lines[-1] and (len(lines) % FASTQ_LINES or not any(lines[-FASTQ_LINES:])):
        lines.pop()  # blank lines at the end, but not the last line of an empty read
    reads = [lines[n : n + FASTQ_LINES] for n in range(0, len(lines), FASTQ_LINES)]
    for number, read in enumerate(reads, 1):
        if len(read) < FASTQ_LINES:
            raise DslError(
                f"`splitFastq`: read {number} is not complete", item=describe("\n".join(read))
            )
        if not read[0].startswith("@") or not read[2].startswith("+"):
            raise DslError(
                f"`splitFastq`: read {number} is not FASTQ: its first line must begin with @, its "
                "third with +",
                item=describe("\n".join(read)),
            )
    return ["".join(f"{line}\n" for line in read) for read in reads]


def fastq_fields(entry: str, wanted: Wanted) -> dict[str, Any]:
    """Return parts of a read: readHeader, readString, qualityHeader, qualityString.

    Raises:
        DslError: Something else is wanted.
    """
    header, read, plus, quality = lines_of(entry)
    known = {
        "readHeader": header[1:],
        "readString": read,
        "qualityHeader": plus[1:],
        "qualityString": quality,
    }
    return _chosen(known, wanted, "splitFastq", ())


def _chosen(
    known: dict[str, Any], wanted: Wanted, name: str, options: tuple[str, ...]
) -> dict[str, Any]:
    if isinstance(wanted, bool):
        return known
    unknown = [field for field in wanted if field not in known and field not in options]
    if unknown:
        raise DslError(
            f"`{name}`: there is no field `{unknown[0]}`",
            next_step=f"the fields are {', '.join([*known, *options])}",
        )
    return {field: known[field] for field, on in wanted.items() if on and field in known}
