"""Rows that rest on the scheduler's states, on markers that are missing, and on signals."""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.diagnosis import words
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import (
    any_of,
    both,
    holds,
    log,
    signal_number,
    state,
    state_word,
)
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

SCHEDULER: tuple[Row, ...] = (
    Row(
        Cause.OUT_OF_MEMORY,
        any_of(
            log(
                r"Detected \d+ oom[-_]kill event",
                r"exceeded memory limit \(\d+ > \d+\)",
                r"Exceeded job memory limit",
                r"task \d+: Out Of Memory",
            ),
            state("OUT_OF_MEMORY"),
            holds(lambda e: e.oom_kills > 0),
        ),
        words.out_of_memory,
        lambda e, _: words.more_memory(e),
    ),
    Row(
        Cause.TIME_LIMIT,
        any_of(
            state("TIMEOUT"),
            both(state(""), log(r"\bCANCELLED AT \S+ DUE TO TIME LIMIT")),
        ),
        words.time_limit,
        words.more_time,
    ),
    Row(
        Cause.PREEMPTED,
        any_of(
            state("PREEMPTED"),
            both(state(""), log(r"\bCANCELLED AT \S+ DUE TO PREEMPTION")),
        ),
        "The task had to give way to a job of higher priority (it was preempted)",
        "start it again: `--retries 3` does it by itself; a partition or QOS without preemption "
        "avoids it",
    ),
    Row(
        Cause.NODE_FAILURE,
        any_of(
            state("NODE_FAIL", "BOOT_FAIL", "LAUNCH_FAILED"),
            both(state(""), log(r"\bCANCELLED AT \S+ DUE TO NODE FAIL")),
        ),
        "The task was lost because {node} failed",
        "start it again: `--retries 2` does it by itself; keep a bad node out with "
        '`resources: slurm_extra="--exclude=NODE"`',
    ),
    Row(
        Cause.CANCELLED,
        state("REVOKED"),
        "The scheduler withdrew the task, because another cluster of the federation took it",
        "name one cluster: `resources: clusters=…`",
    ),
    Row(
        Cause.CANCELLED,
        state("DEADLINE"),
        "The scheduler ended the task because its deadline (`--deadline`) had passed",
        "take `--deadline` out of slurm_extra, or set a later one",
    ),
    Row(
        Cause.CANCELLED,
        any_of(
            state("CANCELLED"),
            both(state(""), log(r"\*\*\* JOB \S+ ON \S+ CANCELLED AT \S+ \*\*\*")),
        ),
        words.cancelled,
        "if it was not you, ask the administrators; else start the workflow again, it goes on "
        "where it stopped",
    ),
)

FILES: tuple[Row, ...] = (
    Row(
        Cause.DISK_FULL,
        log(r"Disk quota exceeded", last=True),
        "The task could not write: your disk quota is used up",
        "look at `quota -s`, and remove or move files; `.snakemake/` of finished workflows and "
        "image caches in your home folder are good candidates",
    ),
    Row(
        Cause.DISK_FULL,
        log(
            r"No space left on device: '(?P<what>[^']+)'",
            r"[\u2018'](?P<what>[^\u2019']+)[\u2019']: No space left on device",
            r"No space left on device",
            last=True,
        ),
        "The task could not write, because no space was left on a disk of {node}{named}",
        "free some space, or send large files elsewhere: temporary ones follow "
        "`resources: tmpdir=…`; `df -h` on that node shows which disk is full",
    ),
    Row(
        Cause.LOG_NOT_WRITABLE,
        holds(lambda e: not e.has_marker and e.scheduler_signal == 53),  # noqa: PLR2004 (Slurm's code)
        "The task never started, because Slurm could not open its log or its working directory "
        "on {node}",
        "run the workflow in a folder that exists on every node and that you may write to, and "
        "set `--hpcctr-log-dir` to such a folder, too",
    ),
    Row(
        Cause.COMMAND_NOT_FOUND,
        log(r"execve\(\): bad interpreter\((?P<what>[^)]*)\)"),
        "The task never started: {node} has no {what}, which the job script needs",
        "choose other nodes, or ask the administrators for bash",
    ),
    Row(
        Cause.NO_SHARED_FOLDER,
        holds(lambda e: not e.has_marker and state_word(e) == "COMPLETED"),
        "The scheduler says that the task completed, but its exit marker never appeared: {node} "
        "and this machine see different folders",
        "run the workflow on a file system that this machine and all nodes share; where it is "
        "shared but slow, raise `--latency-wait`",
    ),
    Row(
        Cause.NO_SHARED_FOLDER,
        both(
            holds(lambda e: not e.has_marker),
            log(r"(?P<what>\S*\.snakemake/hpcctr/\S*): No such file or directory"),
        ),
        "The task never started, because {node} does not see {what}",
        "run the workflow on a file system that this machine and all nodes share",
    ),
)

END: tuple[Row, ...] = (
    Row(
        Cause.OUT_OF_MEMORY,
        holds(lambda e: signal_number(e) == 9 and words.near_memory_limit(e)),  # noqa: PLR2004 (SIGKILL)
        words.probably_memory,
        lambda e, _: words.more_memory(e),
    ),
    Row(
        Cause.TIME_LIMIT,
        holds(lambda e: signal_number(e) in {10, 12, 15} and words.near_time_limit(e)),
        words.probably_time_limit,
        words.more_time,
    ),
    Row(
        Cause.SIGNAL,
        holds(lambda e: signal_number(e) > 0),
        words.killed,
        words.killed_advice,
    ),
    Row(
        Cause.LOST,
        holds(lambda e: not e.has_marker and not e.state),
        "The task vanished: it left no exit marker, and the scheduler no longer knows it",
        "start the workflow again; if it happens often, look at the node's health, or ask the "
        "administrators how long Slurm remembers a job that ended (MinJobAge)",
    ),
    Row(
        Cause.LOST,
        holds(lambda e: not e.has_marker and e.scheduler_exit is None),
        "The task ended as {state} without an exit marker, and the scheduler tells no more",
        "start the workflow again; `sacct -j ID --format=all` may tell the administrators more",
    ),
    Row(Cause.EXIT_CODE, holds(lambda _: True), words.exited, words.exited_advice),
)
