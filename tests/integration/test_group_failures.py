"""What a user is told when a job of a group fails, or a group cannot be submitted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from tests.integration.workflow import Run, Workflow, wait_for_file

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab


# --- failures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run groups that fail, each in its own way, with --keep-going."""
    workflow = Workflow(tmp_path_factory.mktemp("failed"), lab.environ)
    workflow.snakefile("""
        rule all:
            input: "last.txt", "read.txt", "use.txt", "taken.txt", "fine.txt"
        rule good:
            output: "good.txt"
            group: "chain"
            shell: "echo good >{output}"
        rule bad:
            input: "good.txt"
            output: "bad.{i}.txt"
            log: "logs/bad.{i}.log"
            group: "chain"
            shell: "echo words of {wildcards.i} >{log}; exit 7"
        rule last:
            input: "bad.x.txt"
            output: "last.txt"
            group: "chain"
            shell: "cat {input} >{output}"
        rule write:
            output: pipe("pipe.txt")
            shell: "while :; do echo line; done >{output}"
        rule read:
            input: "pipe.txt"
            output: "read.txt"
            shell: "head -n 3 {input}; exit 9"
        rule serve:
            output: service("service.txt")
            shell: "touch {output}; sleep 1; echo out of order; exit 6"
        rule use:
            input: "service.txt"
            output: "use.txt"
            shell: "sleep 60; touch {output}"
        rule forgetful:
            output: "forgotten.txt"
            group: "forgetful"
            shell: "echo did nothing"
        rule taken:
            input: "forgotten.txt"
            output: "taken.txt"
            group: "forgetful"
            shell: "cat {input} >{output}"
        rule fine:
            output: "fine.txt"
            shell: "echo fine >{output}"
    """)
    return Run(workflow, workflow.run("--keep-going", "--quiet", "rules", timeout_s=90))


@pytest.mark.parametrize(
    ("first", "shown"),
    [
        ("bad (i=x) failed on n", ("exit code 7", "words of x", "tasks/")),
        ("read failed on n", ("exit code 9",)),
        ("service serve failed on n", ("exit code 6", "out of order")),
        ("forgetful failed on n", ("output forgotten.txt is not there", "did nothing")),
    ],
)
def test_the_member_that_failed_is_named(failed: Run, first: str, shown: tuple[str, ...]) -> None:
    """The diagnosis tells of the rule, its wildcards, log, script and exit code."""
    assert failed.result.code == 1
    said = failed.result.said[failed.result.said.index(first) :]
    block = said[: said.index("jobs failed")]
    assert [] == [words for words in shown if words not in block], block


def test_every_member_has_its_cause(failed: Run) -> None:
    """In the trace: who failed, who was ended with it, who never started, and who was well."""
    causes = {row.rule: row.cause for row in failed.workflow.rows()}
    assert {
        "good": "ok",
        "bad": "exit_code",
        "last": "not_started",
        "write": "partner_failed",
        "read": "exit_code",
        "serve": "exit_code",
        "use": "partner_failed",
        "forgetful": "output_missing",
        "taken": "not_started",
        "fine": "ok",
    } == causes


def test_a_failed_group_leaves_no_outputs(failed: Run) -> None:
    """As with any executor but the local one, Snakemake removes the outputs of all members."""
    left = {path.name for path in failed.workflow.folder.glob("[a-z]*.txt")}
    assert {"fine.txt"} == left


def test_a_failed_group_runs_again(lab: Lab, tmp_path: Path) -> None:
    """After a correction, the next run makes what is missing; --keep-incomplete kept it."""
    workflow = Workflow(tmp_path, lab.environ)
    text = """
        rule all:
            input: "b.txt"
        rule a:
            output: "a.txt"
            group: "g"
            shell: "echo a >{output}"
        rule b:
            input: "a.txt"
            output: "b.txt"
            group: "g"
            shell: "cat {input} >{output}; exit CODE"
    """
    workflow.snakefile(text.replace("CODE", "3"))
    result = workflow.run("--keep-incomplete")
    assert result.code == 1, result.said
    assert "a\n" == (tmp_path / "b.txt").read_text()
    workflow.snakefile(text.replace("CODE", "0"))
    result = workflow.run("--rerun-incomplete")
    assert result.code == 0, result.said
    assert "Nothing to be done" in workflow.start("--executor", "local", "-j1", "-n").finish().said


@pytest.mark.parametrize("words", [(), ("--hpcctr-scheduler", "local")])
def test_ctrl_c_reaches_every_member(lab: Lab, tmp_path: Path, words: tuple[str, ...]) -> None:
    """The commands that run may save their work; nothing of the group stays."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule all:
            input: "c.txt"
        rule a:
            output: "{i}.txt"
            group: "g"
            shell: "trap 'touch saved.{wildcards.i}; exit 3' TERM; touch ready.{wildcards.i}; "
                "sleep 60 & wait; touch {output}"
        rule c:
            input: "a.txt", "b.txt"
            output: "c.txt"
            group: "g"
            shell: "touch {output}"
    """)
    with workflow.start_hpcctr(*words) as running:
        for name in "ab":
            wait_for_file(tmp_path / f"ready.{name}")
        running.interrupt()
        running.finish()
        for name in "ab":
            wait_for_file(tmp_path / f"saved.{name}")
    until = time.monotonic() + 10
    while workflow.scratch_folders() and time.monotonic() < until:
        time.sleep(0.1)
    assert [] == workflow.scratch_folders()


def test_the_time_limit_of_a_group_is_told(lab: Lab, tmp_path: Path) -> None:
    """Slurm ends a group that takes too long, and the member that ran is named with it."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule all:
            input: "b.txt"
        rule a:
            output: "a.txt"
            group: "g"
            shell: "touch ready; sleep 600; touch {output}"
        rule b:
            input: "a.txt"
            output: "b.txt"
            group: "g"
            shell: "touch {output}"
    """)
    with workflow.start_hpcctr() as running:
        wait_for_file(tmp_path / "ready")
        element = workflow.rows()[0].element
        environ = {**os.environ, **lab.environ}
        done = proc.run(
            ["scontrol", "update", f"JobId={element}", "TimeLimit=0-00:00:01"], env=environ
        )
        assert done.code == 0, done
        result = running.finish(120)
    assert result.code == 1
    assert "a failed on n" in result.said
    assert {"a": "timeout", "b": "not_started"} == {row.rule: row.cause for row in workflow.rows()}


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "config", "expected"),
    [
        (
            'slurm_partition="main"',
            'slurm_partition="other"',
            "",
            "group g (a, b): rule a asks for partition main, and rule b asks for partition other",
        ),
        (
            'constraint="x"',
            "mem_mb=5",
            "rules: {b: {constraint: y}}",
            "rule a asks for constraint x, and rule b asks for constraint y (",
        ),
        ("nodes=2", "mem_mb=5", "", "rule a asks for nodes 2, and a group runs on one node"),
        (
            'gpu=1, gpu_model="a100"',
            'gpu=1, gpu_model="t4"',
            "",
            "rule a asks for the GPU a100, and rule b for t4",
        ),
    ],
)
def test_what_a_submission_has_once_must_agree(
    lab: Lab, tmp_path: Path, one: str, other: str, config: str, expected: str
) -> None:
    """Members that cannot share a submission are named with what they ask for."""
    workflow = Workflow(tmp_path, lab.environ)
    if config:
        workflow.write("hpcctr.yaml", config)
    workflow.write("b.txt", "of an earlier run")
    workflow.snakefile(f"""
        rule all:
            input: "b.txt"
        rule a:
            output: "a.txt"
            group: "g"
            resources: {one}
            shell: "touch {{output}}"
        rule b:
            input: "a.txt"
            output: "b.txt"
            group: "g"
            resources: {other}
            shell: "touch {{output}}"
    """)
    result = workflow.run("--forceall")
    assert result.code == 1
    assert expected in result.said, result.said
    assert "take " in result.said
    assert not result.shows_traceback
    assert [] == workflow.submitted()
    assert (tmp_path / "b.txt").exists()


def test_a_container_that_only_snakemake_could_start_is_refused(
    lab: Lab,
    apptainer: str,  # noqa: ARG001 (an engine)
    base_image: BaseImage,
    tmp_path: Path,
) -> None:
    """A member whose command needs its input, made in the group, has no container."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(f"""
        rule all:
            input: "b.txt"
        rule a:
            output: "a.txt"
            group: "g"
            shell: "echo a >{{output}}"
        rule b:
            input: "a.txt"
            output: "b.txt"
            container: "{base_image.sif}"
            group: "g"
            params: size=lambda wildcards, input: os.path.getsize(input[0])
            shell: "echo {{params.size}} >{{output}}"
    """)
    result = workflow.run()
    assert result.code == 1
    assert "rule b: Snakemake itself has to run it on its node" in result.said
    assert "an input that is made in its group" in result.said
    assert not result.shows_traceback
