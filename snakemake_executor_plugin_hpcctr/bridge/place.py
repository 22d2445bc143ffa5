"""Where a job runs: as a command captured here, or by Snakemake's Python on its node."""

from __future__ import annotations

from itertools import chain
from types import CodeType
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge.groups import why_not_here
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Parts of a workflow that exist only where Snakemake has planned all jobs.
PLANNED = {"dag", "persistence", "scheduler"}


def check_shared(workflow: Any) -> None:
    """Refuse a --shared-fs-usage with which no task could run.

    Raises:
        ConfigError: The working directory, or the workflow's sources, are not shared.
    """
    needed = {
        "persistence": "scripts and exit markers of the tasks are in .snakemake",
        "sources": "tasks read the Snakefile and scripts where they are",
    }
    shared = _shared(workflow)
    missing = [name for name in needed if name not in shared]
    if missing:
        raise ConfigError(
            f"hpcctr cannot run without {' and '.join(missing)} on a shared file system: "
            + "; ".join(needed[name] for name in missing),
            where="--shared-fs-usage",
            next_step="run the workflow in a folder that all nodes see, and add "
            f"`{' '.join(missing)}` to --shared-fs-usage; what else is shared is your choice",
        )


def check_job(workflow: Any, job: Any) -> None:
    """Refuse a job whose outputs Snakemake would look for where they cannot be.

    With shared input and output, Snakemake checks the local copies of what a job made, also of
    files in a storage (9.17 to 9.27).

    Raises:
        ConfigError: The job makes a storage file, and its local copy is not shared.
    """
    shared = _shared(workflow)
    if "input-output" not in shared or "storage-local-copies" in shared:
        return
    if any(f.is_storage for f in job.output):
        raise ConfigError(
            "Snakemake looks for local copies of the job's storage outputs here, as input-output "
            "is shared, and storage-local-copies is not",
            where=f"rule {job.rule.name}, --shared-fs-usage",
            next_step="add storage-local-copies, or leave out input-output, too: then all inputs "
            "and outputs go through --default-storage-provider",
        )


def has_block(job: Any) -> bool:
    """Whether the job is a `run:` block; a group is none."""
    return not job.is_group() and bool(job.is_run) and not job.is_template_engine


def needs_runner(workflow: Any, job: Any) -> bool:
    """Whether Snakemake's Python runs on the job's node."""
    return has_block(job) or bool(why_snakemake(workflow, job))


def why_snakemake(workflow: Any, job: Any) -> str:
    """Return why a whole Snakemake must run the job on its node; "" if it need not.

    A group is asked about only if it was handed to one whole.
    """
    if job.is_group():
        return "its group is run by one Snakemake"
    if reason := why_not_here(job):
        return reason
    if has_block(job) and asks_for_plan(job.rule.run_func.__code__):
        return "its block uses Snakemake's plan of jobs"
    shared = _shared(workflow)
    needs: dict[str, Callable[[], bool]] = {
        "input-output": lambda: True,
        "storage-local-copies": lambda: any(f.is_storage for f in _files(job)),
        "software-deployment": lambda: _deployed(workflow, job),
        "source-cache": lambda: _has_remote_source(job),
    }
    name = next((name for name in needs if name not in shared and needs[name]()), None)
    return f"{name} is not shared" if name else ""


def has_shared(workflow: Any, kind: str) -> bool:
    """Whether a kind of files is shared between this machine and the nodes."""
    return kind in _shared(workflow)


def _shared(workflow: Any) -> set[str]:
    return {item.item_to_choice() for item in workflow.storage_settings.shared_fs_usage}


def _files(job: Any) -> Iterator[Any]:
    benchmark = [job.benchmark] if job.benchmark else []
    return chain(job.input, job.output, job.log, benchmark)


def _deployed(workflow: Any, job: Any) -> bool:
    methods = {item.item_to_choice() for item in workflow.deployment_settings.deployment_method}
    conda = "conda" in methods and bool(job.conda_env_spec)
    return conda or ("apptainer" in methods and bool(job.container_img_url))


def _has_remote_source(job: Any) -> bool:
    from snakemake.sourcecache import infer_source_file  # noqa: PLC0415 (start-up time)

    rule = job.rule
    if rule.wrapper or rule.cwl:
        return True
    return any(
        not infer_source_file(file, rule.basedir).is_local
        for file in (rule.script, rule.notebook)
        if file
    )


def asks_for_plan(code: CodeType) -> bool:
    """Whether a block names `workflow.dag` and the like, in itself or in functions within it."""
    if "workflow" in code.co_names and PLANNED & set(code.co_names):
        return True
    return any(asks_for_plan(part) for part in code.co_consts if isinstance(part, CodeType))
