"""Operators that cut files and texts into items."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import functions_in
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import (
    element_of,
    read_text,
    replaced,
    write_parts,
)
from snakemake_executor_plugin_hpcctr.dsl.units import Memory
from snakemake_executor_plugin_hpcctr.dsl.values import describe, freeze, is_sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FASTQ_LINES = 4
PAIR = 2
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Csv:
    """Options of `splitCsv`; see `Channel.splitCsv`."""

    header: bool | Sequence[str] = False
    sep: str = ","
    quote: str = '"'
    strip: bool = False
    skip: int = 0
    by: int = 1
    limit: int | None = None
    charset: str = "utf-8"
    elem: int | None = None

    def rows(self, source: Any) -> list[Any]:
        """Return the rows of a file or text: lists, or dicts with a header."""
        lines = read_text(source, "splitCsv", self.charset).splitlines(keepends=True)[self.skip :]
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE
        reader = csv.reader(
            lines, delimiter=self.sep, quotechar=self.quote or None, quoting=quoting
        )
        cells = [
            [self._cell(cell) for cell in row] for row in reader if any(c.strip() for c in row)
        ]
        names: list[str] | None = None
        if self.header is True:
            names = self._header(cells.pop(0) if cells else [], source)
        elif self.header:
            names = list(self.header)
        rows = cells[: self.limit] if self.limit is not None else cells
        return [self._row(row, names) for row in rows]

    def _cell(self, cell: str) -> str:
        return cell.strip() if self.strip else cell

    def _header(self, cells: list[str], source: Any) -> list[str]:
        names = [cell.strip() for cell in cells]
        if "" in names:
            raise DslError(
                f"`splitCsv`: column {names.index('') + 1} of the header has no name",
                item=describe(source),
                next_step="name it, or give the names: splitCsv(header=[…], skip=1)",
            )
        return names

    def _row(self, cells: list[str], names: list[str] | None) -> Any:
        if names is None:
            return cells
        padded = [*cells, *([None] * (len(names) - len(cells)))]
        return dict(zip(names, padded, strict=False))


def split_csv(options: Csv) -> Operator:
    """Return `splitCsv`."""
    return _splitter("splitCsv", options.rows, options.elem, by=options.by)


def _splitter(
    name: str, cut: Callable[[Any], list[Any]], elem: int | None, *, by: int = 1
) -> Operator:
    """Return an operator that replaces a file or text of each item by each of its pieces."""

    def run(items: list[Any]) -> list[Any]:
        found = []
        for item in items:
            source, place = element_of(item, elem, name)
            pieces = cut(source)
            if by > 1:
                pieces = [pieces[n : n + by] for n in range(0, len(pieces), by)]
            found += [replaced(item, place, freeze(piece)) for piece in pieces]
        return found

    return Operator(name, run=run)


def split_text(  # one parameter for each of Nextflow's options
    function: Callable[[str], Any] | None,
    *,
    by: int,
    limit: int | None,
    keep_header: bool,
    file: bool | str,
    compress: bool,
    charset: str,
    elem: int | None,
) -> Operator:
    """Return `splitText`: pieces of `by` lines, each ending with a newline."""
    call = spread(function, "splitText") if function is not None else None

    def cut(source: Any) -> list[Any]:
        lines = read_text(source, "splitText", charset).splitlines(keepends=True)
        header = lines.pop(0) if keep_header and lines else ""
        lines = lines[:limit] if limit is not None else lines
        pieces = [header + "".join(lines[n : n + by]) for n in range(0, len(lines), by)]
        pieces = [piece if piece.endswith("\n") else f"{piece}\n" for piece in pieces]
        if file:
            return list(write_parts(pieces, source, named=file, compress=compress))
        return pieces if call is None else [call(piece) for piece in pieces]

    operator = _splitter("splitText", cut, elem)
    return Operator("splitText", run=operator.run, functions=functions_in(function))


def split_records(
    name: str,
    entries: Callable[[str], list[str]],
    fields: Callable[[str, dict[str, Any]], dict[str, Any]],
    *,
    by: int,
    size: int | None,
    limit: int | None,
    record: dict[str, Any] | None,
    file: bool | str,
    compress: bool,
    elem: int | None,
) -> Operator:
    """Return `splitFasta` or `splitFastq`.

    Raises:
        DslError: `file` and `record` exclude each other.
    """
    if file and record:
        raise DslError(f"`{name}`: file and record exclude each other", next_step="give one")

    def cut(source: Any) -> list[Any]:
        found = entries(read_text(source, name))
        found = found[:limit] if limit is not None else found
        if record is not None:
            made = [fields(entry, record) for entry in found]
            return made if by == 1 else [made[n : n + by] for n in range(0, len(made), by)]
        pieces = _by_size(found, size) if size else _by_number(found, by)
        return list(write_parts(pieces, source, named=file, compress=compress)) if file else pieces

    return _splitter(name, cut, elem)


def bytes_of(size: str | int | None) -> int | None:
    """Return a size in bytes: `'1 MB'`, or a number of them.

    Raises:
        DslError: Not a size.
    """
    try:
        return None if size is None else int(Memory(size))
    except ValueError as error:
        raise DslError(f"`splitFasta`: {error}") from None


def _by_number(entries: list[str], by: int) -> list[str]:
    return ["".join(entries[n : n + by]) for n in range(0, len(entries), by)]


def _by_size(entries: list[str], size: int) -> list[str]:
    """Return pieces that end as soon as they have `size` bytes."""
    pieces, current = [], ""
    for entry in entries:
        current += entry
        if len(current.encode()) >= size:
            pieces.append(current)
            current = ""
    return [*pieces, current] if current else pieces


def fasta_entries(text: str) -> list[str]:
    """Return the sequences of a FASTA text, each with its header line."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith(">"):
            found.append(f"{line}\n")
        elif line.strip() and not line.startswith(";") and found:
            found[-1] += f"{line}\n"
    return found


def fasta_fields(entry: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return parts of a sequence: id, header, desc, text, seqString, sequence, width."""
    head, _, body = entry.partition("\n")
    header = head[1:]
    name, _, about = header.partition(" ")
    letters = body.replace("\n", "")
    width = wanted.get("width")
    lines = [letters[n : n + width] for n in range(0, len(letters), width)] if width else []
    known = {
        "id": name,
        "header": header,
        "desc": about.strip() or None,
        "text": entry,
        "seqString": letters,
        "sequence": "\n".join(lines) + "\n" if lines else body,
    }
    return _wanted(known, wanted, "splitFasta", {"width"})


def _wanted(
    known: dict[str, Any], wanted: dict[str, Any], name: str, options: set[str]
) -> dict[str, Any]:
    unknown = [field for field in wanted if field not in known and field not in options]
    if unknown:
        raise DslError(
            f"`{name}`: there is no field `{unknown[0]}`",
            next_step=f"the fields are {', '.join([*known, *sorted(options)])}",
        )
    return {field: known[field] for field, on in wanted.items() if on and field in known}


def fastq_entries(text: str) -> list[str]:
    """Return the reads of a FASTQ text, four lines each.

    Raises:
        DslError: The text ends within a read.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    if len(lines) % FASTQ_LINES:
        raise DslError("`splitFastq`: the last read is not complete", item=describe(lines[-1]))
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return ["".join(lines[n : n + FASTQ_LINES]) for n in range(0, len(lines), FASTQ_LINES)]


def fastq_fields(entry: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return parts of a read: readHeader, readString, qualityHeader, qualityString."""
    header, read, plus, quality = entry.splitlines()
    known = {
        "readHeader": header[1:],
        "readString": read,
        "qualityHeader": plus[1:],
        "qualityString": quality,
    }
    return _wanted(known, wanted, "splitFastq", set())


def split_pairs(single: Operator) -> Operator:
    """Return `splitFastq(pe=True)`: both files of (id, file, file) are cut in step."""

    def run(items: list[Any]) -> list[Any]:
        return [row for item in items for row in _pairs(item, single)]

    return Operator("splitFastq", run=run)


def _pairs(item: Any, single: Operator) -> Iterator[Any]:
    if not is_sequence(item):
        raise DslError("`splitFastq`: pe takes (id, file, file)", item=describe(item))
    flat = [*item[:-1], *(item[-1] if is_sequence(item[-1]) else [item[-1]])]
    if len(flat) < PAIR:
        raise DslError("`splitFastq`: pe takes (id, file, file)", item=describe(item))
    pieces = [single.run([source]) for source in flat[-2:]]
    if len(pieces[0]) != len(pieces[1]):
        raise DslError(
            "`splitFastq`: the two files have different numbers of reads", item=describe(item)
        )
    for one, other in zip(*pieces, strict=True):
        yield (*flat[:-2], one, other)


def split_json(path: str, limit: int | None, elem: int | None) -> Operator:
    """Return `splitJson`: the elements of an array, {key, value} of an object."""

    def cut(source: Any) -> list[Any]:
        value = _at(_json(source, "splitJson"), path)
        if isinstance(value, dict):
            found: list[Any] = [{"key": key, "value": part} for key, part in value.items()]
        else:
            found = value if isinstance(value, list) else [value]
        return found[:limit] if limit is not None else found

    return _splitter("splitJson", cut, elem)


def _json(source: Any, name: str) -> Any:
    try:
        return json.loads(read_text(source, name))
    except json.JSONDecodeError as error:
        raise DslError(f"`{name}` cannot read {describe(source)}: {error}") from None


def _at(value: Any, path: str) -> Any:
    for name, index in STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            raise DslError(f"`splitJson`: there is nothing at {path!r}") from None
    return value


def counter(name: str, number: Callable[[Any], int]) -> Operator:
    """Return `countLines` and its like: the sum over all items, as a value."""

    def run(items: list[Any]) -> list[Any]:
        return [sum(number(element_of(item, None, name)[0]) for item in items)]

    return Operator(name, run=run, touched="manifest", absent="manifest")


def count_lines(source: Any) -> int:
    """Return the number of lines."""
    return len(read_text(source, "countLines").splitlines())


def count_fasta(source: Any) -> int:
    """Return the number of sequences."""
    return len(fasta_entries(read_text(source, "countFasta")))


def count_fastq(source: Any) -> int:
    """Return the number of reads."""
    return len(fastq_entries(read_text(source, "countFastq")))


def count_json(source: Any) -> int:
    """Return the number of elements of an array, or of keys of an object."""
    value = _json(source, "countJson")
    return len(value) if isinstance(value, (list, dict)) else 1
