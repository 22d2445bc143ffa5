"""What a Snakefile can say has the same effect on the cluster as with Snakemake's own executor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content, planned, records
from tests.integration.semantic_files import FILES
from tests.integration.workflow import Run, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("semantics.smk")
FLAGS = (
    *("--snakefile", "workflow/Snakefile", "--directory", "run"),
    *("--default-resources", "mem_mb=300", "extra=1", "--config", "version=7"),
    *("--set-resources", "default_resources:extra=5", "--set-threads", "threads=1"),
    *("--set-resource-scopes", "extra=local", "--set-scatter", "split=3"),
)


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", environ)
    workflow.write("workflow/Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    for name, text in FILES.items():
        workflow.write(name, text)
    return workflow


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), lab.environ)
    return Run(workflow, workflow.run(*FLAGS, timeout_s=120), "run")


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), {})
    return Run(workflow, workflow.run_local(*FLAGS, timeout_s=120), "run")


def test_files_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Names, contents and modes of all files and folders are equal."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)


def test_metadata_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Snakemake's records of all outputs are equal, times aside."""
    assert records(by_snakemake.folder) == records(on_slurm.folder)


def test_local_rules_stay_here(on_slurm: Run) -> None:
    """Rules that Snakemake runs itself are not submitted: local ones, hand-overs, templates."""
    submitted = {row.rule for row in on_slurm.workflow.submitted()}
    assert set() == submitted & {"here", "here_too", "handed", "rendered", "everything"}


def replan(run: Run, executor: str, *words: str) -> list[str]:
    """Return what a dry run of an executor would run now."""
    flags = ("-n", "--executor", executor, "-j", "2", *FLAGS, *words)
    return planned(run.workflow.start(*flags).finish())


def test_nothing_is_left_to_do(on_slurm: Run, by_snakemake: Run) -> None:
    """After either executor, the other one finds nothing left to do."""
    assert ["Nothing to be done"] == replan(on_slurm, "local")
    assert ["Nothing to be done"] == replan(on_slurm, "hpcctr")
    assert ["Nothing to be done"] == replan(by_snakemake, "hpcctr")


def test_changes_have_the_same_effect(on_slurm: Run, by_snakemake: Run) -> None:
    """After changes of code, params, input and software the same jobs run, for the same reasons."""
    for run in (on_slurm, by_snakemake):
        file = run.workflow.folder / "workflow/Snakefile"
        file.write_text(file.read_text().replace("echo deep", "echo deeper"))
        (run.folder / "inputs/b.txt").write_text("changed\n")
    changes = ("--config", "version=8", "module=new/module")
    plan = replan(by_snakemake, "local", *changes)
    assert plan == replan(on_slurm, "hpcctr", *changes)
    reasons = " ".join(plan)
    for reason in ("Code", "Params", "Updated", "Software"):
        assert reason in reasons
    assert 0 == on_slurm.workflow.run(*FLAGS, *changes).code
    assert 0 == by_snakemake.workflow.run_local(*FLAGS, *changes).code
    assert content(by_snakemake.folder) == content(on_slurm.folder)
    assert records(by_snakemake.folder) == records(on_slurm.folder)
