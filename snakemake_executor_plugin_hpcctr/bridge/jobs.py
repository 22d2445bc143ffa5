"""Questions about Snakemake's jobs, answered in plain values."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from typing import Any

from snakemake_executor_plugin_hpcctr.sweep.naming import split_rule

#: Groups that nobody named; partners of a pipe or service have such ids.
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_group(job: Any) -> bool:
    """Whether this is a group of jobs."""
    return bool(job.is_group())


def name_of(job: Any) -> str:
    """Return the rule's name, or `group_NAME`: plain characters, equal for groups of a kind.

    Partners of a pipe or service are a group without a name of its own: it has its rules'. The
    copies of a rule that `hpcctr sweep run` made, one for each trial, are one rule: they share an
    array, a folder of logs, and the settings of hpcctr.yaml.
    """
    if not is_group(job):
        return split_rule(str(job.rule.name))[0]
    name = str(job.dag.workflow.parent_groupids.get(job.groupid, job.groupid))
    if UUID.fullmatch(name):
        name = "_".join(rules_of(job))[:60]
    return "group_" + re.sub(r"[^A-Za-z0-9_.-]+", "_", name)


def title_of(group: Any) -> str:
    """Return a group's name for people, with the names of some of its rules."""
    rules = rules_of(group)
    some = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")  # noqa: PLR2004 (as many as are read)
    named = not UUID.fullmatch(str(group.groupid))
    return f"group {group.groupid} ({some})" if named else f"group of {some}"


def rules_of(group: Any) -> list[str]:
    """Return the names of the group's rules that run something, sorted."""
    return sorted({str(job.rule.name) for job in group.jobs if not job.is_norun})


def wildcards_of(job: Any) -> tuple[tuple[str, str], ...]:
    """Return names and values of the wildcards, in the rule's order; empty for a group.

    The trial to which a rule's copy belongs comes first.
    """
    if is_group(job):
        return ()
    trial = split_rule(str(job.rule.name))[1]
    own = tuple((str(k), str(v)) for k, v in (job.wildcards_dict or {}).items())
    return (("trial", trial), *own) if trial else own


def durable_key(job: Any) -> str:
    """Identify a job by rule, wildcards and outputs: its number changes between runs."""
    members = sorted(job.jobs, key=str) if is_group(job) else [job]
    parts = [
        "\0".join([member.rule.name, *map(str, wildcards_of(member)), *map(str, member.output)])
        for member in members
    ]
    digest = hashlib.sha256("\1".join(sorted(parts)).encode(errors="surrogateescape"))
    return digest.hexdigest()[:20]


def resources_of(job: Any) -> dict[str, Any]:
    """Return the job's resources; memory, time and disk in Snakemake's units (MB, minutes)."""
    return {
        name: value
        for name, value in job.resources.items()
        if not name.startswith("_") and not _is_undecided(value)
    }


def defaulted_resources(workflow: Any, job: Any) -> frozenset[str]:
    """Return names of resources that come from --default-resources and not from the rule.

    A default for memory or disk appears under three names (`mem`, `mem_mb`, `mem_mib`).
    """
    if is_group(job):
        return frozenset()
    defaults = workflow.resource_settings.default_resources or {}
    own = job.rule.resources
    names = {
        name
        for name in defaults
        if name in own and getattr(defaults[name], "raw", None) == getattr(own[name], "raw", None)
    }
    for family in ("mem", "disk"):
        sizes = {family, f"{family}_mb", f"{family}_mib"}
        if names & sizes:
            names |= sizes
    return frozenset(names)


def give_tmpdir(job: Any, ours: str) -> str:
    """Give `resources.tmpdir` its value and return it: the rule's own folder, else `ours`.

    For jobs that do not run locally Snakemake leaves the literal `<TBD>` there, which would
    end up in the command. Call it before the job is printed: printing caches the params.
    """
    resources = job.resources
    if is_group(job) or not _is_undecided(resources.get("tmpdir")):
        return ours
    chosen = ours if _is_default_tmpdir(job) else _evaluated_tmpdir(job) or ours
    index, _ = resources._names["tmpdir"]  # noqa: SLF001 (Namedlist has no way to set an item)
    resources[index] = chosen
    resources.tmpdir = chosen
    job._params = None  # noqa: SLF001 (params may be a function of the folder)
    return chosen


def _is_default_tmpdir(job: Any) -> bool:
    """Whether nobody named a folder: Snakemake's default is the expression `system_tmpdir`."""
    return getattr(job.rule.resources.get("tmpdir"), "raw", None) == "system_tmpdir"


def _evaluated_tmpdir(job: Any) -> str | None:
    evaluated = job.rule.expand_resources(job.wildcards_dict, job.input, job.attempt)
    wanted = evaluated.get("tmpdir")
    return None if wanted in {None, tempfile.gettempdir()} else str(wanted)


def _is_undecided(value: Any) -> bool:
    from snakemake.common.tbdstring import TBDString  # noqa: PLC0415 (start-up time)

    return isinstance(value, TBDString)


def brings_containers(job: Any) -> bool:
    """Whether the job's own program starts the containers it needs: cwltool does."""
    return not is_group(job) and bool(job.rule.cwl)


def image_of(job: Any, *, pulled: bool) -> str | None:
    """Return the image as the rule names it, or None.

    With `--sdm apptainer` Snakemake has pulled it already: then that file is the answer where
    an engine that can start it may be taken (`pulled`).
    """
    if is_group(job):
        return None
    url = job.container_img_url
    if not url:
        return None
    if pulled and job.container_img is not None:
        return str(job.container_img_path)
    return str(url)


def shadow_of(job: Any) -> str | None:
    """Return the job's shadow folder, absolute, or None; known once the job is prepared."""
    return None if is_group(job) or job.shadow_dir is None else os.path.abspath(job.shadow_dir)  # noqa: PTH100 (as the rest)


def logs_of(job: Any) -> tuple[str, ...]:
    """Return absolute paths of the job's `log:` files."""
    return tuple(os.path.abspath(f) for f in job.log)  # noqa: PTH100 (as the rest)


def source_folders(workflow: Any) -> tuple[str, ...]:
    """Return folders with the Snakefile, its scripts and cached sources, those that exist."""
    folders = [workflow.basedir, workflow.sourcecache.cache_path]
    folders.append(workflow.sourcecache.runtime_cache_path)
    return tuple(dict.fromkeys(os.path.abspath(f) for f in folders if f and os.path.isdir(f)))  # noqa: PTH100, PTH112 (as the rest)


def lost_image(job: Any, ours: str | None) -> bool:
    """Whether a job of Snakemake's on a node names an image that is not Snakemake's to start.

    Args:
        job: A job of one rule.
        ours: The image that hpcctr.yaml gives it.
    """
    return bool(job.container_img_url or ours) and job.container_img is None


def own_paths(job: Any) -> list[str]:
    """Return absolute paths of inputs, outputs and logs, with what links among them point to."""
    paths = [os.path.abspath(f) for f in (*job.input, *job.output, *job.log)]  # noqa: PTH100 (speed)
    if job.benchmark:
        paths.append(os.path.abspath(job.benchmark))  # noqa: PTH100 (speed)
    return [*paths, *(real for p in paths if (real := os.path.realpath(p)) != p)]


def movable_outputs(job: Any) -> list[str]:
    """Return absolute paths of outputs that may be made elsewhere and copied when whole."""
    from snakemake.io import is_flagged  # noqa: PLC0415 (start-up time)

    kept = ("pipe", "service", "update", "nodelocal")
    whole = (f for f in job.output if not any(is_flagged(f, flag) for flag in kept))
    return [os.path.abspath(f) for f in whole]  # noqa: PTH100 (as the rest)


def missing_folders(job: Any) -> tuple[str, ...]:
    """Return folders of outputs and logs that a run would make before the command, as written."""
    paths = [*job.output, *job.log, *([job.benchmark] if job.benchmark else [])]
    folders = {os.path.dirname(str(path)) for path in paths} - {""}  # noqa: PTH120 (as the rest)
    return tuple(sorted(folder for folder in folders if not os.path.isdir(folder)))  # noqa: PTH112 (as the rest)


def give_up(job: Any) -> None:
    """Let a job's next failure be its last, whatever `retries:` says."""
    job._attempt = job.restart_times + 1  # noqa: SLF001 (its setter would evaluate resources anew)


def fail_unstarted(workflow: Any, job: Any) -> None:
    """End a job with an error before anything of it ran: its outputs of earlier runs stay.

    Snakemake would remove them as those of a failed job. Call it in the main thread, inside
    `run_jobs`.
    """
    scheduler = workflow.scheduler
    with scheduler._lock:  # noqa: SLF001 (error_callback has no way to say this)
        scheduler._handle_error(job, postprocess_job=False)  # noqa: SLF001 (as above)
    scheduler._open_jobs.release()  # noqa: SLF001 (as above)


def stop_run(workflow: Any, words: str) -> None:
    """End the whole run with an error, in plain words; live tasks must be cancelled before.

    An exception raised in `run_jobs` would be shown with lines of our source.
    """
    from snakemake_interface_common.exceptions import WorkflowError  # noqa: PLC0415 (start-up time)

    workflow.scheduler.executor_error_callback(WorkflowError(words))


def report_failure(job: Any, error: BaseException) -> None:
    """Log an exception of Snakemake's as Snakemake would, with lines of the Snakefile."""
    from snakemake.exceptions import print_exception  # noqa: PLC0415 (start-up time)

    print_exception(error, job.dag.workflow.linemaps)
