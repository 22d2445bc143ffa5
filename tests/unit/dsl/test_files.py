"""`collectFile`, `channel.fromPath` and `channel.fromFilePairs` as Nextflow documents them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError, channel
from snakemake_executor_plugin_hpcctr.dsl.channels import channel_of
from snakemake_executor_plugin_hpcctr.dsl.graph import Pending
from snakemake_executor_plugin_hpcctr.dsl.operators.paths import prefix
from snakemake_executor_plugin_hpcctr.dsl.trace import current
from snakemake_executor_plugin_hpcctr.dsl.values import ABSENT, Lazy, Promise, resolve
from tests.unit.dsl.traced import Given, items, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

of: Any = channel.of
WORDS = ("alpha", "beta", "gamma")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(build: Callable[[], Any]) -> dict[str, str]:
    """Return name → content of the files that a channel emits."""
    return {path.name: path.read_text() for path in items(build)}


def write(name: str, text: str) -> Path:
    """Write a file and return its path."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.absolute()


COLLECTED: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "one file": (
        lambda: of(*WORDS).collectFile(name="sample.txt", newLine=True, sort=True),
        {"sample.txt": "alpha\nbeta\ngamma\n"},
    ),
    "a name for each item": (
        lambda: of("Hola", "Ciao", "Hello", "Bonjour", "Halo").collectFile(
            lambda w: (f"{w[0]}.txt", f"{w}\n"), sort=True
        ),
        {"H.txt": "Halo\nHello\nHola\n", "C.txt": "Ciao\n", "B.txt": "Bonjour\n"},
    ),
    "several contents for one name": (
        lambda: of("x").collectFile(lambda w: ("n.txt", w, "y"), sort="index"), {"n.txt": "xy"},
    ),
    "tuples are (name, content)": (
        lambda: of(("a.txt", "1"), ("b.txt", "2"), ("a.txt", "3")).collectFile(sort="index"),
        {"a.txt": "13", "b.txt": "2"},
    ),
    "content from a function, fixed name": (
        lambda: of("a", "b").collectFile(str.upper, name="x", sort=True), {"x": "AB"},
    ),
    "texts without a name": (lambda: of("a").collectFile(), {"collect-file.data": "a"}),
    "files go to their own names": (
        lambda: of(write("1/a.txt", "x"), write("2/a.txt", "y"), write("b.txt", "z"))
        .collectFile(sort=True),
        {"a.txt": "xy", "b.txt": "z"},
    ),
    "files into one": (
        lambda: of(write("a", "1\n"), write("b", "2\n")).collectFile(name="all", sort=True),
        {"all": "1\n2\n"},
    ),
    "a list of files": (
        lambda: of([write("a", "1"), write("b", "2")]).collectFile(name="all", sort="index"),
        {"all": "12"},
    ),
    "numbers": (lambda: of(10, 9, 1.5).collectFile(name="n", newLine=True, sort=True),
                {"n": "1.5\n9\n10\n"}),
    "sort by a function": (
        lambda: of("ccc", "a", "bb").collectFile(name="n", sort=len), {"n": "abbccc"},
    ),
    "sort by a comparator": (
        lambda: of(1, 3, 2).collectFile(name="n", sort=lambda a, b: b - a), {"n": "321"},
    ),
    "sort=False keeps arrival": (
        lambda: of("b", "a").collectFile(name="n", sort=False), {"n": "ba"},
    ),
    "newLine always adds one": (
        lambda: of("a\n", "b").collectFile(name="n", newLine=True, sort=True), {"n": "a\n\nb\n"},
    ),
    "seed": (lambda: of("x").collectFile(name="n", seed="head\n"), {"n": "head\nx"}),
    "seed and newLine": (
        lambda: of("x").collectFile(name="n", seed="head", newLine=True), {"n": "head\nx\n"},
    ),
    "seed of a file": (
        lambda: of("x").collectFile(name="n", seed=write("head.txt", "h\n")), {"n": "h\nx"},
    ),
    "seed by name": (
        lambda: of(("a", "1"), ("b", "2")).collectFile(seed={"a": "A"}), {"a": "A1", "b": "2"},
    ),
    "seed from a function": (
        lambda: of(("a", "1")).collectFile(seed=lambda name: f"{name}:"), {"a": "a:1"},
    ),
    "skip": (
        lambda: of("h\n1\n", "h\n2\n").collectFile(name="n", skip=1, sort="index"),
        {"n": "1\n2\n"},
    ),
    "skip more than there is": (lambda: of("a\n").collectFile(name="n", skip=3), {"n": ""}),
    "keepHeader": (
        lambda: of("h\n1\n", "h\n2\n").collectFile(name="n", keepHeader=True, sort="index"),
        {"n": "h\n1\n2\n"},
    ),
    "keepHeader of two lines": (
        lambda: of("h\ni\n1\n", "h\ni\n2\n")
        .collectFile(name="n", keepHeader=True, skip=2, sort="index"),
        {"n": "h\ni\n1\n2\n"},
    ),
    "keepHeader for each file": (
        lambda: of(("a", "h\n1\n"), ("b", "h\n2\n"), ("a", "h\n3\n"))
        .collectFile(keepHeader=True, sort="index"),
        {"a": "h\n1\n3\n", "b": "h\n2\n"},
    ),
    "None is nothing": (
        lambda: of(1, 2).collectFile(lambda n: n if n > 1 else None, name="n"), {"n": "2"},
    ),
    "an empty channel": (lambda: channel.empty().collectFile(name="n"), {}),
}  # fmt: skip


@pytest.mark.parametrize("case", COLLECTED)
def test_collected_files(case: str) -> None:
    """Items are written into files as Nextflow's reference says."""
    build, expected = COLLECTED[case]
    assert expected == files(build)


def test_the_default_order_does_not_depend_on_arrival() -> None:
    """The same entries in another order give the same file, so that nothing runs again."""
    forth = items(lambda: of(*WORDS).collectFile(name="n"))
    assert forth == items(lambda: of(*reversed(WORDS)).collectFile(name="n"))


def test_places_of_collected_files(folder: Path) -> None:
    """Files are kept below .hpcctr, in storeDir, or in the folder that the name says."""
    (hidden,) = items(lambda: of("a").collectFile(name="n"))
    assert folder / ".hpcctr/dsl/files" == hidden.parents[1]
    assert [folder / "out/n"] == items(lambda: of("a").collectFile(name="n", storeDir="out"))
    assert [folder / "deep/er/n"] == items(lambda: of("a").collectFile(name="deep/er/n"))
    (below,) = items(lambda: of(("s/n", "a")).collectFile(storeDir="out"))
    assert folder / "out/s/n" == below


def test_a_file_that_does_not_change_is_not_written_again() -> None:
    """A second trace leaves the file's time, so that its consumers stay cached."""
    build = lambda: of("a").collectFile(name="n", storeDir="out")  # noqa: E731
    before = items(build)[0].stat().st_mtime_ns
    assert before == items(build)[0].stat().st_mtime_ns


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "seed and keepHeader": (
        lambda: of("a").collectFile(seed="x", keepHeader=True), "exclude each other",
    ),
    "sort": (lambda: of("a").collectFile(sort="size"), "sort cannot be 'size'"),
    "skip": (lambda: of("a").collectFile(skip=-1), "skip must be a whole number"),
    "a dict": (lambda: of({"a": 1}).collectFile(), "takes files or text"),
    "a missing file": (lambda: of(Path("gone")).collectFile(), "cannot read gone"),
    "not comparable": (
        lambda: of("a", 1).collectFile(name="n", sort=True), "cannot be put in order",
    ),
    "two names": (lambda: of(("a", "b")).collectFile(name="n"), "says (name, content)"),
    "name outside": (lambda: of(("../a", "b")).collectFile(), "no name of a file"),
    "absolute name": (lambda: of(("/tmp/a", "b")).collectFile(), "no name of a file"),
    "function": (lambda: of("a").collectFile(lambda w: w.nothing), "raised AttributeError"),
    "fromPath: empty": (lambda: channel.fromPath(""), "the path is empty"),
    "fromPath: missing": (
        lambda: channel.fromPath("gone.txt", checkIfExists=True), "gone.txt does not exist",
    ),
    "fromPath: no match": (
        lambda: channel.fromPath("*.none", checkIfExists=True), "no file matches *.none",
    ),
    "fromPath: type": (lambda: channel.fromPath("*", type="x"), "type must be"),  # type: ignore[arg-type]
    "fromFilePairs: size": (lambda: channel.fromFilePairs("*", size=0), "size must be"),
    "fromFilePairs: function": (
        lambda: channel.fromFilePairs("a_*", lambda f: f.x),  # type: ignore[attr-defined]
        "raised AttributeError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    """What cannot be written or found is an error with a place."""
    write("a_1", "")
    build, said = REFUSED[case]
    with pytest.raises(DslError) as caught:
        items(build)
    assert said in caught.value.what
    assert Path(__file__).name == Path(caught.value.span.file).name


def task(*made: Any) -> Any:
    """Return a queue of what tasks will give."""
    return channel_of(current().add("task", "queue", (), list(made)))


def test_tasks_files_are_collected_when_they_are_there() -> None:
    """With a fixed name there is one file: it is written when a task that takes it is made."""
    done = {"k": write("k.txt", "1\n"), "l": ABSENT, "m": write("m.txt", "2\n")}
    made = [Promise("p", key, 0, maybe=key == "l") for key in done]
    (later,) = items(lambda: task(*made).collectFile(name="all.txt", sort=True))
    assert type(later) is Lazy
    assert "1\n2\n" == resolve(later, Given({("p", 0, 0): done.__getitem__}).give).read_text()


def test_names_from_content_need_a_checkpoint() -> None:
    """If a function names the files, their number is known only after the tasks."""
    build = lambda: task(Promise("p", "k", 0)).collectFile(lambda f: (f.stem, f))  # noqa: E731
    assert isinstance(state_of(build), Pending)
    results = Given({("p", 0, 0): write("k.txt", "1\n")})
    assert ["k"] == [path.name for path in items(build, results)]


TREE = ("a.fa", "b.fa", "c.txt", ".hidden.fa", "sub/d.fa", "sub/deep/e.fa", ".dot/f.fa")


@pytest.fixture
def tree() -> None:
    """Write a few files in folders."""
    for name in TREE:
        write(name, name)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("pattern", "options", "expected"),
    [
        ("*.fa", {}, ["a.fa", "b.fa"]),
        ("?.fa", {}, ["a.fa", "b.fa"]),
        ("[ab].fa", {}, ["a.fa", "b.fa"]),
        ("{a,c}.{fa,txt}", {}, ["a.fa", "c.txt"]),
        ("*", {}, ["a.fa", "b.fa", "c.txt"]),
        ("*", {"type": "dir"}, ["sub"]),
        ("*", {"type": "any"}, ["a.fa", "b.fa", "c.txt", "sub"]),
        ("*.fa", {"hidden": True}, [".hidden.fa", "a.fa", "b.fa"]),
        (".*.fa", {}, [".hidden.fa"]),
        ("**.fa", {}, ["a.fa", "b.fa", "sub/d.fa", "sub/deep/e.fa"]),
        ("**/*.fa", {}, ["sub/d.fa", "sub/deep/e.fa"]),
        ("**.fa", {"maxDepth": 1}, ["a.fa", "b.fa", "sub/d.fa"]),
        ("sub/*", {}, ["sub/d.fa"]),
        ("none*", {}, []),
        ("gone/*", {}, []),
        ("a.fa", {}, ["a.fa"]),
        ("gone.fa", {}, ["gone.fa"]),
        ("*.fa", {"glob": False}, ["*.fa"]),
        (["b.fa", "a*"], {}, ["b.fa", "a.fa"]),
        ([], {}, []),
    ],
)
def test_from_path(
    pattern: Any, options: dict[str, Any], expected: list[str], folder: Path
) -> None:
    """Patterns match as Nextflow's do; files are sorted, and absolute."""
    made = items(lambda: channel.fromPath(pattern, **options))
    assert [folder / name for name in expected] == made


@pytest.mark.usefixtures("tree")
def test_relative_paths() -> None:
    """With relative=True names begin behind the folder in front of the first wildcard."""
    assert [Path("d.fa")] == items(lambda: channel.fromPath("sub/*.fa", relative=True))


def test_links_to_folders(folder: Path) -> None:
    """`**` goes through links to folders unless followLinks=False."""
    write("real/x.fa", "")
    (folder / "in").mkdir()
    (folder / "in/link").symlink_to(folder / "real")
    assert 1 == len(items(lambda: channel.fromPath("in/**.fa")))
    assert [] == items(lambda: channel.fromPath("in/**.fa", followLinks=False))


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("a_1.fq", "*_{1,2}.fq", "a"),
        ("a_b_1.fq", "*_{1,2}.fq", "a_b"),
        ("SRR1_R1_001.fastq.gz", "*_R{1,2}_001.fastq.gz", "SRR1"),
        ("a_1_x.fq", "data/*_{1,2}*.fq", "a"),
        ("a.1.fq", "*.[12].fq", "a"),
        ("file_alpha_1.fa", "file*_1.fa", "file_alpha"),
        ("reads_1.fq", "reads_{1,2}.fq", "reads"),
        ("ab.bam", "?b.{bam,bai}", "a"),
        ("x.tar.gz", "x.tar.gz", "x"),
        ("s_1.fq", "*_[!0].fq", "s"),
    ],
)
def test_names_of_pairs(name: str, pattern: str, expected: str) -> None:
    """A pair's id is its files' name up to the last wildcard in front of the alternatives."""
    assert expected == prefix(name, pattern)


def names(build: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """Return pairs with names in place of paths."""
    return [(key, [file.name for file in found]) for key, found in items(build)]


def test_file_pairs() -> None:
    """Files with one id come together, sorted; other groups than of two are dropped."""
    for name in ("a_2.fq", "a_1.fq", "b_1.fq", "b_2.fq", "alone_1.fq"):
        write(name, "")
    pattern = "*_{1,2}.fq"
    pairs = [("a", ["a_1.fq", "a_2.fq"]), ("b", ["b_1.fq", "b_2.fq"])]
    assert pairs == names(lambda: channel.fromFilePairs(pattern))
    all_of = sorted([*pairs, ("alone", ["alone_1.fq"])])
    assert all_of == sorted(names(lambda: channel.fromFilePairs(pattern, size=-1)))
    flat = items(lambda: channel.fromFilePairs(pattern, flat=True))
    assert ("a", "a_1.fq", "a_2.fq") == (flat[0][0], flat[0][1].name, flat[0][2].name)
    ones = names(lambda: channel.fromFilePairs(pattern, size=1))
    assert [("a", ["a_1.fq"]), ("a", ["a_2.fq"])] == ones[:2]


def test_file_pairs_by_a_function() -> None:
    """A function may say what belongs together, with a value that can be a list, too."""
    for name in ("x.one.txt", "x.two.txt"):
        write(name, "")
    made = names(lambda: channel.fromFilePairs("*.txt", lambda f: f.name[:1]))
    assert [("x", ["x.one.txt", "x.two.txt"])] == made
    (made_by_list,) = items(lambda: channel.fromFilePairs("*.txt", lambda f: [f.suffix]))
    assert [".txt"] == made_by_list[0]


def test_groups_larger_than_their_size_come_in_portions() -> None:
    """Four files with one id and size=2 are two groups."""
    for n in range(5):
        write(f"s_{n}.fq", "")
    expected = [("s", ["s_0.fq", "s_1.fq"]), ("s", ["s_2.fq", "s_3.fq"])]
    assert expected == names(lambda: channel.fromFilePairs("s_[0-9].fq"))


def test_file_pairs_without_a_wildcard() -> None:
    """A plain name is a group of one."""
    write("x.fq", "")
    assert [("x", ["x.fq"])] == names(lambda: channel.fromFilePairs("x.fq"))
