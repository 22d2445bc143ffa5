"""`hpcctr init`: each template becomes a folder that runs with the one command it prints."""

from __future__ import annotations

import csv
import json
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.cli.init import templates
from snakemake_executor_plugin_hpcctr.lab.apt import machine_mirror
from tests.conftest import CACHE
from tests.integration.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

NAMES = list(templates())
PARAMETER_SWEEP = {"preprocess": 1, "train": 8, "evaluate": 8, "choose": 1}
TRAIN_EVALUATE = {"preprocess": 1, "train": 4, "evaluate": 4, "summarize": 1}


def made(workflow: Workflow, name: str, *flags: str) -> Workflow:
    """Make a workflow of a template; return its folder."""
    result = workflow.hpcctr("init", name, "my own", *flags)
    assert result.code == 0, result.said
    assert "cd 'my own' && snakemake" in result.said
    return Workflow(workflow.folder / "my own", workflow.environ)


@pytest.fixture(scope="session")
def genomics_image(apptainer: str) -> Path:  # noqa: ARG001 (it builds the image)
    """Return the image of the genomics template, built by its own script once on a machine."""
    script = templates()["genomics-variant-calling"] / "workflow/make-image.sh"
    image = CACHE / "genomics.sif"
    argv = ["bash", str(script), str(image), machine_mirror()]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no image with bwa: {done.stderr[-500:]}")
    return image


@pytest.fixture
def ran(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (the engine)
    base_image: BaseImage,
    tmp_path: Path,
) -> Callable[..., Workflow]:
    """Return a function that makes a template's workflow and runs `snakemake` in it."""

    def run(name: str, *more: Path) -> Workflow:
        own = made(Workflow(tmp_path, lab.environ), name, "--engine", "apptainer")
        # What `hpcctr lab image --dir images` would build.
        images = own.folder / "images"
        images.mkdir()
        for file in (base_image.sif, base_image.sqsh, *more):
            (images / file.name).symlink_to(file)
        with own.start() as running:
            result = running.finish(240)
        assert result.code == 0, result.said
        return own

    return run


def rules(workflow: Workflow) -> dict[str, int]:
    """Return how many tasks of each rule were submitted."""
    return dict(Counter(row.rule for row in workflow.submitted()))


@pytest.mark.lab
def test_train_evaluate_runs(ran: Callable[..., Workflow]) -> None:
    """The template trains its four models and compares them."""
    own = ran("train-evaluate")
    assert rules(own) == TRAIN_EVALUATE
    assert len((own.folder / "results/accuracy.tsv").read_text().splitlines()) == 5


@pytest.mark.lab
def test_parameter_sweep_runs(ran: Callable[..., Workflow]) -> None:
    """The template trains eight trials in one array and chooses the best of them."""
    own = ran("parameter-sweep")
    assert rules(own) == PARAMETER_SWEEP
    trained = {row.element.partition("_")[0] for row in own.submitted() if row.rule == "train"}
    assert len(trained) == 1
    best = json.loads((own.folder / "results/best.json").read_text())
    with (own.folder / "results/trials.tsv").open() as stream:
        trials = list(csv.DictReader(stream, delimiter="\t"))
    assert best["trial"] == trials[0]["trial"]
    assert best["accuracy"] > 0.9
    assert (own.folder / "results/trials.svg").read_text().count("<circle") == 8
    shown = own.hpcctr("sweep", "best", "config/sweep.yaml")
    assert best["trial"] in shown.said


@pytest.mark.lab
def test_genomics_runs(ran: Callable[..., Workflow], genomics_image: Path) -> None:
    """The template finds the variants of the example's reads in its container."""
    own = ran("genomics-variant-calling", genomics_image)
    assert rules(own) == {"index": 1, "align": 1, "coverage": 1, "call": 1}
    assert {row.engine for row in own.submitted()} == {"apptainer"}
    table = (own.folder / "results/variants.tsv").read_text().splitlines()
    found = [tuple(line.split("\t")[:4]) for line in table[1:]]
    assert found[:2] == [("seq1", "288", "A", "ACATAG"), ("seq1", "548", "C", "A")]
    assert len(found) == 7


@pytest.mark.parametrize("name", NAMES)
def test_templates_are_clean(tmp_path: Path, name: str) -> None:
    """`snakemake --lint` and snakefmt find nothing, and the small test run can be planned."""
    own = made(Workflow(tmp_path), name, "--engine", "host")
    with own.start("--lint") as running:
        assert "good condition" in running.finish().said
    argv = ["snakefmt", "--check", str(own.folder / "workflow/Snakefile")]
    assert subprocess.run(argv, capture_output=True, check=False).returncode == 0
    with own.start("-n", "--directory", ".test") as running:
        result = running.finish()
    assert result.code == 0, result.said


def test_templates_are_listed(tmp_path: Path) -> None:
    """Without a name, each template has a line that says what it is."""
    result = Workflow(tmp_path).hpcctr("init")
    assert result.code == 0
    assert NAMES == [line.split()[0] for line in result.said.splitlines()]


def test_answers_are_in_the_profile(tmp_path: Path) -> None:
    """Account, partition and engine are what `snakemake` uses in that folder."""
    flags = ("--account", "no", "--partition", "gpu:2", "--engine", "host")
    own = made(Workflow(tmp_path), "train-evaluate", *flags)
    lines = (own.folder / "profiles/default/config.yaml").read_text().splitlines()
    assert ['hpcctr-account: "no"', 'hpcctr-partition: "gpu:2"', 'hpcctr-engine: "host"'] == lines[
        -3:
    ]


REFUSED = {
    "full folder": (("train-evaluate", "full"), "full is not empty"),
    "file": (("train-evaluate", "full/file"), "full/file is not a folder"),
    "unknown template": (("train-evaluat", "new"), "did you mean `train-evaluate`?"),
    "unknown engine": (("train-evaluate", "new", "--engine", "dokcer"), "no engine `dokcer`"),
    "below a file": (("train-evaluate", "full/file/new"), "cannot write to full/file/new"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_overwritten(tmp_path: Path, case: str) -> None:
    """What cannot be made is told in a sentence, and what is there stays."""
    words, said = REFUSED[case]
    workflow = Workflow(tmp_path)
    file = workflow.write("full/file", "mine\n")
    result = workflow.hpcctr("init", *words)
    assert result.code != 0
    assert said in result.said
    assert not result.shows_traceback
    assert file.read_text() == "mine\n"
    assert not (tmp_path / "new").exists()
