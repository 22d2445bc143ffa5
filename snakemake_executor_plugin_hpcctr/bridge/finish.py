"""What Snakemake's local executor does after a command, and nobody else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.script.marker import Marker

#: How snakemake.script (9.17 to 9.27) names its copy of a script.
SCRIPT = re.compile(r"/[^\s'\"]*/\.snakemake/scripts/tmp[a-z0-9_]+\.[^\s'\"]+")


def write_benchmark(workflow: Any, job: Any, marker: Marker) -> None:
    """Write the job's `benchmark:` file from what was measured on the node."""
    if job.is_group() or not job.benchmark:
        return
    from snakemake.benchmark import BenchmarkRecord, write_benchmark_records  # noqa: PLC0415 (start-up time)

    seconds = marker.ended - marker.started
    record = BenchmarkRecord(running_time=seconds, cpu_time=marker.cpu_s, max_rss=marker.peak_mb)
    record.cpu_usage = 100 * marker.cpu_s / seconds if marker.cpu_s and seconds else None
    record.data_collected = marker.peak_mb is not None
    record.jobid, record.rule_name, record.wildcards = job.jobid, job.rule.name, job.wildcards
    record.params, record.resources, record.input = job.params, job.resources, job.input
    record.threads = job.threads
    records = [record] * (job.benchmark_repeats or 1)
    extended = workflow.output_settings.benchmark_extended
    write_benchmark_records(records, str(job.benchmark), extended)


def is_cached(workflow: Any, job: Any) -> bool:
    """Whether the job's outputs belong into the between-workflow cache."""
    if job.is_group() or workflow.workflow_settings.cache is None:
        return False
    return bool(job.rule.cache and job.rule.cache.output)


async def store_in_cache(workflow: Any, job: Any) -> None:
    """Put the outputs of a finished job into the between-workflow cache, if it belongs there."""
    if is_cached(workflow, job):
        await job.rule.cache.store(job)


def fetch_from_cache(workflow: Any, job: Any) -> bool:
    """Take a job's outputs from the between-workflow cache; False if they are not in it."""
    from snakemake.exceptions import CacheMissException  # noqa: PLC0415 (start-up time)

    if not is_cached(workflow, job):
        return False
    try:
        workflow.async_run(job.prepare())
        workflow.async_run(job.rule.cache.fetch(job))
    except CacheMissException:
        return False
    return True


def remove_script(workflow: Any, command: str) -> None:
    """Remove the file that Snakemake made of a `script:` rule, as it does after a local run."""
    if not workflow.execution_settings.cleanup_scripts:
        return
    for path in SCRIPT.findall(command):
        Path(path).unlink(missing_ok=True)
