"""How a run gets its images: from which store, made where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.layers import resolve
from snakemake_executor_plugin_hpcctr.images.background import Background
from snakemake_executor_plugin_hpcctr.images.provide import open_provider
from snakemake_executor_plugin_hpcctr.images.remote import RULE, NodePuller, job_resources
from snakemake_executor_plugin_hpcctr.trace.folder import STATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.config.layers import General, Layers
    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder


def image_folder(settled: General, workdir: Path) -> Path:
    """Return the absolute folder for pulled images."""
    if settled.image_dir is None:
        return workdir / STATE / "images"
    return workdir / Path(os.path.expandvars(settled.image_dir)).expanduser()


def images_of_run(
    layers: Layers,
    scheduler: Scheduler,
    folder: RunFolder,
    workdir: Path,
    *,
    strict: bool,
    say: Callable[[str], None],
) -> Background:
    """Return what gives the tasks of a run their images.

    Args:
        layers: All settings.
        scheduler: Runs the jobs that make images, where that is wanted.
        folder: Of the run.
        workdir: Absolute; its hpcctr.lock counts.
        strict: Refuse what the lock does not name.
        say: Where progress goes.

    Raises:
        ConfigError: The lock file cannot be read, or is missing and must be there.
    """
    store = image_folder(layers.settings, workdir)
    provider = open_provider(store, workdir, say, strict=strict, recipes=layers.recipes)
    if layers.settings.image_build_on == "head" or scheduler.name != "slurm":
        return Background(provider)
    resources = job_resources(resolve(RULE, {}, 1, layers).resources)
    logs = folder.logs / RULE
    return Background(provider, NodePuller(scheduler, resources, workdir, store, logs, say))
