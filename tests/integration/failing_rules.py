"""Rules that fail, each in its own way, and what is to be said about them."""

from __future__ import annotations

from dataclasses import dataclass

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
        shell("alignreads sort x"),
        "The command `alignreads` was not found on node n1",
        ("exit code 127", "log: ", "alignreads: command not found", "hint: give the rule an image"),
        "command_not_found",
    ),
    "no_program_in_image": Failure(
        shell("alignreads sort x", container="SIF"),
        "The command `alignreads` was not found in the image image.sif",
        ("exit code 127", "alignreads: command not found", "not visible inside"),
        "command_not_found",
        "apptainer",
    ),
    "no_program_in_enroot": Failure(
        shell("alignreads sort x", 'engine="enroot"', "SQSH"),
        "The command `alignreads` was not found in the image image.sqsh",
        ("exit code 127", "alignreads: command not found"),
        "command_not_found",
        "enroot",
    ),
    "no_python_in_image": Failure(
        'container: SIF\n        resources: slurm_partition="main"\n        script: "nothing.py"',
        "The command `python` was not found in the image image.sif",
        ("exit code 127", "many images have only `python3`"),
        "command_not_found",
        "apptainer",
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
