"""What a task left → its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import Emit, Leaf
from snakemake_executor_plugin_hpcctr.dsl.runtime.collect import Missing, collect, files

MADE = ("a.txt", "b.txt", "c.csv", ".hidden.txt", "sub/d.txt", "sub/deep/e.txt", "in.txt")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a task's folder with some files."""
    for name in MADE:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def found(work: Path, pattern: str, **options: Any) -> Any:
    """Return what a pattern matches, as text."""
    leaf = Leaf(kind="path", text=pattern, **options)
    made = files(leaf, pattern, work, frozenset({"in.txt"}), "out")
    return [str(path) for path in made] if isinstance(made, list) else str(made)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("*.csv", "c.csv"),
        ("a.txt", "a.txt"),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("{a,c}.*", ["a.txt", "c.csv"]),
        (".*.txt", ".hidden.txt"),
        ("sub", "sub"),
        ("sub/*.txt", "sub/d.txt"),
        ("sub/*", ["sub/d.txt", "sub/deep"]),
        ("**/*.txt", ["sub/d.txt", "sub/deep/e.txt"]),
        ("**.txt", ["a.txt", "b.txt", "sub/d.txt", "sub/deep/e.txt"]),
        ("**.csv", "c.csv"),
        ("sub/**", ["sub/d.txt", "sub/deep/e.txt"]),
    ],
)
def test_globs(pattern: str, expected: Any, work: Path) -> None:
    """`*` stays in its folder, `**` crosses them and gives files, one match is no list."""
    assert expected == found(work, pattern)


def test_options(work: Path) -> None:
    """Inputs, hidden files, folders and depth are options."""
    assert ["a.txt", "b.txt", "in.txt"] == found(work, "*.txt", include_inputs=True)
    assert [".hidden.txt", "a.txt", "b.txt"] == found(work, "*.txt", hidden=True)
    assert "sub" == found(work, "*", type="dir")
    assert ["a.txt", "b.txt", "sub/d.txt"] == found(work, "**.txt", max_depth=1)
    assert "a.txt" == found(work, "a.txt", glob=False)


def test_arity(work: Path) -> None:
    """`'1'` gives one path, other arities a list; another number is an error."""
    assert ["c.csv"] == found(work, "*.csv", arity=(1, None))
    assert [] == found(work, "*.none", arity=(0, None))
    with pytest.raises(DslError, match=r"wants 1 file\(s\)"):
        found(work, "*.txt", arity=(1, 1))


def test_a_missing_output_shows_the_folder(work: Path) -> None:
    """The message has the pattern, what is there, and the staged input that does not count."""
    with pytest.raises(Missing) as caught:
        found(work, "*.bam")
    assert "nothing matches '*.bam'" in caught.value.what
    assert "a.txt, b.txt, c.csv" in caught.value.item
    with pytest.raises(Missing, match=r"staged input in\.txt"):
        found(work, "in.*")


def test_an_optional_output_is_none(work: Path) -> None:
    """It covers the whole tuple; other outputs are there."""
    leaves = [Leaf(kind="val", text="x"), Leaf(kind="path", text="*.bam")]
    emits = [
        Emit(name="some", leaves=leaves, tuple=True, optional=True),
        Emit(name="all", leaves=[Leaf(kind="path", text="c.csv")]),
    ]
    made = collect(emits, work, frozenset(), lambda *_: 1, lambda text: text)
    assert [None, [Path("c.csv")]] == made


def test_absolute_patterns_are_refused(work: Path) -> None:
    """Outputs lie in the task's folder."""
    with pytest.raises(DslError, match="absolute path"):
        found(work, "/etc/*")
