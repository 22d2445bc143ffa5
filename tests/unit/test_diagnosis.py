from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.diagnosis import (
    RETRYABLE,
    Cause,
    Diagnosis,
    Evidence,
    diagnose,
    render,
)
from snakemake_executor_plugin_hpcctr.task import EngineName

CATALOGUE = Path(__file__).parents[2] / "docs" / "reference" / "diagnosis.md"


@dataclass(frozen=True)
class Case:
    """A failure as it was seen, and what a user should read."""

    id: str
    evidence: Evidence
    cause: Cause
    sentence: str
    advice: str


def apptainer(log: str, exit_code: int = 255, **more: Any) -> Evidence:
    """Return a task that Apptainer could not start."""
    known: dict[str, Any] = {"image": "x.sif", "node": "n1", "state": "FAILED", **more}
    return Evidence("apptainer", exit_code=exit_code, log_tail=log, **known)


def enroot(log: str, exit_code: int = 1, **more: Any) -> Evidence:
    """Return a task that Enroot could not start."""
    known: dict[str, Any] = {"image": "x.sqsh", "node": "n1", "state": "FAILED", **more}
    return Evidence("enroot", exit_code=exit_code, log_tail=log, **known)


def pyxis(log: str, exit_code: int = 1, **more: Any) -> Evidence:
    """Return a task that pyxis could not start; its last words are always the same."""
    words = (
        f"{log}\n"
        "slurmstepd-n1: error: spank: required plugin spank_pyxis.so: task_init() failed with "
        "rc=-1\n"
        "slurmstepd-n1: error: Failed to invoke spank plugin stack\n"
        f"srun: error: n1: task 0: Exited with exit code {exit_code}\n"
    )
    known: dict[str, Any] = {"image": "x.sqsh", "node": "n1", "state": "FAILED", **more}
    return Evidence("pyxis", exit_code=exit_code, log_tail=words, **known)


def command(log: str = "", exit_code: int = 1, **more: Any) -> Evidence:
    """Return a task whose command ran in a container and failed."""
    known: dict[str, Any] = {"image": "x.sif", "node": "n1", "state": "FAILED", **more}
    return Evidence("apptainer", exit_code=exit_code, log_tail=log, **known)


def on_host(log: str = "", exit_code: int = 1, **more: Any) -> Evidence:
    """Return a task without a container that failed."""
    known: dict[str, Any] = {"node": "n1", "state": "FAILED", **more}
    return Evidence("host", exit_code=exit_code, log_tail=log, **known)


def stopped(word: str, detail: str, **more: Any) -> Evidence:
    """Return a task whose script stopped before its command."""
    return Evidence(
        "apptainer",
        image="x.sif",
        exit_code=1,
        setup_failure=word,
        setup_detail=detail,
        node="n1",
        state="FAILED",
        log_tail=f"hpcctr: {word}: {detail}\n",
        **more,
    )


def slurm(state: str, reason: str = "", **more: Any) -> Evidence:
    """Return a task that left no marker."""
    return Evidence("host", has_marker=False, state=state, reason=reason, **more)


BEFORE_THE_COMMAND = [
    Case(
        "no GPU in the allocation",
        stopped(
            "no_gpu", "the task asked for 2 GPU(s), and the allocation on n1 shows none", gpus=2
        ),
        Cause.NO_GPU,
        "The task asked for 2 GPU(s) and got none on node n1",
        "slurm_partition",
    ),
    Case(
        "bind source missing",
        stopped("bind_missing", "/data/set"),
        Cause.BIND_MISSING,
        "The bind source /data/set does not exist on node n1",
        "binds",
    ),
    Case(
        "working directory missing",
        stopped("workdir_missing", "/home/ada/run"),
        Cause.WORKDIR_MISSING,
        "The working directory /home/ada/run does not exist where the command runs, on node n1",
        "every node sees",
    ),
    Case(
        "engine not installed",
        stopped("engine_missing", "apptainer"),
        Cause.ENGINE_MISSING,
        "There is no program apptainer on node n1",
        "resources: engine=",
    ),
    Case(
        "launcher not installed",
        stopped("launcher_missing", "srun"),
        Cause.COMMAND_NOT_FOUND,
        "The task's processes cannot be started: there is no program srun on node n1",
        "launch=",
    ),
    Case(
        "srun outside of Slurm",
        stopped("no_slurm_job", "srun starts processes of a Slurm job, and this is none"),
        Cause.COMMAND_NOT_FOUND,
        "The task's processes cannot be started: srun needs a Slurm job, and the task runs outside",
        "mpirun",
    ),
    Case(
        "image missing",
        stopped("image_missing", "/home/ada/x.sif"),
        Cause.IMAGE_MISSING,
        "The image /home/ada/x.sif does not exist on node n1",
        "container:",
    ),
    Case(
        "member of a group that another one kept from starting",
        stopped("not_started", "group g (a, b)"),
        Cause.NOT_STARTED,
        "It did not start, because another job of group g (a, b) failed",
        "the job that failed",
    ),
    Case(
        "reader of a pipe whose writer failed",
        stopped("partner_failed", "write (i=1)"),
        Cause.PARTNER_FAILED,
        "It was ended, because write (i=1) failed, with which it runs together",
        "the job that failed",
    ),
    Case(
        "member of a group without the output that others wait for",
        stopped("output_missing", "a.txt"),
        Cause.OUTPUT_MISSING,
        "The command ended well, but its output a.txt is not there, and other jobs of its group "
        "wait for it",
        "`output:`",
    ),
    Case(
        "service without its file",
        stopped("service_silent", "db.sock"),
        Cause.OUTPUT_MISSING,
        "The service made no db.sock, and the jobs that use it wait for that file",
        "--latency-wait",
    ),
    Case(
        "node without pyxis",
        stopped("not_contained", "the command would run on the bare host"),
        Cause.NOT_CONTAINED,
        "The command was stopped because it would have run on node n1 itself, outside any "
        "container",
        "another engine",
    ),
    Case(
        "no bash in the image",
        stopped("shell_missing", "bash"),
        Cause.COMMAND_NOT_FOUND,
        "The image x.sif has no shell `bash`, which is to read the command",
        'shell.executable("sh")',
    ),
    Case(
        "temporary folder on a full disk",
        stopped("scratch", "mkdir: cannot create directory '/tmp/h': No space left on device"),
        Cause.DISK_FULL,
        "The task's temporary folder could not be made on node n1: the disk is full",
        "tmpdir",
    ),
    Case(
        "temporary folder not writable",
        stopped("scratch", "mkdir: cannot create directory '/scratch': Permission denied"),
        Cause.WORKDIR_MISSING,
        "The task's temporary folder could not be made on node n1: mkdir: cannot create directory "
        "'/scratch': Permission denied",
        "tmpdir",
    ),
    Case(
        "work once per node failed",
        stopped("engine_failed", "enroot create --name hpcctr-1 x.sqsh"),
        Cause.ENGINE_FAILED,
        "apptainer could not start the container on node n1: enroot create --name hpcctr-1 x.sqsh",
        "bash SCRIPT",
    ),
    Case(
        "a word that this release does not know",
        stopped("moon_phase", "full"),
        Cause.ENGINE_FAILED,
        "The task stopped before its command: moon_phase full",
        "bash SCRIPT",
    ),
]

FROM_THE_SCHEDULER = [
    Case(
        "killed by the cgroup",
        command(
            "Killed\nslurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch. Some of "
            "your processes may have been killed by the cgroup out-of-memory handler.\n",
            137,
            state="OUT_OF_MEMORY",
            reason="OutOfMemory",
            mem_mb=2000,
            peak_mb=1999.8,
        ),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it asked for (2,000 MiB)",
        "raise mem_mb to about 4000: `resources: mem_mb=4000`",
    ),
    Case(
        "killed by the cgroup, as newer Slurm says it",
        command("error: Detected 2 oom_kill events in StepId=7.batch.\n", 137, mem_mb=12000),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it asked for (12,000 MiB)",
        "mem_mb=24000",
    ),
    Case(
        "killed by Slurm's own watch",
        slurm(
            "FAILED",
            "JobLaunchFailure",
            scheduler_exit=0,
            scheduler_signal=9,
            log_tail="slurmstepd-m1: error: StepId=1.batch exceeded memory limit "
            "(429322240 > 104857600), being killed\n"
            "slurmstepd-m1: error: Exceeded job memory limit\n",
        ),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it asked for (100 MiB)",
        "mem_mb=900",
    ),
    Case(
        "step killed for memory",
        pyxis("srun: error: m1: task 0: Out Of Memory", mem_mb=100),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it asked for (100 MiB)",
        "mem_mb=200",
    ),
    Case(
        "killed for memory without a request",
        command("", 137, state="OUT_OF_MEMORY"),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it was given",
        "ask for memory",
    ),
    Case(
        "a child killed for memory, the command went on",
        command("done\n", 0, state="COMPLETED", oom_kills=1, mem_mb=2000),
        Cause.OUT_OF_MEMORY,
        "A process of the task was killed because the task used more memory than it asked for "
        "(2,000 MiB); the command ended with exit code 0 all the same, so its outputs may be "
        "incomplete",
        "mem_mb=4000",
    ),
    Case(
        "memory, though the time ran out in the end",
        command("", 143, state="TIMEOUT", oom_kills=1, mem_mb=500),
        Cause.OUT_OF_MEMORY,
        "The task was killed because it used more memory than it asked for (500 MiB)",
        "mem_mb=1000",
    ),
    Case(
        "time limit",
        slurm("TIMEOUT", "TimeLimit", scheduler_exit=0, runtime_min=60, partition="short"),
        Cause.TIME_LIMIT,
        "The task was stopped because it ran longer than the 1 h 0 min that it asked for",
        "raise runtime to about 120 minutes: `resources: runtime=120`; if partition short",
    ),
    Case(
        "time limit, the command cleaned up",
        command("saved\n", 42, state="TIMEOUT", reason="TimeLimit", elapsed_s=130.0),
        Cause.TIME_LIMIT,
        "The task was stopped because it ran longer than its partition's default time limit "
        "(it asked for none)",
        "runtime=6`",
    ),
    Case(
        "time limit, known from the log alone",
        slurm(
            "",
            runtime_min=5,
            log_tail="slurmstepd-n1: error: *** JOB 95 ON n1 CANCELLED AT 2025-03-01T02:00:00 "
            "DUE TO TIME LIMIT ***\n",
        ),
        Cause.TIME_LIMIT,
        "The task was stopped because it ran longer than the 5 min that it asked for",
        "runtime=10",
    ),
    Case(
        "preempted",
        slurm("PREEMPTED", scheduler_exit=0, scheduler_signal=15),
        Cause.PREEMPTED,
        "The task had to give way to a job of higher priority (it was preempted)",
        "--retries",
    ),
    Case(
        "preempted, known from the log alone",
        slurm(
            "",
            log_tail="slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2025-03-01T02:00:00 DUE TO "
            "PREEMPTION ***\n",
        ),
        Cause.PREEMPTED,
        "The task had to give way to a job of higher priority (it was preempted)",
        "--retries",
    ),
    Case(
        "node lost",
        slurm("NODE_FAIL", "NodeDown", scheduler_exit=0, node="n2"),
        Cause.NODE_FAILURE,
        "The task was lost because node n2 failed",
        "--exclude",
    ),
    Case(
        "node did not boot",
        slurm("BOOT_FAIL"),
        Cause.NODE_FAILURE,
        "The task was lost because the compute node failed",
        "--retries",
    ),
    Case(
        "cancelled by a user",
        slurm("CANCELLED by 1000", scheduler_exit=0),
        Cause.CANCELLED,
        "The task was cancelled by user 1000",
        "start the workflow again",
    ),
    Case(
        "cancelled by root, the command cleaned up",
        command("", 42, state="CANCELLED by 0"),
        Cause.CANCELLED,
        "The task was cancelled by root, an administrator",
        "administrators",
    ),
    Case(
        "cancelled, nobody says by whom",
        slurm("CANCELLED"),
        Cause.CANCELLED,
        "The task was cancelled (`scancel`)",
        "administrators",
    ),
    Case(
        "cancelled, known from the log alone",
        slurm(
            "", log_tail="slurmstepd: error: *** JOB 9 ON n1 CANCELLED AT 2025-03-01T02:00:00 ***\n"
        ),
        Cause.CANCELLED,
        "The task was cancelled (`scancel`)",
        "administrators",
    ),
    Case(
        "taken by another cluster",
        slurm("REVOKED"),
        Cause.CANCELLED,
        "The scheduler withdrew the task, because another cluster of the federation took it",
        "clusters",
    ),
    Case(
        "deadline",
        slurm("DEADLINE"),
        Cause.CANCELLED,
        "The scheduler ended the task because its deadline (`--deadline`) had passed",
        "slurm_extra",
    ),
    Case(
        "log folder missing on the node",
        slurm("FAILED", "JobLaunchFailure", scheduler_exit=0, scheduler_signal=53, node="n1"),
        Cause.LOG_NOT_WRITABLE,
        "The task never started, because Slurm could not open its log or its working directory "
        "on node n1",
        "--hpcctr-log-dir",
    ),
    Case(
        "node without bash",
        slurm(
            "FAILED",
            "NonZeroExitCode",
            scheduler_exit=2,
            node="n1",
            log_tail="slurmstepd-n1: error: execve(): bad interpreter(/bin/bash): No such file or "
            "directory\n",
        ),
        Cause.COMMAND_NOT_FOUND,
        "The task never started: node n1 has no /bin/bash, which the job script needs",
        "bash",
    ),
    Case(
        "completed without a marker",
        slurm("COMPLETED", scheduler_exit=0, node="n1"),
        Cause.NO_SHARED_FOLDER,
        "The scheduler says that the task completed, but its exit marker never appeared: node n1 "
        "and this machine see different folders",
        "--latency-wait",
    ),
    Case(
        "the node does not see the run folder",
        slurm(
            "FAILED",
            scheduler_exit=1,
            node="n1",
            log_tail="bash: /home/ada/.snakemake/hpcctr/runs/1/hpcctr.sh: No such file or "
            "directory\n",
        ),
        Cause.NO_SHARED_FOLDER,
        "The task never started, because node n1 does not see "
        "/home/ada/.snakemake/hpcctr/runs/1/hpcctr.sh",
        "share",
    ),
    Case(
        "the node did not find the script",
        slurm("FAILED", "NonZeroExitCode", scheduler_exit=127, node="n1"),
        Cause.NO_SHARED_FOLDER,
        "The task never started: node n1 did not find its script",
        "share",
    ),
    Case(
        "nobody knows the task",
        slurm(""),
        Cause.LOST,
        "The task vanished: it left no exit marker, and the scheduler no longer knows it",
        "MinJobAge",
    ),
    Case(
        "a state of a later Slurm",
        slurm("EATEN_BY_A_GRUE"),
        Cause.LOST,
        "The task ended as EATEN_BY_A_GRUE without an exit marker, and the scheduler tells no more",
        "sacct",
    ),
]

FROM_THE_ENGINE = [
    Case(
        "apptainer: command not found",
        apptainer('FATAL:   "x": executable file not found in $PATH\n'),
        Cause.COMMAND_NOT_FOUND,
        "The command `x` was not found in the image x.sif",
        "full path",
    ),
    Case(
        "apptainer: image without a shell",
        apptainer("FATAL:   stat /bin/sh: no such file or directory\n"),
        Cause.COMMAND_NOT_FOUND,
        "There is no /bin/sh, which starts every command, in the image x.sif",
        "distroless",
    ),
    Case(
        "apptainer: not executable",
        apptainer("FATAL:   permission denied\n"),
        Cause.COMMAND_NOT_EXECUTABLE,
        "The image x.sif holds a program that may not be executed",
        "chmod +x",
    ),
    Case(
        "apptainer: image of another architecture",
        apptainer(
            "FATAL:   While checking image: could not open image /x.sif: the image's architecture "
            "(arm64) could not run on the host's (amd64)\n"
        ),
        Cause.COMMAND_NOT_EXECUTABLE,
        "The image x.sif was built for another kind of processor than that of node n1",
        "uname -m",
    ),
    Case(
        "apptainer: image missing",
        apptainer(
            "FATAL:   While checking container encryption: could not open image /x.sif: failed to "
            "retrieve path for /x.sif: lstat /x.sif: no such file or directory\n"
        ),
        Cause.IMAGE_MISSING,
        "The image /x.sif does not exist on node n1, or you may not read it",
        "container:",
    ),
    Case(
        "apptainer: image not readable",
        apptainer("FATAL:   /x.sif is not readable by the current user, check permissions\n"),
        Cause.IMAGE_MISSING,
        "The image /x.sif does not exist on node n1, or you may not read it",
        "ls -l",
    ),
    Case(
        "apptainer: image cut short",
        apptainer(
            "FATAL:   container creation failed: mount hook function failure: mount "
            "/proc/self/fd/3->/session/rootfs error: while mounting image: image driver mount "
            "failure: squashfuse_ll exited: Something went wrong trying to read the squashfs "
            "image.\n"
        ),
        Cause.IMAGE_CORRUPT,
        "The image x.sif cannot be used by apptainer: it is damaged, not readable, or of another "
        "format",
        "unsquashfs -s",
    ),
    Case(
        "apptainer: image cut short, seen by the kernel",
        apptainer(
            "FATAL:   container creation failed: mount hook function failure: mount "
            "/proc/self/fd/3->/session/rootfs error: while mounting image /proc/self/fd/3: kernel "
            "reported a bad superblock for squashfs image partition, possible causes are that your "
            "kernel doesn't support the compression algorithm or the image is corrupted\n"
        ),
        Cause.IMAGE_CORRUPT,
        "The image x.sif cannot be used by apptainer: it is damaged, not readable, or of another "
        "format",
        "anew",
    ),
    Case(
        "apptainer: not an image",
        apptainer("FATAL:   could not open image /x.sif: image format not recognized\n"),
        Cause.IMAGE_CORRUPT,
        "The image x.sif cannot be used by apptainer: it is damaged, not readable, or of another "
        "format",
        "anew",
    ),
    Case(
        "apptainer: bind source missing",
        apptainer(
            "WARNING: skipping mount of /nope: stat /nope: no such file or directory\n"
            "FATAL:   container creation failed: mount hook function failure: mount /nope->/x "
            "error: while mounting /nope: mount source /nope doesn't exist\n"
        ),
        Cause.BIND_MISSING,
        "The bind source /nope does not exist on node n1",
        "binds",
    ),
    Case(
        "apptainer: working directory missing",
        apptainer(
            "FATAL:   failed to set working directory: chdir /nope: no such file or directory\n"
        ),
        Cause.WORKDIR_MISSING,
        "The working directory /nope does not exist inside the container",
        "binds=",
    ),
    Case(
        "apptainer: unknown flag",
        apptainer('Error for command "exec": unknown flag: --x\n\nOptions for exec command:\n', 1),
        Cause.ENGINE_FAILED,
        "apptainer refused an option: unknown flag: --x",
        "extra_args",
    ),
    Case(
        "apptainer: registry unknown",
        apptainer(
            "FATAL:   Unable to handle docker://nohost.invalid/x:1 uri: failed to get checksum for "
            "docker://nohost.invalid/x:1: pinging container registry nohost.invalid: Get "
            '"https://nohost.invalid/v2/": dial tcp: lookup nohost.invalid on 10.0.0.1:53: no such '
            "host\n",
            image="docker://nohost.invalid/x:1",
        ),
        Cause.IMAGE_PULL,
        "The image docker://nohost.invalid/x:1 could not be fetched from its registry by node n1",
        "apptainer pull",
    ),
    Case(
        "apptainer: tag unknown",
        apptainer("FATAL:   While making image from oci registry: … manifest unknown\n"),
        Cause.IMAGE_PULL,
        "The image x.sif could not be fetched from its registry by node n1",
        "name and tag",
    ),
    Case(
        "apptainer: any other failure",
        apptainer("FATAL:   container creation failed: the moon is full\n"),
        Cause.ENGINE_FAILED,
        "apptainer could not start the container on node n1: container creation failed: the moon "
        "is full",
        "bash SCRIPT",
    ),
    Case(
        "apptainer: the node's GPU libraries are too new for the image",
        command(
            "/bin/sh: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by "
            "/.singularity.d/libs/libGLX.so.0)\n",
            1,
            gpus=1,
        ),
        Cause.ENGINE_FAILED,
        "The GPU libraries of node n1, which Apptainer puts into the container (--nv), need a "
        "newer C library (GLIBC_2.34) than the image x.sif has",
        "newer Linux distribution",
    ),
    Case(
        "apptainer: the image's mount ended",
        command("/usr/bin/python3: Transport endpoint is not connected\n", 126),
        Cause.ENGINE_FAILED,
        "The image's file system vanished under the running command on node n1",
        "start it again",
    ),
    Case(
        "enroot: image without a shell",
        enroot("enroot-nsenter: failed to execute: /bin/sh: No such file or directory\n"),
        Cause.COMMAND_NOT_FOUND,
        "There is no /bin/sh, which starts every command, in the image x.sqsh",
        "distroless",
    ),
    Case(
        "enroot: command not found by the start script",
        enroot("bash: line 1: exec: x: not found\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The command `x` was not found in the image x.sqsh",
        "full path",
    ),
    Case(
        "enroot: image missing",
        enroot("[ERROR] No such file or directory: /tmp/enroot-data/x.sqsh\n"),
        Cause.IMAGE_MISSING,
        "The image /tmp/enroot-data/x.sqsh does not exist on node n1, or you may not read it",
        "container:",
    ),
    Case(
        "enroot: not an image, not readable, a .sif or a directory",
        enroot("[ERROR] Invalid argument: /images/x.sif\n", image="x.sif"),
        Cause.IMAGE_CORRUPT,
        "The image x.sif cannot be used by enroot: it is damaged, not readable, or of another "
        "format",
        ".sqsh images only",
    ),
    Case(
        "enroot: image cut short",
        enroot(
            "[WARN] Something went wrong trying to read the squashfs image.\n"
            "[ERROR] Failed to mount: /images/x.sqsh\n"
        ),
        Cause.IMAGE_CORRUPT,
        "The image x.sqsh cannot be used by enroot: it is damaged, not readable, or of another "
        "format",
        "unsquashfs -s",
    ),
    Case(
        "enroot: bind source missing",
        enroot(
            "enroot-mount: failed to mount: /nope at /run/enroot/overlay/x: No such file or "
            "directory\n"
        ),
        Cause.BIND_MISSING,
        "The bind source /nope does not exist on node n1",
        "binds",
    ),
    Case(
        "enroot: no GPU tools",
        enroot(
            "[ERROR] Command not found: nvidia-container-cli, see https://github.com/NVIDIA/"
            "libnvidia-container\n"
            "[ERROR] /etc/enroot/hooks.d/98-nvidia.sh exited with return code 1\n",
            gpus=1,
        ),
        Cause.NO_GPU,
        "Enroot could not give the container a GPU on node n1: the node's NVIDIA container tools "
        "are missing, or failed",
        'engine="apptainer"',
    ),
    Case(
        "enroot: lock",
        enroot("[ERROR] Could not acquire rootfs lock\n"),
        Cause.ENGINE_FAILED,
        "Enroot waited too long for a container that other tasks on node n1 were starting",
        "--retries",
    ),
    Case(
        "enroot: any other failure",
        enroot("enroot-nsenter: failed to create user namespace: Operation not permitted\n"),
        Cause.ENGINE_FAILED,
        "enroot could not start the container on node n1: enroot-nsenter: failed to create user "
        "namespace: Operation not permitted",
        "bash SCRIPT",
    ),
    Case(
        "pyxis: command not found",
        pyxis("slurmstepd-n1: error: execve(): x: No such file or directory", 2),
        Cause.COMMAND_NOT_FOUND,
        "The command `x` was not found in the image x.sqsh",
        "full path",
    ),
    Case(
        "pyxis: not executable",
        pyxis("slurmstepd-n1: error: execve(): /x: Permission denied", 13),
        Cause.COMMAND_NOT_EXECUTABLE,
        "The image x.sqsh holds a program that may not be executed: /x",
        "chmod +x",
    ),
    Case(
        "pyxis: image missing",
        pyxis(
            "slurmstepd-n1: error: pyxis: child 19580 failed with error code: 1\n"
            "slurmstepd-n1: error: pyxis: failed to create container filesystem for image: "
            "/x.sqsh\n"
            "slurmstepd-n1: error: pyxis: printing enroot log file:\n"
            "slurmstepd-n1: error: pyxis:     [ERROR] No such file or directory: /x.sqsh"
        ),
        Cause.IMAGE_MISSING,
        "The image /x.sqsh does not exist on node n1, or you may not read it",
        "every node sees",
    ),
    Case(
        "pyxis: no container of that name",
        pyxis(
            'slurmstepd-n1: error: pyxis: error: a container with name "pyxis_torch" does not '
            "exist, and --container-image is not set"
        ),
        Cause.IMAGE_MISSING,
        "The image pyxis_torch does not exist on node n1, or you may not read it",
        "container:",
    ),
    Case(
        "pyxis: image cut short",
        pyxis(
            "slurmstepd-n1: error: pyxis:     [INFO] Extracting squashfs filesystem...\n"
            "slurmstepd-n1: error: pyxis:     Read on filesystem failed because EOF\n"
            "slurmstepd-n1: error: pyxis:     FATAL ERROR: File system corruption detected"
        ),
        Cause.IMAGE_CORRUPT,
        "The image x.sqsh cannot be used by pyxis: it is damaged, not readable, or of another "
        "format",
        "unsquashfs -s",
    ),
    Case(
        "pyxis: not an image",
        pyxis(
            "slurmstepd-n1: error: pyxis:     [ERROR] Invalid image format: /x.sif", image="x.sif"
        ),
        Cause.IMAGE_CORRUPT,
        "The image x.sif cannot be used by pyxis: it is damaged, not readable, or of another "
        "format",
        ".sqsh images only",
    ),
    Case(
        "pyxis: a bare file name is taken for a registry's",
        pyxis(
            "pyxis: importing docker image: x.sqsh\n"
            "slurmstepd-n1: error: pyxis: child 19960 failed with error code: 6\n"
            "slurmstepd-n1: error: pyxis: failed to import docker image: x.sqsh\n"
            "slurmstepd-n1: error: pyxis:     curl: (6) Could not resolve host: registry.invalid"
        ),
        Cause.IMAGE_PULL,
        "The image x.sqsh could not be fetched from its registry by node n1",
        "./NAME.sqsh",
    ),
    Case(
        "pyxis: bind source missing",
        pyxis(
            "slurmstepd-n1: error: pyxis: --container-mounts: source path does not exist: /nope\n"
            "slurmstepd-n1: error: pyxis: couldn't create enroot start configuration script\n"
            "slurmstepd-n1: error: pyxis:     [INFO] Extracting squashfs filesystem..."
        ),
        Cause.BIND_MISSING,
        "The bind source /nope does not exist on node n1",
        "binds",
    ),
    Case(
        "pyxis: working directory missing",
        pyxis("slurmstepd-n1: error: pyxis: couldn't chdir to /nope: No such file or directory"),
        Cause.WORKDIR_MISSING,
        "The working directory /nope does not exist inside the container",
        "binds=",
    ),
    Case(
        "pyxis: no GPU tools",
        pyxis(
            "slurmstepd-n1: error: pyxis: container start failed with error code: 1\n"
            "slurmstepd-n1: error: pyxis:     [ERROR] Command not found: nvidia-container-cli\n"
            "slurmstepd-n1: error: pyxis:     [ERROR] /etc/enroot/hooks.d/98-nvidia.sh exited with "
            "return code 1",
            gpus=1,
        ),
        Cause.NO_GPU,
        "Enroot could not give the container a GPU on node n1: the node's NVIDIA container tools "
        "are missing, or failed",
        'engine="apptainer"',
    ),
    Case(
        "pyxis: not part of this Slurm",
        Evidence(
            "pyxis",
            exit_code=1,
            node="n1",
            state="FAILED",
            log_tail="srun: unrecognized option '--container-image=/x.sqsh'\n"
            'Try "srun --help" for more information\n',
        ),
        Cause.ENGINE_MISSING,
        "Slurm has no pyxis plugin on node n1",
        "another engine",
    ),
    Case(
        "pyxis: refused option",
        Evidence(
            "pyxis",
            exit_code=255,
            node="n1",
            state="FAILED",
            log_tail="srun: error: pyxis: could not add mount entry: nope:/x\n"
            "srun: error: Invalid --container-mounts argument: nope:/x\n",
        ),
        Cause.ENGINE_FAILED,
        "pyxis refused an option: Invalid --container-mounts argument: nope:/x",
        "extra_args",
    ),
    Case(
        "pyxis: odd entry point",
        pyxis(
            "slurmstepd-n1: error: pyxis: container exited too soon, possibly due to an unusual "
            "entrypoint in the image"
        ),
        Cause.ENGINE_FAILED,
        "pyxis could not start the container on node n1: container exited too soon, possibly due "
        "to an unusual entrypoint in the image",
        "bash SCRIPT",
    ),
    Case(
        "pyxis: any other failure",
        pyxis("slurmstepd-n1: error: pyxis: the moon is full"),
        Cause.ENGINE_FAILED,
        "pyxis could not start the container on node n1: spank_pyxis.so: task_init() failed",
        "bash SCRIPT",
    ),
]

FROM_THE_COMMAND = [
    Case(
        "launcher of MPI not found",
        command("/tmp/x/command: line 1: mpiexec: command not found\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The launcher of MPI is missing: there is no program mpiexec in the image x.sif",
        "launch=",
    ),
    Case(
        "srun in a container",
        command("/tmp/x/command: 1: srun: not found\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The launcher of MPI is missing: there is no program srun in the image x.sif",
        "launch=",
    ),
    Case(
        "no such PMI",
        command("srun: error: Invalid MPI type 'pmix_v9', --mpi=list for acceptable types\n"),
        Cause.EXIT_CODE,
        "Slurm has no support for MPI of the type `pmix_v9`",
        "srun --mpi=list",
    ),
    Case(
        "another PMI",
        command("but OMPI was not built with SLURM's PMI support and therefore cannot\nexecute.\n"),
        Cause.EXIT_CODE,
        "The processes started, but MPI in the image x.sif and srun did not find each other",
        "pmi2",
    ),
    Case(
        "mpirun as root",
        command("mpirun has detected an attempt to run as root.\n"),
        Cause.EXIT_CODE,
        "Open MPI's launcher refuses to run as root",
        "ordinary user",
    ),
    Case(
        "bash: command not found",
        command("/tmp/hpcctr-0-a-1/command: line 1: samtools: command not found\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The command `samtools` was not found in the image x.sif",
        "programs of the node are not visible inside",
    ),
    Case(
        "dash: command not found, under pyxis",
        Evidence(
            "pyxis",
            image="x.sqsh",
            exit_code=127,
            node="n1",
            state="FAILED",
            log_tail="/usr/bin/sh: 1: python: not found\n"
            "srun: error: n1: task 0: Exited with exit code 127\n",
        ),
        Cause.COMMAND_NOT_FOUND,
        "The command `python` was not found in the image x.sqsh",
        "python3",
    ),
    Case(
        "env: command not found on the node itself",
        Evidence(
            "host",
            exit_code=127,
            node="n1",
            state="FAILED",
            log_tail="/usr/bin/env: \u2018julia\u2019: No such file or directory\n",
        ),
        Cause.COMMAND_NOT_FOUND,
        "The command `julia` was not found on node n1",
        "container: …",
    ),
    Case(
        "bash: no such path",
        command("bash: line 1: /opt/tool/run: No such file or directory\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The command `/opt/tool/run` was not found in the image x.sif",
        "correct the name",
    ),
    Case(
        "exit code 127 without a word",
        command("", 127),
        Cause.COMMAND_NOT_FOUND,
        "A program was not found in the image x.sif (exit code 127)",
        "correct the name",
    ),
    Case(
        "a library is missing",
        command("samtools: error while loading shared libraries: libhts.so.3: cannot open\n", 127),
        Cause.COMMAND_NOT_EXECUTABLE,
        "A program was found but cannot run, because a library is missing in the image "
        "x.sif: libhts.so.3",
        "program of the image itself",
    ),
    Case(
        "bad interpreter of a script",
        command(
            "bash: ./run.py: /usr/bin/pythn: bad interpreter: No such file or directory\n", 126
        ),
        Cause.COMMAND_NOT_FOUND,
        "The first line of the script ./run.py (`#!…`) names a program that is not in the image "
        "x.sif",
        "sed -i 's/\\r$//' ./run.py",
    ),
    Case(
        "bad interpreter, as newer bash says it",
        command("bash: line 1: ./run.py: cannot execute: required file not found\n", 127),
        Cause.COMMAND_NOT_FOUND,
        "The first line of the script ./run.py (`#!…`) names a program that is not in the image "
        "x.sif",
        "#!/usr/bin/env python3",
    ),
    Case(
        "not executable",
        command("bash: line 1: ./run.sh: Permission denied\n", 126),
        Cause.COMMAND_NOT_EXECUTABLE,
        "A program was found but may not be executed: ./run.sh",
        "chmod +x",
    ),
    Case(
        "another architecture",
        command("bash: line 1: ./tool: cannot execute binary file: Exec format error\n", 126),
        Cause.COMMAND_NOT_EXECUTABLE,
        "The program ./tool was built for another kind of processor, or is no program at all",
        "file ./tool",
    ),
    Case(
        "Python has no memory",
        command("Traceback (most recent call last):\nMemoryError\n", 1, mem_mb=2000),
        Cause.OUT_OF_MEMORY,
        "The command could not get the memory that it wanted (MemoryError); the task asked for "
        "2,000 MiB",
        "mem_mb=4000",
    ),
    Case(
        "numpy has no memory",
        command(
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 72.8 TiB for an array\n"
        ),
        Cause.OUT_OF_MEMORY,
        "The command could not get the memory that it wanted (_ArrayMemoryError)",
        "ask for memory",
    ),
    Case(
        "a kill that nobody reported, at the limit",
        command("", 137, mem_mb=2000, peak_mb=1985.5),
        Cause.OUT_OF_MEMORY,
        "The task was probably killed because it used more memory than it asked for: it ended by "
        "SIGKILL at a peak of 1,986 MiB out of 2,000 MiB (a guess: nothing reported a kill for "
        "memory)",
        "mem_mb=4000",
    ),
    Case(
        "a warning before the time limit",
        command("", 138, runtime_min=10, elapsed_s=550.0),
        Cause.TIME_LIMIT,
        "The command was probably ended by the warning signal that comes before the time limit: "
        "SIGUSR1 after 9 min of 10 min (a guess)",
        "runtime=20",
    ),
    Case(
        "GPU memory",
        command(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n",
            gpus=1,
            mem_mb=8000,
        ),
        Cause.EXIT_CODE,
        "The GPU's own memory was used up; that is not the memory of the node (mem_mb)",
        "smaller batch",
    ),
    Case(
        "a GPU that was not asked for",
        command("RuntimeError: Found no NVIDIA driver on your system. Please check …\n"),
        Cause.NO_GPU,
        "The command looked for a GPU, and the task asked for none",
        "gpu=1",
    ),
    Case(
        "a GPU that does not work",
        command("RuntimeError: No CUDA GPUs are available\n", gpus=1),
        Cause.NO_GPU,
        "The command saw no usable GPU in its container, although the task asked for 1",
        "nvidia-smi",
    ),
    Case(
        "disk full",
        command("OSError: [Errno 28] No space left on device: '/scratch/model.npz'\n"),
        Cause.DISK_FULL,
        "The task could not write, because no space was left on a disk of node n1: "
        "/scratch/model.npz",
        "df -h",
    ),
    Case(
        "disk full, told by cp",
        command("cp: error writing '/data/out/big': No space left on device\n"),
        Cause.DISK_FULL,
        "The task could not write, because no space was left on a disk of node n1: /data/out/big",
        "df -h",
    ),
    Case(
        "disk full, told by bash",
        command("/tmp/hpcctr-0/command: line 1: echo: write error: No space left on device\n"),
        Cause.DISK_FULL,
        "The task could not write, because no space was left on a disk of node n1",
        "tmpdir",
    ),
    Case(
        "quota",
        command("cp: error writing 'x': Disk quota exceeded\n"),
        Cause.DISK_FULL,
        "The task could not write: your disk quota is used up",
        "quota -s",
    ),
    Case(
        "a Python module is missing",
        command(
            "Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n"
        ),
        Cause.EXIT_CODE,
        "Python in the image x.sif has no module `torch`",
        "choose an image that has it",
    ),
    Case(
        "a Python module is missing (python -m)",
        command("/usr/bin/python3: No module named torch\n"),
        Cause.EXIT_CODE,
        "Python in the image x.sif has no module `torch`",
        "PYTHONPATH",
    ),
    Case(
        "an R package is missing",
        command("Error in library(ggplot2) : there is no package called \u2018ggplot2\u2019\n"),
        Cause.EXIT_CODE,
        "R in the image x.sif has no package `ggplot2`",
        "choose an image that has it",
    ),
    Case(
        "a program from elsewhere in an old image",
        command("/data/tool: /lib/libc.so.6: version `GLIBC_2.38' not found (required by tool)\n"),
        Cause.EXIT_CODE,
        "A program or library needs a newer C library (GLIBC_2.38) than that in the image x.sif",
        "newer Linux distribution",
    ),
    Case(
        "PyTorch without CUDA",
        command("AssertionError: Torch not compiled with CUDA enabled\n", gpus=1),
        Cause.EXIT_CODE,
        "PyTorch in the image x.sif was built without GPU support",
        "CUDA build",
    ),
    Case(
        "Java's own limit",
        command('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n'),
        Cause.EXIT_CODE,
        "Java used up the memory that it allows itself (java.lang.OutOfMemoryError: Java heap "
        "space)",
        "-Xmx{resources.mem_mb}M",
    ),
    Case(
        "a script that is not there",
        command(
            "python3: can't open file '/srv/train.py': [Errno 2] No such file or directory\n", 2
        ),
        Cause.EXIT_CODE,
        "The script /srv/train.py does not exist where the command runs",
        "binds",
    ),
    Case(
        "a file system of the node broke down",
        Evidence(
            "host",
            exit_code=1,
            node="n1",
            state="FAILED",
            log_tail="cat: /data/x: Stale file handle\n",
        ),
        Cause.NODE_FAILURE,
        "A file system of node n1 broke down under the command",
        "--exclude",
    ),
    Case(
        "segmentation fault",
        command("", 139),
        Cause.SIGNAL,
        "The command was ended by SIGSEGV (exit code 139)",
        "a bug in it or in a library",
    ),
    Case(
        "killed, far from the memory limit",
        command("", 137, mem_mb=2000, peak_mb=300.0),
        Cause.SIGNAL,
        "The command was ended by SIGKILL (exit code 137)",
        "mem_mb=4000",
    ),
    Case(
        "batch shell killed",
        slurm("FAILED", "JobLaunchFailure", scheduler_exit=0, scheduler_signal=9),
        Cause.SIGNAL,
        "The task was ended by SIGKILL, before it could leave its exit marker",
        "usual reason is memory",
    ),
    Case(
        "exit code 7",
        command("something went wrong\n", 7, reason="NonZeroExitCode", scheduler_exit=7),
        Cause.EXIT_CODE,
        "The command failed with exit code 7",
        "last lines of the log",
    ),
    Case(
        "the user's own 255",
        command("ssh: connect to host: Connection refused\n", 255, scheduler_exit=127),
        Cause.EXIT_CODE,
        "The command failed with exit code 255",
        "last lines of the log",
    ),
    Case(
        "an exit code that only Slurm tells",
        slurm("FAILED", "NonZeroExitCode", scheduler_exit=72),
        Cause.EXIT_CODE,
        "The task failed with exit code 72, as the scheduler tells it",
        "without their top bit",
    ),
    Case(
        "nothing is known",
        Evidence("host"),
        Cause.EXIT_CODE,
        "The task failed, and its exit code is not known",
        "set -x",
    ),
]

MISSING = (
    "/opt/py: Error while finding module specification for "
    "'snakemake_executor_plugin_hpcctr.runner' "
    "(ModuleNotFoundError: No module named 'snakemake_executor_plugin_hpcctr')\n"
)
BLOCK = 'RuleException:\nValueError in file "/w/Snakefile", line 19:\nboo\n'

FROM_THE_RUNNER = [
    Case(
        "no Python",
        on_host("hpcctr: runner: no Python on this node: /opt/py\n", 127),
        Cause.RUNNER,
        "This job needs Snakemake on its node, and node n1 has no Python /opt/py",
        "--hpcctr-python",
    ),
    Case(
        "a Python without hpcctr",
        on_host(MISSING),
        Cause.RUNNER,
        "This job needs Snakemake on its node, and /opt/py on node n1 does not have it, or "
        "lacks hpcctr",
        "`python:` in hpcctr.yaml",
    ),
    Case(
        "a Python without Snakemake",
        on_host("hpcctr: runner: /opt/py has no Snakemake: No module named 'snakemake'\n", 2),
        Cause.RUNNER,
        "This job needs Snakemake on its node, and /opt/py on node n1 does not have it, or "
        "lacks hpcctr",
        "install both",
    ),
    Case(
        "another Snakemake",
        on_host("hpcctr: runner: /opt/py has Snakemake 9.17.0, not 9.27.1\n", 2),
        Cause.RUNNER,
        "The node's Snakemake is not the one that you started: /opt/py has Snakemake 9.17.0, not "
        "9.27.1",
        "the same version",
    ),
    Case(
        "no file for the runner",
        on_host("hpcctr: runner: the job's file cannot be read: [Errno 2] No such file: 'x'\n", 2),
        Cause.NO_SHARED_FOLDER,
        "The task could not start on node n1: the job's file cannot be read: [Errno 2] No such "
        "file: 'x'",
        "share",
    ),
    Case(
        "an error in a run: block",
        on_host(BLOCK),
        Cause.EXIT_CODE,
        'The rule\'s own code failed: ValueError in file "/w/Snakefile", line 19',
        "below that one",
    ),
    Case(
        "no memory in a run: block",
        on_host(BLOCK.replace("ValueError", "MemoryError"), mem_mb=100),
        Cause.OUT_OF_MEMORY,
        "The command could not get the memory that it wanted (MemoryError); the task asked for "
        "100 MiB",
        "mem_mb",
    ),
    Case(
        "sys.exit in a run: block",
        on_host("hpcctr: rule a: the run: block called sys.exit(3)\n", 3),
        Cause.EXIT_CODE,
        "The `run:` block ended itself: sys.exit(3)",
        "any code but 0",
    ),
]

CASES = [
    *BEFORE_THE_COMMAND,
    *FROM_THE_SCHEDULER,
    *FROM_THE_ENGINE,
    *FROM_THE_COMMAND,
    *FROM_THE_RUNNER,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_failure_has_its_cause_sentence_and_advice(case: Case) -> None:
    """A failure that was seen once is explained with its cause, in words, and with a way out."""
    found = diagnose(case.evidence)

    assert (case.cause, case.sentence) == (found.cause, found.sentence)
    assert case.advice in found.advice


def test_every_cause_has_a_case_and_a_retry_rule() -> None:
    """No cause is without a golden case, and every one says whether a retry may help."""
    assert set(Cause) == {case.cause for case in CASES}
    assert set(Cause) == set(RETRYABLE)


def test_every_cause_is_in_the_catalogue() -> None:
    """The catalogue for users has one entry per cause, and tells what a retry can do."""
    entries = re.findall(r"^## `(\w+)`", CATALOGUE.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert sorted(cause.value for cause in Cause) == sorted(entries)


def test_marker_beats_scheduler() -> None:
    """The marker's exit code counts, whatever Slurm says (22.05 shows 255 as 127)."""
    found = diagnose(command("boom\n", 255, scheduler_exit=127))

    expected = ("The command failed with exit code 255", ("exit code 255", "scheduler: FAILED"))
    assert expected == (found.sentence, found.evidence)


@pytest.mark.parametrize(
    ("log", "exit_code"),
    [
        ("[ERROR] Failed to execute goal\n[INFO] BUILD FAILURE\n", 1),
        ("building\n[ERROR] No goals have been specified\n", 1),
        ("curl: (22) The requested URL returned error: 404\n", 22),
        ("FATAL:  database is locked\n", 1),
    ],
)
def test_words_of_a_command_are_not_taken_for_the_engines(log: str, exit_code: int) -> None:
    """A build tool, curl or a database that fails inside is a failure of the command."""
    engine: EngineName = "apptainer" if log.startswith("FATAL") else "enroot"
    lines = "compiling\n" + log

    found = diagnose(Evidence(engine, exit_code=exit_code, state="FAILED", log_tail=lines))

    assert (Cause.EXIT_CODE, f"The command failed with exit code {exit_code}") == (
        found.cause,
        found.sentence,
    )


def test_warning_about_a_gpu_is_not_the_cause() -> None:
    """A library that only warns of a missing GPU does not hide the real reason."""
    log = (
        "UserWarning: CUDA initialization: Found no NVIDIA driver on your system.\n"
        "ModuleNotFoundError: No module named 'yaml'\n"
    )

    expected = "Python in the image x.sif has no module `yaml`"
    assert expected == diagnose(command(log)).sentence


def test_state_beats_words_of_an_earlier_run() -> None:
    """A log that still holds the preemption of a first run does not explain the second."""
    log = "*** JOB 9 ON n1 CANCELLED AT 2025-03-01T02:00:00 DUE TO PREEMPTION ***\nboom\n"

    assert Cause.EXIT_CODE is diagnose(command(log, 3, state="FAILED")).cause


def test_colours_do_not_hide_a_message() -> None:
    """A message that the program printed in colour is found all the same."""
    assert Cause.OUT_OF_MEMORY is diagnose(command("\x1b[31mMemoryError\x1b[0m\n")).cause


def test_render_shows_everything_without_colour() -> None:
    """The terminal shows sentence, evidence, hint and the log's end, in this order."""
    evidence = command(
        "epoch 1\n\x1b[32mepoch 2\x1b[0m\nKilled\n"
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch.\n",
        137,
        state="OUT_OF_MEMORY",
        reason="OutOfMemory",
        mem_mb=2000,
        peak_mb=1999.8,
        oom_kills=1,
        elapsed_s=12.3,
    )

    expected = """\
The task was killed because it used more memory than it asked for (2,000 MiB)
  exit code 137 (SIGKILL) after 12 s
  scheduler: OUT_OF_MEMORY, reason OutOfMemory
  memory: peak 2,000 MiB of 2,000 MiB, 1 process(es) killed for memory
  log: slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch.
hint: raise mem_mb to about 4000: `resources: mem_mb=4000`
last lines of the log:
    epoch 1
    epoch 2
    Killed
    slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch."""
    assert expected == render(diagnose(evidence), evidence.log_tail)


def test_render_shows_at_most_fifteen_lines_of_the_log() -> None:
    """A long log is cut to its end; a progress bar is one line."""
    log = "".join(f"line {n}\n" for n in range(100)) + "10%\r50%\r100%\n\n"

    shown = render(Diagnosis(Cause.EXIT_CODE, "It failed"), log).splitlines()

    expected = [f"    line {n}" for n in range(86, 100)] + ["    100%"]
    assert expected == shown[2:]


def test_render_without_log() -> None:
    """A task without a log is shown without one."""
    expected = "It failed\nhint: wait"
    assert expected == render(Diagnosis(Cause.LOST, "It failed", advice="wait"))


TEXTS = st.text() | st.sampled_from([case.evidence.log_tail for case in CASES])
NUMBERS = st.none() | st.integers(min_value=-(2**31), max_value=2**31)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "engine": st.sampled_from(get_args(EngineName)),
    "binds": st.just(()),
    "exit_code": NUMBERS | st.integers(120, 260),
    "setup_failure": st.sampled_from(["", "no_gpu", "scratch", "engine_failed"]) | st.text(),
    "oom_kills": st.integers(),
    "peak_mb": st.none() | st.floats(),
    "has_marker": st.booleans(),
    "state": st.sampled_from(["", "FAILED", "COMPLETED", "CANCELLED by 0", "TIMEOUT"]) | st.text(),
    "scheduler_exit": NUMBERS,
    "scheduler_signal": st.integers(),
    "elapsed_s": st.none() | st.floats(),
    "mem_mb": NUMBERS,
    "runtime_min": NUMBERS,
    "gpus": st.integers(),
}


@given(st.fixed_dictionaries({f.name: VALUES.get(f.name, TEXTS) for f in fields(Evidence)}))
def test_any_evidence_ends_in_a_sentence(values: dict[str, Any]) -> None:
    """Whatever a log holds: no exception, always a cause, a sentence and printable text."""
    evidence = Evidence(**values)

    found = diagnose(evidence)

    assert isinstance(found.cause, Cause)
    assert found.sentence.strip()
    assert all(line.isprintable() for line in render(found, evidence.log_tail).split("\n"))
