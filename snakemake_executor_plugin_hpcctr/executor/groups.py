"""A group of jobs → one TaskGroup: its members' tasks, and one request for all of them."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import groups as bridge
from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge_jobs
from snakemake_executor_plugin_hpcctr.bridge.place import why_snakemake
from snakemake_executor_plugin_hpcctr.config.resolved import REQUEST, gpus_in
from snakemake_executor_plugin_hpcctr.errors import ConfigError, HpcctrError
from snakemake_executor_plugin_hpcctr.executor.tasks import own_tmpdir
from snakemake_executor_plugin_hpcctr.script.group import memory_of
from snakemake_executor_plugin_hpcctr.task import Gpu, Member, NodeWork, Resources, Task, TaskGroup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.bridge.groups import MemberJob
    from snakemake_executor_plugin_hpcctr.config.layers import Resolved
    from snakemake_executor_plugin_hpcctr.executor.maker import Settled
    from snakemake_executor_plugin_hpcctr.executor.session import Session

#: What a submission has once.
SINGLE = (
    *("partition", "account", "qos", "reservation", "constraint", "clusters", "wckey"),
    *("gres", "extra"),
)
#: What makes a task several processes.
SPREADING = ("nodes", "tasks", "tasks_per_node", "tasks_per_gpu")
#: Numbers of ours that Snakemake adds up with its own.
GPUS, DISK = "hpcctr_gpus", "hpcctr_tmp_mb"
#: Why a job runs as its partners do.
TOGETHER = "it shares a pipe or service with a job that needs it"
#: A service may take so many seconds to make its file, or longer if the latency wait is longer.
PATIENCE_S = 60


@dataclass(frozen=True)
class SettledGroup:
    """What is known of a group before its members' commands are.

    Args:
        members: Its jobs, and what is known of each.
        resources: What all of it asks for.
    """

    members: dict[Any, Settled]
    resources: Resources


def settle(session: Session, group: Any) -> SettledGroup:
    """Resolve the settings of all members, and check what the group asks for.

    Raises:
        HpcctrError: Something that the user wrote cannot be used, or cannot be in one group.
    """
    where = bridge_jobs.title_of(group)
    jobs = [member.job for member in bridge.members_of(group)]
    members = {job: session.settle(job, alone=False) for job in jobs}
    resolved = [settled.resolved for settled in members.values()]
    try:
        words = single_values(resolved)
        totals = bridge.layered(group, {job: numbers(s.resolved) for job, s in members.items()})
        resources = request(words, totals, resolved)
        session.scheduler.check(resources)
    except HpcctrError as error:
        raise error.at(where) from None
    return SettledGroup(members, resources)


def task_of(session: Session, group: Any, settled: SettledGroup) -> Task | TaskGroup | None:
    """Turn a group into one that can be submitted; None if a cache had all of its outputs.

    Where Snakemake itself has to run each of its jobs, or partners of a pipe or service among
    them, one Snakemake runs the whole group: that is one task.

    Args:
        session: The run.
        group: Snakemake's group.
        settled: What `settle` said of it.

    Raises:
        HpcctrError: Something that the user wrote cannot be used.
        Exception: Whatever Snakemake raises about a member.
    """
    whole = bridge.members_of(group)
    if _needs_one_snakemake(session, whole):
        return _by_snakemake(session, group, whole, settled)
    chosen = {m.job: session.choose(m.job, settled.members[m.job]) for m in whole}
    done = [m.job for m in whole if session.fetched(m.job, settled.members[m.job])]
    left = bridge.members_of(group, done)
    members = [_member(session, m, settled.members[m.job], chosen[m.job]) for m in left]
    if not members:
        return None
    return TaskGroup(
        key=bridge_jobs.durable_key(group),
        rule=bridge_jobs.name_of(group),
        title=bridge_jobs.title_of(group),
        members=tuple(members),
        attempt=group.attempt,
        workdir=session.place.workdir,
        resources=settled.resources,
        patience_s=max(PATIENCE_S, session.workflow.execution_settings.latency_wait),
        temporary=bridge.temporary_of(group, left),
    )


def _needs_one_snakemake(session: Session, members: Sequence[MemberJob]) -> bool:
    reasons = [why_snakemake(session.workflow, m.job) for m in members]
    partners = [m.unit for m in members]
    coupled = (r for r, unit in zip(reasons, partners, strict=True) if partners.count(unit) > 1)
    return (bool(reasons) and all(reasons)) or any(coupled)


def _by_snakemake(
    session: Session, group: Any, members: Sequence[MemberJob], settled: SettledGroup
) -> Task:
    """Return the task of a group that one Snakemake runs on its node.

    Raises:
        HpcctrError: A member has a container of ours or a pipe in a storage, or a variable has
            two values.
    """
    for member in members:
        _refuse_stored_pipe(member.job)
        session.check_lost_container(member.job, settled.members[member.job].resolved, TOGETHER)
    resolved = [s.resolved for s in settled.members.values()]
    first = settled.members[members[0].job]
    cores = max(settled.resources.cpus_per_task, group.threads)
    captured = session.runner.captured_group(group, cores)
    return Task(
        key=bridge_jobs.durable_key(group),
        rule=bridge_jobs.name_of(group),
        attempt=group.attempt,
        command=captured.command,
        interpreter=captured.interpreter,
        workdir=session.place.workdir,
        env=_variables(resolved),
        pass_env=(*session.pass_env, *(name for one in resolved for name in one.pass_env)),
        clean_env=any(one.clean_env for one in resolved),
        scratch=first.scratch,
        tmpdir=own_tmpdir(first.scratch),
        resources=settled.resources,
        tasks_per_element=1,
    )


def _refuse_stored_pipe(job: Any) -> None:
    """Refuse what Snakemake on a node fails to do (9.17 to 9.27)."""
    if bridge.stored_pipes(job):
        raise ConfigError(
            "its pipe belongs to the storage, and Snakemake on a node cannot store one",
            where=f"rule {job.rule.name}",
            next_step="add input-output and storage-local-copies to --shared-fs-usage, or write a "
            "file in place of the pipe",
        )


def _variables(members: Sequence[Resolved]) -> dict[str, str]:
    """Return the variables of all members, which one process gets."""
    values: dict[str, tuple[str, str]] = {}
    for member in members:
        for name, value in member.env.items():
            rule, other = values.setdefault(name, (member.rule, value))
            if value != other:
                raise ConfigError(
                    f"rule {rule} sets the variable {name} to {other!r}, and rule {member.rule} to "
                    f"{value!r}; one Snakemake runs them on their node",
                    next_step="give both rules the same, or take one of them out of the group",
                )
    return {name: value for name, (_, value) in values.items()}


def _member(session: Session, member: MemberJob, settled: Settled, chosen: Any) -> Member:
    job = member.job
    task = session.build(job, settled, chosen)
    whole = bool(why_snakemake(session.workflow, job))
    return Member(
        task=task,
        after=member.after,
        unit=member.unit,
        serves=member.serves,
        waits_for=member.served,
        work=NodeWork() if whole else _work(member, bridge_jobs.shadow_of(job) or ""),
    )


def _work(member: MemberJob, shadow: str) -> NodeWork:
    """Return what is to be done around a member; a whole Snakemake would do it itself."""
    job = member.job
    return NodeWork(
        shadow=shadow,
        shadow_kind=bridge.shadow_kind(job) if shadow else "",
        shadow_inputs=tuple(sorted(bridge.inputs_from_group(job))) if shadow else (),
        products=tuple(map(str, (*job.output, *job.log))) if shadow else (),
        touches=tuple(posixpath.join(shadow, f) for f in bridge.touched_by(job)),
        local=bridge.node_local_of(job),
        taken=member.taken,
    )


def single_values(members: Sequence[Resolved]) -> dict[str, Any]:
    """Return what the members ask for and a submission has only once.

    Raises:
        ConfigError: Two of them ask for different things, or one for several nodes.
    """
    for member in members:
        _refuse_spreading(member)
    return {name: value for name in SINGLE if (value := _single(name, members)) not in (None, ())}


def _single(name: str, members: Sequence[Resolved]) -> Any:
    first: Resolved | None = None
    for member in members:
        value = getattr(member.resources, name)
        if value in (None, ()):
            continue
        if first is None:
            first = member
        elif value != getattr(first.resources, name):
            raise ConfigError(
                f"{_asks(first, name)}, and {_asks(member, name)}; a group is one submission",
                next_step="give both rules the same, or take one of them out of the group",
            )
    return None if first is None else getattr(first.resources, name)


def _asks(member: Resolved, name: str) -> str:
    value = getattr(member.resources, name)
    said = " ".join(value) if isinstance(value, tuple) else value
    origin = member.origin.get(REQUEST.get(name, name), "")
    where = f" ({origin})" if origin and not origin.startswith(f"rule {member.rule},") else ""
    return f"rule {member.rule} asks for {name} {said}{where}"


def _refuse_spreading(member: Resolved) -> None:
    for name in SPREADING:
        wanted = getattr(member.resources, name) or 1
        if wanted > 1:
            raise ConfigError(
                f"rule {member.rule} asks for {name} {wanted}, and a group runs on one node, one "
                "process for each of its jobs",
                next_step="take the rule out of its group",
            )


def numbers(member: Resolved) -> dict[str, int]:
    """Return what a member asks for, by the names that Snakemake adds up."""
    resources = member.resources
    found = {
        "_cores": resources.cpus_per_task,
        "mem_mb": memory_of(resources),
        "runtime": resources.runtime_min or 0,
        GPUS: resources.gpu.count if resources.gpu else 0,
        DISK: resources.tmp_mb or 0,
    }
    return {name: value for name, value in found.items() if value}


def request(
    words: Mapping[str, Any], totals: Mapping[str, int], members: Sequence[Resolved]
) -> Resources:
    """Return the request of a group.

    Args:
        words: What `single_values` says.
        totals: What Snakemake has added up.
        members: The members' settings.

    Raises:
        ConfigError: Members want different models of GPUs.
    """
    gpus = totals.get(GPUS, 0)
    gpu = _gpu(gpus, members) if gpus else None
    given = dict(words)
    entries = [e for e in (given.get("gres") or "").split(",") if e]
    if gpu is not None and gpus_in(given.get("gres") or "")[0]:
        rest = [entry for entry in entries if entry.split(":")[0] != "gpu"]
        given["gres"] = ",".join([":".join(filter(None, ("gpu", gpu.model, str(gpus)))), *rest])
    return Resources(
        **given,
        cpus_per_task=totals.get("_cores", 1),
        mem_mb=totals.get("mem_mb") or None,
        runtime_min=totals.get("runtime") or None,
        tmp_mb=totals.get(DISK) or None,
        gpu=gpu,
        nodes=1 if any(member.resources.nodes for member in members) else None,
        requeue=any(member.resources.requeue for member in members),
    )


def _gpu(count: int, members: Sequence[Resolved]) -> Gpu:
    wanted = [(m.rule, m.resources.gpu) for m in members if m.resources.gpu]
    first, gpu = next((pair for pair in wanted if pair[1].model), wanted[0])
    for rule, other in wanted:
        if other.model not in {None, gpu.model}:
            raise ConfigError(
                f"rule {first} asks for the GPU {gpu.model}, and rule {rule} for {other.model}; "
                "a group is one submission",
                next_step="give both rules the same, or take one of them out of the group",
            )
    return gpu.model_copy(update={"count": count})
