"""Sweeps on the lab's Slurm: what runs, what runs again, what goes on after a kill."""

from __future__ import annotations

import csv
import io
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.integration.workflow import HPCCTR, ROOT, Running, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage
    from snakemake_executor_plugin_hpcctr.trace.store import Row

pytestmark = pytest.mark.lab
TEMPLATE = ROOT / "workflows/train-evaluate"
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--executor", "hpcctr", "-j", "50")
QUICK = ("--hpcctr-poll-max", "1")

#: One rate a line, as `awk "NR==$SLURM_ARRAY_TASK_ID" learning_rates.txt` reads it.
RATES = "0.1\n0.05\n0.01\n0.005\n0.001\n0.0005\n0.0001\n5e-5\n1e-5\n5e-6\n"
SWEEP = """
    parameters:
      lr: {file: learning_rates.txt}
    stages: {preprocess: [], train: [lr], evaluate: [lr]}
    metrics: {stage: evaluate, file: metrics.yaml, keys: [loss], goal: {loss: minimize}}
"""
SNAKEFILE = """
    from snakemake_executor_plugin_hpcctr.sweep import Sweep

    sweep = Sweep("sweep.yaml")

    rule all:
        input: sweep.outputs("evaluate", "metrics.yaml")

    rule preprocess:
        output: sweep.pattern("preprocess", "data.txt")
        shell: "seq 5 >{output}"

    rule train:
        input: sweep.inputs("preprocess", "data.txt")
        output: sweep.pattern("train", "model.txt")
        params: trial=sweep.params
        shell: "(echo {params.trial[lr]}; cat {input}) >{output}"

    rule evaluate:
        input: sweep.inputs("train", "model.txt")
        output: sweep.pattern("evaluate", "metrics.yaml")
        shell: "echo loss: $(head -n 1 {input}) >{output}"
"""
#: A workflow that knows nothing of sweeps.
PLAIN = """
    configfile: "config.yaml"

    rule all:
        input: "results/score.yaml"

    rule train:
        input: "data.txt"
        output: "results/model.txt"
        params: x=config["model"]["x"]
        shell:
            "if [ {params.x} -gt 100 ] && ! [ -e repaired ]; then "
            "  echo refused on purpose; exit 3; "
            "fi; "
            "echo {params.x} $(cat {input}) >{output}"

    rule evaluate:
        input: "results/model.txt"
        output: "results/score.yaml"
        shell: "read x rest <{input}; echo score: $((x * 2)) >{output}"
"""
PLAIN_SWEEP = """
    parameters: {model.x: VALUES}
    metrics: {file: results/score.yaml, goal: {score: maximize}}
"""


def sweep_run(workflow: Workflow, *words: str, env: dict[str, str] | None = None) -> Running:
    """Start `hpcctr sweep run sweep.yaml WORDS -- snakemake …`."""
    argv = (*HPCCTR, "sweep", "run", "sweep.yaml", *words, "--", *SNAKEMAKE, *QUICK)
    return Running(argv, workflow.folder, workflow.variables(env))


def table(workflow: Workflow, *words: str) -> list[dict[str, str]]:
    """Return `hpcctr sweep table` as rows."""
    result = workflow.hpcctr("sweep", "table", "--csv", "-", *words)
    assert result.code == 0, result.said
    return list(csv.DictReader(io.StringIO(result.said)))


def ran(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many tasks of each rule were submitted."""
    return dict(Counter(row.rule for row in rows))


def arrays(rows: Iterable[Row], rule: str) -> dict[str, int]:
    """Return how many elements each array of a rule has."""
    return dict(Counter(row.element.partition("_")[0] for row in rows if row.rule == rule))


@pytest.fixture
def guide(lab: Lab, apptainer: str, base_image: BaseImage, tmp_path: Path) -> Workflow:  # noqa: ARG001 (the engine)
    """Return the three stages with ten learning rates, in a container."""
    workflow = Workflow(tmp_path / "guide", lab.environ)
    workflow.write("sweep.yaml", SWEEP)
    workflow.write("learning_rates.txt", RATES)
    workflow.write("Snakefile", f'    container: "{base_image.sif}"\n{SNAKEFILE}')
    return workflow


@pytest.fixture
def plain(lab: Lab, tmp_path: Path) -> Workflow:
    """Return a workflow that was not written for sweeps."""
    workflow = Workflow(tmp_path / "plain", lab.environ)
    workflow.write("Snakefile", PLAIN)
    workflow.write("config.yaml", "model: {x: 1, y: 2}\n")
    workflow.write("data.txt", "data\n")
    return workflow


def test_a_file_of_learning_rates_drives_a_pipeline(guide: Workflow) -> None:
    """One preprocessing, one array of ten trainings, ten evaluations; two new rates, 2 + 2 jobs."""
    result = guide.run(timeout_s=120)
    assert result.code == 0, result.said
    first = guide.submitted()
    assert ran(first) == {"preprocess": 1, "train": 10, "evaluate": 10}
    assert list(arrays(first, "train").values()) == [10]
    rows = table(guide, "--sort", "loss")
    assert [row["lr"] for row in rows][:3] == ["5e-06", "1e-05", "5e-05"]
    assert {row["state"] for row in rows} == {"done"}

    guide.write("learning_rates.txt", RATES + "0.2\n0.3\n")
    result = guide.run()
    assert result.code == 0, result.said
    assert ran(guide.submitted()[len(first) :]) == {"train": 2, "evaluate": 2}

    guide.write("learning_rates.txt", "0.3\n")
    before = len(guide.submitted())
    result = guide.run()
    assert result.code == 0, result.said
    assert before == len(guide.submitted())
    assert len(list((guide.folder / "results/sweep/train").iterdir())) == 12


def test_a_workflow_not_written_for_sweeps(plain: Workflow) -> None:
    """Each trial has a configuration and a folder of its own, and a stage is still one array."""
    plain.write("sweep.yaml", PLAIN_SWEEP.replace("VALUES", "[1, 2, 3, 4]"))
    with sweep_run(plain) as running:
        result = running.finish()
    assert result.code == 0, result.said
    assert ran(plain.submitted()) == {"train": 4, "evaluate": 4}
    assert list(arrays(plain.submitted(), "train").values()) == [4]
    rows = table(plain, "--sort", "score")
    assert [row["score"] for row in rows] == ["8", "6", "4", "2"]
    assert not (plain.folder / "results/model.txt").exists()


def test_failed_trials_stop_no_other_and_are_retried(plain: Workflow) -> None:
    """A failed trial is in the table with its diagnosis; --retry-failed runs it and no other."""
    plain.write("sweep.yaml", PLAIN_SWEEP.replace("VALUES", "[1, 101, 2]"))
    with sweep_run(plain) as running:
        result = running.finish()
    assert result.code == 1, result.said
    assert not result.shows_traceback
    before = plain.submitted()
    assert ran(before) == {"train": 3, "evaluate": 2}
    rows = table(plain)
    assert [row["state"] for row in rows] == ["done", "failed", "done"]
    assert [row["cause"] for row in rows] == ["", "exit_code", ""]
    assert "refused on purpose" in (plain.folder / rows[1]["log"]).read_text()

    (plain.folder / "repaired").touch()
    with sweep_run(plain, "--retry-failed") as running:
        result = running.finish()
    assert result.code == 0, result.said
    assert ran(plain.submitted()[len(before) :]) == {"train": 1, "evaluate": 1}
    assert [row["state"] for row in table(plain)] == ["done", "done", "done"]

    with sweep_run(plain, "--retry-failed") as running:
        result = running.finish()
    assert result.code == 0, result.said
    assert "no trial has failed" in result.said


def test_a_killed_search_goes_on(lab: Lab, tmp_path: Path) -> None:
    """Optuna's 32 trials, killed in the third round of four, end as 32; none told runs again."""
    workflow = Workflow(tmp_path / "search", lab.environ)
    workflow.write("Snakefile", SNAKEFILE.replace("(echo", "sleep 1; (echo"))
    drawn = "{distribution: loguniform, low: 1e-5, high: 1}"
    workflow.write("sweep.yaml", SWEEP.replace("{file: learning_rates.txt}", drawn))
    words = ("--sampler", "tpe", "--trials", "32", "--parallel", "8")
    with sweep_run(workflow, *words) as running:
        running.wait_for("8 of 32 trials")
        running.wait_for("16 of 32 trials")
        while ran(workflow.submitted()).get("train", 0) <= 16:
            time.sleep(0.05)
        running.kill()
    with sweep_run(workflow, *words) as running:
        result = running.finish(120)
    assert result.code == 0, result.said
    assert "32 of 32 trials" in result.said
    trained = Counter(row.wildcards for row in workflow.submitted() if row.rule == "train")
    assert len(trained) == 32
    assert list(trained.values())[:16] == [1] * 16
    assert len(table(workflow)) == 32
    with closing(sqlite3.connect(workflow.folder / "results/sweep/optuna.sqlite3")) as study:
        states = study.execute("SELECT state, count(*) FROM trials GROUP BY state").fetchall()
    assert states == [("COMPLETE", 32)]


def test_ctrl_c_ends_a_search_between_its_trials(lab: Lab, tmp_path: Path) -> None:
    """After Ctrl-C nothing more is asked, and what had not ended counts as no failure."""
    workflow = Workflow(tmp_path / "search", lab.environ)
    workflow.write("Snakefile", SNAKEFILE.replace("(echo", "sleep 20; (echo"))
    drawn = "{distribution: uniform, low: 0, high: 1}"
    workflow.write("sweep.yaml", SWEEP.replace("{file: learning_rates.txt}", drawn))
    with sweep_run(workflow, "--sampler", "random", "--trials", "4", "--parallel", "2") as running:
        running.wait_for("Submitted 2 tasks of train")
        running.interrupt_all()
        result = running.finish()
    assert result.code == 130, result.said
    assert not result.shows_traceback
    with closing(sqlite3.connect(workflow.folder / "results/sweep/optuna.sqlite3")) as study:
        states = study.execute("SELECT state, count(*) FROM trials GROUP BY state").fetchall()
    assert states == [("RUNNING", 2)]


MISUSES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "no command": (PLAIN_SWEEP, (), "there is no command that runs the trials"),
    "unknown key": (
        "parameters: {model.z: [1]}",
        SNAKEMAKE,
        "the workflow's configuration has no key `model.z`",
    ),
    "no file": ("", SNAKEMAKE, "sweep.yaml"),
    "no Snakefile": (
        "parameters: {model.x: [1]}",
        (*SNAKEMAKE, "--snakefile", "other.smk"),
        "there is no Snakefile: other.smk",
    ),
}


@pytest.mark.parametrize("flag", ["--csv", "--parquet"])
def test_a_table_that_cannot_be_written_is_told(plain: Workflow, flag: str) -> None:
    """A folder that is not there is no failure of hpcctr."""
    plain.write("sweep.yaml", "parameters: {model.x: [1]}")
    result = plain.hpcctr("sweep", "table", flag, "none/table")
    assert result.code == 2
    assert "cannot write the table:" in result.said


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_of_run_is_told(plain: Workflow, name: str) -> None:
    """What is wrong is said in a sentence, and nothing runs."""
    text, command, said = MISUSES[name]
    if text:
        plain.write("sweep.yaml", text.replace("VALUES", "[1]"))
    words = ("--", *command) if command else ()
    result = plain.hpcctr("sweep", "run", "sweep.yaml", *words)
    assert result.code != 0
    assert said in result.said
    assert not result.shows_traceback, result.said
    assert [] == plain.rows()


def test_successive_halving_spends_more_on_the_best(plain: Workflow) -> None:
    """Four trials with a budget of 1, the best two with 2, the best with 4."""
    halving = "halving: {parameter: model.y, from: 1, to: 4, factor: 2}"
    plain.write("sweep.yaml", PLAIN_SWEEP.replace("VALUES", "[1, 2, 3, 4]") + f"    {halving}\n")
    with sweep_run(plain, "--sampler", "halving") as running:
        result = running.finish(120)
    assert result.code == 0, result.said
    tried = [(row["model.x"], row["model.y"]) for row in table(plain)]
    assert tried[:4] == [("1", "1"), ("2", "1"), ("3", "1"), ("4", "1")]
    assert tried[4:] == [("4", "2"), ("3", "2"), ("4", "4")]
