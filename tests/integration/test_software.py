"""Containers, conda and modules give a rule the same software as with Snakemake's executor."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content, planned, records
from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("software.smk")
CONDA = Path(__file__).parents[1] / "doubles/conda"
MODULES = Path("/usr/share/modules/init/bash")
FILES = {
    "env.yaml": "channels: [nowhere]\ndependencies: [hello]\n",
    "wrapper/environment.yaml": "channels: [nowhere]\ndependencies: [other]\n",
    "wrapper/wrapper.py": """
        from snakemake.shell import shell
        shell("hello-conda >{snakemake.output}")
    """,
    "scripts/write.py": """
        with open("/etc/os-release") as release, open(snakemake.output[0], "w") as stream:
            print(snakemake.params.word, *release, file=stream)
    """,
    "scripts/python.py": """
        import os
        with open(snakemake.output[0], "w") as stream:
            print(os.environ.get("BY_MODULE", "Snakemake's own Python"), file=stream)
    """,
    "modulefiles/tool/1.0": """
        #%Module
        prepend-path PATH [file dirname $ModulesCurrentModulefile]/../../tool
        setenv TOOL_HOME /opt/tool
    """,
}


@dataclass(frozen=True)
class Run:
    """The workflow after one executor ran it."""

    workflow: Workflow
    result: Result
    flags: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it ran."""
        return self.workflow.folder


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow, with a conda and modules of its own."""
    root = folder / "work"
    conda = root / ".conda"
    software = {
        "PATH": f"{conda}/bin:{os.environ['PATH']}",
        "PYTHONPATH": "/no/such/folder",
        "BASH_ENV": str(MODULES),
        "MODULEPATH": str(root / "modulefiles"),
        # Snakemake asks the image for its conda.
        "APPTAINERENV_PREPEND_PATH": f"{conda}/bin",
    }
    workflow = Workflow(root, {**environ, **software})
    workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    for name, text in FILES.items():
        workflow.write(name, textwrap.dedent(text).lstrip())
    shutil.copytree(CONDA, conda)
    for tool in (root / "tool/module-tool", conda / "envs/mine/bin/hello-conda"):
        tool.parent.mkdir(parents=True)
        tool.write_text("#!/bin/sh\necho from here\n")
        tool.chmod(0o755)
    own = f'#!/bin/sh\nBY_MODULE=yes exec {sys.executable} "$@"\n'
    workflow.write("tool/python", own).chmod(0o755)
    python = workflow.write("python", '#!/bin/sh\nexec python3 "$@"\n')
    python.chmod(0o755)
    return workflow


def words(where: str, image: BaseImage | None, sdm: str) -> tuple[str, ...]:
    """Return the flags of a run on the `host` or `inside` of containers."""
    sif, sqsh = (image.sif, image.sqsh) if image else ("no.sif", "no.sqsh")
    return (
        *("--config", f"where={where}", f"image={sif}", f"other={sqsh}", "named=mine"),
        *("--sdm", *sdm.split()),
        *("--apptainer-args", '--bind "$PWD/python:/usr/local/bin/python"'),
    )


def pair(lab: Lab, folder: Path, ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[Run, Run]:
    """Run the workflow on the lab and by Snakemake's own executor."""
    workflow = prepare(folder / "slurm", lab.environ)
    env = {"PWD": str(workflow.folder)}
    on_slurm = Run(workflow, workflow.run(*ours, env=env, timeout_s=120), ours)
    workflow = prepare(folder / "snakemake", {})
    result = workflow.run_local(*theirs, env={"PWD": str(workflow.folder)}, timeout_s=120)
    return on_slurm, Run(workflow, result, theirs)


def assert_same(on_slurm: Run, by_snakemake: Run) -> None:
    """Compare files, metadata, and what a dry run of the other executor finds to do."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)
    expected, found = (records(run.folder) for run in (by_snakemake, on_slurm))
    for record in (*expected.values(), *found.values()):
        del record["software_stack_hash"]  # holds the folder of conda's environments
    assert expected == found
    for run, executor in ((on_slurm, "local"), (by_snakemake, "hpcctr")):
        flags = ("-n", "-j", "1", "--executor", executor, *run.flags)
        assert ["Nothing to be done"] == planned(run.workflow.start(*flags).finish())


@pytest.mark.skipif(not MODULES.exists(), reason="environment-modules is not installed")
def test_conda_and_modules_on_the_host(lab: Lab, tmp_path: Path) -> None:
    """Rules outside of containers get their conda environment or modules."""
    flags = words("host", None, "conda env-modules")
    on_slurm, by_snakemake = pair(lab, tmp_path, flags, flags)
    assert_same(on_slurm, by_snakemake)
    assert "yes\n" == (on_slurm.folder / "module_script.txt").read_text()


@pytest.mark.usefixtures("apptainer")
def test_sdm_apptainer_is_taken_over(lab: Lab, base_image: BaseImage, tmp_path: Path) -> None:
    """With --sdm apptainer images and arguments are those of Snakemake, each command in one."""
    flags = words("inside", base_image, "conda apptainer")
    on_slurm, by_snakemake = pair(lab, tmp_path, flags, flags)
    assert_same(on_slurm, by_snakemake)
    assert "trixie" in (on_slurm.folder / "inside.txt").read_text()


@pytest.mark.usefixtures("apptainer")
def test_containers_need_no_flag(lab: Lab, base_image: BaseImage, tmp_path: Path) -> None:
    """Without --sdm apptainer hpcctr starts the containers, and conda comes from the host."""
    ours = words("inside", base_image, "conda")
    theirs = words("inside", base_image, "conda apptainer")
    # Folders outside of /tmp are in a container only if they are bound.
    place = "/var/lib" if os.access("/var/lib", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="hpcctr-test-") as prefix:
        ours += ("--shadow-prefix", prefix)
        on_slurm, by_snakemake = pair(lab, tmp_path, ours, theirs)
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)
