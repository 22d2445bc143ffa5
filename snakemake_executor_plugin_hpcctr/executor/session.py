"""What exists from the first wave of jobs on: configuration, scheduler, run folder, trace."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.bridge.place import check_shared
from snakemake_executor_plugin_hpcctr.bridge.runner import Runner
from snakemake_executor_plugin_hpcctr.config.layers import default_layers
from snakemake_executor_plugin_hpcctr.executor.availability import Availability
from snakemake_executor_plugin_hpcctr.executor.follow import Follower
from snakemake_executor_plugin_hpcctr.executor.image_work import images_of_run
from snakemake_executor_plugin_hpcctr.executor.live import Registry
from snakemake_executor_plugin_hpcctr.executor.maker import TaskMaker
from snakemake_executor_plugin_hpcctr.executor.planned import PlannedTasks
from snakemake_executor_plugin_hpcctr.executor.submit import Submitter
from snakemake_executor_plugin_hpcctr.executor.tasks import Place
from snakemake_executor_plugin_hpcctr.schedulers import make
from snakemake_executor_plugin_hpcctr.trace.folder import STATE, new_run
from snakemake_executor_plugin_hpcctr.trace.store import Trace

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler

NO_ARRAY = 1


@dataclass(kw_only=True)
class Session(TaskMaker):
    """All parts of a run, wired together; created by `open_session`."""

    planned: PlannedTasks
    runner: Runner
    trace: Trace
    submitter: Submitter
    live: Registry
    follower: Follower
    largest: int

    def close(self, *, keep_scripts: bool) -> None:
        """End the run; its scripts stay if a task failed or the user wants them."""
        failed = any(row.cause != "ok" for row in self.trace.rows(self.folder.run_id))
        self.trace.close()
        if not (keep_scripts or failed):
            self.folder.remove()


def open_session(executor: Any) -> Session:
    """Read the configuration, make the run folder and connect the parts.

    Args:
        executor: Snakemake's executor, which is ours.

    Raises:
        HpcctrError: A configuration file, flag or folder cannot be used.
    """
    workflow, settings, say = executor.workflow, executor.executor_settings, executor.logger
    check_shared(workflow)
    workdir = Path.cwd()
    layers = default_layers(command_line(settings), settings.config, workdir, os.environ)
    settled = layers.settings
    folder = new_run(workdir, _absolute(settled.log_dir, workdir))
    folder.make()
    scheduler = make(settled.scheduler, warn=say.warning)
    trace = Trace(workdir / STATE / "trace.sqlite")
    live = Registry()
    images = images_of_run(layers, scheduler, folder, workdir, strict=settings.locked, say=say.info)
    return Session(
        workflow=workflow,
        layers=layers,
        scheduler=scheduler,
        folder=folder,
        trace=trace,
        place=Place(workdir=str(workdir), sources=bridge.source_folders(workflow)),
        images=images,
        available=Availability(scheduler, workdir / STATE / "engines.json", say.warning),
        submitter=Submitter(scheduler, folder, trace, str(workdir), say.warning, images.work),
        live=live,
        follower=Follower(
            scheduler,
            folder,
            live,
            queue_min_s=max(2.0, settings.poll_min),
            queue_max_s=settings.poll_max,
            late_s=max(5.0, workflow.execution_settings.latency_wait),
        ),
        runner=Runner(
            executor, folder.specs, settled.python or executor.get_python_executable(), say
        ),
        largest=array_limit(settled.array, scheduler),
        warn=say.warning,
        planned=PlannedTasks(say.warning),
        pass_env=tuple(executor.envvars()),
    )


def array_limit(array: str | int, scheduler: Scheduler) -> int:
    """Return how many tasks one submission holds: 1 without arrays, else the smaller limit."""
    if array == "off":
        return NO_ARRAY
    most = scheduler.max_elements()
    return most if array == "auto" else min(int(array), most)


def _absolute(path: Path | None, workdir: Path) -> Path | None:
    return None if path is None else workdir / Path(os.path.expandvars(path)).expanduser()


def command_line(settings: Any) -> dict[str, object]:
    """Return the settings that were given, by the names of hpcctr.yaml."""
    names = ("scheduler", "engine", "python", "image_dir", "binds", "account", "partition", "array")
    more = ("max_parallel", "log_dir", "keep_logs")
    given = {name: getattr(settings, name) for name in (*names, *more)}
    return {name: value for name, value in given.items() if value not in (None, [])}
