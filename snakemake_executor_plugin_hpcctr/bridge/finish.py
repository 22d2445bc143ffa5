"""What Snakemake's local executor does after a command, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge.capture import Prepared
from snakemake_executor_plugin_hpcctr.bridge.place import needs_runner, why_snakemake
from snakemake_executor_plugin_hpcctr.bridge.rewrite import script_files

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from snakemake_executor_plugin_hpcctr.script.marker import Marker, Measured


def write_benchmark(workflow: Any, job: Any, marker: Marker) -> None:
    """Write the job's `benchmark:` file, one record per run; the runner writes its own."""
    if needs_runner(workflow, job) or not job.benchmark or not marker.measured:
        return
    from snakemake.benchmark import write_benchmark_records  # noqa: PLC0415 (start-up time)

    records = [_record(job, measured) for measured in marker.measured]
    extended = workflow.output_settings.benchmark_extended
    write_benchmark_records(records, str(job.benchmark), extended)


def _record(job: Any, measured: Measured) -> Any:
    """Return Snakemake's record of a run; what was too short to be seen is `NA` in it."""
    from snakemake.benchmark import BenchmarkRecord  # noqa: PLC0415 (start-up time)

    record = BenchmarkRecord(
        running_time=measured.seconds,
        max_rss=measured.rss_mb,
        max_vms=measured.vms_mb,
        max_uss=measured.uss_mb,
        max_pss=measured.pss_mb,
        io_in=measured.read_mb,
        io_out=measured.written_mb,
        cpu_usage=100 * measured.cpu_s,
        cpu_time=measured.cpu_s,
    )
    record.data_collected = measured.rss_mb is not None
    record.process_gone = not record.data_collected  # since 9.18: it says so without a warning
    record.jobid, record.rule_name, record.wildcards = job.jobid, job.rule.name, job.wildcards
    record.params, record.resources, record.input = job.params, job.resources, job.input
    record.threads = job.threads
    return record


def settle_shadow(job: Any, *, moved: bool) -> None:
    """Tell Snakemake that a job's outputs have left their shadow folder, if the node moved them."""
    if moved:
        job.shadow_dir = None


def is_cached(workflow: Any, job: Any) -> bool:
    """Whether the job's outputs belong into the between-workflow cache, by this process."""
    if workflow.workflow_settings.cache is None or why_snakemake(workflow, job):
        return False
    return bool(job.rule.cache and job.rule.cache.output)


async def store_in_cache(workflow: Any, job: Any) -> None:
    """Put the outputs of a finished job into the between-workflow cache, if it belongs there."""
    if is_cached(workflow, job):
        await job.rule.cache.store(job)


def fetch_from_cache(workflow: Any, job: Any, around: AbstractContextManager[None]) -> bool:
    """Take a job's outputs from the between-workflow cache; False if they are not in it.

    Args:
        workflow: Snakemake's workflow.
        job: The job.
        around: What holds while the job is prepared for that.
    """
    from snakemake.exceptions import CacheMissException  # noqa: PLC0415 (start-up time)

    if not is_cached(workflow, job):
        return False
    try:
        workflow.async_run(Prepared(job, around).prepare())
        workflow.async_run(job.rule.cache.fetch(job))
    except CacheMissException:
        return False
    return True


def remove_script(workflow: Any, job: Any, command: str) -> None:
    """Remove the file that Snakemake made of a `script:` rule, as it does after a local run.

    A command that the user wrote may name what it likes: nothing of it is removed.
    """
    written = job.is_group() or job.is_shell
    if written or not workflow.execution_settings.cleanup_scripts:
        return
    for path in script_files(command):
        path.unlink(missing_ok=True)
