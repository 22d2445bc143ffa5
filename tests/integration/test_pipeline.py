"""The train-evaluate template: one Snakefile, every engine and scheduler, the same results."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.doubles.search import double_path, real_program
from tests.integration.workflow import ROOT, Result, Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab
TEMPLATE = ROOT / "workflows/train-evaluate"
RATES = ("0.01", "0.1", "1.0", "10.0")


@dataclass(frozen=True)
class Way:
    """One way to run the pipeline.

    Args:
        stages: Engines of preprocess, train and evaluate.
        flags: More words for Snakemake.
        environ: More variables.
    """

    stages: tuple[str, str, str]
    flags: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


WAYS = {
    "apptainer": Way(("apptainer", "apptainer", "apptainer")),
    "enroot": Way(("apptainer", "enroot", "apptainer")),
    "pyxis": Way(("apptainer", "pyxis", "apptainer")),
    "local": Way(
        ("apptainer", "apptainer", "apptainer"),
        flags=("--hpcctr-scheduler", "local"),
        environ={"HPCCTR_LOCAL_GPUS": "1"},
    ),
}


@dataclass(frozen=True)
class Run:
    """One pipeline that ran."""

    way: Way
    workflow: Workflow
    result: Result
    words: tuple[str, ...]


@pytest.fixture(scope="module")
def pipeline(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (every way begins with it)
    base_image: BaseImage,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Run]:
    """Return a function that runs the template in one way, once."""
    ran: dict[str, Run] = {}

    def run(name: str) -> Run:
        if name not in ran:
            way = WAYS[name]
            environ = {**lab.environ, "PATH": search_path(way, lab), **way.environ}
            workflow = Workflow(tmp_path_factory.mktemp(name), environ)
            words = template_words(way, base_image)
            result = workflow.run(*words, *way.flags, timeout_s=120)
            ran[name] = Run(way, workflow, result, words)
        return ran[name]

    return run


def search_path(way: Way, lab: Lab) -> str:
    """Return a PATH on which doubles stand in for engines that are not here."""
    return double_path(*(engine for engine in ("enroot", "pyxis") if has_double(engine, way, lab)))


def has_double(engine: str, way: Way, lab: Lab) -> bool:
    """Whether a double runs in place of an engine."""
    here = bool(lab.settings.plugstack) if engine == "pyxis" else real_program(engine)
    forced = os.environ.get("HPCCTR_TEST_ENGINES") == "doubles"
    return engine in way.stages and (forced or not here)


def template_words(way: Way, image: BaseImage) -> tuple[str, ...]:
    """Return the words that choose the template, its data, images and engines."""
    stages = ("preprocess", "train", "evaluate")
    files = [image.sif if engine == "apptainer" else image.sqsh for engine in way.stages]
    engines = ", ".join(f"{s}: {e}" for s, e in zip(stages, way.stages, strict=True))
    images = ", ".join(f"{s}: {f}" for s, f in zip(stages, files, strict=True))
    return (
        "--snakefile",
        str(TEMPLATE / "workflow/Snakefile"),
        "--configfile",
        str(TEMPLATE / "config/config.yaml"),
        "--config",
        f"data={TEMPLATE / 'data/digits.csv.gz'}",
        f"engines={{{engines}}}",
        f"images={{{images}}}",
    )


def content(folder: Path) -> dict[str, str]:
    """Return a digest of each result that must not depend on where it was made."""
    files = [folder / "results/accuracy.tsv", folder / "results/report.svg"]
    files += [folder / f"results/evaluation/rate{rate}.json" for rate in RATES]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("name", WAYS)
def test_pipeline_runs(pipeline: Callable[[str], Run], name: str) -> None:
    """The pipeline ends well, its accuracy is that of a model that learnt to read digits."""
    run = pipeline(name)
    assert run.result.code == 0, run.result.said
    lines = (run.workflow.folder / "results/accuracy.tsv").read_text().splitlines()
    accuracy = {float(line.split("\t")[0]): float(line.split("\t")[1]) for line in lines[1:]}
    assert set(map(float, RATES)) == set(accuracy)
    assert max(accuracy.values()) > 0.9


@pytest.mark.parametrize("name", [name for name in WAYS if name != "apptainer"])
def test_results_are_the_same_everywhere(pipeline: Callable[[str], Run], name: str) -> None:
    """Table, picture and every evaluation are equal byte for byte."""
    other = pipeline(name)
    assert content(pipeline("apptainer").workflow.folder) == content(other.workflow.folder)


@pytest.mark.parametrize("name", WAYS)
def test_each_training_saw_a_gpu_and_its_engine(
    pipeline: Callable[[str], Run], lab: Lab, name: str
) -> None:
    """Inside its container, each training finds its engine's traces and one GPU."""
    run = pipeline(name)
    models = run.workflow.folder / "results/models"
    seen = [json.loads((models / f"rate{rate}.json").read_text()) for rate in RATES]
    assert {one["python"] for one in seen} != {platform.python_version()}
    if not has_double(run.way.stages[1], run.way, lab):
        assert {run.way.stages[1]} == {one["engine"] for one in seen}
    assert {one["gpu"] for one in seen} <= {"0", "1"}


@pytest.mark.parametrize("name", [name for name in WAYS if name != "local"])
def test_trainings_are_one_array(pipeline: Callable[[str], Run], name: str) -> None:
    """Four trainings are one submission; two nodes with two GPUs ran them."""
    run = pipeline(name)
    trained = [row for row in run.workflow.submitted() if row.rule == "train"]
    assert len(trained) == 4
    assert len({row.tag for row in trained}) == 1
    assert ["0", "1", "2", "3"] == sorted(row.element.partition("_")[2] for row in trained)
    assert "Submitted 4 tasks of train as array " in run.result.said


@pytest.mark.parametrize("name", WAYS)
def test_status_names_the_engine_of_each_stage(pipeline: Callable[[str], Run], name: str) -> None:
    """`hpcctr status` has a line per rule with counts, engine and image."""
    run = pipeline(name)
    said = run.workflow.hpcctr("status").said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    stages = {"preprocess": 0, "train": 1, "evaluate": 2, "summarize": 2}
    assert {rule: run.way.stages[stage] for rule, stage in stages.items()} == {
        rule: lines[rule][5] for rule in stages
    }
    assert lines["train"][1:5] == ["4", "4", "0", "0"]


@pytest.mark.parametrize("name", ["apptainer", "pyxis"])
@pytest.mark.parametrize("executor", ["hpcctr", "local"])
def test_second_run_has_nothing_to_do(
    pipeline: Callable[[str], Run], name: str, executor: str
) -> None:
    """Started again, also with Snakemake's own executor, no stage runs again."""
    run = pipeline(name)
    words = ("--executor", executor, "-j", "2", "-n", *run.words)
    result = run.workflow.start(*words).finish()
    assert "Nothing to be done" in result.said, result.said


def test_smaller_arrays_change_no_result(
    pipeline: Callable[[str], Run], lab: Lab, base_image: BaseImage, tmp_path: Path
) -> None:
    """`--hpcctr-array 2` makes two arrays of the four trainings; the models stay the same."""
    way = WAYS["apptainer"]
    workflow = Workflow(tmp_path, lab.environ)
    words = ("--hpcctr-array", "2", "--until", "train", *template_words(way, base_image))
    assert workflow.run(*words).code == 0
    assert len({row.tag for row in workflow.submitted() if row.rule == "train"}) == 2
    made = pipeline("apptainer").workflow.folder
    for rate in RATES:
        name = f"results/models/rate{rate}.npz"
        assert (made / name).read_bytes() == (tmp_path / name).read_bytes()
