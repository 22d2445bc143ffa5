from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError
from snakemake_executor_plugin_hpcctr.dsl.model import Publish
from snakemake_executor_plugin_hpcctr.dsl.runtime.publish import Owner, publish, target_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a task's folder."""
    folder = tmp_path / "work"
    (folder / "s").mkdir(parents=True)
    for name in ("a.txt", "b.csv", "s/c.txt"):
        (folder / name).write_text(name)
    return folder


def put(
    work: Path, *names: str, task: str = "p", cached: bool = False, **options: Any
) -> list[str]:
    """Publish files into `out`; return names below it."""
    out = work.parent / "out"
    save_as = options.pop("save_as", None)
    place = Publish(path=str(out), **options)
    owner = Owner(task, task, work.parent / "registry", cached)
    return [t.removeprefix(f"{out}/") for t in publish([(place, save_as)], names, work, owner)]


@pytest.mark.parametrize("mode", ["symlink", "rellink", "link", "copy", "copyNoFollow"])
def test_modes(mode: str, work: Path) -> None:
    """Each mode makes a file with the content, and leaves the task's own."""
    assert ["a.txt", "s/c.txt"] == put(work, "a.txt", "s/c.txt", mode=mode)
    made = work.parent / "out/a.txt"
    assert "a.txt" == made.read_text()
    assert mode.endswith("link") is (made.is_symlink() or mode == "link")
    if mode == "rellink":
        assert "../work/a.txt" == str(made.readlink())
    assert (work / "a.txt").exists()


def test_move(work: Path) -> None:
    """`move` takes the file away."""
    put(work, "a.txt", mode="move")
    assert not (work / "a.txt").exists()
    assert "a.txt" == (work.parent / "out/a.txt").read_text()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt"]),
        ("*.{txt,csv}", ["a.txt", "b.csv"]),
        ("s/*", ["s/c.txt"]),
        ("**.txt", ["a.txt", "s/c.txt"]),
        ("**/*.txt", ["a.txt", "s/c.txt"]),
    ],
)
def test_patterns_look_at_the_relative_path(pattern: str, expected: list[str], work: Path) -> None:
    """`*` does not cross folders."""
    assert expected == put(work, "a.txt", "b.csv", "s/c.txt", pattern=pattern)


def test_save_as_renames_or_leaves_out(work: Path) -> None:
    """A function gives the name, or None."""
    made = put(work, "a.txt", "b.csv", save_as=lambda n: None if n == "b.csv" else f"new/{n}")
    assert ["new/a.txt"] == made


def test_save_as_may_be_absolute(work: Path) -> None:
    """An absolute name stands for itself."""
    target = target_of(Publish(path="/x"), "a", lambda _name: "/elsewhere/b")
    assert "/elsewhere/b" == str(target)
    assert work.exists()


def test_a_folder_and_a_file_in_it_are_published_once(work: Path) -> None:
    """The folder covers what lies in it."""
    assert ["s"] == put(work, "s", "s/c.txt", mode="copy")


def test_overwrite(work: Path) -> None:
    """A task that ran replaces what is there, a cached one does not, unless it is told to."""
    target = work.parent / "out/a.txt"
    target.parent.mkdir()
    target.write_text("old")
    put(work, "a.txt", mode="copy", cached=True)
    assert "old" == target.read_text()
    put(work, "a.txt", mode="copy", overwrite=False)
    assert "old" == target.read_text()
    put(work, "a.txt", mode="copy")
    assert "a.txt" == target.read_text()


def test_two_tasks_with_one_target(work: Path) -> None:
    """The second is refused, and both are named; the same task may publish again."""
    put(work, "a.txt", task="one")
    put(work, "a.txt", task="one")
    with pytest.raises(DslError, match="two and one"):
        put(work, "a.txt", task="two")


def test_disabled(work: Path) -> None:
    """`enabled=False` publishes nothing."""
    assert [] == put(work, "a.txt", enabled=False)


def test_a_failure(work: Path) -> None:
    """What cannot be written fails the task, unless failOnError is off."""
    (work.parent / "out").write_text("in the way")
    with pytest.raises(DslError, match="cannot be published"):
        put(work, "a.txt")
    assert [] == put(work, "a.txt", fail_on_error=False)


def test_a_link_that_becomes_a_copy(work: Path) -> None:
    """With another mode the link of an earlier run is replaced by the file."""
    put(work, "a.txt")
    put(work, "a.txt", mode="copy")
    assert not (work.parent / "out/a.txt").is_symlink()


@pytest.mark.parametrize("mode", ["symlink", "copy", "move"])
def test_a_file_that_is_stored_where_it_is_published(mode: str, work: Path) -> None:
    """A storeDir that is the publishDir keeps its files."""
    place = Publish(path=str(work), mode=mode)
    publish([(place, None)], ["a.txt"], work, Owner("p", "p", work.parent / "registry"))
    assert "a.txt" == (work / "a.txt").read_text()
    assert not (work / "a.txt").is_symlink()


@pytest.mark.parametrize("name", ["", ".", "..", "x/../.."])
def test_save_as_must_not_name_a_folder_above(name: str, work: Path) -> None:
    """A name that stands for the folder itself would replace all that is in it."""
    put(work, "b.csv")
    with pytest.raises(DslError, match="stands for the folder"):
        put(work, "a.txt", save_as=lambda _name: name)
    assert (work.parent / "out/b.csv").exists()


def test_what_a_killed_run_left_of_a_copy(work: Path) -> None:
    """A copy gets its name when it is whole; half of one is made again."""
    half = work.parent / "out/.s.part"
    half.mkdir(parents=True)
    (half / "c.txt").write_text("ha")
    put(work, "s", mode="copy", cached=True)
    assert "s/c.txt" == (work.parent / "out/s/c.txt").read_text()
    assert not half.exists()


def test_a_folder_that_cannot_be_copied(work: Path) -> None:
    """The message says which file it was, not `None`."""
    (work / "s/broken").symlink_to("nowhere")
    with pytest.raises(DslError, match="broken"):
        put(work, "s", mode="copy")
