"""What a user names on the command line: a rule's job, a job of Slurm, or an image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.cli.workflow import Selected, preview
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.config.layers import Layers
    from snakemake_executor_plugin_hpcctr.executor.preview import Preview
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import Running


@dataclass(frozen=True)
class Target:
    """What to start.

    Args:
        what: Name of a rule, id of a job, or an image reference.
        wildcards: Which of the rule's jobs.
        workflow: The workflow.
        given: Resources in place of the rule's own.
        is_image: Whether it can only be an image.
    """

    what: str
    wildcards: Mapping[str, str]
    workflow: Selected
    given: Mapping[str, str]
    is_image: bool = False

    def find(self, *, here: bool) -> tuple[Preview, Running | None]:
        """Return it, ready to be started, and the running job to join if one was named.

        Args:
            here: Whether it is to be started on this machine.

        Raises:
            HpcctrError: There is no such thing, or it cannot be started.
        """
        from snakemake_executor_plugin_hpcctr.executor.preview import (  # noqa: PLC0415 (start-up time)
            Purpose,
            preview_image,
        )
        from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import JOB  # noqa: PLC0415 (start-up time)

        purpose = Purpose(output.note, run=True, here=here)
        folder = (self.workflow.directory or Path()).absolute()
        layers = _layers(folder)
        if self.is_image or _is_image(self.what, layers):
            os.chdir(folder)
            return preview_image(self.what, self.given, purpose, layers), None
        rule, key, running = self.what, "", None
        if JOB.fullmatch(self.what):
            rule, key = _task_of_job(self.what, folder)
            running = None if here else _running(self.what)
        found = preview(rule, self.wildcards, self.workflow, self.given, purpose, key)
        return found, running


def _layers(folder: Path) -> Layers:
    from snakemake_executor_plugin_hpcctr.config.layers import default_layers  # noqa: PLC0415 (start-up time)

    return default_layers({}, None, folder, os.environ)


def _is_image(what: str, layers: Layers) -> bool:
    from snakemake_executor_plugin_hpcctr.config.texts import is_image_file  # noqa: PLC0415 (start-up time)

    return "://" in what or is_image_file(what) or what in layers.images


def _task_of_job(element: str, folder: Path) -> tuple[str, str]:
    """Return the rule and the durable key of the task that ran as a job."""
    from snakemake_executor_plugin_hpcctr.trace.folder import STATE  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.trace.store import Trace  # noqa: PLC0415 (start-up time)

    file = folder / STATE / "trace.sqlite"
    for row in reversed(Trace(file).rows() if file.exists() else []):
        if row.element == element:
            return row.rule, row.key
    raise ConfigError(
        f"no task of {folder} ran as job {element}",
        next_step="`hpcctr status --json` lists the tasks with their jobs, as `element`",
    )


def _running(element: str) -> Running | None:
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.attach import find_running  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.environ import clean  # noqa: PLC0415 (start-up time)

    running = find_running(Commands(clean(os.environ)), element)
    if running is None:
        output.note(f"job {element} does not run now: a job of its own is started for the shell")
    return running
