"""Splitters and counters with the results that Nextflow documents, and their edge cases."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.dsl import DslError, channel
from snakemake_executor_plugin_hpcctr.dsl.channels import channel_of
from snakemake_executor_plugin_hpcctr.dsl.graph import Pending
from snakemake_executor_plugin_hpcctr.dsl.operators.texts import lines_of
from snakemake_executor_plugin_hpcctr.dsl.trace import current
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, Lazy, Promise, resolve
from tests.unit.dsl.traced import Given, items, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

of: Any = channel.of

CSV = "alpha,beta,gamma\n10,20,30\n70,80,90\n"
FASTA = ">1aboA first one\nNLFVALYDFV\nASGDN\n>1ycsB\nKGVIYALWD\n"
READ = "@r{0} x\nACGT\n+\nIIII\n"
FASTQ = "".join(READ.format(n) for n in range(1, 4))
CASES: dict[str, tuple[Callable[[], Any], list[Any]]] = {
    # --- splitCsv
    "csv: rows": (
        lambda: of("alpha,beta,gamma\n10,20,30\n70,80,90").splitCsv(),
        [["alpha", "beta", "gamma"], ["10", "20", "30"], ["70", "80", "90"]],
    ),
    "csv: header": (
        lambda: of(CSV).splitCsv(header=True),
        [{"alpha": "10", "beta": "20", "gamma": "30"},
         {"alpha": "70", "beta": "80", "gamma": "90"}],
    ),
    "csv: names, skip": (
        lambda: of(CSV).splitCsv(header=["a", "b", "c"], skip=1),
        [{"a": "10", "b": "20", "c": "30"}, {"a": "70", "b": "80", "c": "90"}],
    ),
    "csv: fewer names than cells": (lambda: of("1,2\n").splitCsv(header=["a"]), [{"a": "1"}]),
    "csv: missing cells are None": (
        lambda: of("a,b,c\n1\n").splitCsv(header=True), [{"a": "1", "b": None, "c": None}],
    ),
    "csv: empty cells are empty texts": (
        lambda: of("a,b\n,2\n,\n").splitCsv(), [["a", "b"], ["", "2"], ["", ""]],
    ),
    "csv: blank lines are left out": (
        lambda: of("\na,b\n\n1,2\n\n").splitCsv(header=True), [{"a": "1", "b": "2"}],
    ),
    "csv: sep": (lambda: of("a\tb\n").splitCsv(sep="\t"), [["a", "b"]]),
    "csv: quote": (lambda: of("'a,b',c\n").splitCsv(quote="'"), [["a,b", "c"]]),
    "csv: double quotes are known": (lambda: of('"a,b",c\n').splitCsv(), [["a,b", "c"]]),
    "csv: no quotes": (lambda: of('"a,b"\n').splitCsv(quote=""), [['"a', 'b"']]),
    "csv: blanks stay": (lambda: of(" a , b\n").splitCsv(), [[" a ", " b"]]),
    "csv: strip": (lambda: of("x, y\n a , b\n").splitCsv(strip=True, header=True),
                   [{"x": "a", "y": "b"}]),
    "csv: values stay texts": (lambda: of("1,true,2.5\n").splitCsv(), [["1", "true", "2.5"]]),
    "csv: limit": (lambda: of(CSV).splitCsv(limit=1), [["alpha", "beta", "gamma"]]),
    "csv: limit of each source": (lambda: of("1\n2\n", "3\n4\n").splitCsv(limit=1), [["1"], ["3"]]),
    "csv: limit 0 is no limit": (lambda: of("1\n2\n").splitCsv(limit=0), [["1"], ["2"]]),
    "csv: by": (
        lambda: of("1\n2\n3\n").splitCsv(by=2), [[["1"], ["2"]], [["3"]]],
    ),
    "csv: by, header": (
        lambda: of("n\n1\n2\n").splitCsv(by=2, header=True), [[{"n": "1"}, {"n": "2"}]],
    ),
    "csv: the text in a tuple is replaced": (
        lambda: of((1, "a,b\nc,d\n")).splitCsv(), [(1, ["a", "b"]), (1, ["c", "d"])],
    ),
    "csv: elem": (
        lambda: of(("x", "a,b\n")).splitCsv(elem=1), [("x", ["a", "b"])],
    ),
    "csv: elem from the end": (lambda: of(("x", "a\n")).splitCsv(elem=-1), [("x", ["a"])]),
    "csv: nothing": (lambda: of("").splitCsv(), []),
    "csv: header alone": (lambda: of("a,b\n").splitCsv(header=True), []),
    "csv: empty channel": (lambda: channel.empty().splitCsv(header=True), []),
    "csv: Windows' ends of lines": (lambda: of("a,b\r\n1,2\r\n").splitCsv(header=True),
                                    [{"a": "1", "b": "2"}]),
    "csv: cells that hold odd separators": (lambda: of("a\x0bb,\x1cc\n").splitCsv(),
                                            [["a\x0bb", "\x1cc"]]),
    # --- splitText
    "text: lines": (lambda: of("a\nb\n").splitText(), ["a\n", "b\n"]),
    "text: always ends with a newline": (lambda: of("a\nb").splitText(), ["a\n", "b\n"]),
    "text: by": (lambda: of("a\nb\nc\n").splitText(by=2), ["a\nb\n", "c\n"]),
    "text: blank lines count": (lambda: of("a\n\nb\n").splitText(), ["a\n", "\n", "b\n"]),
    "text: limit": (lambda: of("a\nb\nc\n").splitText(limit=2), ["a\n", "b\n"]),
    "text: keepHeader": (
        lambda: of("h\n1\n2\n3\n").splitText(by=2, keepHeader=True), ["h\n1\n2\n", "h\n3\n"],
    ),
    "text: keepHeader, limit": (
        lambda: of("h\n1\n2\n").splitText(keepHeader=True, limit=1), ["h\n1\n"],
    ),
    "text: function": (lambda: of("a\nb\n").splitText(str.upper), ["A\n", "B\n"]),
    "text: a function gets the whole item": (
        lambda: of((1, "a\nb\n")).splitText(lambda n, text: f"{n}{text}"), ["1a\n", "1b\n"],
    ),
    "text: nothing": (lambda: of("").splitText(), []),
    # --- splitFasta
    "fasta: text": (
        lambda: of(FASTA).splitFasta(),
        [">1aboA first one\nNLFVALYDFV\nASGDN\n", ">1ycsB\nKGVIYALWD\n"],
    ),
    "fasta: by": (lambda: of(FASTA).splitFasta(by=2), [FASTA]),
    "fasta: id and seqString": (
        lambda: of(FASTA).splitFasta(record={"id": True, "seqString": True}),
        [{"id": "1aboA", "seqString": "NLFVALYDFVASGDN"},
         {"id": "1ycsB", "seqString": "KGVIYALWD"}],
    ),
    "fasta: header and desc": (
        lambda: of(FASTA).splitFasta(record={"header": True, "desc": True, "id": False}),
        [{"header": "1aboA first one", "desc": "first one"}, {"header": "1ycsB", "desc": None}],
    ),
    "fasta: sequence": (
        lambda: of(FASTA).splitFasta(record={"sequence": True}, limit=1),
        [{"sequence": "NLFVALYDFV\nASGDN\n"}],
    ),
    "fasta: sequence in lines of a width": (
        lambda: of(FASTA).splitFasta(record={"sequence": True, "width": 6}, limit=1),
        [{"sequence": "NLFVAL\nYDFVAS\nGDN\n"}],
    ),
    "fasta: text of a record": (
        lambda: of(FASTA).splitFasta(record={"text": True}, limit=1),
        [{"text": ">1aboA first one\nNLFVALYDFV\nASGDN\n"}],
    ),
    "fasta: all fields": (
        lambda: of(">a b\nAC\n").splitFasta(record=True),
        [{"id": "a", "header": "a b", "desc": "b", "text": ">a b\nAC\n", "seqString": "AC",
          "sequence": "AC\n"}],
    ),
    "fasta: records by": (
        lambda: of(FASTA).splitFasta(record={"id": True}, by=2),
        [[{"id": "1aboA"}, {"id": "1ycsB"}]],
    ),
    "fasta: size counts letters of sequence": (
        lambda: of(">a\nACGT\n>b\nAC\n>c\nA\n").splitFasta(size=5),
        [">a\nACGT\n>b\nAC\n", ">c\nA\n"],
    ),
    "fasta: size with a unit": (lambda: of(FASTA).splitFasta(size="1 KB"), [FASTA]),
    "fasta: limit": (lambda: of(FASTA).splitFasta(limit=1).count(), [1]),
    "fasta: comments": (lambda: of(";c\n>a\nAC\n;c\n\nGT\n").splitFasta(), [">a\nAC\nGT\n"]),
    "fasta: nothing": (lambda: of("").splitFasta(), []),
    # --- splitFastq
    "fastq: text": (lambda: of(FASTQ).splitFastq(), [READ.format(n) for n in (1, 2, 3)]),
    "fastq: by": (lambda: of(FASTQ).splitFastq(by=2), [READ.format(1) + READ.format(2),
                                                      READ.format(3)]),
    "fastq: record": (
        lambda: of(READ.format(1)).splitFastq(record=True),
        [{"readHeader": "r1 x", "readString": "ACGT", "qualityHeader": "",
          "qualityString": "IIII"}],
    ),
    "fastq: fields": (
        lambda: of(READ.format(1)).splitFastq(record={"readString": True}),
        [{"readString": "ACGT"}],
    ),
    "fastq: limit": (lambda: of(FASTQ).splitFastq(limit=1), [READ.format(1)]),
    "fastq: no newline at the end": (lambda: of(FASTQ.rstrip()).splitFastq(by=3), [FASTQ]),
    "fastq: blank lines at the end": (lambda: of(FASTQ + "\n\n").splitFastq(by=3), [FASTQ]),
    "fastq: an empty read": (lambda: of("@e\n\n+\n\n").splitFastq(), ["@e\n\n+\n\n"]),
    "fastq: nothing": (lambda: of("").splitFastq(), []),
    # --- splitJson
    "json: array": (
        lambda: of('[1, null, ["A", {}], true]').splitJson(), [1, None, ["A", {}], True],
    ),
    "json: object": (
        lambda: of('{"A": 1, "B": [2, 3]}').splitJson(),
        [{"key": "A", "value": 1}, {"key": "B", "value": [2, 3]}],
    ),
    "json: path": (lambda: of('{"A": 1, "B": [2, 3]}').splitJson(path="B"), [2, 3]),
    "json: path with an index": (
        lambda: of('{"a": {"b": [{"x": 1}, {"c": [5]}]}}').splitJson(path="a.b[1].c"), [5],
    ),
    "json: path as in JSONPath": (lambda: of('{"a": {"b": [7]}}').splitJson(path=".a.b"), [7]),
    "json: limit": (lambda: of("[1, 2, 3]").splitJson(limit=2), [1, 2]),
    "json: empty": (lambda: of("[]", "{}").splitJson(), []),
    # --- counters
    "countLines": (lambda: of("a\nb\n", "c").countLines(), [3]),
    "countFasta": (lambda: of(FASTA, FASTA).countFasta(), [4]),
    "countFastq": (lambda: of(FASTQ).countFastq(), [3]),
    "countJson": (lambda: of("[1, 2]", '{"a": 1}').countJson(), [3]),
    "count: nothing": (lambda: channel.empty().countLines(), [0]),
    "count: empty text": (lambda: of("").countFasta(), [0]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_documented_results(case: str) -> None:
    """Each splitter gives what Nextflow's reference says."""
    build, expected = CASES[case]
    found = items(build)
    assert expected == found
    assert [type(e) is tuple for e in expected] == [type(f) is tuple for f in found]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a number": (lambda: of(3).splitCsv(), "takes files or text, got 3"),
    "no file in the tuple": (lambda: of((1, 2)).splitText(), "holds no file and no text"),
    "no such element": (lambda: of(("a", "b")).splitText(elem=2), "no element 2"),
    "csv: empty name": (lambda: of("a,,c\n").splitCsv(header=True), "column 2 of the header"),
    "csv: no line for the header": (lambda: of("").splitCsv(header=True), "no line for the header"),
    "csv: header is a text": (lambda: of("a\n").splitCsv(header="a"), "True or a list of names"),
    "csv: sep": (lambda: of("a\n").splitCsv(sep="||"), "sep must be one character"),
    "csv: skip": (lambda: of("a\n").splitCsv(skip=-1), "skip must be a whole number"),
    "csv: a cell without end": (
        lambda: of('a\n"' + "x" * 200_000).splitCsv(), "cannot read line",
    ),
    "by": (lambda: of("a\n").splitText(by=0), "by must be a whole number from 1, got 0"),
    "limit": (lambda: of("a\n").splitCsv(limit=-1), "limit must be a whole number"),
    "compress without file": (lambda: of("a\n").splitText(compress=True), "compress is for files"),
    "file and record": (
        lambda: of(FASTA).splitFasta(record={"id": True}, file=True), "exclude each other",
    ),
    "by and size": (lambda: of(FASTA).splitFasta(by=2, size=10), "exclude each other"),
    "size": (lambda: of(FASTA).splitFasta(size="big"), "splitFasta"),
    "size 0": (lambda: of(FASTA).splitFasta(size=0), "at least 1 byte"),
    "width": (
        lambda: of(FASTA).splitFasta(record={"sequence": True, "width": 0}), "width must be",
    ),
    "unknown field": (lambda: of(FASTA).splitFasta(record={"seq": True}), "no field `seq`"),
    "fastq: incomplete": (lambda: of("@r\nAC\n+\n").splitFastq(), "read 1 is not complete"),
    "fastq: another format": (lambda: of(FASTA * 2).splitFastq(), "read 1 is not FASTQ"),
    "fastq: pe and elem": (lambda: of(FASTQ).splitFastq(pe=True, elem=1), "exclude each other"),
    "fastq: pe without files": (lambda: of((1, "a")).splitFastq(pe=True), "two files"),
    "json: text": (lambda: of("{").splitJson(), "this is not JSON"),
    "json: path": (lambda: of("{}").splitJson(path="a"), "nothing at 'a'"),
    "count of a number": (lambda: of(1).countLines(), "takes files or text"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_splitters_refuse(case: str) -> None:
    """What a splitter cannot take is an error with a place."""
    build, said = REFUSED[case]
    with pytest.raises(DslError) as caught:
        items(build)
    assert said in caught.value.what
    assert Path(__file__).name == Path(caught.value.span.file).name


def test_errors_name_item_and_history() -> None:
    """An error in an item shows the item and where its channel comes from."""
    with pytest.raises(DslError) as caught:
        items(lambda: of("a,\n").map(lambda x: x).splitCsv(header=True))
    assert "'a,\\n'" in caught.value.item
    assert 3 == len(caught.value.history.split(" → "))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_gzipped_files_are_opened(folder: Path) -> None:
    """A gzipped file is recognised by its content, unless it is to stay as it is."""
    file = folder / "a.csv.gz"
    file.write_bytes(gzip.compress(b"a,b\n"))
    assert [["a", "b"]] == items(lambda: of(file).splitCsv())
    with pytest.raises(DslError, match="cannot read"):
        items(lambda: of(file).splitCsv(decompress=False))


def _split(file: Path, charset: str) -> Any:
    return of(file).splitCsv(charset=charset)


def test_encodings(folder: Path) -> None:
    """A byte order mark is no part of the text; other encodings are named."""
    (folder / "bom.csv").write_bytes("\ufeffid\né\n".encode())
    (folder / "latin.csv").write_bytes("id\né\n".encode("latin-1"))
    assert [{"id": "é"}] == items(lambda: of(folder / "bom.csv").splitCsv(header=True))
    latin = folder / "latin.csv"
    assert [{"id": "é"}] == items(lambda: of(latin).splitCsv(header=True, charset="latin-1"))
    for charset in ("utf-8", "no-such"):
        with pytest.raises(DslError, match=r"cannot read .*latin\.csv"):
            items(partial(_split, latin, charset))


def test_a_missing_file_is_named(folder: Path) -> None:
    """A file that is not there is an error with its path."""
    with pytest.raises(DslError, match=r"cannot read .*gone\.txt"):
        items(lambda: of(folder / "gone.txt").splitText())


def test_the_first_file_of_a_tuple_is_split(folder: Path) -> None:
    """A file goes before texts; the other elements stay."""
    (folder / "a.txt").write_text("1\n2\n")
    made = items(lambda: of(("id", folder / "a.txt", folder)).splitText())
    assert [("id", "1\n", folder), ("id", "2\n", folder)] == made


def test_pieces_as_files(folder: Path) -> None:
    """With file=True pieces are named after their source and numbered from 1."""
    (folder / "a.txt").write_text("1\n2\n3\n")
    made = items(lambda: of((7, folder / "a.txt")).splitText(by=2, file=True))
    assert [7, 7] == [number for number, _ in made]
    assert ["a.1.txt", "a.2.txt"] == [file.name for _, file in made]
    assert ["1\n2\n", "3\n"] == [file.read_text() for _, file in made]
    assert folder / ".hpcctr/dsl/files" == made[0][1].parents[1]


def test_pieces_as_gzipped_files(folder: Path) -> None:
    """Compressed pieces end in .gz, and the source's own .gz is no part of their names."""
    (folder / "a.fa.gz").write_bytes(gzip.compress(FASTA.encode()))
    made = items(lambda: of(folder / "a.fa.gz").splitFasta(file=True, compress=True))
    assert ["a.1.fa.gz", "a.2.fa.gz"] == [file.name for file in made]
    assert b">1ycsB\nKGVIYALWD\n" == gzip.decompress(made[1].read_bytes())


def _pieces(file: Path, name: str) -> Any:
    return of(file).splitText(file=name)


def test_names_of_pieces(folder: Path) -> None:
    """Files may have a name, or a folder, of the user's; texts without a file are `chunk`."""
    (folder / "a.txt").write_text("1\n")
    (folder / "there").mkdir()
    named = {
        "part.tsv": "part.1.tsv", "new/": "a.1.txt", "there": "a.1.txt", "new/b.txt": "b.1.txt",
    }  # fmt: skip
    for given_name, expected in named.items():
        (made,) = items(partial(_pieces, folder / "a.txt", given_name))
        assert expected == made.name
    assert (folder / "new/a.1.txt").exists()
    assert (folder / "there/a.1.txt").exists()
    assert "chunk.1" == items(lambda: of("x").splitText(file=True))[0].name


def test_pieces_of_two_files_do_not_overwrite_each_other(folder: Path) -> None:
    """In a folder of the user's two sources of one name are refused."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "x.txt").write_text(name)
    files = [folder / "a/x.txt", folder / "b/x.txt"]
    assert 2 == len(set(items(lambda: of(*files).splitText(file=True))))
    with pytest.raises(DslError, match=r"both named .*x\.1\.txt"):
        items(lambda: of(*files).splitText(file="out/"))


def test_the_same_pieces_keep_their_time(folder: Path) -> None:
    """A second trace does not write files again, so that their keys stay."""
    (folder / "a.txt").write_text("1\n")
    build = lambda: of(folder / "a.txt").splitText(file=True)  # noqa: E731
    before = items(build)[0].stat().st_mtime_ns
    assert before == items(build)[0].stat().st_mtime_ns


@pytest.mark.parametrize("flat", [True, False])
def test_pairs_of_reads_are_split_in_step(folder: Path, flat: bool) -> None:  # noqa: FBT001 (a case)
    """With `pe` both files of (id, file, file) are cut, and pieces meet by number."""
    for mate in (1, 2):
        (folder / f"s_{mate}.fq").write_text(FASTQ.replace("x", f"mate{mate}"))
    made = items(
        lambda: channel.fromFilePairs("s_{1,2}.fq", flat=flat).splitFastq(by=2, pe=True, file=True)
    )
    expected = [("s", "s_1.1.fq", "s_2.1.fq"), ("s", "s_1.2.fq", "s_2.2.fq")]
    assert expected == [(name, one.name, other.name) for name, one, other in made]
    assert "@r3 mate2\n" == made[1][2].read_text().splitlines(keepends=True)[0]


def test_pairs_with_other_elements_and_records(folder: Path) -> None:
    """What stands round the two files stays in its place."""
    for mate in (1, 2):
        (folder / f"s_{mate}.fq").write_text(READ.format(mate))
    item = ("id", Path("s_1.fq"), Path("s_2.fq"), "lane")
    made = items(lambda: of(item).splitFastq(pe=True, record={"readHeader": True}))
    assert [("id", {"readHeader": "r1 x"}, {"readHeader": "r2 x"}, "lane")] == made


def test_pairs_of_different_lengths_are_refused(folder: Path) -> None:
    """A read without its mate is an error, not silence."""
    (folder / "a.fq").write_text(FASTQ)
    (folder / "b.fq").write_text(READ.format(1))
    with pytest.raises(DslError, match="different numbers of reads"):
        items(lambda: of(("s", folder / "a.fq", folder / "b.fq")).splitFastq(pe=True))


def task(*made: Any) -> Any:
    """Return a queue of what tasks will give."""
    return channel_of(current().add("task", "queue", (), list(made)))


SPLITTERS: dict[str, Callable[[Any], Any]] = {
    "splitCsv": lambda c: c.splitCsv(),
    "splitText": lambda c: c.splitText(),
    "splitFasta": lambda c: c.splitFasta(),
    "splitFastq": lambda c: c.splitFastq(),
    "splitJson": lambda c: c.splitJson(),
}


@pytest.mark.parametrize("name", SPLITTERS)
def test_a_tasks_file_is_split_behind_a_checkpoint(name: str) -> None:
    """How many pieces a file has is known only after the task that makes it."""
    state = state_of(lambda: SPLITTERS[name](task(("id", Promise("p", "k", 0)))))
    assert isinstance(state, Pending)
    assert {f"{name}#1"} == set(state.barriers)


def test_behind_the_checkpoint_the_file_is_split(folder: Path) -> None:
    """When the task has run, its file is read, and tasks that gave nothing are left out."""
    (folder / "a.csv").write_text("1\n2\n")
    results = Given({("p", 0, 0): lambda key: folder / "a.csv" if key == "k" else ABSENT})
    build = lambda: task(Promise("p", "k", 0), Promise("p", "l", 0, maybe=True)).splitCsv()  # noqa: E731
    assert [["1"], ["2"]] == items(build, results)


def test_counts_of_tasks_files_wait_for_them(folder: Path) -> None:
    """A count is one value, whatever is in the files: no checkpoint is needed."""
    (folder / "a.txt").write_text("1\n2\n")
    (made,) = items(lambda: task(Promise("p", "k", 0), Promise("p", "l", 0)).countLines())
    assert type(made) is Lazy
    assert 4 == resolve(made, Given({("p", 0, 0): folder / "a.txt"}).give)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"))), st.integers(1, 5))
def test_pieces_of_a_text_are_the_text(lines: list[str], by: int) -> None:
    """No line is lost, changed or cut, whatever is in it."""
    text = "".join(f"{line}\n" for line in lines)
    pieces = items(lambda: of(text).splitText(by=by))
    assert text == "".join(pieces)
    assert all(len(lines_of(piece)) <= by for piece in pieces)
