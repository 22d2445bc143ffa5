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
HOG = "x = b'x' * (300 << 20); import time; time.sleep(5)"
HEAD = """
    SIF, SQSH = "image.sif", "image.sqsh"
    rule all:
        input: {targets}
"""


@dataclass(frozen=True)
class Failure:
    """A rule that fails.

    Args:
        lines: What the rule says besides its output.
        sentence: The diagnosis, `{node}` for the node's name.
        shown: What else is shown: evidence, advice, lines of the log.
        cause: The word in the trace.
        engine: The engine's program, if the rule needs one.
    """

    lines: str
    sentence: str
    shown: tuple[str, ...]
    cause: str
    engine: str = ""


def shell(command: str, resources: str = "", container: str = "") -> str:
    """Return the lines of a rule."""
    where = f"container: {container}\n        " if container else ""
    asked = f'resources: slurm_partition="main", {resources}\n        '
    return f"{where}{asked}shell: {command!r}"


def waits(partition: str, resources: str = "") -> str:
    """Return the lines of a rule that tells that it runs and then waits for its end."""
    asked = f'slurm_partition="{partition}", mem_mb=50, {resources}'
    return f"resources: {asked}\n        shell: 'touch {{rule}}.runs; sleep 300'"


FAILURES = {
    "oom": Failure(
        shell(f'python3 -c "{HOG}"', "mem_mb=100"),
        "The task was killed because it used more memory than it asked for (100 MiB)",
        ("hint: raise mem_mb to about ",),
        "oom",
    ),
    "oom_in_image": Failure(
        shell(f'python3 -c "{HOG}"', "mem_mb=100", "SIF"),
        "The task was killed because it used more memory than it asked for (100 MiB)",
        ("hint: raise mem_mb to about ",),
        "oom",
        "apptainer",
    ),
    "timeout": Failure(
        waits("main", "runtime=1"),
        "The task was stopped because it ran longer than the 60 s that it asked for",
        ("hint: raise runtime to about 2 minutes", "scheduler: TIMEOUT"),
        "timeout",
    ),
    "cancelled": Failure(
        waits("main"),
        "The task was cancelled",
        ("hint: if it was not you, ask the administrators", "scheduler: CANCELLED"),
        "cancelled",
    ),
    "cancelled_waiting": Failure(
        "resources: slurm_partition=\"main\", slurm_extra='--hold'\n        shell: 'true'",
        "The task was cancelled",
        ("scheduler: CANCELLED",),
        "cancelled",
    ),
    "node_fail": Failure(
        waits("doomed"),
        "The task was lost because node n3 failed",
        ("hint: start it again: `--retries 2` does it by itself", "scheduler: NODE_FAIL"),
        "node_fail",
    ),
    "preempted": Failure(
        waits("low"),
        "The task had to give way to a job of higher priority (it was preempted)",
        ("hint: start it again: `--retries 3` does it by itself", "scheduler: PREEMPTED"),
        "preempted",
    ),
    "no_program": Failure(
        shell("samtools sort x"),
        "The command `samtools` was not found on node n1",
        ("exit code 127", "log: ", "samtools: command not found", "hint: give the rule an image"),
        "command_not_found",
    ),
    "no_program_in_image": Failure(
        shell("samtools sort x", container="SIF"),
        "The command `samtools` was not found in the image image.sif",
        ("exit code 127", "samtools: command not found", "not visible inside"),
        "command_not_found",
        "apptainer",
    ),
    "no_program_in_enroot": Failure(
        shell("samtools sort x", 'engine="enroot"', "SQSH"),
        "The command `samtools` was not found in the image image.sqsh",
        ("exit code 127", "samtools: command not found"),
        "command_not_found",
        "enroot",
    ),
    "not_executable": Failure(
        shell("./notes.txt"),
        "A program was found but may not be executed: ./notes.txt",
        ("exit code 126", "Permission denied", "hint: make it executable: `chmod +x FILE`"),
        "command_not_executable",
    ),
    "image_cut_short": Failure(
        shell("true", container='"short.sif"'),
        "The image short.sif cannot be used by apptainer: it is damaged",
        ("exit code 255", "hint: look at it with `unsquashfs -s FILE`"),
        "image_corrupt",
        "apptainer",
    ),
    "image_cut_short_enroot": Failure(
        shell("true", 'engine="enroot"', '"short.sqsh"'),
        "The image short.sqsh cannot be used by enroot: it is damaged",
        ("hint: look at it with `unsquashfs -s FILE`",),
        "image_corrupt",
        "enroot",
    ),
    "image_gone": Failure(
        shell("true", "slurm_extra='--hold'", '"gone.sif"'),
        "does not exist on node n1",
        ("stopped before the command: image_missing", "hint: correct `container:`"),
        "image_missing",
        "apptainer",
    ),
    "bind_missing": Failure(
        shell("true", 'binds="/no/such/data:/data:ro"', "SIF"),
        "The bind source /no/such/data does not exist on node n1",
        ("stopped before the command: bind_missing", "hint: correct the path in `binds`"),
        "bind_missing",
        "apptainer",
    ),
    "no_gpu": Failure(
        shell("echo never", "gpu=1"),
        "The task asked for 1 GPU(s) and got none on node n1",
        ("stopped before the command: no_gpu", "hint: choose a partition whose nodes have GPUs"),
        "no_gpu",
    ),
    "killed": Failure(
        shell("echo last words; kill -9 $$"),
        "The command was ended by SIGKILL (exit code 137)",
        ("exit code 137 (SIGKILL)", "    last words", "the usual reason is memory"),
        "signal",
    ),
    "segfault": Failure(
        shell("kill -SEGV $$", container="SIF"),
        "The command was ended by SIGSEGV (exit code 139)",
        ("hint: the program reached for memory that is not its own",),
        "signal",
        "apptainer",
    ),
    "exit_seven": Failure(
        shell("for i in $(seq 30); do echo line $i; done; exit 7"),
        "The command failed with exit code 7",
        ("exit code 7 after ", "    line 30", "    line 16", "hint: the reason is most likely in"),
        "exit_code",
    ),
    "exit_in_pipe": Failure(
        shell("false | cat"),
        "The command failed with exit code 1",
        ("the log is empty: let the command say more",),
        "exit_code",
    ),
    "log_of_the_rule": Failure(
        'log: "own.log"\n        ' + shell("echo words of the tool >{log}; exit 3"),
        "The command failed with exit code 3",
        ("    words of the tool",),
        "exit_code",
    ),
    "module_missing": Failure(
        shell('python3 -c "import torch_none"', container="SIF"),
        "Python in the image image.sif has no module `torch_none`",
        ("exit code 1", "ModuleNotFoundError", "hint: choose an image that has it"),
        "exit_code",
        "apptainer",
    ),
    "full_disk": Failure(
        shell("echo data >/dev/full"),
        "The task could not write, because no space was left on a disk of node n1",
        ("No space left on device", "hint: free some space"),
        "disk_full",
    ),
}
#: Independent of the failures: with --keep-going they run to the end.
GOOD = """
    rule good_first:
        output: "good_first.txt"
        resources: slurm_partition="main"
        shell: "echo good >{output}"
    rule good_second:
        input: "good_first.txt"
        output: "good_second.txt"
        resources: slurm_partition="main"
        shell: "sleep 3; cp {input} {output}"
    rule third_time:
        output: "third_time.txt"
        retries: 2
        resources: slurm_partition="main", mem_mb=lambda wildcards, attempt: 100 * attempt
        shell: "echo attempt {resources.mem_mb}; [ {resources.mem_mb} = 300 ] && echo 300 >{output}"
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
    """Link the images, and copy the beginning of each."""
    for source, kind in ((base.sif, "sif"), (base.sqsh, "sqsh")):
        (folder / f"image.{kind}").symlink_to(source)
        with source.open("rb") as stream:
            (folder / f"short.{kind}").write_bytes(stream.read(1 << 20))
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
    assert ["ended0", "ended1", "ended2", "ended3"] == sorted(
        path.name for path in tmp_path.glob("ended*")
    )


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
