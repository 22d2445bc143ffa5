"""`hpcctr doctor` on a real Slurm: what is wrong is provoked, and found before a run."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings
from tests.doubles.image import build_image
from tests.doubles.search import engines_path, real_path
from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

SNAKEFILE = """
rule all:
    input: "a.txt", "b.txt"
rule first:
    output: "a.txt"
    container: "small.sqsh"
    resources: runtime=5, mem_mb=200, engine="apptainer,enroot"
    shell: "touch {output}"
rule second:
    output: "b.txt"
    resources: runtime=5, mem_mb=200
    shell: "touch {output}"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny image."""
    return build_image(tmp_path_factory.mktemp("image") / "small.sqsh")


@pytest.fixture
def workflow(tmp_path: Path, lab_environ: dict[str, str], image: Path) -> Workflow:
    """Return a workflow that could run."""
    flow = Workflow(tmp_path / "flow", {**lab_environ, "PATH": engines_path()})
    (flow.folder / "small.sqsh").symlink_to(image)
    flow.snakefile(SNAKEFILE)
    return flow


@pytest.fixture
def short_partition(lab: Lab) -> Iterator[str]:
    """Let the lab's default partition run jobs for five minutes at most."""
    environ = {**os.environ, **lab.environ}
    update = ["scontrol", "update", "PartitionName=cpu"]
    assert proc.run([*update, "MaxTime=5"], env=environ).ok
    yield "cpu"
    assert proc.run([*update, "MaxTime=UNLIMITED"], env=environ).ok


def found(result: Result) -> dict[str, list[dict[str, Any]]]:
    """Return the findings of `--json` by level."""
    text = result.said[result.said.index("[") :]
    levels: dict[str, list[dict[str, Any]]] = {"ok": [], "warning": [], "error": []}
    for finding in json.loads(text):
        levels[finding["level"]].append(finding)
    return levels


def errors(workflow: Workflow, *words: str) -> list[str]:
    """Return the errors that the doctor finds; its exit code must fit them."""
    result = workflow.hpcctr("doctor", *words, "--json")
    said = [f"{one['check']}: {one['what']}" for one in found(result)["error"]]
    assert result.code == (1 if said else 0), result.said
    return said


@pytest.mark.usefixtures("apptainer")
def test_a_workflow_that_could_run_is_well(workflow: Workflow) -> None:
    """No error, exit code 0, an answer of a node, and nothing is left behind."""
    result = workflow.hpcctr("doctor")
    assert 0 == result.code, result.said
    assert "0 error(s)" in result.said
    assert "Snakefile plans jobs of 2 rule(s)" in result.said
    assert "n1 (default partition) has apptainer" in result.said
    assert not list(workflow.folder.glob(".snakemake/hpcctr/doctor-*"))
    assert not list(workflow.folder.glob("[ab].txt"))
    assert not workflow.rows()


def test_without_a_workflow_the_cluster_is_looked_at(
    tmp_path: Path, lab_environ: dict[str, str]
) -> None:
    """In an empty folder the default partition is asked."""
    flow = Workflow(tmp_path / "empty", {**lab_environ, "PATH": engines_path()})
    checks = {one["check"] for one in found(flow.hpcctr("doctor", "--json"))["ok"]}
    assert {"slurm", "nodes", "folders", "shared", "clocks"} <= checks


ILL_RULES = {
    "partition": ('slurm_partition="cpuu"', "request: rule first: there is no partition `cpuu`"),
    "memory": ("mem_mb=9000000", "request: rule first: no node of partition `cpu` has 9000000 MB"),
    "bind": ('binds="/no/such:/data"', "binds: rule first binds /no/such, which does not exist"),
    "resource": ('gres="???"', "request: rule first, resources: gres: expected generic resources"),
}


@pytest.mark.parametrize("name", ILL_RULES)
@pytest.mark.usefixtures("apptainer")
def test_what_a_rule_asks_is_checked(workflow: Workflow, name: str) -> None:
    """A partition, size, bind or resource that no run could use is named with its rule."""
    words, expected = ILL_RULES[name]
    resource = words.partition("=")[0]
    text = SNAKEFILE.replace("mem_mb=200", words, 1) if resource == "mem_mb" else (
        SNAKEFILE.replace("engine=", f"{words}, engine=", 1)
    )  # fmt: skip
    workflow.snakefile(text)
    said = errors(workflow)
    assert any(line.startswith(expected) for line in said), said


def test_a_time_over_the_limit_is_found(workflow: Workflow, short_partition: str) -> None:
    """A runtime above the partition's limit would wait for ever: it is an error."""
    workflow.snakefile(SNAKEFILE.replace("runtime=5", "runtime=6", 1))
    said = errors(workflow)
    expected = f"request: rule first: partition `{short_partition}` runs a task for at most 5 min"
    assert any(line.startswith(expected) for line in said), said


def test_an_engine_that_is_not_there_is_found(workflow: Workflow) -> None:
    """On a Slurm without pyxis, a rule that wants it has no engine."""
    folder = Path(tempfile.mkdtemp(prefix="hpcctr-"))
    folder.chmod(0o755)
    lab = Lab(LabSettings(directory=folder / "lab", nodes=1))
    workflow.snakefile(SNAKEFILE.replace("apptainer,enroot", "pyxis"))
    try:
        lab.up()
        said = errors(Workflow(workflow.folder, {**os.environ, **lab.environ, "PATH": real_path()}))
    finally:
        lab.down()
        shutil.rmtree(folder)
    assert any("rule first: n1 (default partition) has none of pyxis" in line for line in said), (
        said
    )


def test_a_missing_image_is_found(workflow: Workflow) -> None:
    """An image file that does not exist is named with its rule."""
    (workflow.folder / "small.sqsh").unlink()
    said = errors(workflow)
    assert any("request: rule first: image small.sqsh does not exist" in line for line in said)


def test_a_store_that_cannot_be_written_is_found(workflow: Workflow) -> None:
    """A store below a file cannot be made, even by root."""
    workflow.write("file", "")
    workflow.write("hpcctr.yaml", "image_dir: file/store\n")
    assert any(line.startswith("folders: the image store") for line in errors(workflow))


def test_a_full_store_is_found(workflow: Workflow, tmp_path: Path) -> None:
    """A store on a file system without room is an error."""
    small = tmp_path / "small"
    small.mkdir()
    if not proc.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small]).ok:
        pytest.skip("no right to mount a file system here")
    try:
        workflow.write("hpcctr.yaml", f"image_dir: {small}\n")
        said = errors(workflow)
        assert any(f"folders: the image store ({small}) is full" in line for line in said), said
    finally:
        proc.run(["umount", small])


def test_a_registry_that_does_not_answer_is_found(workflow: Workflow) -> None:
    """A registry from which an image must be pulled is asked for."""
    workflow.snakefile(SNAKEFILE.replace("small.sqsh", "docker://localhost:9/team/base:1"))
    said = errors(workflow)
    assert any("registry: the registry localhost:9 does not answer" in line for line in said), said


def test_a_gpu_without_a_device_is_found(workflow: Workflow) -> None:
    """The lab's GPUs are counted by Slurm and have no driver: a GPU rule would see none."""
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    workflow.snakefile(SNAKEFILE.replace("runtime=5", "runtime=5, gpu=1", 1))
    said = errors(workflow)
    assert any("gpus: Slurm gives a GPU on n1 (default partition" in line for line in said), said


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("hpcctr.yaml", "defalts: {}\n", "configuration: hpcctr.yaml:1: defalts: unknown key"),
        ("Snakefile", "rule a:\n  nothing: 1\n", "workflow: Snakemake cannot load the workflow"),
    ],
)
def test_files_that_cannot_be_read_are_found(
    workflow: Workflow, file: str, text: str, expected: str
) -> None:
    """A mistake in hpcctr.yaml or the Snakefile is a finding, not a traceback."""
    workflow.write(file, text)
    said = errors(workflow)
    assert any(line.startswith(expected) for line in said), said


def test_no_slurm_is_found(workflow: Workflow, lab: Lab) -> None:
    """Where no controller listens the doctor says so; with the scheduler `local` all is well."""
    text = Path(lab.environ["SLURM_CONF"]).read_text()
    silent = workflow.write("slurm.conf", re.sub(r"SlurmctldPort=\d+", "SlurmctldPort=9", text))
    environ = {**workflow.environ, "SLURM_CONF": str(silent)}
    flow = Workflow(workflow.folder, environ)
    assert ["slurm: Slurm's controller does not answer"] == errors(flow)
    workflow.write("hpcctr.yaml", "scheduler: local\n")
    assert [] == errors(flow)


def test_a_workflow_that_does_not_exist_is_named(workflow: Workflow) -> None:
    """A path that was mistyped ends with exit code 2."""
    result = workflow.hpcctr("doctor", "no/Snakefile")
    assert 2 == result.code
    assert "no/Snakefile does not exist" in result.said
