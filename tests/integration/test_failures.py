"""Every cause of a failure, provoked on a real Slurm, and what the user is told about it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.lab import Lab, LabSettings, packages
from tests.integration.failing_rules import FAILURES, GOOD, HEAD
from tests.integration.workflow import Result, Workflow, wait_for_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

#: n1 is for all, n2 for preemption, n3 for its own death; GPUs are hidden from the jobs.
LAB = (
    "SlurmdTimeout=5",
    "PreemptType=preempt/partition_prio",
    "PreemptMode=CANCEL",
    "PartitionName=main Nodes=n1",
    "PartitionName=low Nodes=n2 PriorityTier=1",
    "PartitionName=high Nodes=n2 PriorityTier=10",
    "PartitionName=doomed Nodes=n3",
)
HIDE_GPUS = """#!/bin/sh
for name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES GPU_DEVICE_ORDINAL; do echo unset $name; done
"""


@dataclass
class Run:
    """The run in which everything failed."""

    workflow: Workflow
    result: Result
    rules: frozenset[str]


@pytest.fixture(scope="module")
def failing_lab() -> Iterator[Lab]:
    """Start a Slurm with low and high partitions, a node that may die, and hidden GPUs."""
    if lacking := packages.missing(packages.SLURM):
        pytest.skip(f"Slurm is not installed, `hpcctr lab packages` tells how: no {min(lacking)}")
    folder = Path(tempfile.mkdtemp(prefix="hpcctr-"))
    folder.chmod(0o755)
    prolog = folder / "hide-gpus"
    prolog.write_text(HIDE_GPUS)
    prolog.chmod(0o755)
    extra = (*LAB, f"TaskProlog={prolog}")
    lab = Lab(LabSettings(directory=folder / "lab", nodes=3, extra=extra))
    try:
        lab.up()
        yield lab
    finally:
        lab.down()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def failures(
    failing_lab: Lab, base_image: BaseImage, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Run all rules of the table at once and provoke what does not come by itself."""
    rules = [name for name, one in FAILURES.items() if proc.find_program(one.engine or "sh")]
    workflow = Workflow(tmp_path_factory.mktemp("failures"), failing_lab.environ)
    write_images(workflow.folder, base_image)
    workflow.write("notes.txt", "text\n")
    workflow.write("nothing.py", "pass\n")
    targets = [f"{name}.txt" for name in (*rules, "good_second", "third_time")]
    text = HEAD.format(targets=targets) + GOOD
    for name in rules:
        text += (
            f'\n    rule {name}:\n        output: "{name}.txt"\n        {FAILURES[name].lines}\n'
        )
    workflow.snakefile(text)
    with workflow.start_hpcctr("--keep-going") as run:
        provoke(failing_lab, workflow)
        result = run.finish(120)
    return Run(workflow, result, frozenset(rules))


def write_images(folder: Path, base: BaseImage) -> None:
    """Link the images, and copy the beginning of each, the rest empty: the length is right."""
    for source, kind in ((base.sif, "sif"), (base.sqsh, "sqsh")):
        (folder / f"image.{kind}").symlink_to(source)
        with source.open("rb") as stream:
            (folder / f"short.{kind}").write_bytes(stream.read(1 << 20))
        os.truncate(folder / f"short.{kind}", source.stat().st_size)
    shutil.copy(folder / "short.sif", folder / "gone.sif")


def provoke(lab: Lab, workflow: Workflow) -> None:
    """Do to the waiting and running jobs what a cluster does to them."""
    for name in ("timeout", "cancelled", "node_fail", "preempted"):
        wait_for_file(workflow.folder / f"{name}.runs")
    jobs = {row.rule: row.element for row in workflow.submitted()}

    def slurm(*words: str) -> None:
        env = {**os.environ, **lab.environ}
        subprocess.run(words, env=env, check=True, capture_output=True, cwd="/", timeout=30)

    kill_node(lab, "n3")
    slurm("scontrol", "update", f"JobId={jobs['timeout']}", "EndTime=now+1")
    slurm("scancel", jobs["cancelled"], jobs["cancelled_waiting"])
    slurm("sbatch", "-phigh", "--exclusive", "-t1", "-o/dev/null", "--wrap=sleep 1")
    if "image_gone" in jobs:
        (workflow.folder / "gone.sif").unlink()
        slurm("scontrol", "release", jobs["image_gone"])


def kill_node(lab: Lab, name: str) -> None:
    """End a slurmd as a power cut would."""
    pid = lab.status().daemons[f"slurmd-{name}"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("rule", FAILURES)
def test_failure_is_explained(failures: Run, rule: str) -> None:
    """A failed task is told as rule, node, job, one sentence, evidence and advice."""
    if rule not in failures.rules:
        pytest.skip(f"no {FAILURES[rule].engine} here")
    expected = FAILURES[rule]
    block = failures.result.block(f"{rule} failed")
    assert expected.sentence in block.splitlines()[1]
    assert not [text for text in expected.shown if text not in block], block
    row = next(row for row in failures.workflow.rows() if row.rule == rule)
    assert expected.cause == row.cause
    assert f"({row.element})" in block.splitlines()[0]


def test_nothing_is_said_of_what_went_well(failures: Run) -> None:
    """With --keep-going, rules that do not depend on a failed one run to the end."""
    assert (failures.workflow.folder / "good_second.txt").exists()
    assert "good_second failed" not in failures.result.said
    assert failures.result.code == 1
    assert not failures.result.shows_traceback


def test_retries_ask_for_more(failures: Run) -> None:
    """`retries` submits again, with resources that depend on the attempt."""
    attempts = [row for row in failures.workflow.rows() if row.rule == "third_time"]
    assert [(1, "exit_code"), (2, "exit_code"), (3, "ok")] == [
        (row.attempt, row.cause) for row in attempts
    ]
    assert (failures.workflow.folder / "third_time.txt").read_text() == "300\n"


def test_node_is_named_where_it_is_known(failures: Run) -> None:
    """A task that ran names its node."""
    assert "exit_seven failed on n1 (" in failures.result.said
    assert "node_fail failed on n3 (" in failures.result.said


def test_outputs_of_failed_tasks_are_removed(failures: Run) -> None:
    """No failed rule leaves an output behind."""
    assert [] == [n for n in failures.rules if (failures.workflow.folder / f"{n}.txt").exists()]


def test_nothing_stays_in_the_queue(failing_lab: Lab, failures: Run) -> None:
    """After the run the queue is empty."""
    assert failures.result.code == 1
    assert queue(failing_lab, "--name", "timeout,cancelled,node_fail,preempted,image_gone") == ""


def queue(lab: Lab, *words: str) -> str:
    """Return who is in the queue."""
    return subprocess.run(
        ["squeue", "-h", "-t", "PD,R,CF,S", "-o", "%j %T", *words],
        env={**os.environ, **lab.environ},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
    ).stdout


SLOW = """
    rule all:
        input: [f"slow{i}.txt" for i in range(4)], "alone.txt", "held.txt"
    rule slow:
        output: "slow{i}.txt"
        shell:
            "trap 'echo asked to end >ended{wildcards.i}; exit 1' TERM; touch runs{wildcards.i}; "
            "sleep 300 & wait"
    rule alone:
        output: "alone.txt"
        shell: "touch runs-alone; sleep 300"
    rule held:
        output: "held.txt"
        resources: slurm_extra="--hold"
        shell: "true"
"""


def test_interrupt_leaves_no_job(lab: Lab, tmp_path: Path) -> None:
    """Ctrl-C ends running and waiting jobs; a command that traps the signal cleans up."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(SLOW)
    with workflow.start_hpcctr() as run:
        run.wait_for("Submitted held as")
        for name in ("runs0", "runs1", "runs2", "runs3", "runs-alone"):
            wait_for_file(tmp_path / name)
        run.interrupt()
        result = run.finish(30)
    assert result.code == 1
    assert "Cancelling 6 task(s)" in result.said
    assert not result.shows_traceback
    assert queue(lab, "--name", "slow,alone,held") == ""
    assert [] == workflow.scratch_folders()
    assert ["ended0", "ended1", "ended2", "ended3"] == sorted(
        path.name for path in tmp_path.glob("ended*")
    )


def test_interrupt_ends_tasks_of_this_machine(tmp_path: Path) -> None:
    """With the scheduler `local`, Ctrl-C ends the tasks' processes, and none starts any more."""
    workflow = Workflow(tmp_path)
    workflow.snakefile("""
        rule all:
            input: [f"slow{i}.txt" for i in range(20)]
        rule slow:
            output: "slow{i}.txt"
            resources: mem_mb=100
            shell: "touch runs{wildcards.i}; env MARK=$PWD sleep 300; touch {output}"
    """)
    with workflow.start_hpcctr("--hpcctr-scheduler", "local") as run:
        run.wait_for("Submitted")
        wait_for_file(tmp_path / "runs0")
        run.interrupt()
        result = run.finish(30)
    assert result.code == 1
    assert not result.shows_traceback
    started = len(list(tmp_path.glob("runs*")))
    assert [] == [pid for pid in Path("/proc").glob("[0-9]*") if marked(pid, str(tmp_path))]
    assert started == len(list(tmp_path.glob("runs*")))
    assert [] == workflow.scratch_folders()


def marked(process: Path, text: str) -> bool:
    """Whether a process has a variable MARK with this value."""
    try:
        return f"MARK={text}\0".encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def test_first_failure_ends_the_run(lab: Lab, tmp_path: Path) -> None:
    """Without --keep-going what runs may finish, nothing new starts."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule all:
            input: "bad.txt", "after.txt"
        rule bad:
            output: "bad.txt"
            shell: "exit 4"
        rule slow:
            output: "slow.txt"
            shell: "sleep 2; touch {output}"
        rule after:
            input: "slow.txt"
            output: "after.txt"
            shell: "touch {output}"
    """)
    result = workflow.run()
    assert result.code == 1
    assert "The command failed with exit code 4" in result.said
    assert (tmp_path / "slow.txt").exists()
    assert ["bad", "slow"] == sorted(row.rule for row in workflow.rows())
