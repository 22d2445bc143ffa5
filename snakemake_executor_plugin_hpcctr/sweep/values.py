"""Values of parameters: read from the text in which they stand, in a file or in sweep.yaml."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.yamlfile import Quoted
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.sweep.naming import Value

WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
SWITCHES = {"true": True, "True": True, "false": False, "False": False}
DELIMITERS = {".csv": ",", ".tsv": "\t"}
#: Significant digits of computed values: 0.3, not 0.30000000000000004.
COMPUTED_DIGITS = 12


def parse_value(text: object) -> Value:
    """Return a whole number, a decimal number, true or false, else the text itself.

    What stands in quotes is text, and so is a number written unlike a number: `007`, `nan`.

    Raises:
        ConfigError: Nothing, a list or a section stands there.
    """
    if isinstance(text, (bool, int, float)):
        return text
    if not isinstance(text, str):
        given = "nothing" if text is None else repr(text)
        raise ConfigError(
            f"expected a value, got {given}",
            next_step='write a number, a word, true or false; for an empty text, ""',
        )
    if isinstance(text, Quoted):
        return str(text)
    if text in SWITCHES:
        return SWITCHES[text]
    if WHOLE.fullmatch(text):
        return int(text)
    if DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def parse_number(text: object) -> int | float:
    """Return a number.

    Raises:
        ConfigError: Something else stands there.
    """
    try:
        value = parse_value(text)
    except ConfigError:
        value = ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"expected a number, got {text!r}")
    return value


def rounded(value: float, digits: int = COMPUTED_DIGITS) -> float:
    """Return a computed number with so many significant digits."""
    return float(f"{value:.{digits}g}")


def parse_lines(text: str, *, as_text: bool = False) -> list[tuple[int, Value]]:
    """Return line numbers and values of a file with one value per line.

    Empty lines and lines that begin with `#` are skipped; white space round a value is dropped.
    """
    found: list[tuple[int, Value]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content and not content.startswith("#"):
            found.append((number, content if as_text else parse_value(content)))
    return found


def parse_table(text: str, name: str) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    """Return the column names of a CSV or TSV table, and line number and cells of each row.

    Args:
        text: The table.
        name: Its path; the ending tells what separates the cells.

    Raises:
        ConfigError: No header, a name twice in it, or a row with more or fewer cells.
    """
    ending = name[name.rfind(".") :].lower()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS.get(ending, ","))
    rows: list[tuple[int, list[str]]] = []
    header: tuple[str, ...] = ()
    for cells in _read(reader, name):
        where = f"{name}:{reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(cells, where)
            continue
        if len(cells) != len(header):
            raise ConfigError(
                f"the row has {len(cells)} cells, the header {len(header)}",
                where=where,
                next_step="put a cell that holds the separator in double quotes",
            )
        rows.append((reader.line_num, [cell.strip() for cell in cells]))
    if not rows:
        raise ConfigError(
            "the table has no rows",
            where=name,
            next_step="write the parameters' names in the first line, values below",
        )
    return header, rows


def _read(reader: Any, name: str) -> Iterator[list[str]]:
    begin = 1
    try:
        for cells in reader:
            yield cells
            begin = reader.line_num + 1
    except csv.Error as error:  # a cell of more than 128 KiB
        raise ConfigError(
            f"the table cannot be read: {error}",
            where=f"{name}:{begin}",
            next_step="close the double quotes: one that is open takes all that follows",
        ) from None


def _header(cells: list[str], where: str) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"the column `{twice}` stands twice in the header", where=where)
    return names
