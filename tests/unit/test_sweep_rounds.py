"""Rounds of trials: what is written for a round, what it runs, and what a search remembers."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.errors import CommandError, ConfigError
from snakemake_executor_plugin_hpcctr.sweep.load import load
from snakemake_executor_plugin_hpcctr.sweep.rounds import Rounds
from snakemake_executor_plugin_hpcctr.sweep.search import Plan, Study
from snakemake_executor_plugin_hpcctr.sweep.table import DONE, FAILED, Line
from snakemake_executor_plugin_hpcctr.sweep.trials import trial_of

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.sweep.trials import Trial

SWEEP = """
parameters: {lr: PLACE}
max_parallel: 3
metrics: {file: m.json, keys: [acc], goal: {acc: maximize}}
"""
#: Writes down what it is asked to do.
TOLD = ("sh", "-c", 'echo "$*" >>told; test "$BROKEN" != 1', "-")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a sweep and a Snakefile, in which we are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text("rule a:\n    output: 'x'\n")
    write(tmp_path, "[1, 2]")
    return tmp_path


def write(folder: Path, values: str, old: str = "", new: str = "") -> None:
    """Write the sweep with these values of its parameter."""
    (folder / "sweep.yaml").write_text(SWEEP.replace("PLACE", values).replace(old, new or old))


def rounds(folder: Path, *flags: str) -> Rounds:
    """Return rounds whose command writes its flags to `told`."""
    return Rounds(load(folder / "sweep.yaml"), (*TOLD, *flags), lambda _: None)


def told(folder: Path) -> list[str]:
    """Return the flags of each command that ran."""
    return (folder / "told").read_text().splitlines()


def test_a_trial_that_is_asked_for_twice_runs_once(folder: Path) -> None:
    """A sampler may propose the same values twice: the workflow gets one copy for them."""
    trial = trial_of({"lr": 1})
    with rounds(folder) as some:
        assert 0 == some.run([trial, trial])
        some.remember([trial, trial])
    copies = (folder / ".sweep.smk").read_text()
    assert 1 == copies.count(f"module trial_{trial.digest}:")
    searched = json.loads((folder / "results/sweep/searched.json").read_text())
    assert [{"lr": 1}] == searched["trials"]


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        ((), ["--hpcctr-max-parallel 3"]),
        (("--executor=hpcctr",), ["--hpcctr-max-parallel 3"]),
        (("--hpcctr-max-parallel", "9"), []),
        (("--hpcctr-max-parallel=9",), []),
    ],
)
def test_max_parallel_reaches_the_executor(
    folder: Path, flags: tuple[str, ...], limits: list[str]
) -> None:
    """The sweep's limit is handed on, wherever the executor is named; one's own flag stays."""
    with rounds(folder, *flags) as some:
        some.run([trial_of({"lr": 1})])
    (line,) = told(folder)
    assert limits == [part for part in ["--hpcctr-max-parallel 3"] if part in line]


def test_a_folder_that_cannot_be_unlocked_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill the folder is unlocked; where that fails, nothing runs and nothing is lost."""
    with rounds(folder) as some:
        head = some._folder / "head"
        some.run([trial_of({"lr": 1})])
    head.write_text(f"1 0 {socket.gethostname()}")
    monkeypatch.setenv("BROKEN", "1")
    with pytest.raises(CommandError, match="cannot unlock the folder"), rounds(folder):
        pass
    assert head.exists()
    monkeypatch.delenv("BROKEN")
    with rounds(folder):
        assert "--unlock" == told(folder)[-1]
    assert not head.exists()


def test_what_cannot_be_read_or_written_is_told(folder: Path) -> None:
    """A Snakefile that is no text, and a file where a folder should be, are no bug of hpcctr."""
    (folder / "Snakefile").write_bytes(b"\xff")
    with (
        rounds(folder) as some,
        pytest.raises(ConfigError, match="not UTF-8"),
    ):
        some.run([trial_of({"lr": 1})])
    (folder / "results").write_text("")
    with (
        rounds(folder) as some,
        pytest.raises(ConfigError, match="cannot write results/sweep/searched"),
    ):
        some.remember([trial_of({"lr": 1})])


# --- searches ----------------------------------------------------------------


def study(folder: Path, plan: Plan) -> Study:
    """Return the study of the folder's sweep."""
    pytest.importorskip("optuna")
    return Study(load(folder / "sweep.yaml", searched=True), plan)


def lines(asked: list[tuple[Trial, Any]], *numbers: float | None) -> dict[str, Line]:
    """Return what each trial measured; None for one that failed."""
    return {
        trial.name: Line(trial, state=FAILED)
        if number is None
        else Line(trial, state=DONE, metrics={"acc": number})
        for (trial, _), number in zip(asked, numbers, strict=True)
    }


def test_a_repaired_trial_has_not_failed(folder: Path) -> None:
    """A failed trial that a retry repaired is asked for no more, and counts as none that failed."""
    write(folder, "{distribution: uniform, low: 0, high: 1}")
    first = study(folder, Plan("random", 2, 2))
    asked = first.ask()
    first.tell(asked, lines(asked, 1.0, None))
    assert 1 == first.failed

    again = study(folder, Plan("random", 2, 2, retry_failed=True))
    retried = again.ask()
    assert [asked[1][0].name] == [trial.name for trial, _ in retried]
    again.tell(retried, lines(retried, 2.0))
    assert 0 == again.failed
    assert [] == again.ask()
    assert [] == study(folder, Plan("random", 3, 2, retry_failed=True)).ask()


CHANGES = {
    "another value": ("[1, 2, 3]", "", ""),
    "another kind": ("{distribution: uniform, low: 0, high: 1}", "", ""),
    "another name": ("[1, 2]", "lr:", "rate:"),
    "one more": ("[1, 2]", "{lr: [1, 2]}", "{lr: [1, 2], n: [1, 2]}"),
    "another goal": ("[1, 2]", "maximize", "minimize"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_search_in_the_same_folder_is_refused(folder: Path, name: str) -> None:
    """A study goes on with the parameters that it was begun with, and with no others."""
    first = study(folder, Plan("random", 1, 1))
    asked = first.ask()
    first.tell(asked, lines(asked, 1.0))
    study(folder, Plan("random", 1, 1))
    write(folder, *CHANGES[name])
    with pytest.raises(ConfigError, match="was begun with other parameters or another goal"):
        study(folder, Plan("random", 2, 1))


def test_a_wider_range_goes_on(folder: Path) -> None:
    """A range may become wider between two runs of a search."""
    write(folder, "{distribution: uniform, low: 0, high: 1}")
    first = study(folder, Plan("random", 1, 1))
    asked = first.ask()
    first.tell(asked, lines(asked, 1.0))
    write(folder, "{distribution: uniform, low: 0, high: 2}")
    assert 1 == len(study(folder, Plan("random", 2, 1)).ask())
