"""Operators that cut files and texts into items."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.base import Operator
from snakemake_executor_plugin_hpcctr.dsl.operators.criteria import functions_in
from snakemake_executor_plugin_hpcctr.dsl.operators.functions import spread
from snakemake_executor_plugin_hpcctr.dsl.operators.records import (
    Wanted,
    fasta_entries,
    fasta_fields,
    fasta_letters,
    fastq_entries,
    fastq_fields,
)
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import FILES, Chunks, Source, replaced
from snakemake_executor_plugin_hpcctr.dsl.units import Memory
from snakemake_executor_plugin_hpcctr.dsl.values import describe, freeze, is_sequence, is_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAIR = 2
STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True)
class Csv:
    """Options of `splitCsv`; see `Channel.splitCsv`."""

    source: Source
    chunks: Chunks
    header: bool | Sequence[str] = False
    sep: str = ","
    quote: str = '"'
    strip: bool = False
    skip: int = 0

    def __post_init__(self) -> None:
        if len(self.sep) != 1 or len(self.quote) > 1:
            raise DslError(
                "`splitCsv`: sep must be one character and quote at most one, got "
                f"{self.sep!r} and {self.quote!r}"
            )
        if isinstance(self.header, str) or not isinstance(self.header, (bool, Sequence)):
            raise DslError(
                f"`splitCsv`: header must be True or a list of names, got {self.header!r}"
            )
        if isinstance(self.skip, bool) or not isinstance(self.skip, int) or self.skip < 0:
            raise DslError(f"`splitCsv`: skip must be a whole number from 0, got {self.skip!r}")

    def cut(self, source: Any) -> list[Any]:
        """Return the rows of a file or text, or lists of `by` rows."""
        cells = self._cells(source)
        names: list[str] | None = None
        if self.header is True:
            names = self._header(cells, source)
        elif self.header:
            names = list(self.header)
        rows = [self._row(row, names) for row in self.chunks.limited(cells)]
        return self.chunks.grouped(rows) if self.chunks.by > 1 else rows

    def _cells(self, source: Any) -> list[list[str]]:
        lines = [f"{line}\n" for line in self.source.lines(source)[self.skip :]]
        reader = csv.reader(
            lines,
            delimiter=self.sep,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
        )
        try:
            rows = [row for row in reader if any(row) or len(row) > 1]
        except csv.Error as error:
            raise DslError(
                f"`splitCsv` cannot read line {reader.line_num + self.skip}: {error}",
                item=describe(source),
            ) from None
        return [[cell.strip() if self.strip else cell for cell in row] for row in rows]

    def _header(self, cells: list[list[str]], source: Any) -> list[str]:
        if not cells:
            raise DslError(
                "`splitCsv`: there is no line for the header",
                item=describe(source),
                next_step="check the file, or give the names: splitCsv(header=[…])",
            )
        names = cells.pop(0)
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
    return _splitter(options.source, options.cut)


def _splitter(
    source: Source, cut: Callable[[Any], list[Any]], function: Callable[..., Any] | None = None
) -> Operator:
    """Return an operator that replaces a file or text of each item by each of its pieces."""
    call = spread(function, source.operator) if function is not None else None

    def run(items: list[Any]) -> list[Any]:
        found = []
        origins: dict[Path, Any] = {}
        for item in items:
            part, place = source.element(item)
            for piece in cut(part):
                _note_origin(origins, piece, part, source.operator)
                made = replaced(item, place, freeze(piece))
                found.append(made if call is None else call(made))
        return found

    return Operator(source.operator, run=run, functions=functions_in(function))


def _note_origin(origins: dict[Path, Any], piece: Any, part: Any, operator: str) -> None:
    """Refuse two sources whose pieces have one name in a folder of the user's."""
    if not isinstance(piece, PurePath) or FILES in str(piece):
        return
    if origins.setdefault(Path(piece), part) != part:
        raise DslError(
            f"`{operator}`: pieces of two files are both named {piece}",
            item=describe(part),
            next_step="give file=True, which keeps them apart",
        )


def split_text(
    source: Source, chunks: Chunks, function: Callable[..., Any] | None, *, keep_header: bool
) -> Operator:
    """Return `splitText`: pieces of `by` lines, each ending with a newline."""

    def cut(part: Any) -> list[Any]:
        lines = [f"{line}\n" for line in source.lines(part)]
        header = lines.pop(0) if keep_header and lines else ""
        return chunks.given([header + "".join(one) for one in chunks.grouped(lines)], part)

    return _splitter(source, cut, function)


@dataclass(frozen=True)
class Records:
    """Options of `splitFasta` and `splitFastq` that are their own.

    Args:
        entries: Text → entries.
        fields: Entry and what is wanted of it → record.
        record: Which fields are wanted, True for all; False for text.
        size: Least number of letters in a chunk, in place of `by`.
    """

    entries: Callable[[str], list[str]]
    fields: Callable[[str, Wanted], dict[str, Any]]
    record: Wanted = False
    size: int | None = None


def split_records(source: Source, chunks: Chunks, options: Records) -> Operator:
    """Return `splitFasta` or `splitFastq`.

    Raises:
        DslError: Options that exclude each other.
    """
    return _splitter(source, _record_cutter(source, chunks, options))


def _record_cutter(source: Source, chunks: Chunks, options: Records) -> Callable[[Any], list[Any]]:
    record = options.record
    if record and chunks.file:
        raise DslError(
            f"`{source.operator}`: file and record exclude each other", next_step="give one"
        )
    if options.size is not None and chunks.by > 1:
        raise DslError(f"`{source.operator}`: by and size exclude each other", next_step="give one")

    def cut(part: Any) -> list[Any]:
        entries = options.entries(source.text(part))
        groups = _by_size(chunks.limited(entries), options.size) or chunks.grouped(entries)
        if record:
            made = [[options.fields(entry, record) for entry in group] for group in groups]
            return made if chunks.by > 1 or options.size else [row for one in made for row in one]
        return chunks.given(["".join(group) for group in groups], part)

    return cut


def _by_size(entries: list[str], size: int | None) -> list[list[str]]:
    """Return groups that end as soon as their sequences have `size` letters."""
    groups: list[list[str]] = []
    letters = size or 0
    for entry in entries if size else ():
        if letters >= (size or 0):
            groups.append([])
            letters = 0
        groups[-1].append(entry)
        letters += fasta_letters(entry)
    return groups


def bytes_of(size: str | int | None) -> int | None:
    """Return a size in bytes: `'1 MB'`, or a number of them.

    Raises:
        DslError: Not a size.
    """
    try:
        found = None if size is None else int(Memory(size))
    except (TypeError, ValueError) as error:
        raise DslError(f"`splitFasta`: {error}") from None
    if found is not None and found < 1:
        raise DslError(f"`splitFasta`: size must be at least 1 byte, got {size!r}")
    return found


def fasta(record: Wanted, size: str | int | None) -> Records:
    """Return what `splitFasta` does."""
    return Records(fasta_entries, fasta_fields, record, bytes_of(size))


def fastq(record: Wanted) -> Records:
    """Return what `splitFastq` does."""
    return Records(fastq_entries, fastq_fields, record)


def split_pairs(source: Source, chunks: Chunks, options: Records) -> Operator:
    """Return `splitFastq(pe=True)`: the first two files of a tuple are cut in step.

    Raises:
        DslError: Options that exclude each other.
    """
    if source.elem is not None:
        raise DslError("`splitFastq`: pe and elem exclude each other", next_step="give one")
    cut = _record_cutter(source, chunks, options)

    def run(items: list[Any]) -> list[Any]:
        return [row for item in items for row in _pairs(item, cut)]

    return Operator(source.operator, run=run)


def _pairs(item: Any, cut: Callable[[Any], list[Any]]) -> Iterator[Any]:
    flat = [*item] if is_sequence(item) else [item]
    if len(flat) == PAIR and is_sequence(flat[-1]):
        flat = [flat[0], *flat[-1]]  # as fromFilePairs without flat=True gives it
    places = [n for n, part in enumerate(flat) if is_unknown(part) or isinstance(part, PurePath)]
    if len(places) < PAIR:
        raise DslError(
            "`splitFastq`: pe takes a tuple with two files, (id, file, file)",
            item=describe(item),
            next_step="make them with channel.fromFilePairs(…, flat=True)",
        )
    one, other = places[:PAIR]
    pieces = [cut(flat[place]) for place in (one, other)]
    if len(pieces[0]) != len(pieces[1]):
        raise DslError(
            "`splitFastq`: the two files have different numbers of reads", item=describe(item)
        )
    for left, right in zip(*pieces, strict=True):
        yield replaced(replaced(tuple(flat), one, freeze(left)), other, freeze(right))


def split_json(source: Source, chunks: Chunks, path: str) -> Operator:
    """Return `splitJson`: the elements of an array, {key, value} of an object."""

    def cut(part: Any) -> list[Any]:
        value = _at(_json(source, part), path, part)
        if isinstance(value, dict):
            found: list[Any] = [{"key": key, "value": one} for key, one in value.items()]
        else:
            found = value if isinstance(value, list) else [value]
        return chunks.limited(found)

    return _splitter(source, cut)


def _json(source: Source, part: Any) -> Any:
    try:
        return json.loads(source.text(part))
    except json.JSONDecodeError as error:
        raise DslError(
            f"`{source.operator}`: this is not JSON: {error}", item=describe(part)
        ) from None


def _at(value: Any, path: str, part: Any) -> Any:
    for name, index in STEP.findall(path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            raise DslError(
                f"`splitJson`: there is nothing at {path!r}", item=describe(part)
            ) from None
    return value


def _counter(name: str, number: Callable[[Source, Any], int]) -> Operator:
    """Return an operator that adds up a number of each item, as a value."""
    source = Source(name)

    def run(items: list[Any]) -> list[Any]:
        return [sum(number(source, source.element(item)[0]) for item in items)]

    return Operator(name, run=run, touched="manifest", absent="manifest")


def count_lines() -> Operator:
    """Return `countLines`."""
    return _counter("countLines", lambda source, part: len(source.lines(part)))


def count_fasta() -> Operator:
    """Return `countFasta`."""
    return _counter("countFasta", lambda source, part: len(fasta_entries(source.text(part))))


def count_fastq() -> Operator:
    """Return `countFastq`."""
    return _counter("countFastq", lambda source, part: len(fastq_entries(source.text(part))))


def count_json() -> Operator:
    """Return `countJson`: elements of arrays and keys of objects."""

    def number(source: Source, part: Any) -> int:
        value = _json(source, part)
        return len(value) if isinstance(value, (list, dict)) else 1

    return _counter("countJson", number)
