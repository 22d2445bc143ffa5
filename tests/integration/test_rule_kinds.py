"""Every kind of rule does on the cluster what it does with Snakemake's own executor."""

from __future__ import annotations

import platform
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content
from tests.integration.workflow import Run, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("rule_kinds.smk")

SCRIPT_PY = """
    import os
    seen = [snakemake.params.number, snakemake.params["names"], snakemake.threads]
    seen += [os.environ["OMP_NUM_THREADS"], snakemake.rule, os.path.basename(os.getcwd())]
    with open(snakemake.output[0], "w") as stream:
        print(*seen, file=stream)
"""
SCRIPT_SH = """
    echo "number ${snakemake_params[number]}" >"${snakemake_output[0]}"
"""


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", {**environ, "GIVEN": "a 'given' value"})
    workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    workflow.write("scripts/write.py", SCRIPT_PY)
    workflow.write("scripts/write.sh", SCRIPT_SH)
    return workflow


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), lab.environ)
    return Run(workflow, workflow.run(timeout_s=120))


@pytest.fixture(scope="module")
def on_local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with the scheduler `local`."""
    workflow = prepare(tmp_path_factory.mktemp("local"), {})
    return Run(workflow, workflow.run("--hpcctr-scheduler", "local", timeout_s=120))


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), {})
    return Run(workflow, workflow.run_local(timeout_s=120))


def test_outputs_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Names and contents of all files are equal, odd characters included."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)


def test_outputs_of_the_local_scheduler(on_local: Run, by_snakemake: Run) -> None:
    """The scheduler `local` makes the same files, too."""
    assert on_local.result.code == 0, on_local.result.said
    assert content(by_snakemake.folder) == content(on_local.folder)


def test_file_with_odd_characters_is_there(on_slurm: Run) -> None:
    """Quotes, dollars, UTF-8 and brackets in a name arrive as they are."""
    assert "odd\n" in [p.read_text() for p in on_slurm.folder.glob("it's a*")]


def test_protected_output_is_read_only(on_slurm: Run) -> None:
    """A protected output has lost its write permission."""
    mode = (on_slurm.folder / "guarded.txt").stat().st_mode
    assert mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) == 0


def test_temporary_and_shadowed_files_are_gone(on_slurm: Run) -> None:
    """Temporary outputs are removed, and nothing of a shadow folder but its output stays."""
    assert not (on_slurm.folder / "temporary.txt").exists()
    assert not (on_slurm.folder / "rubbish.txt").exists()
    assert [] == list((on_slurm.folder / ".snakemake/shadow").glob("*"))


def test_scripts_are_removed(on_slurm: Run) -> None:
    """Copies of scripts that Snakemake made for the tasks are removed after them."""
    assert [] == list((on_slurm.folder / ".snakemake/scripts").glob("*"))


def test_benchmark_is_measured_on_the_node(on_slurm: Run) -> None:
    """The benchmark holds the seconds of the command."""
    lines = (on_slurm.folder / "benchmark.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert 0.5 <= float(row["s"]) < 10


def test_retries_were_counted(on_slurm: Run) -> None:
    """A rule that needs three attempts got three."""
    tries = [row.attempt for row in on_slurm.workflow.rows() if row.rule == "third_try"]
    assert [1, 2, 3] == tries


def test_threads_become_cpus(on_slurm: Run) -> None:
    """The thread variables hold the rule's threads."""
    assert (on_slurm.folder / "threads.txt").read_text() == "2 2 2\n"


def test_nothing_stays_in_tmp(on_slurm: Run) -> None:
    """The tasks' folders in /tmp are removed."""
    assert [] == on_slurm.workflow.scratch_folders()


@pytest.mark.parametrize("executor", ["local", "hpcctr"])
def test_other_executor_runs_nothing_again(on_slurm: Run, executor: str) -> None:
    """After a run on the cluster, no executor finds anything left to do."""
    result = on_slurm.workflow.start("--executor", executor, "-j", "2", "-n").finish()
    assert "Nothing to be done" in result.said, result.said


def test_nothing_runs_again_after_snakemake(by_snakemake: Run) -> None:
    """After a run with Snakemake's own executor, hpcctr finds nothing left to do."""
    result = by_snakemake.workflow.start("--executor", "hpcctr", "-j", "2", "-n").finish()
    assert "Nothing to be done" in result.said, result.said


def test_script_runs_in_its_container(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (the default engine)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """A `script:` runs with the image's Python and still finds Snakemake's object."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.write("python", '#!/bin/sh\nexec python3 "$@"\n').chmod(0o755)
    workflow.write(
        "write.py",
        """
        import os, platform
        seen = [platform.python_version(), os.path.exists("/.singularity.d"), snakemake.params]
        with open(snakemake.output[0], "w") as stream:
            print(*seen, file=stream)
        """,
    )
    workflow.snakefile(f"""
        rule inside:
            output: "inside.txt"
            container: "{base_image.sif}"
            params: "a b", 3
            resources: binds="$PWD/python:/usr/local/bin/python"
            script: "write.py"
    """)
    result = workflow.run(env={"PWD": str(tmp_path)})
    assert result.code == 0, result.said
    version, rest = (tmp_path / "inside.txt").read_text().split(" ", 1)
    assert version != platform.python_version()
    assert rest == "True a b 3\n"


@pytest.mark.parametrize(("keep", "expected"), [("all", ["bad", "good"]), ("failed", ["bad"])])
def test_logs_and_scripts_stay_as_configured(
    lab: Lab, tmp_path: Path, keep: str, expected: list[str]
) -> None:
    """Logs of good tasks stay or go; after a failure the scripts stay, and run by hand."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule all:
            input: "good.x.txt", "bad.txt"
        rule good:
            output: "good.{name}.txt"
            shell: "echo $SLURM_JOB_NAME >{output}"
        rule bad:
            output: "bad.txt"
            shell: "echo by hand; exit 5"
    """)
    workflow.run("--keep-going", "--hpcctr-keep-logs", keep, "--hpcctr-log-dir", "slurm logs")
    assert expected == sorted(log.parent.name for log in (tmp_path / "slurm logs").glob("*/*.log"))
    assert (tmp_path / "good.x.txt").read_text() == "good.x\n"
    scripts = list((tmp_path / ".snakemake/hpcctr/runs").glob("*/tasks/*.sh"))
    script = next(script for script in scripts if "echo by hand" in script.read_text())
    done = subprocess.run(["bash", script], check=False, capture_output=True, text=True, cwd="/")
    assert (5, "by hand\n") == (done.returncode, done.stdout)
