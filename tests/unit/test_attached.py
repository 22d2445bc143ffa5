"""A shell or a command in a task's container: what is typed for the user, and how it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.executor.attached import (
    Way,
    command_task,
    default_task,
    history_entry,
    run_attached,
    shell_task,
)
from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import (
    Running,
    attach_argv,
    attach_environ,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources, Task

if TYPE_CHECKING:
    from pathlib import Path

TASK = Task(
    key="k",
    rule="train",
    command="set -euo pipefail; echo it's",
    workdir="/flow",
    scratch="/tmp/hpcctr-1",
    tmpdir="/tmp/hpcctr-1/tmp",
)
WORDS = st.lists(
    st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])), max_size=4
)


def _bash(text: str) -> proc.Completed:
    return proc.run(["bash", "-c", text])


def test_a_failing_command_leaves_the_shell_alive() -> None:
    """An entry of the history may fail under `set -e`: the shell that ran it goes on."""
    entry = history_entry("set -euo pipefail; false; echo not reached")
    assert "alive\n" == _bash(f"{entry}\necho alive").out


def test_an_entry_may_end_in_a_comment_or_a_here_document() -> None:
    """The closing bracket is neither commented out nor swallowed."""
    assert "1\n" == _bash(history_entry("echo 1  # and no more")).out
    assert "a\n" == _bash(history_entry("cat <<E\na\nE")).out


def test_an_entry_makes_the_folders_that_a_run_would_make() -> None:
    """Folders of outputs that are missing are made before the command."""
    assert "( mkdir -p 'my models' logs; x )" == history_entry("x", ("my models", "logs"))


@given(WORDS)
def test_words_of_a_command_arrive_unchanged(arguments: list[str]) -> None:
    """Any words after `--` are the command's own, whatever a shell would make of them."""
    command = command_task(TASK, ["printf", "%s\\0", *arguments]).command
    said = proc.run(["sh", "-c", command])
    assert "".join(f"{word}\0" for word in arguments or [""]) == said.out


def test_a_default_command_gets_its_arguments() -> None:
    """Without a start script the arguments themselves are run; without any there is an error."""
    assert "a b\n" == proc.run(["sh", "-c", default_task(TASK, ["echo", "a b"]).command]).out
    nothing = proc.run(["sh", "-c", default_task(TASK, []).command])
    assert 1 == nothing.code
    assert "names no command of its own" in nothing.err


def test_a_shell_is_started_in_the_task_s_own_place() -> None:
    """Only the command changes: binds, variables, request and folders are the task's."""
    task = shell_task(TASK, "train")
    changed = {"command": TASK.command, "interpreter": TASK.interpreter}
    assert TASK == task.model_copy(update=changed)


def test_a_job_of_its_own_asks_for_one_task() -> None:
    """The request is the rule's, but for the number of tasks and nodes."""
    resources = Resources(
        cpus_per_task=4, tasks=8, nodes=2, gpu=Gpu(count=1), partition="gpu", extra=("--nice=5",)
    )
    argv = attach_argv(resources, ["bash", "x"], name="train", terminal=True, inside=None)
    expected = "srun --job-name=train --export=ALL --partition=gpu --nodes=1 --ntasks=1"
    assert f"{expected} --cpus-per-task=4 --gpus=1 --nice=5 --pty bash x" == " ".join(argv)


def test_a_running_job_is_joined_beside_its_steps() -> None:
    """Inside a running job the request is the job's own."""
    inside = Running("77", "alps")
    argv = attach_argv(Resources(mem_mb=9), ["x"], name="n", terminal=False, inside=inside)
    expected = "srun --job-name=n --export=ALL --clusters=alps --jobid=77 --overlap"
    assert f"{expected} --nodes=1 --ntasks=1 x" == " ".join(argv)


def test_a_surrounding_job_does_not_count() -> None:
    """Variables of the job in which hpcctr runs are not handed to srun; those of the user are."""
    environ = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "5", "SLURM_CONF": "/c", "A": "b"}
    assert {"SLURM_CONF": "/c", "A": "b"} == attach_environ(environ, Resources())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Somebody else's workflow, or a full disk: the message says where, and what to do."""
    (tmp_path / "shells").write_text("no folder")
    with pytest.raises(ConfigError, match=f"cannot write to {tmp_path}/shells") as caught:
        run_attached(TASK, tmp_path / "shells" / "1", Way(terminal=False, here=True), {})
    assert "work in a folder of your own" in caught.value.next_step


def test_on_this_machine_gpus_are_named_as_their_vendor_does(tmp_path: Path) -> None:
    """A task for AMD GPUs sees them by the variable of ROCm, unless the caller chose others."""
    task = TASK.model_copy(
        update={
            "command": f'printf "%s" "$ROCR_VISIBLE_DEVICES" >{tmp_path}/seen',
            "workdir": str(tmp_path),
            "scratch": str(tmp_path / "scratch"),
            "tmpdir": str(tmp_path / "scratch/tmp"),
            "resources": Resources(gpu=Gpu(count=2, vendor="amd")),
        }
    )
    seen = []
    for more in ({}, {"ROCR_VISIBLE_DEVICES": "1,3"}):
        environ = {"PATH": "/usr/bin:/bin", **more}
        way = Way(terminal=False, here=True)
        assert 0 == run_attached(task, tmp_path / "shells" / "1", way, environ)
        seen.append((tmp_path / "seen").read_text())
    assert ["0,1", "1,3"] == seen
    assert not (tmp_path / "shells").exists()
