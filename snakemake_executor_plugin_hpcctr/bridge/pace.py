"""Snakemake's pace: limits that are right for thousands of sbatch calls, not for a few arrays."""

from __future__ import annotations

import sys
from typing import Any

DEFAULT_RATE = "100/1s"


def lift_job_rate(workflow: Any) -> None:
    """Let a whole wave of ready jobs reach the executor at once, unless the user set a rate.

    Snakemake hands over at most 100 jobs a second by default; an array of 5,000 would need 50
    rounds, each of them a look at all ready jobs. The submissions themselves are few.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit is None or (limit.max_jobs, limit.timespan) != (100, 1):
        return
    limit.max_jobs = sys.maxsize


def give_handover_cores(workflow: Any) -> None:
    """Give rules with `handover:` the cores of this machine, where they run.

    They take all of `--cores`, which Snakemake leaves open for executors that submit: such a
    rule would end the run with "Threads must be given as an int".
    """
    settings = workflow.resource_settings
    if settings.cores is not None:
        return
    from snakemake.resources import Resource  # noqa: PLC0415 (start-up time)
    from snakemake.utils import available_cpu_count  # noqa: PLC0415 (start-up time)

    cores = settings.local_cores or available_cpu_count()
    for rule in workflow.rules:
        if rule.is_handover and rule.resources["_cores"].value is None:
            rule.resources["_cores"] = Resource("_cores", cores)


def drop_job_rate(workflow: Any) -> None:
    """Remove the limit and its timer, which would hold up the end of the run for a second.

    Call it at the first wave, when the scheduler exists.
    """
    scheduler = workflow.scheduler
    limiter = scheduler.job_rate_limiter
    if (
        limiter is None
        or workflow.scheduling_settings.max_jobs_per_timespan.max_jobs != sys.maxsize
    ):
        return
    with scheduler._lock:  # noqa: SLF001 (the purpose of this module)
        scheduler.job_rate_limiter = None
        scheduler.resources["_job_count"] = sys.maxsize


def wake_once(workflow: Any) -> None:
    """Fold the wake-ups of many finished jobs into one: each would be a scheduling pass."""
    semaphore = workflow.scheduler._open_jobs  # noqa: SLF001 (the purpose of this module)
    surplus = False
    while semaphore.acquire(blocking=False):
        surplus = True
    if surplus:
        semaphore.release()
