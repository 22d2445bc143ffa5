"""`run:` rules do on the cluster what they do with Snakemake's own executor."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content
from tests.integration.workflow import Run, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("runner.smk")
INCLUDED = """
    def included_text():
        return "of an included file"

    rule included:
        output: "included.txt"
        run:
            with open(output[0], "w") as stream:
                print(included_text(), file=stream)
"""
MODULE = """
    def local_text():
        return "of a module"

    rule from_module:
        output: "module.txt"
        params: text=local_text()
        run:
            with open(output[0], "w") as stream:
                print(params.text, local_text(), config["word"], file=stream)
"""
CONFIG = """
    number: 3
    list: [1, two, null]
    other: {word: w}
"""
FLAGS = ("--config", "word=a b", "third={'x': [1, 2]}", "--configfile", "config.yaml")


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", {**environ, "GIVEN": "a 'given' value"})
    workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    workflow.write("more/included.smk", INCLUDED)
    workflow.write("more/module.smk", MODULE)
    workflow.write("config.yaml", CONFIG)
    workflow.write("helper_of_run.py", 'NAME = "of a module of Python"\n')
    return workflow


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), lab.environ)
    return Run(workflow, workflow.run(*FLAGS, timeout_s=400), "sub folder")


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), {})
    return Run(workflow, workflow.run_local(*FLAGS, timeout_s=400), "sub folder")


def test_outputs_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Names and contents of all files are equal."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)


@pytest.mark.parametrize("executor", ["local", "hpcctr"])
@pytest.mark.parametrize("first", ["on_slurm", "by_snakemake"])
def test_nothing_is_left_to_do(first: str, executor: str, request: pytest.FixtureRequest) -> None:
    """After a run with one executor, neither finds anything left to do."""
    workflow: Workflow = request.getfixturevalue(first).workflow
    result = workflow.start("--executor", executor, "-j", "2", "-n", *FLAGS).finish()
    assert "Nothing to be done" in result.said, result.said


def test_hooks_run_once(on_slurm: Run) -> None:
    """`onstart` runs in the head and not again on the nodes."""
    assert (on_slurm.folder / "started.txt").read_text() == "started\n"


def test_benchmark_has_a_line_for_each_repeat(on_slurm: Run, by_snakemake: Run) -> None:
    """The block's own time is measured on the node, as often as asked for."""
    head, *rows = (on_slurm.folder / "benchmark.tsv").read_text().splitlines()
    assert (by_snakemake.folder / "benchmark.tsv").read_text().splitlines()[0] == head
    assert 3 == len(rows)
    assert all(0.15 <= float(row.split("\t")[0]) < 10 for row in rows)
    assert (on_slurm.folder / "lambda.benchmark.tsv").exists()


def test_retries_were_counted(on_slurm: Run) -> None:
    """A block that fails twice got three attempts."""
    tries = [row.attempt for row in Workflow(on_slurm.folder).rows() if row.rule == "third_try"]
    assert [1, 2, 3] == tries


def test_rules_with_python_on_the_node_are_said_once(on_slurm: Run) -> None:
    """The log names the rules that need Snakemake's Python on the nodes, each once."""
    (blocks,) = on_slurm.result.lines("Snakemake's Python on the nodes (run: blocks)")
    (planned,) = on_slurm.result.lines("its block uses Snakemake's plan of jobs")
    assert planned.endswith(": planned")
    assert {"plain", "other_from_module", "gathered"} <= set(blocks.split(": ")[-1].split(", "))


def test_files_for_the_runner_are_private(on_slurm: Run) -> None:
    """What is written for the nodes can be read by the user alone."""
    folders = list(on_slurm.folder.glob(".snakemake/hpcctr/runs/*/runner"))
    assert folders, "the run had a failed attempt, so its folder stays"
    files = [path for folder in folders for path in folder.iterdir()]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert {0o700} == {stat.S_IMODE(folder.stat().st_mode) for folder in folders}


def test_nothing_stays_in_tmp(on_slurm: Run) -> None:
    """The tasks' folders in /tmp are removed, and Snakemake's of the node with them."""
    assert [] == Workflow(on_slurm.folder).scratch_folders()


def test_directory_flag(lab: Lab, tmp_path: Path) -> None:
    """`--directory` counts once, from where Snakemake was started."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        workdir: "not here"
        rule where:
            output: "where.txt"
            run:
                with open(output[0], "w") as stream:
                    print(os.getcwd(), file=stream)
    """)
    result = workflow.run("--directory", "elsewhere")
    assert result.code == 0, result.said
    assert (tmp_path / "elsewhere/where.txt").read_text() == f"{tmp_path}/elsewhere\n"


def test_node_loads_little(lab: Lab, tmp_path: Path) -> None:
    """A block starts without what only planning and other executors need."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule lean:
            output: "lean.txt"
            run:
                heavy = ("sqlalchemy", "docutils", "snakemake.report", "snakemake.persistence.db")
                loaded = [name for name in heavy if hasattr(sys.modules.get(name), "__file__")]
                loaded += [name for name in sys.modules if "executor_plugin_slurm" in name]
                with open(output[0], "w") as stream:
                    print(loaded, workflow.is_main_process, file=stream)
    """)
    result = workflow.run()
    assert result.code == 0, result.said
    assert (tmp_path / "lean.txt").read_text() == "[] False\n"


def test_shell_calls_of_a_block_in_snakemakes_container(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (Snakemake starts it)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """With --sdm apptainer a block's shell() calls run in the container, as under local."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(f"""
        rule inside:
            output: "inside.txt"
            container: "{base_image.sif}"
            run:
                shell("test -e /.singularity.d && echo inside >{{output}}")
                with open(output[0], "a") as stream:
                    print(os.path.exists("/.singularity.d"), file=stream)
    """)
    result = workflow.run("--sdm", "apptainer")
    assert result.code == 0, result.said
    assert (tmp_path / "inside.txt").read_text() == "inside\nFalse\n"
    assert [] == result.lines("outside of the container")


def test_output_made_by_the_snakefile_itself_is_removed(lab: Lab, tmp_path: Path) -> None:
    """A Snakefile whose lines make an output at each parse does not hand it to the block."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        shell("ln -fs nosuchfile link.txt; mkdir -p folder/old")
        rule links:
            output: "link.txt", directory("folder")
            run:
                shell("echo linked >plain.txt; ln -s plain.txt link.txt; mkdir folder")
    """)
    result = workflow.run()
    assert result.code == 0, result.said
    assert (tmp_path / "link.txt").read_text() == "linked\n"
    assert not (tmp_path / "folder/old").exists()
