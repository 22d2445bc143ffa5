"""Workflows with images of a registry: the real Snakemake, Slurm, engines and registry."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.doubles.image import build_root
from tests.images.proxy import BadDays
from tests.images.registry import Member, layer, write_layout
from tests.integration.workflow import Workflow

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from tests.images.registry import LoopbackRegistry

pytestmark = pytest.mark.lab
SNAKEFILE = """
    container: "{reference}"
    ENGINES = {engines}
    rule all:
        input: expand("{{engine}}.txt", engine=ENGINES)
    rule say:
        output: "{{engine}}.txt"
        resources: engine=lambda wildcards: wildcards.engine, runtime=2
        shell: '''printf "%s|%s|%s" "$FROM_IMAGE" "$LINES" "$PWD" >{{output}}
            cat /etc/in-a-layer >>{{output}}'''
"""


def test_one_reference_runs_with_every_engine_and_is_pulled_once(
    tmp_path: Path,
    pyxis: Lab,
    apptainer: str,  # noqa: ARG001 (one of the engines)
    tiny: str,
) -> None:
    """Apptainer, Enroot and pyxis get one file, made by one pull, and the lock names its digest."""
    workflow = Workflow(tmp_path, pyxis.environ)
    engines = ["apptainer", "enroot", "pyxis"]
    workflow.snakefile(SNAKEFILE.format(reference=tiny, engines=engines))
    result = workflow.run()
    assert result.code == 0, result.said
    expected = f"it's $HOME|one\ntwo|{tmp_path}yes\n"
    assert dict.fromkeys(engines, expected) == {
        name: (tmp_path / f"{name}.txt").read_text() for name in engines
    }
    assert 1 == result.said.count(f"Pulled {tiny}")
    digests = {row.digest for row in workflow.rows()}
    assert 1 == len(digests)
    locked = workflow.hpcctr("images", "lock")
    assert locked.code == 0, locked.said
    lock = json.loads((tmp_path / "hpcctr.lock").read_text())
    assert digests == {image["digest"] for image in lock["images"].values()}


def local(folder: Path) -> Workflow:
    """Return a workflow that runs on this machine without Slurm."""
    return Workflow(folder, flags=("--hpcctr-scheduler", "local"))


ONE = """
    rule say:
        output: "said.txt"
        container: "{reference}"
        shell: "cat /etc/in-a-layer >{{output}}"
"""


def test_jobs_that_need_no_image_do_not_wait_for_one(
    tmp_path: Path,
    apptainer: str,  # noqa: ARG001 (runs the image)
    registry: LoopbackRegistry,
    tiny: str,
) -> None:
    """A job on the host ends while the registry still keeps the pull of another job waiting."""
    with BadDays(registry.host) as proxy:
        workflow = local(tmp_path)
        workflow.snakefile(
            ONE.format(reference=tiny.replace(registry.host, proxy.host))
            + """
    rule quick:
        output: "quick.txt"
        shell: "echo quick >{output}"
    rule both:
        input: "quick.txt", "said.txt"
"""
        )
        with workflow.start_hpcctr("both") as running:
            until = "layers, "
            running.wait_for(until)
            proxy.busy = 4
            result = running.finish()
    assert result.code == 0, result.said
    rows = {row.rule: row for row in workflow.rows()}
    assert (rows["quick"].ended or 0) < (rows["say"].started or 0)


def test_an_image_that_cannot_be_pulled_fails_its_jobs_only(
    tmp_path: Path, registry: LoopbackRegistry
) -> None:
    """With --keep-going the others are made; the reason stands in the log, not a traceback."""
    workflow = local(tmp_path)
    workflow.snakefile(
        ONE.format(reference=f"docker://{registry.host}/none:1")
        + """
    rule quick:
        output: "quick.txt"
        shell: "echo quick >{output}"
"""
    )
    result = workflow.run("quick.txt", "said.txt", "--keep-going")
    assert result.code == 1
    assert (tmp_path / "quick.txt").exists()
    assert "there is no image localhost" in result.said
    assert not result.shows_traceback


def test_a_locked_digest_stays_when_the_tag_moves(
    tmp_path: Path,
    apptainer: str,  # noqa: ARG001 (runs the image)
    registry: LoopbackRegistry,
    tiny_layout: Path,
) -> None:
    """Runs go on with what was locked, `verify` tells, and `lock --update` takes the new one."""
    build_root(tmp_path / "root")
    reference = registry.push(tiny_layout, "moving:1")
    workflow = local(tmp_path / "project")
    workflow.snakefile(ONE.format(reference=reference))
    refused = workflow.run("--hpcctr-locked")
    assert "there is no hpcctr.lock" in refused.said
    locked = workflow.hpcctr("images", "lock")
    assert locked.code == 0, locked.said
    upper = layer([Member("etc/in-a-layer", b"new\n")])
    moved = write_layout(tmp_path / "oci", [layer((), tmp_path / "root"), upper])
    registry.push(moved, "moving:1")
    result = workflow.run("--hpcctr-locked")
    assert result.code == 0, result.said
    assert "yes\n" == (workflow.folder / "said.txt").read_text()
    first = workflow.rows()[-1].digest
    checked = workflow.hpcctr("images", "verify", "--tags")
    assert checked.code == 1
    assert f"and hpcctr.lock has {first}" in checked.said
    assert "hpcctr images lock --update" in checked.said
    updated = workflow.hpcctr("images", "lock", "--update")
    assert f"{reference}: {first} → sha256:" in updated.said
    again = workflow.run("--forceall", "--hpcctr-locked")
    assert again.code == 0, again.said
    assert "new\n" == (workflow.folder / "said.txt").read_text()


def test_what_the_lock_does_not_name_is_refused(tmp_path: Path, tiny: str) -> None:
    """With --hpcctr-locked a rule whose image is new ends with what to do."""
    workflow = local(tmp_path)
    workflow.write("hpcctr.lock", '{"version": 1, "images": {}}')
    workflow.snakefile(ONE.format(reference=tiny))
    result = workflow.run("--hpcctr-locked")
    assert result.code == 1
    assert f"{tiny} is not in hpcctr.lock" in result.said
    assert "hpcctr images lock" in result.said


@pytest.mark.parametrize("engine", ["apptainer", "enroot"])
def test_an_image_without_bash_runs_with_sh_and_its_entry_point_is_not_in_the_way(
    tmp_path: Path, registry: LoopbackRegistry, engine: str, request: pytest.FixtureRequest
) -> None:
    """The command is read by sh, which the log says; an entry point that swallows it is not run."""
    request.getfixturevalue(engine)
    root = tmp_path / "root"
    build_root(root)
    (root / "usr/bin/bash").unlink()
    shutil.copy(shutil.which("dash") or "/bin/sh", root / "usr/bin/sh")
    (root / "etc/in-a-layer").write_text("yes\n")
    config = {"Entrypoint": ["echo", "swallowed"], "Env": ["PATH=/usr/bin"]}
    reference = registry.push(write_layout(tmp_path / "oci", [layer((), root)], config), "sh:1")
    workflow = local(tmp_path / "project")
    workflow.snakefile(ONE.format(reference=reference))
    result = workflow.run("--hpcctr-engine", engine)
    assert result.code == 0, result.said
    assert "yes\n" == (workflow.folder / "said.txt").read_text()
    log = "".join(path.read_text() for path in workflow.folder.glob(".snakemake/hpcctr/logs/*/*"))
    assert "the image has no bash, sh reads the command" in log


def test_an_image_is_pulled_by_a_job_where_that_is_wanted(
    tmp_path: Path,
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (runs the image)
    registry: LoopbackRegistry,
    tiny: str,
) -> None:
    """With image_build_on: slurm a node makes the image, and a failure there is told."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.write("hpcctr.yaml", "image_build_on: slurm\n")
    workflow.snakefile(ONE.format(reference=tiny))
    result = workflow.run()
    assert result.code == 0, result.said
    assert "is made by job " in result.said
    assert "Pulled " not in result.said
    shutil.rmtree(tmp_path / ".snakemake/hpcctr/images/images")
    broken = registry.folder / "data/docker/registry/v2/blobs"
    broken.rename(broken.with_name("away"))
    try:
        failed = workflow.run("--forceall")
    finally:
        broken.with_name("away").rename(broken)
    assert failed.code == 1
    assert "could not make " in failed.said
    assert "rules: {hpcctr_images: " in failed.said
