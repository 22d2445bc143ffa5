"""`hpcctr dsl`: what it hands to Snakemake, and what it leaves alone during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.cli import main
from snakemake_executor_plugin_hpcctr.cli.dsl import with_defaults
from snakemake_executor_plugin_hpcctr.dsl.lock import only_run
from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout
from tests.unit.dsl.planned import write

if TYPE_CHECKING:
    from pathlib import Path

P = """
class p(Process):
    o: Out[Path] = out(path("o.txt"))
    script = "touch o.txt"

@workflow
def main():
    p()
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "--executor hpcctr --jobs 100 --latency-wait 5 --resources maxForks_p=2"),
        (
            "--executor=local -j4 -w 60",
            "--executor=local -j4 -w 60 --resources maxForks_p=2",
        ),
        (
            "-e local --cores 2 --resources gpu=1 --latency-wait=9",
            "-e local --cores 2 --resources maxForks_p=2 gpu=1 --latency-wait=9",
        ),
        ("--profile=site -w9", "--profile=site -w9 --resources maxForks_p=2"),
    ],
)
def test_options_for_snakemake(words: str, expected: str) -> None:
    """What the user gave stands, in either form; limits of processes stand beside the user's."""
    assert expected.split() == with_defaults(words.split(), ["maxForks_p=2"], segments=True)


@pytest.mark.parametrize("command", ["run", "compile", "clean"])
def test_nothing_is_changed_under_a_run(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """While a run is under way nobody else writes plans or removes results."""
    monkeypatch.chdir(tmp_path)
    file = str(write(tmp_path, P))
    assert 0 == main(["dsl", "compile", file])
    left = tmp_path / ".hpcctr/dsl/p/older.json"
    left.parent.mkdir()
    left.write_text("{}")
    segment = Layout(tmp_path / ".hpcctr/dsl").segment("s")
    segment.parent.mkdir()
    segment.write_text('{"version": 1, "file": "f", "workflow": "main"}')
    words = ["dsl", command] if command == "clean" else ["dsl", command, file]
    with only_run(Layout()):
        assert 2 == main(words)
    assert "another run of a pipeline is under way" in capsys.readouterr().err
    assert left.exists()
    assert segment.exists()


def test_lint_takes_profiles_with_commas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `run` does: the first that does not exist is named."""
    monkeypatch.chdir(tmp_path)
    main(["dsl", "lint", str(write(tmp_path, P)), "--profile", "one,two"])
    assert "one,two" not in capsys.readouterr().err


def test_a_graph_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file."""
    monkeypatch.chdir(tmp_path)
    file = str(write(tmp_path, P))
    assert 2 == main(["dsl", "run", file, "--preview", "--dag", "nowhere/dag.dot"])
    assert "nowhere/dag.dot: the graph cannot be written: No such" in capsys.readouterr().err


def test_a_plan_that_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged plan is named, with what makes it anew."""
    monkeypatch.chdir(tmp_path)
    plan = Layout().plan
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"\xff\xfe")
    assert 2 == main(["dsl", "clean"])
    assert "dsl compile FILE" in capsys.readouterr().err
