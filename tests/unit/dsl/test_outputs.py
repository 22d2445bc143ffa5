"""Outputs of a workflow: where their files may go, and what is said where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.dsl import DslError, channel, output
from snakemake_executor_plugin_hpcctr.dsl.model import ROOT
from snakemake_executor_plugin_hpcctr.dsl.outputs import publish_outputs
from snakemake_executor_plugin_hpcctr.dsl.trace import NoResults, Trace, tracing


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that a task has made below the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ROOT / "p" / "a.txt"
    path.parent.mkdir(parents=True)
    path.write_text("new\n")
    return path


def published(made: Path, **options: Any) -> dict[str, int]:
    """Publish one file as the output `o`."""
    with tracing(Trace()) as trace:
        output("o", channel.of(made), mode="copy", **options)
    return publish_outputs(trace, NoResults(), Path("results"))


@pytest.mark.parametrize("where", ["..", "/", lambda file: [(file, "../data")]])
def test_nothing_outside_of_the_folder_is_replaced(where: Any, made: Path) -> None:
    """A target that is not below the folder of outputs is refused, and what is there stays."""
    there = Path("data/a.txt")
    there.parent.mkdir()
    there.write_text("old\n")
    with pytest.raises(DslError, match="is not below") as caught:
        published(made, path=where)
    assert "--output-dir" in caught.value.next_step
    assert "old\n" == there.read_text()


def test_the_folder_itself_is_not_replaced(made: Path) -> None:
    """A target that is the folder of outputs is refused."""
    Path("results").mkdir()
    with pytest.raises(DslError, match="is not below"):
        published(made, path=lambda file: [(file, ".")])
    assert Path("results").is_dir()


def test_an_index_outside_is_refused(made: Path) -> None:
    """An index is written below the folder of outputs, too."""
    with pytest.raises(DslError, match="is not below"):
        published(made, index="../index.json")
    assert not Path("index.json").exists()


def test_an_index_that_cannot_be_written(made: Path) -> None:
    """A folder in the place of the index is an error that names it."""
    Path("results/index.csv").mkdir(parents=True)
    with pytest.raises(DslError, match=r"the index .*index\.csv cannot be written"):
        published(made, index="index.csv")
    assert ["a.txt", "index.csv"] == sorted(path.name for path in Path("results").iterdir())


def test_files_and_index(made: Path) -> None:
    """A file goes below the folder, and the index names it there."""
    assert {"o": 1} == published(made, path="sub", index="index.csv", header=["file"])
    target = Path("results/sub/a.txt").absolute()
    assert "new\n" == target.read_text()
    assert f'"file"\n"{target}"\n' == Path("results/index.csv").read_text()
