"""`hpcctr images …` as a user types it, with a real registry and real tools."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.images import squashfs
from tests.doubles.image import build_root
from tests.images.registry import need
from tests.integration.workflow import Workflow

if TYPE_CHECKING:
    from tests.images.registry import LoopbackRegistry

pytest_plugins = ["tests.doubles.fixtures"]
SNAKEFILE = """
    rule all:
        input: "a.txt", "b.txt"
    rule a:
        output: "a.txt"
        container: "{reference}"
        shell: "echo >{{output}}"
    rule b:
        output: "b.txt"
        container: "named"
        shell: "echo >{{output}}"
"""


@pytest.fixture
def project(tmp_path: Path, tiny: str) -> Workflow:
    """Return a workflow of two rules with one image, once by a name from hpcctr.yaml."""
    workflow = Workflow(tmp_path / "project")
    workflow.snakefile(SNAKEFILE.format(reference=tiny))
    workflow.write("hpcctr.yaml", f"images: {{named: {tiny}}}\n")
    return workflow


def test_a_workflow_s_images_are_pulled_listed_and_removed(project: Workflow, tiny: str) -> None:
    """Pull reads the Snakefile, list shows the image once, prune removes it when told to."""
    pulled = project.hpcctr("images", "pull")
    assert 0 == pulled.code, pulled.said
    assert 1 == pulled.said.count("layers,")
    found = json.loads(project.hpcctr("images", "list", "--json").said)["images"]
    assert [[tiny]] == [image["references"] for image in found]
    listed = project.hpcctr("images", "list").said
    assert "1 image(s), " in listed
    where = project.hpcctr("images", "where", tiny)
    assert (0, True) == (where.code, Path(where.said.strip()).exists())
    dry = project.hpcctr("images", "prune")
    assert "Nothing was removed" in dry.said
    assert Path(where.said.strip()).exists()
    assert 0 == project.hpcctr("images", "prune", "--yes").code
    assert not Path(where.said.strip()).exists()
    assert "no image in the store" in project.hpcctr("images", "list").said


def test_what_a_lock_file_names_is_not_removed(project: Workflow) -> None:
    """Prune says which lock keeps the image, and takes it only with --locked-too."""
    project.hpcctr("images", "pull")
    assert 0 == project.hpcctr("images", "lock").code
    kept = project.hpcctr("images", "prune", "--yes")
    assert "is locked by" in kept.said
    assert "0 image(s)" in kept.said
    assert "1 image(s)" in project.hpcctr("images", "prune", "--yes", "--locked-too").said


@pytest.mark.parametrize(("flag", "value"), [("--days", "1"), ("--keep", "100GB")])
def test_young_images_and_small_stores_are_left_alone(
    project: Workflow, flag: str, value: str
) -> None:
    """An image that was used today stays, and so do all while there is room."""
    project.hpcctr("images", "pull")
    assert "0 image(s)" in project.hpcctr("images", "prune", flag, value).said


def test_inspect_shows_an_image_that_is_not_pulled(project: Workflow, tiny: str) -> None:
    """Digest, variables and entry point come from the registry, nothing is stored."""
    found = json.loads(project.hpcctr("images", "inspect", tiny, "--json").said)
    assert "/opt/image/bin:/usr/bin" == found["env"]["PATH"]
    assert "/srv/work" == found["workdir"]
    assert found["pinned"].endswith(found["digest"])
    assert {} == found["files"]
    shown = project.hpcctr("images", "inspect", tiny).said
    assert "QUOTES=" in shown
    assert "org.example.title=tiny" in shown


def test_verify_finds_a_file_that_was_changed(project: Workflow, tiny: str) -> None:
    """A damaged image is named with what to do; a whole one is ok."""
    project.hpcctr("images", "pull")
    assert 0 == project.hpcctr("images", "verify").code
    image = Path(project.hpcctr("images", "where", tiny).said.strip())
    with image.open("r+b") as stream:
        stream.seek(200)
        stream.write(b"xxxx")
    found = project.hpcctr("images", "verify")
    assert 1 == found.code
    assert "has changed" in found.said
    assert "hpcctr images prune --key" in found.said


def test_fifty_references_are_looked_up_side_by_side(
    project: Workflow, registry: LoopbackRegistry
) -> None:
    """An error in one of many names it; the command does not stop at the first look-up."""
    names = [f"docker://{registry.host}/none-{number}:1" for number in range(50)]
    failed = project.hpcctr("images", "pull", *names)
    assert 1 == failed.code
    assert "there is no image localhost" in failed.said
    assert not failed.shows_traceback


@pytest.fixture(scope="module")
def sif(apptainer: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SIF with variables and a start script of its own."""
    folder = tmp_path_factory.mktemp("sif")
    need("mksquashfs")
    build_root(folder / "root")
    definition = folder / "x.def"
    definition.write_text(
        f"Bootstrap: localimage\nFrom: {folder}/root\n"
        '%environment\n    export SHOWN="it\'s here"\n%runscript\n    echo ran "$@" "$SHOWN"\n'
    )
    done = proc.run([apptainer, "-q", "build", folder / "x.sif", definition], timeout_s=120)
    if not done.ok:
        pytest.skip(f"apptainer cannot build here: {done.err[-300:]}")
    return folder / "x.sif"


def test_a_sif_becomes_a_squashfs_that_enroot_starts_as_apptainer_does(
    tmp_path: Path, sif: Path, enroot: str
) -> None:
    """Variables and start script are kept in the files that Enroot reads."""
    workflow = Workflow(tmp_path)
    done = workflow.hpcctr("images", "convert", str(sif), "x.sqsh")
    assert 0 == done.code, done.said
    ran = proc.run([enroot, "start", tmp_path / "x.sqsh", "word"])
    assert "ran word it's here" == ran.out.strip(), ran.err


def test_a_squashfs_becomes_a_sif(tmp_path: Path, tiny: str, apptainer: str) -> None:
    """Variables, entry point and labels of a registry's image are in the SIF."""
    workflow = Workflow(tmp_path)
    done = workflow.hpcctr("images", "convert", tiny, "x.sif")
    assert 0 == done.code, done.said
    ran = proc.run([apptainer, "-q", "run", tmp_path / "x.sif", "sh", "-c", 'echo "$QUOTES"'])
    assert "two words" in ran.out
    labels = proc.run([apptainer, "inspect", "--labels", tmp_path / "x.sif"])
    assert "org.example.title: tiny" in labels.out


def test_a_folder_becomes_a_squashfs(tmp_path: Path, enroot: str) -> None:
    """A sandbox directory is packed, and Enroot starts it."""
    build_root(tmp_path / "root")
    workflow = Workflow(tmp_path)
    assert 0 == workflow.hpcctr("images", "convert", "./root", "x.sqsh").code
    ran = proc.run([enroot, "start", tmp_path / "x.sqsh", "cat", "/etc/in-the-image"])
    assert "yes" == ran.out.strip(), ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", "./x.sqsh", "y.tar"), "ends neither in .sif nor in .sqsh"),
        (("convert", "./x.sqsh", "x.sqsh"), "exists already"),
        (("convert", "./none.sqsh", "y.sqsh"), "does not exist"),
        (("inspect", "docker://Bad/name"), "has capital letters"),
        (("prune", "--keep", "much"), "--keep: "),
        (("pull", "dockcer://x"), "did you mean `docker`"),
        (("lock", "./root"), "is a folder, whose content cannot be locked"),
        (("pull", "docker-archive:none.tar"), "none.tar: No such file"),
        (("pull", "dockerd://x:1"), "needs `docker`, which is not on this machine"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    tmp_path: Path, tiny_image: Path, words: tuple[str, ...], said: str
) -> None:
    """Each error says what is wrong and, on a line of its own, what to do."""
    shutil.copy(tiny_image, tmp_path / "x.sqsh")
    (tmp_path / "root").mkdir()
    if "dockerd://x:1" in words and shutil.which("docker"):
        pytest.skip("docker is here")
    failed = Workflow(tmp_path).hpcctr("images", *words)
    assert failed.code in {1, 2}
    assert said in failed.said
    assert "hint: " in failed.said or "convert" in words
    assert not failed.shows_traceback


@pytest.mark.parametrize("kind", ["oci", "docker-archive", "oci-archive"])
def test_layouts_and_archives_are_images_too(tmp_path: Path, tiny_layout: Path, kind: str) -> None:
    """What skopeo writes is read without a registry."""
    need("skopeo")
    target = tmp_path / ("layout" if kind == "oci" else "image.tar")
    argv = ["skopeo", "--insecure-policy", "copy", f"oci:{tiny_layout}:it", f"{kind}:{target}:x:1"]
    done = proc.run(argv)
    assert done.ok, done.err
    pulled = Workflow(tmp_path).hpcctr("images", "pull", f"{kind}:{target}", "--json")
    assert 0 == pulled.code, pulled.said
    image = json.loads(pulled.said[pulled.said.index("[") :])[0]["location"]
    assert "yes\n" == squashfs.read_file(Path(image), "etc/in-a-layer")


def test_old_squashfs_tools_unpack_and_pack(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before release 4.5 mksquashfs reads no archives: the image is the same all the same."""
    real = shutil.which("mksquashfs")
    assert real
    old = tmp_path / "bin/mksquashfs"
    old.parent.mkdir()
    old.write_text(
        f'#!/bin/sh\ncase "$*" in\n*-tar*) exit 1 ;;\n-help) {real} -help | grep -v -e -tar ;;\n'
        f'*) exec {real} "$@" ;;\nesac\n'
    )
    old.chmod(0o755)
    path = f"{old.parent}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    workflow = Workflow(tmp_path / "project")
    pulled = workflow.hpcctr("images", "pull", tiny)
    assert 0 == pulled.code, pulled.said
    image = Path(workflow.hpcctr("images", "where", tiny).said.strip())
    assert "yes\n" == squashfs.read_file(image, "etc/in-a-layer")
