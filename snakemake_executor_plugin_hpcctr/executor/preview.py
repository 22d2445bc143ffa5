"""A job or an image as it would run: resolved, and nothing started or changed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import finish, load
from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.bridge.capture import Captured
from snakemake_executor_plugin_hpcctr.bridge.place import needs_runner
from snakemake_executor_plugin_hpcctr.config.layers import default_layers, resolve
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError, HpcctrError
from snakemake_executor_plugin_hpcctr.executor.availability import Availability
from snakemake_executor_plugin_hpcctr.executor.image_work import image_folder
from snakemake_executor_plugin_hpcctr.executor.maker import SCRATCH_BASE, TaskMaker
from snakemake_executor_plugin_hpcctr.executor.session import command_line
from snakemake_executor_plugin_hpcctr.executor.tasks import (
    Place,
    container_binds,
    declared_env,
    own_tmpdir,
    scratch_path,
)
from snakemake_executor_plugin_hpcctr.images.provide import PlannedImages, open_provider
from snakemake_executor_plugin_hpcctr.schedulers import make
from snakemake_executor_plugin_hpcctr.task import Task, title_of
from snakemake_executor_plugin_hpcctr.trace.folder import STATE, RunFolder, new_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snakemake_executor_plugin_hpcctr.config.layers import Layers, Resolved

#: The name of the run in paths that a preview shows.
NO_RUN = "RUN"


@dataclass(frozen=True)
class Purpose:
    """How far a preview may go.

    Args:
        say: Takes a sentence for the user.
        run: Whether the task is to be started: nodes are asked for engines, images are pulled.
        here: Whether that is to be on this machine.
    """

    say: Callable[[str], None]
    run: bool = False
    here: bool = False


@dataclass(frozen=True)
class Preview:
    """What would run.

    Args:
        title: Rule and wildcards, or the image; for people.
        folder: Where its script belongs, not made yet.
        layers: All settings.
        resolved: The settings that concern it.
        task: None if it cannot run as it is: `problem` says why.
        others: How many other jobs of the rule fit what was asked for.
        group: The group in which Snakemake puts the job, or "".
        by_snakemake: Whether Snakemake itself runs the job on its node: it has no command.
        assumed: Whether engines were taken for available without asking a node.
        problem: Why a run would refuse it.
        to_make: Folders that a run would make before the command.
    """

    title: str
    folder: RunFolder
    layers: Layers
    resolved: Resolved
    task: Task | None
    others: int = 0
    group: str = ""
    by_snakemake: bool = False
    assumed: bool = False
    problem: HpcctrError | None = None
    to_make: tuple[str, ...] = ()


def preview_rule(
    loaded: load.Loaded,
    rule: str,
    wildcards: Mapping[str, str],
    purpose: Purpose,
    key: str = "",
) -> Preview | None:
    """Return a job of a rule as it would run; None if no such job is planned.

    Args:
        loaded: The workflow.
        rule: Name of the rule.
        wildcards: Values that the job must have; of several jobs the first counts.
        purpose: How far to go.
        key: Durable key that the job must have; "" for any.

    Raises:
        ConfigError: The workflow has no such rule, or the rule no such wildcard; a resource
            cannot be read.
    """
    _check_names(load.rules_of(loaded.workflow), rule, wildcards)
    jobs = load.jobs_of(loaded.workflow, rule, wildcards)
    jobs = [job for job in jobs if key in {"", bridge.durable_key(job)}]
    if not jobs:
        return None
    job, maker = jobs[0], rule_maker(loaded, purpose)
    resolved, task, problem = maker.resolve(job), None, None
    try:
        with load.in_our_words():
            task = maker.task_of(job, maker.settle(job))
    except HpcctrError as error:
        problem = error
    if task is not None and not purpose.run:
        finish.remove_script(loaded.workflow, job, task.command)
    return Preview(
        title=title_of(rule, bridge.wildcards_of(job)),
        folder=maker.folder,
        layers=maker.layers,
        resolved=resolved,
        task=task,
        others=len(jobs) - 1,
        group=str(job.group or ""),
        by_snakemake=needs_runner(loaded.workflow, job),
        assumed=maker.available.assumed,
        problem=problem,
        to_make=bridge.missing_folders(job),
    )


def rule_maker(loaded: load.Loaded, purpose: Purpose) -> TaskMaker:
    """Return what turns the workflow's jobs into tasks, without preparing them.

    Raises:
        ConfigError: A configuration file or flag cannot be used.
    """
    layers = default_layers(
        command_line(loaded.settings), loaded.settings.config, Path.cwd(), os.environ
    )
    sources = bridge.source_folders(loaded.workflow)
    return _maker(loaded.workflow, layers, sources, tuple(loaded.envvars), purpose)


def preview_image(
    reference: str, given: Mapping[str, object], purpose: Purpose, layers: Layers
) -> Preview:
    """Return an image as a task without a command, in the current folder.

    Args:
        reference: What the user wrote: a reference, or a name from hpcctr.yaml.
        given: Resources as on a rule: engine, gpu, binds …
        purpose: How far to go.
        layers: All other settings; `defaults:` count, and rules that fit any name.

    Raises:
        HpcctrError: A resource, the image or the engine cannot be used.
    """
    name = "shell"
    maker = _maker(None, layers, (), (), purpose)
    resolved = resolve(name, given, 1, layers)
    maker.scheduler.check(resolved.resources)
    image, engine = maker.start(reference, name, resolved)
    captured = Captured(command="", interpreter="/bin/sh")
    scratch = scratch_path(SCRATCH_BASE, maker.folder.run_id, 0)
    task = Task(
        key="",
        rule=name,
        command="",
        interpreter="/bin/sh",
        engine=engine,
        image=image,
        binds=container_binds(maker.place, captured, (), resolved.binds),
        workdir=maker.place.workdir,
        env=declared_env(captured, resolved.resources.cpus_per_task, resolved.env),
        pass_env=resolved.pass_env,
        clean_env=resolved.clean_env,
        scratch=scratch,
        tmpdir=resolved.tmpdir or own_tmpdir(scratch),
        resources=resolved.resources,
        options=resolved.options,
        stage=resolved.stage,
    )
    return Preview(reference, maker.folder, layers, resolved, task)


def _maker(
    workflow: Any,
    layers: Layers,
    sources: tuple[str, ...],
    pass_env: tuple[str, ...],
    purpose: Purpose,
) -> TaskMaker:
    workdir = Path.cwd()
    name = "local" if purpose.here else layers.settings.scheduler
    scheduler = make(name, warn=purpose.say)
    images = open_provider(
        image_folder(layers.settings, workdir), workdir, purpose.say, recipes=layers.recipes
    )
    return TaskMaker(
        workflow=workflow,
        layers=layers,
        scheduler=scheduler,
        folder=_folder(workdir, run=purpose.run),
        place=Place(workdir=str(workdir), sources=sources),
        images=images if purpose.run else PlannedImages(images),
        available=Availability(
            scheduler, workdir / STATE / "engines.json", purpose.say, ask=purpose.run
        ),
        warn=purpose.say,
        pass_env=pass_env,
        prepare=False,
    )


def _folder(workdir: Path, *, run: bool) -> RunFolder:
    folder = new_run(workdir, None)
    if run:
        return replace(folder, path=workdir / STATE / "shells" / folder.run_id)
    return replace(folder, path=folder.path.parent / NO_RUN)


def _check_names(
    rules: Mapping[str, tuple[str, ...]], rule: str, wildcards: Mapping[str, str]
) -> None:
    if rule not in rules:
        raise ConfigError(
            f"the workflow has no rule {rule!r}",
            next_step=did_you_mean(rule, rules) or f"its rules are {', '.join(sorted(rules))}",
        )
    for name in wildcards:
        if name not in rules[rule]:
            has = ", ".join(rules[rule]) or "none"
            raise ConfigError(
                f"rule {rule} has no wildcard {name!r}", next_step=f"its wildcards: {has}"
            )
