"""Images of one's own: built and edited with the real engines; no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.config.recipe import Recipe
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.build import copy_in, render_script
from snakemake_executor_plugin_hpcctr.images.squashfs import read_file
from tests.doubles.image import build_root
from tests.images.registry import Member, layer, write_layout
from tests.integration.workflow import Workflow, path_without

if TYPE_CHECKING:
    from tests.images.registry import LoopbackRegistry

#: Stands for pip in the image, which has no Python: keeps what it was asked for.
PIP = b'#!/bin/sh\nfor word; do echo "$word"; done >/etc/pip-was-asked\n'


@pytest.fixture(scope="module")
def base(registry: LoopbackRegistry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an image with a pip that takes notes."""
    folder = tmp_path_factory.mktemp("base")
    build_root(folder / "root")
    layers = [layer((), folder / "root"), layer([Member("usr/bin/pip", PIP, mode=0o755)])]
    return registry.push(write_layout(folder / "oci", layers, {"Env": ["KEPT=yes"]}), "base:1")


@pytest.fixture
def project(tmp_path: Path, base: str) -> Workflow:
    """Return a workflow with an image that is built of another one."""
    workflow = Workflow(tmp_path / "project", flags=("--hpcctr-scheduler", "local"))
    workflow.write("added/one file.txt", "added\n")
    workflow.write(
        "hpcctr.yaml",
        f"""
        images:
          science:
            from: {base}
            pip: [numpy>=2, "scipy[all]"]
            files: {{added: /opt/added}}
        """,
    )
    workflow.snakefile(
        """
        rule look:
            output: "seen.txt"
            container: "science"
            shell:
                '''cat /etc/pip-was-asked "/opt/added/one file.txt" >{output}
                echo $KEPT >>{output}'''
        """
    )
    return workflow


ASKED = "install\n--no-cache-dir\nnumpy>=2\nscipy[all]\n"


def test_a_rule_s_image_is_built_once(project: Workflow, apptainer: str) -> None:  # noqa: ARG001 (builds and runs it)
    """A run builds what hpcctr.yaml describes; a second one finds it there."""
    result = project.run()
    assert result.code == 0, result.said
    assert f"{ASKED}added\nyes\n" == (project.folder / "seen.txt").read_text()
    where = project.hpcctr("images", "where", "science")
    assert (0, True) == (where.code, Path(where.said.strip()).exists()), where.said
    again = project.run("--forceall")
    assert again.code == 0, again.said
    assert "Building image science" in result.said
    assert "Building image" not in again.said


def test_without_apptainer_enroot_builds_the_same(project: Workflow, enroot: str) -> None:  # noqa: ARG001 (builds it)
    """create, start --root --rw, export: packages, files and variables are in the squashfs."""
    path = path_without(project.folder / "bin", "apptainer", "singularity")
    workflow = Workflow(project.folder, {"PATH": path})
    built = workflow.hpcctr("images", "build", "science", "mine.sqsh")
    assert built.code == 0, built.said
    image = project.folder / "mine.sqsh"
    assert ASKED == read_file(image, "etc/pip-was-asked")
    assert "added\n" == read_file(image, "opt/added/one file.txt")
    assert "KEPT=yes\n" == read_file(image, "etc/environment")


def test_a_definition_file_is_built_and_started_by_enroot(
    tmp_path: Path,
    apptainer: str,
    enroot: str,
) -> None:
    """Its environment and start script are kept in the squashfs, too."""
    build_root(tmp_path / "root")
    workflow = Workflow(tmp_path)
    workflow.write(
        "env.def",
        f"""\
        Bootstrap: localimage
        From: {tmp_path}/root
        %environment
            export MADE=here
        %runscript
            echo "$MADE" "$@"
        """,
    )
    built = workflow.hpcctr("images", "build", "env.def", "env.sqsh", "env.sif")
    assert built.code == 0, built.said
    assert "here word" == proc.run([enroot, "start", tmp_path / "env.sqsh", "word"]).out.strip()
    assert (
        "here word" == proc.run([apptainer, "-q", "run", tmp_path / "env.sif", "word"]).out.strip()
    )
    where = workflow.hpcctr("images", "where", "env.def")
    assert (0, True) == (where.code, Path(where.said.strip()).exists()), where.said
    again = workflow.hpcctr("images", "build", "env.def")
    assert "Building image" not in again.said


@pytest.mark.parametrize("engine", ["apptainer", "enroot"])
def test_what_is_changed_in_a_session_becomes_a_new_image(
    tmp_path: Path, base: str, engine: str, request: pytest.FixtureRequest
) -> None:
    """The image itself stays as it is; the copy is saved as both formats where Apptainer is."""
    request.getfixturevalue(engine)
    others = ("apptainer", "singularity") if engine == "enroot" else ()
    workflow = Workflow(tmp_path, {"PATH": path_without(tmp_path / "bin", *others)})
    words = ("images", "edit", base, "--save", "mine", "--", "sh", "-c", "echo x >/etc/changed")
    edited = workflow.hpcctr(*words)
    assert edited.code == 0, edited.said
    assert "x\n" == read_file(tmp_path / "mine.sqsh", "etc/changed")
    assert (engine == "apptainer") == (tmp_path / "mine.sif").exists()
    original = Path(workflow.hpcctr("images", "where", base).said.strip())
    assert read_file(original, "etc/changed") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("images: {x: {form: y}}", "did you mean `from`?"),
        ("images: {x: {from: 'docker://a', files: {a: b}}}", "is not absolute"),
        ("images: {x: {from: 'docker://a', pip: {a: b}}}", "pip"),
    ],
)
def test_a_mistake_in_a_recipe_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """hpcctr.yaml is named, the key, and what belongs there."""
    workflow = Workflow(tmp_path)
    workflow.write("hpcctr.yaml", text)
    failed = workflow.hpcctr("images", "build", "x")
    assert failed.code == 2
    assert "hpcctr.yaml" in failed.said
    assert said in failed.said
    assert not failed.shows_traceback


def test_a_name_that_is_not_built_is_told(tmp_path: Path) -> None:
    """With what to write in hpcctr.yaml."""
    failed = Workflow(tmp_path).hpcctr("images", "build", "docker://python:3")
    assert failed.code == 2
    assert "is nothing that is built" in failed.said
    assert "pip: […]" in failed.said


def test_packages_are_added_in_a_fixed_order_and_quoted() -> None:
    """First apt, then conda, then pip; no word is read by the shell."""
    script = render_script(Recipe(base="docker://x", apt=("git",), pip=("a>=1",), conda=("b",)))
    assert script.index("apt-get install") < script.index("conda-forge b") < script.index("'a>=1'")


def test_a_link_does_not_lead_out_of_the_image(tmp_path: Path) -> None:
    """A file that would land on this machine instead is refused."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/opt").symlink_to("/tmp")
    (tmp_path / "x").write_text("x")
    with pytest.raises(ImageError, match="behind a link"):
        copy_in(tmp_path / "root", {str(tmp_path / "x"): "/opt/hpcctr-x"})
