"""Tasks and groups → their scripts in the run folder, and what is to be followed."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.executor.live import Live
from snakemake_executor_plugin_hpcctr.executor.tasks import base_evidence
from snakemake_executor_plugin_hpcctr.script.group import render_group
from snakemake_executor_plugin_hpcctr.script.render import render_task
from snakemake_executor_plugin_hpcctr.task import TaskGroup
from snakemake_executor_plugin_hpcctr.trace.folder import Number, write_atomically
from snakemake_executor_plugin_hpcctr.trace.store import Row

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import Task
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder


def write_scripts(folder: RunFolder, job: Any, task: Task | TaskGroup, number: Number) -> Live:
    """Write the script of a task, or those of a group and its members.

    Args:
        folder: Paths of the run.
        job: Snakemake's job or group.
        task: What it has become.
        number: Its number within the run.
    """
    if isinstance(task, TaskGroup):
        return _write_group(folder, job, task, number)
    return _write_task(folder, job, task, number)


def _write_task(folder: RunFolder, job: Any, task: Task, number: Number) -> Live:
    script = folder.script(number)
    text = render_task(
        task,
        launch(task),
        number=str(number),
        library=str(folder.path),
        marker=str(folder.marker(number)),
    )
    write_atomically(script, text)
    log = folder.log(task.rule, number)
    return Live(
        job=job,
        number=number,
        title=bridge.title_of(job) if bridge.is_group(job) else task.title,
        command="\n".join((task.command, *task.repeats)),
        script=script,
        log=log,
        rule_logs=bridge.logs_of(job),
        evidence=base_evidence(task),
        requeue=task.resources.requeue,
        row=Row(
            run=folder.run_id,
            number=str(number),
            key=task.key,
            rule=task.rule,
            wildcards=",".join(f"{k}={v}" for k, v in task.wildcards),
            attempt=task.attempt,
            engine=task.engine,
            image=task.image.reference if task.image else "",
            digest=task.image.digest if task.image else "",
            log=str(log),
            submitted=time.time(),
        ),
    )


def _write_group(folder: RunFolder, job: Any, group: TaskGroup, number: Number) -> Live:
    jobs = {bridge.durable_key(one): one for one in job.jobs}
    memory, minutes = group.resources.mem_mb, group.resources.runtime_min
    members = []
    for index, member in enumerate(group.members):
        folder.make_log_folder(member.task.rule)
        own = replace(number, member=index)
        live = _write_task(folder, jobs[member.task.key], member.task, own)
        # What the whole group may use:
        live.evidence = replace(live.evidence, mem_mb=memory, runtime_min=minutes)
        live.title = f"service {live.title}" if member.serves else live.title
        live.unit, live.unshadowed = member.unit, bool(member.work.shadow)
        members.append(live)
    script, log = folder.script(number), folder.log(group.rule, number)
    text = render_group(
        group,
        [(str(m.script), str(m.log), str(folder.marker(m.number))) for m in members],
        number=str(number),
        library=str(folder.path),
        marker=str(folder.marker(number)),
    )
    write_atomically(script, text)
    return Live(
        job=job,
        number=number,
        title=group.title,
        command="",
        script=script,
        log=log,
        rule_logs=(),
        evidence=replace(
            base_evidence(group.members[0].task),
            partition=group.resources.partition or "",
            mem_mb=memory,
            runtime_min=minutes,
        ),
        requeue=group.resources.requeue,
        row=replace(members[0].row, rule=group.rule, wildcards="", log=str(log)),
        members=tuple(members),
    )
