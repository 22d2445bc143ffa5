"""Samplesheets: rows of a CSV, TSV, YAML or JSON file, checked against a schema."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import lines_of
from snakemake_executor_plugin_hpcctr.dsl.typed import to_number, type_hints
from snakemake_executor_plugin_hpcctr.dsl.values import freeze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

SHOWN = 20
TRUE = frozenset({"true", "yes", "1"})
FALSE = frozenset({"false", "no", "0"})
WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a file",
}


@dataclass(frozen=True)
class Column:
    """What a column may hold.

    Args:
        kind: Type of its values: str, int, float, bool or Path (a file that exists).
        required: Whether each row must have a value.
        default: Value of an empty cell that may be empty.
        pattern: Regular expression that the whole text must match.
        choices: Values that are allowed; empty for all.
        unique: Whether no two rows may have the same value.
        exists: Whether a file must exist.
        about: Said where a value is wrong, in place of hpcctr's own words.
    """

    kind: type = str
    required: bool = True
    default: Any = None
    pattern: str = ""
    choices: tuple[Any, ...] = ()
    unique: bool = False
    exists: bool = True
    about: str = ""


@dataclass(frozen=True)
class Schema:
    """Columns by name, and what rows become.

    Args:
        columns: Name → what it may hold.
        make: Makes an item of a row's values.
        unique: Columns whose values together must differ from row to row.
    """

    columns: Mapping[str, Column]
    make: Callable[[dict[str, Any]], Any]
    unique: tuple[str, ...] = ()


@dataclass
class _Problems:
    file: str
    found: list[str] = field(default_factory=list)

    def add(self, row: int, column: str, what: str) -> None:
        self.found.append(f"row {row}, column `{column}`: {what}")


def schema_of(given: Any, unique: Sequence[str] = ()) -> Schema:
    """Return the schema that a user's declaration means.

    Args:
        given: A NamedTuple or dataclass type; a mapping of names to types or Columns; the path
            of a JSON schema in nf-schema's form.
        unique: Columns whose values together must differ.

    Raises:
        DslError: It is none of these.
    """
    if isinstance(given, (str, Path)):
        return _json_schema(Path(given))
    if isinstance(given, type) and (hasattr(given, "_fields") or dataclasses.is_dataclass(given)):
        hints = type_hints(given)
        defaults = _defaults(given)
        columns = {
            name: _column(kind, required=name not in defaults, default=defaults.get(name))
            for name, kind in hints.items()
        }
        return Schema(columns, lambda row: given(**row), tuple(unique))
    if isinstance(given, dict):
        columns = {str(name): _column(kind) for name, kind in given.items()}
        return Schema(columns, lambda row: row, tuple(unique))
    raise DslError(
        f"a samplesheet's schema cannot be {given!r}"[:300],
        next_step="give a NamedTuple type, a dict of names and types, or a JSON schema's path",
    )


def _defaults(kind: type) -> dict[str, Any]:
    if hasattr(kind, "_field_defaults"):
        return dict(kind._field_defaults)
    found = {}
    for item in dataclasses.fields(kind):
        if item.default is not dataclasses.MISSING:
            found[item.name] = item.default
        elif item.default_factory is not dataclasses.MISSING:
            found[item.name] = item.default_factory()
    return found


def _column(kind: Any, *, required: bool = True, default: Any = None) -> Column:
    if isinstance(kind, Column):
        return kind
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        inner = next(part for part in arguments if part is not type(None))
        return _column(inner, required=False, default=default)
    if origin is typing.Literal:
        return Column(type(arguments[0]), required, default, choices=arguments)
    if kind not in WORDS:
        raise DslError(
            f"a samplesheet's column cannot be {kind!r}",
            next_step="use str, int, float, bool, Path, Literal[…], or `| None` for empty cells",
        )
    return Column(kind, required, default)


def _json_schema(path: Path) -> Schema:
    """Read a schema in nf-schema's form: `items.properties`, `required`, `meta`, formats."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        items = content.get("items", content)
        properties: dict[str, Any] = items["properties"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise DslError(
            f"the schema {path} cannot be read: {error}",
            next_step="it is a JSON schema with items.properties",
        ) from None
    required = set(items.get("required", ()))
    columns = {name: _json_column(about, name in required) for name, about in properties.items()}
    together = tuple(content.get("uniqueEntries", items.get("uniqueEntries", ())))
    meta = {name: about["meta"] for name, about in properties.items() if "meta" in about}

    def make(row: dict[str, Any]) -> Any:
        if not meta:
            return row
        keys = {
            key: row[name]
            for name, listed in meta.items()
            for key in ([listed] if isinstance(listed, str) else listed)
        }
        return (keys, *(value for name, value in row.items() if name not in meta))

    return Schema(columns, make, together)


def _json_column(about: Mapping[str, Any], required: bool) -> Column:  # noqa: FBT001 (one caller)
    kinds = {"string": str, "integer": int, "number": float, "boolean": bool}
    listed = about.get("type", "string")
    names = [listed] if isinstance(listed, str) else [name for name in listed if name != "null"]
    form = about.get("format", "")
    is_file = form in {"file-path", "directory-path", "path"}
    return Column(
        kind=Path if is_file else kinds.get(names[0], str),
        required=required,
        default=about.get("default"),
        pattern=about.get("pattern", ""),
        choices=tuple(about.get("enum", ())),
        unique=bool(about.get("unique", False)),
        exists=bool(about.get("exists", is_file)),
        about=about.get("errorMessage", ""),
    )


def read(file: Path, schema: Schema) -> list[Any]:
    """Return the items of a samplesheet.

    Raises:
        DslError: It cannot be read, or does not fit the schema; all problems at once, each with
            its row (as an editor counts lines, for CSV and TSV) and column.
    """
    rows = list(_rows(file))
    problems = _Problems(str(file))
    _check_header(file, rows, schema)
    items = [_item(number, row, schema, problems, file) for number, row in rows]
    _check_unique(items, rows, schema, problems)
    if problems.found:
        more = len(problems.found) - SHOWN
        lines = problems.found[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
        count = len(problems.found)
        raise DslError(
            f"the samplesheet {file} has {count} problem{'s' if count > 1 else ''}: "
            + "; ".join(lines)
        )
    return [freeze(schema.make(item)) for item in items]


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DslError(
            f"the samplesheet {file} cannot be read: {error}", next_step="check the path"
        ) from None
    if file.suffix in {".yaml", ".yml", ".json"}:
        yield from enumerate(_listed(file, text), 1)
        return
    separator = "\t" if file.suffix in {".tsv", ".txt"} else ","
    reader = csv.reader((f"{line}\n" for line in lines_of(text)), delimiter=separator)
    header: list[str] | None = None
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        if len(cells) > len(header):
            raise DslError(
                f"the samplesheet {file}, row {reader.line_num}: it has {len(cells)} cells, the "
                f"header {len(header)}",
                next_step="put text with the separator in quotes",
            )
        values = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
        yield reader.line_num, {name: values.get(name, "") for name in header}


def _listed(file: Path, text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise DslError(f"the samplesheet {file} cannot be read: {error}") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DslError(f"the samplesheet {file} is not a list of rows with names")
    return content


def _check_header(file: Path, rows: list[tuple[int, dict[str, Any]]], schema: Schema) -> None:
    if not rows:
        raise DslError(f"the samplesheet {file} has no rows")
    header = list(dict.fromkeys(name for _, row in rows for name in row))
    missing = [n for n, column in schema.columns.items() if n not in header and column.required]
    unknown = [name for name in header if name not in schema.columns]
    if missing:
        near = did_you_mean(missing[0], unknown)
        raise DslError(
            f"the samplesheet {file} lacks the column `{missing[0]}`",
            next_step=f"its columns are {', '.join(header)}" + (f"; {near}" if near else ""),
        )
    if unknown:
        raise DslError(
            f"the samplesheet {file} has the column `{unknown[0]}`, which the schema does not know",
            next_step=did_you_mean(unknown[0], schema.columns)
            or f"the columns are {', '.join(schema.columns)}",
        )


def _item(
    number: int, row: dict[str, Any], schema: Schema, problems: _Problems, file: Path
) -> dict[str, Any]:
    found = {}
    for name, column in schema.columns.items():
        given = row.get(name)
        if given is None or given == "":
            if column.required:
                problems.add(number, name, "it is empty")
            found[name] = column.default
            continue
        try:
            found[name] = _value(given, column, file)
        except ValueError as error:
            problems.add(number, name, column.about or str(error))
            found[name] = given
    return found


def _value(given: Any, column: Column, file: Path) -> Any:
    """Return a cell's value.

    Raises:
        ValueError: It is not what the column may hold.
    """
    text = str(given)
    value = _typed(given, text, column, file)
    if column.pattern and re.fullmatch(column.pattern, text) is None:
        raise ValueError(f"{text!r} does not match {column.pattern}")
    if column.choices and value not in column.choices:
        raise ValueError(f"{text!r} is none of {', '.join(map(str, column.choices))}")
    return value


def _typed(given: Any, text: str, column: Column, file: Path) -> Any:
    if column.kind is Path:
        return _path(text, file, exists=column.exists)
    if column.kind is bool:
        if text.lower() in TRUE | FALSE:
            return text.lower() in TRUE
        raise ValueError(f"expected {WORDS[bool]}, got {text!r}")
    if column.kind is str:
        return text
    try:
        return to_number(given, column.kind)
    except (ValueError, TypeError):
        raise ValueError(f"expected {WORDS[column.kind]}, got {text!r}") from None


def _path(text: str, file: Path, *, exists: bool) -> Path:
    """Return a file that a row names: as it stands, else beside the samplesheet."""
    path = Path(text).expanduser()
    beside = file.parent / path
    found = path if path.is_absolute() or path.exists() or not beside.exists() else beside
    if exists and not found.exists():
        raise ValueError(f"the file {text} does not exist")
    return found.absolute()


def _check_unique(
    items: list[dict[str, Any]],
    rows: list[tuple[int, dict[str, Any]]],
    schema: Schema,
    problems: _Problems,
) -> None:
    groups: Iterable[tuple[str, ...]] = [
        *((name,) for name, column in schema.columns.items() if column.unique),
        *([schema.unique] if schema.unique else []),
    ]
    for names in groups:
        seen: dict[tuple[Any, ...], int] = {}
        for (number, _), item in zip(rows, items, strict=True):
            key = tuple(str(item.get(name)) for name in names)
            first = seen.setdefault(key, number)
            if first != number:
                problems.add(number, names[-1], f"{', '.join(key)} stands in row {first} already")
