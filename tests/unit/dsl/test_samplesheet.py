from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 (a schema's type)
from typing import Any, NamedTuple

import pytest

from snakemake_executor_plugin_hpcctr.dsl import Column, DslError, channel
from snakemake_executor_plugin_hpcctr.dsl.samplesheet import read, schema_of
from tests.unit.dsl.traced import items


class Sample(NamedTuple):
    """A row."""

    id: str
    reads: Path
    depth: int = 1
    paired: bool | None = None


def sheet(folder: Path, text: str, name: str = "samples.csv") -> Path:
    """Write a samplesheet beside two files of reads."""
    for file in ("a.fq", "b.fq"):
        (folder / file).touch()
    path = folder / name
    path.write_text(text)
    return path


def test_rows_become_named_tuples(tmp_path: Path) -> None:
    """Cells are converted; files are looked for beside the sheet; empty cells have defaults."""
    path = sheet(tmp_path, "id,reads,depth,paired\n s1 ,a.fq,3,true\n\ns2,b.fq,,\n")
    expected = [Sample("s1", tmp_path / "a.fq", 3, True), Sample("s2", tmp_path / "b.fq", 1, None)]  # noqa: FBT003
    assert expected == read(path, schema_of(Sample))
    assert expected == items(lambda: channel.fromSamplesheet(path, Sample))


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".tsv"])
def test_other_formats(suffix: str, tmp_path: Path) -> None:
    """TSV, YAML and JSON hold the same rows."""
    rows = [{"id": "s1", "reads": "a.fq"}]
    text = "id\treads\ns1\ta.fq\n" if suffix == ".tsv" else json.dumps(rows)
    path = sheet(tmp_path, text, f"samples{suffix}")
    assert [Sample("s1", tmp_path / "a.fq")] == read(path, schema_of(Sample))


def test_rows_as_dicts(tmp_path: Path) -> None:
    """A dict of names and types gives dicts."""
    path = sheet(tmp_path, "id,n\ns1,2\n")
    assert [{"id": "s1", "n": 2}] == read(path, schema_of({"id": str, "n": int}))


def test_line_breaks_in_cells(tmp_path: Path) -> None:
    """A quoted cell keeps its line break, and rows are counted as an editor does."""
    path = sheet(tmp_path, 'id,n\n"a\nb\x0cc",2\nx,many\n')
    with pytest.raises(DslError, match="row 4, column `n`"):
        read(path, schema_of({"id": str, "n": int}))
    path = sheet(tmp_path, 'id,n\n"a\nb\x0cc",2\n')
    assert [{"id": "a\nb\x0cc", "n": 2}] == read(path, schema_of({"id": str, "n": int}))


@pytest.mark.parametrize("given", [1.5, True, [1]])
def test_what_is_no_whole_number_in_json(given: Any, tmp_path: Path) -> None:
    """Values of JSON are refused as those of text are, and nothing is cut off."""
    path = sheet(tmp_path, json.dumps([{"n": given}]), "samples.json")
    with pytest.raises(DslError, match="row 1, column `n`: expected a whole number"):
        read(path, schema_of({"n": int}))


WRONG = {
    "a file that is not there": ("s1,c.fq,1,", "row 2, column `reads`: the file c.fq does not"),
    "a number": ("s1,a.fq,many,", "row 2, column `depth`: expected a whole number, got 'many'"),
    "an empty cell": (",a.fq,1,", "row 2, column `id`: it is empty"),
    "a switch": ("s1,a.fq,1,perhaps", "row 2, column `paired`: expected true or false"),
    "too many cells": ("s1,a.fq,1,,x", "row 2: it has 5 cells, the header 4"),
    "a repeated row": ("s1,a.fq,1,\ns1,b.fq,1,", "row 3, column `id`: s1 stands in row 2"),
}


@pytest.mark.parametrize("problem", WRONG)
def test_problems_have_row_and_column(problem: str, tmp_path: Path) -> None:
    """Each problem is named with the row that an editor shows, and the column."""
    rows, words = WRONG[problem]
    path = sheet(tmp_path, f"id,reads,depth,paired\n{rows}\n")
    with pytest.raises(DslError) as caught:
        read(path, schema_of(Sample, unique=["id"]))
    assert words in caught.value.what


def test_all_problems_at_once(tmp_path: Path) -> None:
    """One run shows every problem of the sheet."""
    path = sheet(tmp_path, "id,reads\n,c.fq\ns2,d.fq\n")
    with pytest.raises(DslError, match="has 3 problems"):
        read(path, schema_of(Sample))


@pytest.mark.parametrize(
    ("header", "words", "hint"),
    [
        ("id,read", "lacks the column `reads`", "did you mean `read`?"),
        ("id,reads,note", "has the column `note`", "the columns are"),
    ],
)
def test_columns(header: str, words: str, hint: str, tmp_path: Path) -> None:
    """Missing and unknown columns are refused."""
    path = sheet(tmp_path, f"{header}\n{','.join(['a.fq'] * (header.count(',') + 1))}\n")
    with pytest.raises(DslError, match=words) as caught:
        read(path, schema_of(Sample))
    assert hint in caught.value.next_step


def test_columns_with_rules(tmp_path: Path) -> None:
    """A Column may have a pattern, choices, and values that do not repeat."""
    schema = schema_of(
        {"id": Column(pattern="s[0-9]+", unique=True), "kind": Column(choices=("a", "b"))}
    )
    path = sheet(tmp_path, "id,kind\ns1,a\nx,c\ns1,b\n")
    with pytest.raises(DslError) as caught:
        read(path, schema)
    for words in ("'x' does not match", "'c' is none of a, b", "s1 stands in row 2"):
        assert words in caught.value.what


def test_a_schema_of_nf_schema(tmp_path: Path) -> None:
    """A JSON schema with `meta` gives tuples whose first element is the metadata."""
    schema: dict[str, Any] = {
        "items": {
            "properties": {
                "sample": {"type": "string", "meta": ["id"], "pattern": "^\\S+$"},
                "fastq": {"type": "string", "format": "file-path"},
            },
            "required": ["sample"],
        }
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    path = sheet(tmp_path, "sample,fastq\ns1,a.fq\n")
    found = read(path, schema_of(tmp_path / "schema.json"))
    assert [({"id": "s1"}, tmp_path / "a.fq")] == found
