"""Groups of jobs: who waits for whom, and what Snakemake would do between them on the node."""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True)
class MemberJob:
    """A job of a group that has something to run.

    Args:
        job: Snakemake's job.
        after: Positions of the members whose outputs it takes; its partners are not among them.
        unit: Number of the members that start together: partners of a pipe or a service.
        serves: Files that it makes and serves until their consumers have ended.
        late: Its inputs that are there only when the member that makes them has ended.
        served: Its inputs that a service makes.
        taken: Its own outputs that must be there when it has ended: other members take them.
    """

    job: Any
    after: tuple[int, ...]
    unit: int
    serves: tuple[str, ...]
    late: frozenset[str]
    served: tuple[str, ...]
    taken: tuple[str, ...]


def allow_differing_words() -> None:
    """Let jobs of a group name different words, such as engines.

    Snakemake (9.17 to 9.27) refuses any resource that is a text and differs. Where a
    submission can have only one value, hpcctr refuses it with the rules' names.
    """
    module = sys.modules.get("snakemake.resources")
    if module is not None:
        check = classmethod(lambda _, __, values: not all(isinstance(v, int) for v in values))
        module.GroupResources._is_string_resource = check  # noqa: SLF001 (no other way)


def members_of(group: Any, done: Iterable[Any] = ()) -> tuple[MemberJob, ...]:
    """Return the jobs of a group that have something to run, in an order in which they could.

    Args:
        group: Snakemake's group.
        done: Jobs of it whose outputs are there already.
    """
    left_out = set(done)
    jobs = [
        job
        for layer in group.toposorted
        for job in sorted(layer, key=_order)
        if not job.is_norun and job not in left_out
    ]
    position = {job: index for index, job in enumerate(jobs)}
    units: dict[Any, int] = {}
    for job in jobs:
        units.setdefault(_unit(job), len(units))
    return tuple(_member(job, position, units[_unit(job)]) for job in jobs)


def is_member(job: Any) -> bool:
    """Whether the job is part of a group."""
    return job.dag.get_job_group(job) is not None


def group_id(job: Any) -> str | None:
    """Return the id by which a Snakemake on the node knows the job's group; None without one."""
    group = job.dag.get_job_group(job)
    return None if group is None else str(group.jobid)


def inputs_from_group(job: Any) -> frozenset[str]:
    """Return inputs that other jobs of the group make, pipes and services included."""
    return frozenset(str(f) for files in _makers(job).values() for f in files)


def _makers(job: Any) -> dict[Any, set[Any]]:
    group = job.dag.get_job_group(job)
    inside = () if group is None else group.jobs
    return {d: files for d, files in job.dag.dependencies[job].items() if d in inside}


def _order(job: Any) -> tuple[int, str, str]:
    return -job.dag.priority(job), job.rule.name, str(bridge.wildcards_of(job))


def _unit(job: Any) -> Any:
    return job if job.pipe_group is None else job.pipe_group


def _member(job: Any, position: Mapping[Any, int], unit: int) -> MemberJob:
    makers = {d: files for d, files in job.dag.dependencies[job].items() if d in position}
    takers = [files for t, files in job.dag.depending[job].items() if t in position]
    made = {f for files in makers.values() for f in files}
    taken = {f for files in takers for f in files}
    return MemberJob(
        job=job,
        after=tuple(sorted(position[d] for d in makers if _unit(d) != _unit(job))),
        unit=unit,
        serves=_flagged(job, "service"),
        late=frozenset(map(str, made - _made_early(makers))),
        served=tuple(sorted(f for d in makers for f in _flagged(d, "service") if f in made)),
        taken=tuple(sorted(map(str, taken - _made_early([job])))),
    )


def _made_early(jobs: Iterable[Any]) -> set[str]:
    """Return outputs that are there while their maker runs."""
    return {f for job in jobs for flag in ("pipe", "service") for f in _flagged(job, flag)}


def _flagged(job: Any, flag: str) -> tuple[str, ...]:
    from snakemake.io import is_flagged  # noqa: PLC0415 (start-up time)

    return tuple(str(f) for f in job.output if is_flagged(f, flag))


def stored_pipes(job: Any) -> tuple[str, ...]:
    """Return pipes that Snakemake would put into a storage, as files that they are not."""
    return tuple(str(f) for f in job.output if f.is_storage and str(f) in _flagged(job, "pipe"))


def touched_by(job: Any) -> tuple[str, ...]:
    """Return outputs that Snakemake touches when the command has ended."""
    return _flagged(job, "touch")


def node_local_of(job: Any) -> tuple[str, ...]:
    """Return outputs that exist only on the node where the group runs."""
    return _flagged(job, "nodelocal")


def temporary_of(
    group: Any, members: tuple[MemberJob, ...]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return outputs that nobody needs when certain members have ended, and their positions."""
    if group.dag.workflow.storage_settings.notemp:
        return ()
    takers: dict[str, list[int]] = {}
    for position, member in enumerate(members):
        for path in member.late:
            takers.setdefault(path, []).append(position)
    unneeded = sorted(set(map(str, group.dag.get_unneeded_temp_files(group))))
    return tuple((path, tuple(takers[path])) for path in unneeded if path in takers)


def shadow_kind(job: Any) -> str:
    """Return how the job's shadow folder is filled: `minimal`, `shallow` …; "" without one."""
    return str(job.rule.shadow_depth) if job.is_shadow else ""


@contextmanager
def seen_from_head(job: Any) -> Iterator[None]:
    """Hide from Snakemake, while it prepares a job, what is not there before its group runs.

    It would wait for such inputs, and make folders for outputs that belong on the node.
    """
    if not is_member(job):
        yield
        return
    inside, local = inputs_from_group(job), set(node_local_of(job))
    whole = job.input, job.output
    job.input = [f for f in job.input if str(f) not in inside]
    job.output = [f for f in job.output if str(f) not in local]
    try:
        yield
    finally:
        job.input, job.output = whole


def why_not_here(job: Any) -> str:
    """Return why the command of a job cannot be told before its group runs; "" if it can."""
    if not is_member(job):
        return ""
    if job.is_template_engine:
        return "it renders a template within a group"
    if _needs_its_input(job):
        return "its params or resources are functions of an input that is made in its group"
    return ""


def _needs_its_input(job: Any) -> bool:
    """Whether a function of the rule takes an input that is there only when its maker ended."""
    makers = _makers(job)
    if not {f for files in makers.values() for f in files} - _made_early(makers):
        return False
    functions = [p for p in job.rule.params if callable(p)]
    if any(_takes(f, "input") for f in functions):
        return True
    resources = [r for name, r in job.rule.resources.items() if name != "tmpdir"]
    if not any(map(_reads_input, resources)):
        return False
    text = job.rule.shellcmd
    open_to_it = any(_takes(f, "resources") or _takes(f, "threads") for f in functions)
    return open_to_it or text is None or "{resources" in text or "{threads" in text


def _takes(function: Any, name: str) -> bool:
    return callable(function) and name in inspect.signature(function).parameters


def _reads_input(resource: Any) -> bool:
    """Whether a resource is a function of the input; an expression is, as the default memory."""
    if isinstance(resource.raw, str) and resource.is_evaluable():
        return "input" in resource.raw
    return _takes(resource._evaluator, "input")  # noqa: SLF001 (read only)


def layered(group: Any, own: Mapping[Any, Mapping[str, int]]) -> dict[str, int]:
    """Return what the group asks for, computed as Snakemake does.

    Jobs that can run at the same time add up, within the limits of `--cores` and
    `--resources`; layers of jobs that follow one another add up in time only.

    Args:
        group: Snakemake's group.
        own: For each of its jobs what stands in for the job's own numbers, by names of
            Snakemake's (`_cores`, `mem_mb`, `runtime`, others).

    Raises:
        WorkflowError: Partners that must run together need more than the limits allow.
    """
    from snakemake.resources import GroupResources  # noqa: PLC0415 (start-up time)

    stand_ins = [
        [_numbers(job, own[job]) for job in layer if job in own] for layer in group.toposorted
    ]
    found = GroupResources.basic_layered(
        toposorted_jobs=[layer for layer in stand_ins if layer],
        constraints=group.global_resources,
        run_local=False,
        additive_resources=["runtime"],
        sortby=["runtime"],
    )
    return {name: value for name, value in found.items() if isinstance(value, int)}


def _numbers(job: Any, own: Mapping[str, int]) -> SimpleNamespace:
    """Return what looks like a job to Snakemake's sum: resources without words."""
    known = {name: value for name, value in job.resources.items() if isinstance(value, int)}
    rest = {name: value for name, value in known.items() if name not in {"mem_mb", "runtime"}}
    return SimpleNamespace(resources={**rest, **own}, pipe_group=job.pipe_group)
