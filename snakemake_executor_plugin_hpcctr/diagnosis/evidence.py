"""What is known about a task that failed: gathered elsewhere, plain values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import EngineName


class Cause(Enum):
    """Why a task failed. The value is the word used in the trace and in `hpcctr.yaml`."""

    OUT_OF_MEMORY = "oom"
    TIME_LIMIT = "timeout"
    CANCELLED = "cancelled"
    NODE_FAILURE = "node_fail"
    PREEMPTED = "preempted"
    COMMAND_NOT_FOUND = "command_not_found"
    COMMAND_NOT_EXECUTABLE = "command_not_executable"
    IMAGE_MISSING = "image_missing"
    IMAGE_CORRUPT = "image_corrupt"
    IMAGE_PULL = "image_pull"
    BIND_MISSING = "bind_missing"
    WORKDIR_MISSING = "workdir_missing"
    NO_GPU = "no_gpu"
    NOT_CONTAINED = "not_contained"
    ENGINE_MISSING = "engine_missing"
    ENGINE_FAILED = "engine_failed"
    RUNNER = "runner"
    LOG_NOT_WRITABLE = "log_not_writable"
    NO_SHARED_FOLDER = "no_shared_folder"
    DISK_FULL = "disk_full"
    SIGNAL = "signal"
    EXIT_CODE = "exit_code"
    OUTPUT_MISSING = "output_missing"
    PARTNER_FAILED = "partner_failed"
    NOT_STARTED = "not_started"
    LOST = "lost"


@dataclass(frozen=True)
class Evidence:
    """Facts about one failed attempt. None or "" where a fact is not known.

    Args:
        engine: The task's engine.
        image: The image as the user wrote it.
        binds: Binds as `SRC:DST[:ro]`.
        exit_code: From the exit marker.
        setup_failure: The marker's own word if the task's script stopped before the command:
            `no_gpu`, `bind_missing`, `image_missing`, `engine_missing`, `launcher_missing`,
            `no_slurm_job`, `not_contained`, `scratch`, `stage`, `workdir_missing`; or if its group
            has more to say than its exit code: `output_missing`, `service_silent`,
            `partner_failed`, `not_started`; "" otherwise.
        setup_detail: What the script said with it, e.g. the missing path.
        oom_kills: Processes killed for memory in the task's cgroup.
        peak_mb: Peak memory, MiB.
        has_marker: Whether the task's script reached its end.
        state: Scheduler's state, first word (`FAILED`, `OUT_OF_MEMORY`, `NODE_FAIL` …).
        reason: Scheduler's reason.
        scheduler_exit: Exit code as the scheduler tells it (Slurm 22.05 drops its top bit).
        scheduler_signal: Signal number as the scheduler tells it.
        node: Where it ran.
        elapsed_s: How long, seconds.
        mem_mb: Memory asked for, MiB.
        runtime_min: Time asked for, minutes.
        gpus: GPUs asked for.
        partition: Partition asked for.
        log_tail: The end of the task's log.
    """

    engine: EngineName
    image: str = ""
    binds: tuple[str, ...] = ()
    exit_code: int | None = None
    setup_failure: str = ""
    setup_detail: str = ""
    oom_kills: int = 0
    peak_mb: float | None = None
    has_marker: bool = True
    state: str = ""
    reason: str = ""
    scheduler_exit: int | None = None
    scheduler_signal: int = 0
    node: str = ""
    elapsed_s: float | None = None
    mem_mb: int | None = None
    runtime_min: int | None = None
    gpus: int = 0
    partition: str = ""
    log_tail: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """Why it failed, in words.

    Args:
        cause: The kind of failure; decides whether a retry makes sense.
        sentence: One sentence for a scientist, without a full stop.
        evidence: Lines that show it: states, numbers, the telling line of the log.
        advice: What to change.
    """

    cause: Cause
    sentence: str
    evidence: tuple[str, ...] = field(default=())
    advice: str = ""
