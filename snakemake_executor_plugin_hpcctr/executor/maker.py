"""Jobs → tasks: the part of a run that needs no database and submits nothing."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import finish
from snakemake_executor_plugin_hpcctr.bridge import groups as bridge_groups
from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.bridge.capture import Captured, capture
from snakemake_executor_plugin_hpcctr.bridge.place import check_job, needs_runner
from snakemake_executor_plugin_hpcctr.config.layers import resolve
from snakemake_executor_plugin_hpcctr.engines import ENGINES, launch
from snakemake_executor_plugin_hpcctr.errors import EngineMissing
from snakemake_executor_plugin_hpcctr.executor.local_data import with_local_data
from snakemake_executor_plugin_hpcctr.executor.lost import lost_container
from snakemake_executor_plugin_hpcctr.executor.tasks import (
    LONELY,
    Place,
    choose_engine,
    container_binds,
    declared_env,
    drop_tmpdir,
    own_tmpdir,
    scratch_path,
    with_apptainer_args,
    with_targets,
)
from snakemake_executor_plugin_hpcctr.images.reference import parse_reference
from snakemake_executor_plugin_hpcctr.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.bridge.runner import Runner
    from snakemake_executor_plugin_hpcctr.config.layers import Layers, Resolved
    from snakemake_executor_plugin_hpcctr.executor.availability import Availability
    from snakemake_executor_plugin_hpcctr.executor.planned import PlannedTasks
    from snakemake_executor_plugin_hpcctr.images.provide import Images
    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import EngineName, Image
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder

#: Where the tasks' own folders are made on the nodes.
SCRATCH_BASE = "/tmp"  # noqa: S108 (a unique folder of mode 700 is made in it)


@dataclass(frozen=True)
class Settled:
    """What is known of a job before its command is.

    Args:
        resolved: Its settings.
        scratch: Its folder on the node.
        tmpdir: Value of TMPDIR.
        by_python: Whether Snakemake's Python runs it there.
    """

    resolved: Resolved
    scratch: str
    tmpdir: str
    by_python: bool


@dataclass(kw_only=True)
class TaskMaker:
    """Turns jobs into tasks; the part of a run that needs no database and submits nothing.

    Args:
        prepare: Whether this is a run: outputs of earlier ones go, Snakemake has pulled its images.
    """

    workflow: Any
    layers: Layers
    scheduler: Scheduler
    folder: RunFolder
    place: Place
    images: Images
    available: Availability
    runner: Runner | None = None
    warn: Callable[[str], None]
    planned: PlannedTasks | None = None
    pass_env: tuple[str, ...] = ()
    prepare: bool = True
    _serials: Iterator[int] = field(default_factory=itertools.count)
    _warned: set[str] = field(default_factory=set)

    def settle(self, job: Any, *, alone: bool = True) -> Settled:
        """Resolve a job's settings, check its request and name its folders on the node.

        Must come before the job is printed: it gives `resources.tmpdir` its value.

        Args:
            job: Snakemake's job, no group.
            alone: Whether its request is one of its own, to be checked, and no part of a group's.

        Raises:
            HpcctrError: Something that the user wrote cannot be used.
        """
        check_job(self.workflow, job)
        resolved = self.resolve(job)
        self._warn_once(resolved.rule, resolved.warnings)
        if alone:
            self.scheduler.check(resolved.resources)
        scratch = scratch_path(SCRATCH_BASE, self.folder.run_id, next(self._serials))
        tmpdir = bridge.give_tmpdir(job, resolved.tmpdir or own_tmpdir(scratch))
        return Settled(resolved, scratch, tmpdir, needs_runner(self.workflow, job))

    def resolve(self, job: Any) -> Resolved:
        """Return what holds for a job, and who said so.

        Raises:
            ConfigError: A resource cannot be used as it is written.
        """
        return resolve(
            bridge.name_of(job),
            bridge.resources_of(job),
            job.threads,
            self.layers,
            defaulted=bridge.defaulted_resources(self.workflow, job),
        )

    def task_of(self, job: Any, settled: Settled) -> Task:
        """Turn a job into a task: engine, image, command, binds.

        Args:
            job: Snakemake's job, no group.
            settled: What `settle` said of it.

        Raises:
            HpcctrError: Something that the user wrote cannot be used.
            Exception: Whatever Snakemake raises about the job.
        """
        return self.build(job, settled, self.choose(job, settled))

    def fetched(self, job: Any, settled: Settled) -> bool:
        """Take a job's outputs from the between-workflow cache; False if they are not in it.

        Args:
            job: Snakemake's job, no group.
            settled: What `settle` said of it.
        """
        try:
            return finish.fetch_from_cache(self.workflow, job, bridge_groups.seen_from_head(job))
        finally:
            drop_tmpdir(settled.scratch)

    def build(self, job: Any, settled: Settled, chosen: tuple[Image | None, EngineName]) -> Task:
        """Turn a job into a task when its engine is known; from here on its outputs may go.

        Args:
            job: Snakemake's job, no group.
            settled: What `settle` said of it.
            chosen: What `choose` said of it.

        Raises:
            HpcctrError: The engine cannot express what the task asks.
            NothingToRun: A task of a plan that is done without running.
            Exception: Whatever Snakemake raises about the job.
        """
        resolved, (image, engine) = settled.resolved, chosen
        contained, plain = engine != "host", not settled.by_python
        captured = self._captured(job, settled, engine)
        key = bridge.durable_key(job)
        command, more = self._planned_command(job, key, captured.command)
        sources = [*bridge.own_paths(job), *more]
        task = Task(
            key=key,
            rule=resolved.rule,
            wildcards=bridge.wildcards_of(job),
            attempt=job.attempt,
            command=command,
            interpreter=captured.interpreter,
            benchmark=plain and job.benchmark is not None,
            repeats=captured.repeats,
            engine=engine,
            launcher=self._launcher(engine, resolved) if plain else (),
            image=image if contained else None,
            binds=container_binds(self.place, captured, sources, resolved.binds)
            if contained
            else (),
            workdir=bridge.shadow_of(job) or self.place.workdir,
            env=declared_env(captured, job.threads, resolved.env),
            pass_env=(*self.pass_env, *resolved.pass_env),
            clean_env=resolved.clean_env,
            scratch=settled.scratch,
            tmpdir=settled.tmpdir,
            resources=resolved.resources,
            tasks_per_element=resolved.tasks_per_element,
            options=with_apptainer_args(resolved.options, captured.apptainer_args),
            max_parallel=resolved.max_parallel,
            shared=bridge_groups.is_member(job),
            stage=resolved.stage,
        )
        if resolved.local_data and plain:
            task = self._with_local_data(job, task)
        launch(task)  # what the engine cannot express is this job's error, not the whole wave's
        return task

    def _planned_command(self, job: Any, key: str, command: str) -> tuple[str, list[str]]:
        """Return what a job runs, and the paths it needs if it is a task of a plan."""
        if self.planned and not bridge_groups.is_member(job):
            prepared = self.planned.prepared(key, command)
            if prepared:
                return prepared.command, with_targets(prepared.sources)
        return command, []

    def _with_local_data(self, job: Any, task: Task) -> Task:
        others = [*bridge.logs_of(job), *self.place.sources]
        inputs = [os.path.abspath(f) for f in job.input]  # noqa: PTH100 (as in the bridge)
        task, said = with_local_data(task, inputs, bridge.movable_outputs(job), others)
        self._warn_once(task.rule, said)
        return task

    def _launcher(self, engine: EngineName, resolved: Resolved) -> tuple[str, ...]:
        """Return what starts the command once for each process.

        With pyxis that goes without saying: its command line is one of srun's.
        """
        asked = resolved.resources
        if resolved.launcher or resolved.mpi:
            return resolved.launcher
        if engine == "pyxis":
            return () if asked.is_one_process else ("srun",)
        if (asked.nodes or 1) > 1:
            self._warn_once(resolved.rule, (f"it asks for {asked.nodes} nodes, {LONELY}",))
        return ()

    def _captured(self, job: Any, settled: Settled, engine: EngineName) -> Captured:
        """Return the command of a job, whatever its kind: captured here, or the runner's.

        Args:
            job: Snakemake's job, no group.
            settled: What `settle` said of it.
            engine: What starts the container.

        Raises:
            Exception: Whatever Snakemake raises about the job.
        """
        try:
            around = bridge_groups.seen_from_head(job)
            if settled.by_python:
                if self.runner is None:
                    return Captured(command="", interpreter="/bin/sh")
                return self.runner.captured(job, around)
            ways = {"contained": engine != "host", "prepare": self.prepare}
            return capture(self.workflow, job, around=around, **ways)
        finally:
            drop_tmpdir(settled.scratch)

    def choose(self, job: Any, settled: Settled) -> tuple[Image | None, EngineName]:
        """Return the image of a job, ready for use, and its engine.

        Args:
            job: Snakemake's job, no group.
            settled: What `settle` said of it.

        Raises:
            HpcctrError: The image cannot be had, or no node has an engine for it.
        """
        rule, resolved = settled.resolved.rule, settled.resolved
        if settled.by_python:
            self.check_lost_container(job, resolved)
            return None, "host"
        if bridge.brings_containers(job):
            return None, "host"
        sif = self.prepare and any("sif" in ENGINES[name].FORMATS for name in resolved.engines)
        return self.start(bridge.image_of(job, pulled=sif) or resolved.image, rule, resolved)

    def start(
        self, wanted: str | None, rule: str, resolved: Resolved
    ) -> tuple[Image | None, EngineName]:
        """Return the image, ready to be started, and the engine that starts it.

        Args:
            wanted: The image as the user names it; None for no container.
            rule: Name of the rule, for messages.
            resolved: Its settings.

        Raises:
            HpcctrError: No engine is there, or the image cannot be had.
        """
        if wanted is None:
            return None, "host"
        image = parse_reference(resolved.images.get(wanted, wanted), self.place.workdir)
        have = self.available.engines(resolved.engines, resolved.resources)
        engine = choose_engine(resolved.engines, image, have)
        if engine is None:
            raise EngineMissing(
                f"no node of {self.available.where(resolved.resources)} has the engine "
                + " or ".join(resolved.engines),
                where=f"rule {rule}",
                next_step=self.available.advice(have),
            )
        if engine == "host":
            return None, "host"
        return self.images.ready(image, engine), engine

    def check_lost_container(self, job: Any, resolved: Resolved, reason: str = "") -> None:
        """Refuse a job whose container nobody would start, see `lost_container`."""
        said = lost_container(self.workflow, job, resolved, reason)
        self._warn_once(resolved.rule, said)

    def _warn_once(self, rule: str, warnings: tuple[str, ...]) -> None:
        for sentence in warnings:
            text = f"rule {rule}: {sentence}"
            if text not in self._warned:
                self._warned.add(text)
                self.warn(text)
