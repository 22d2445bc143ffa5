"""Pulls as jobs of the scheduler, where a login node forbids heavy work."""

from __future__ import annotations

import os
import secrets
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import files
from snakemake_executor_plugin_hpcctr.schedulers.base import ElementState, Submission
from snakemake_executor_plugin_hpcctr.script.quote import exports, quote, words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import Resources

#: Name under which `rules:` of hpcctr.yaml can say what such a job asks for.
RULE = "hpcctr_images"
LOOK_S = 1.0
QUEUE_S = 10.0
#: How long a file may take to become visible after the job's end.
LATE_S = 30.0
CPUS, MEM_MB, RUNTIME_MIN = 2, 4000, 240


@dataclass(frozen=True)
class NodePuller:
    """Makes images in jobs.

    Args:
        scheduler: Runs them.
        resources: What each asks for.
        workdir: Absolute; where they start.
        store: Absolute folder of the image store.
        logs: Absolute folder for what they say.
        say: Takes a sentence.
    """

    scheduler: Scheduler
    resources: Resources
    workdir: Path
    store: Path
    logs: Path
    say: Callable[[str], None]

    def make(self, reference: str, target: Path) -> None:
        """Make an image on a node, and wait until its file is there.

        Args:
            reference: With a digest if it comes from a registry.
            target: The file.

        Raises:
            SubmitError: The scheduler refuses the job.
            ImageError: It failed; has the last lines that it said.
        """
        token = secrets.token_hex(4)
        log = self.logs / f"image.{token}.log"
        result, script, batch = (self.logs / f"image.{token}.{s}" for s in ("end", "sh", "batch"))
        files.make_folder(self.logs)
        files.write_text(script, render_job(reference, self.store, log, result))
        submission = Submission(
            name="hpcctr-image",
            tag=f"hpcctr:image:{token}",
            resources=self.resources,
            scripts=(str(script),),
            logs=(str(log),),
            workdir=str(self.workdir),
            batch_file=str(batch),
        )
        (element,) = self.scheduler.submit(submission)
        self.say(f"{reference} is made by job {element}, log: {log}")
        try:
            self._wait(reference, element, target, result, log)
        finally:
            for path in (result, script, batch):
                path.unlink(missing_ok=True)

    def _wait(self, reference: str, element: str, target: Path, result: Path, log: Path) -> None:
        ended_since, ask_at = 0.0, time.monotonic() + QUEUE_S
        while not (target.exists() and result.exists()):
            time.sleep(LOOK_S)
            now = time.monotonic()
            if not ended_since and now >= ask_at:
                ask_at = now + QUEUE_S
                queued = self.scheduler.queue([element])
                there = None if queued is None else queued.get(element)
                if queued is not None and (there is None or there.state is ElementState.ENDED):
                    ended_since = now
            failed = result.exists() and result.read_text().strip() not in {"", "0"}
            if failed or (ended_since and now - ended_since > LATE_S):
                raise ImageError(
                    f"job {element} could not make {reference}:\n{_tail(log)}",
                    next_step=f"its log is {log}; more memory or time for it stand in hpcctr.yaml: "
                    f"`rules: {{{RULE}: {{mem: 8GB, runtime: 12h}}}}`",
                )


def job_resources(asked: Resources) -> Resources:
    """Return the request of such a job: what the configuration says, else modest numbers."""
    return asked.model_copy(
        update={
            "cpus_per_task": max(asked.cpus_per_task, CPUS),
            "mem_mb": asked.mem_mb if asked.mem_mb or asked.mem_mb_per_cpu else MEM_MB,
            "runtime_min": asked.runtime_min or RUNTIME_MIN,
            "gpu": None,
        }
    )


def render_job(reference: str, store: Path, log: Path, result: Path) -> str:
    """Return the script of the job: this Python and this hpcctr, from the shared file system."""
    paths = {n: v for n in ("PYTHONPATH", "PATH") if (v := os.environ.get(n))}
    command = [sys.executable, "-m", "snakemake_executor_plugin_hpcctr.cli", "images", "pull"]
    return (
        f"#!/bin/bash\n# hpcctr makes an image\n{exports(paths)}"
        f"{words([*command, reference, '--image-dir', str(store)])} >>{quote(str(log))} 2>&1\n"
        f"echo $? >{quote(str(result))}\n"
    )


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "(it left no log)"
    return "\n".join(lines[-10:])
