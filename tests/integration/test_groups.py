"""Groups, pipes and services do on the cluster what they do with Snakemake's own executor."""

from __future__ import annotations

import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content
from tests.integration.workflow import Run, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("groups.smk")
GROUPS = ("--groups", "once=two", "twice=two")

SCRIPTS = {
    "scripts/group.py": """
        with open(snakemake.output[0], "w") as stream:
            print(open(snakemake.input[0]).read(), snakemake.params.number, file=stream)
    """,
    "scripts/group.sh": """
        cat "${snakemake_input[0]}" >"${snakemake_output[0]}"
    """,
    "scripts/source.py": """
        with open(snakemake.output[0], "w") as stream:
            for number in range(20000):
                print("line", number, file=stream)
    """,
}


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", environ)
    workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    for name, text in SCRIPTS.items():
        workflow.write(name, text)
    return workflow


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), lab.environ)
    return Run(workflow, workflow.run(*GROUPS, timeout_s=180))


@pytest.fixture(scope="module")
def on_local(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with the scheduler `local`."""
    workflow = prepare(tmp_path_factory.mktemp("local"), {})
    return Run(workflow, workflow.run(*GROUPS, "--hpcctr-scheduler", "local", timeout_s=180))


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), {})
    return Run(workflow, workflow.run_local(*GROUPS, timeout_s=180))


# --- the same as with Snakemake's own executor ------------------------------------------------


def test_outputs_are_those_of_snakemake(on_slurm: Run, by_snakemake: Run) -> None:
    """Names and contents of all files are equal, and no other file is left."""
    assert by_snakemake.result.code == 0, by_snakemake.result.said
    assert on_slurm.result.code == 0, on_slurm.result.said
    assert content(by_snakemake.folder) == content(on_slurm.folder)


def test_outputs_of_the_local_scheduler(on_local: Run, by_snakemake: Run) -> None:
    """The scheduler `local` makes the same files, too."""
    assert on_local.result.code == 0, on_local.result.said
    assert content(by_snakemake.folder) == content(on_local.folder)


@pytest.mark.parametrize("executor", ["local", "hpcctr"])
def test_other_executor_runs_nothing_again(on_slurm: Run, executor: str) -> None:
    """After a run on the cluster, no executor finds anything left to do."""
    result = on_slurm.workflow.start("--executor", executor, "-j", "4", "-n", *GROUPS).finish()
    assert "Nothing to be done" in result.said, result.said


def test_nothing_runs_again_after_snakemake(by_snakemake: Run) -> None:
    """After a run with Snakemake's own executor, hpcctr finds nothing left to do."""
    words = ("--executor", "hpcctr", "-j", "4", "-n", *GROUPS)
    result = by_snakemake.workflow.start(*words).finish()
    assert "Nothing to be done" in result.said, result.said


def test_outputs_are_handled_as_their_flags_say(on_slurm: Run) -> None:
    """A protected output is read-only, and the benchmark holds the member's own seconds."""
    assert on_slurm.result.code == 0, on_slurm.result.said
    mode = (on_slurm.folder / "joined.txt").stat().st_mode
    assert mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) == 0
    lines = (on_slurm.folder / "benchmark.tsv").read_text().splitlines()
    row = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert 0 <= float(row["s"]) < 5


def test_nothing_is_left_behind(on_slurm: Run) -> None:
    """Shadow folders, copies of scripts, FIFOs and folders in /tmp are gone."""
    assert [] == list((on_slurm.folder / ".snakemake/shadow").glob("*"))
    assert [] == list((on_slurm.folder / ".snakemake/scripts").glob("*"))
    assert [] == [path for path in on_slurm.folder.rglob("*") if path.is_fifo()]
    assert [] == on_slurm.workflow.scratch_folders()


# --- submissions and the trace ----------------------------------------------------------------


def test_a_group_is_one_element(on_slurm: Run) -> None:
    """All members of a group have one element of one submission, and each its own line."""
    rows = [row for row in on_slurm.workflow.rows() if row.rule in {"word", "loud", "joined"}]
    assert 7 == len(rows)
    assert 1 == len({row.element for row in rows})
    assert {"ok"} == {row.cause for row in rows}
    assert 7 == len({row.number for row in rows})


def test_equal_groups_are_one_array(on_slurm: Run) -> None:
    """Components of a group that ask for the same are elements of one array."""
    rows = [row for row in on_slurm.workflow.rows() if row.rule.startswith("component")]
    elements = Counter(row.element for row in rows)
    assert [2, 2] == list(elements.values())
    assert 1 == len({element.partition("_")[0] for element in elements})


def test_a_group_asks_for_what_snakemake_adds_up(on_slurm: Run) -> None:
    """Siblings add up, layers take turns: their time adds up, and cores do not."""
    lines = on_slurm.result.lines("Submitted group chain")
    assert 1 == len(lines)
    assert "6 CPUs, 150M (150 MiB), 5 min" in lines[0]


def test_components_share_a_submission(lab: Lab, tmp_path: Path) -> None:
    """With --group-components several components become one group."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule all:
            input: expand("{i}.txt", i=range(6))
        rule one:
            output: "{i}.txt"
            group: "g"
            shell: "echo {wildcards.i} >{output}"
    """)
    result = workflow.run("--group-components", "g=3")
    assert result.code == 0, result.said
    assert [3, 3] == list(Counter(row.element for row in workflow.rows()).values())


def test_all_tries_of_a_group_are_recorded(on_slurm: Run) -> None:
    """A group that needs three attempts has three lines for each member."""
    tries = Counter(
        (row.rule, row.attempt)
        for row in on_slurm.workflow.rows()
        if row.rule in {"first", "third"}
    )
    assert tries == {(rule, attempt): 1 for rule in ("first", "third") for attempt in (1, 2, 3)}


# --- engines ----------------------------------------------------------------------------------


def test_members_have_engines_of_their_own(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (one of the engines)
    enroot: str,  # noqa: ARG001 (another)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """In one group, members run on the host, in Apptainer and in Enroot, pipes between them."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(f"""
        rule all:
            input: "seen.txt"
        rule write:
            output: pipe("pipe.txt")
            container: "{base_image.sif}"
            group: "mixed"
            resources: engine="apptainer"
            shell: "echo write $(test -e /.singularity.d && echo apptainer) >{{output}}"
        rule read:
            input: "pipe.txt"
            output: "read.txt"
            container: "{base_image.sqsh}"
            group: "mixed"
            resources: engine="enroot"
            shell: "cat {{input}} >{{output}}; echo read $(test -e /etc/enroot -o -e "
                "/.singularity.d || echo enroot) >>{{output}}"
        rule serve:
            output: service("service.txt")
            container: "{base_image.sif}"
            group: "mixed"
            resources: engine="apptainer"
            shell: "sleep 0.5; echo served >{{output}}; exec sleep 1000"
        rule seen:
            input: "read.txt", "service.txt"
            output: "seen.txt"
            group: "mixed"
            resources: engine="host"
            shell: "cat {{input}} >{{output}}; test ! -e /.singularity.d"
    """)
    result = workflow.run(timeout_s=120)
    assert result.code == 0, result.said
    expected = "write apptainer\nread enroot\nserved\n"
    assert expected == (tmp_path / "seen.txt").read_text()
    engines = {row.rule: row.engine for row in workflow.rows()}
    assert {"write": "apptainer", "read": "enroot", "serve": "apptainer", "seen": "host"} == engines
    assert 1 == len({row.element for row in workflow.rows()})


def test_partners_run_as_steps_of_pyxis(
    pyxis: Lab,
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """Two steps of one allocation run at the same time: one does not wait for the other."""
    workflow = Workflow(tmp_path, pyxis.environ)
    workflow.snakefile(f"""
        rule all:
            input: "read.txt"
        rule write:
            output: pipe("pipe.txt")
            container: "{base_image.sqsh}"
            resources: engine="pyxis", mem_mb=800
            shell: "seq 3 >{{output}}"
        rule read:
            input: "pipe.txt"
            output: "read.txt"
            container: "{base_image.sqsh}"
            resources: engine="pyxis", mem_mb=800
            shell: "cat {{input}} >{{output}}"
    """)
    result = workflow.run(timeout_s=120)
    assert result.code == 0, result.said
    assert "1\n2\n3\n" == (tmp_path / "read.txt").read_text()


def test_outputs_come_from_the_cache(lab: Lab, tmp_path: Path) -> None:
    """A member whose outputs are in the between-workflow cache does not run again."""
    (tmp_path / "cache").mkdir()
    environ = {**lab.environ, "SNAKEMAKE_OUTPUT_CACHE": str(tmp_path / "cache")}
    rows = []
    for name in ("first", "second"):
        workflow = Workflow(tmp_path / name, environ)
        workflow.snakefile("""
            rule all:
                input: "c.txt"
            rule a:
                output: "a.txt"
                group: "g"
                shell: "echo a >{output}"
            rule b:
                input: "a.txt"
                output: "b.txt"
                cache: True
                group: "g"
                shell: "cat {input} >{output}; echo b >>{output}"
            rule c:
                input: "b.txt"
                output: "c.txt"
                group: "g"
                shell: "cat {input} >{output}"
        """)
        result = workflow.run("--cache")
        assert result.code == 0, result.said
        assert "a\nb\n" == (workflow.folder / "c.txt").read_text()
        rows.append(sorted(row.rule for row in workflow.rows()))
        folders = re.findall(r"tmpdir=(\S+)/tmp", result.said)
        assert [False] * 3 == [Path(folder).exists() for folder in folders]
    assert [["a", "b", "c"], ["a", "c"]] == rows


def test_group_with_nothing_to_run(lab: Lab, tmp_path: Path) -> None:
    """Jobs without an action are done at once, in a group, too."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule b:
            input: "a.txt"
            output: touch("b.txt")
            group: "g"
        rule a:
            output: touch("a.txt")
            group: "g"
    """)
    result = workflow.run("b.txt")
    assert result.code == 0, result.said
    assert (tmp_path / "b.txt").exists()
    assert [] == workflow.rows()
