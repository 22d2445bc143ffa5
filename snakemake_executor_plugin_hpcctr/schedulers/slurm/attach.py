"""A program on a compute node, in front of the user: srun(1) with our own streams."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.slurm.environ import clean, for_submission
from snakemake_executor_plugin_hpcctr.schedulers.slurm.request import request_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands
    from snakemake_executor_plugin_hpcctr.task import Resources

#: An element of ours or a job of Slurm, with the cluster's name if it is not the one at hand.
JOB = re.compile(r"(?P<plain>\d+(_\d+)?)(;(?P<cluster>\S+))?")
#: squeue's options for a job's own number and its state.
RUNNING_FORMAT = ("-h", "-o", "%A|%T")


@dataclass(frozen=True)
class Running:
    """A job that runs now.

    Args:
        job: Its own number; an element of an array has one, too.
        cluster: Where; "" for the cluster at hand.
    """

    job: str
    cluster: str = ""


def attach_argv(
    resources: Resources,
    argv: Sequence[str],
    *,
    name: str,
    terminal: bool,
    inside: Running | None,
) -> list[str]:
    """Return the command that runs a program in a job of its own, or inside a running one.

    Args:
        resources: The request; one task on one node is asked for, whatever it says of tasks.
        argv: The program.
        name: Name of the job, or of the step.
        terminal: Whether the program gets a terminal.
        inside: The running job that it joins; the request then does not count.
    """
    options = [f"--job-name={name}", "--export=ALL"]
    if inside is None:
        single = {"nodes": 1, "tasks": 1, "tasks_per_node": None, "tasks_per_gpu": None}
        options += request_options(resources.model_copy(update=single))
        options += resources.extra
    else:
        options += [f"--clusters={inside.cluster}"] if inside.cluster else []
        options += [f"--jobid={inside.job}", "--overlap", "--nodes=1", "--ntasks=1"]
    return ["srun", *options, *(["--pty"] if terminal else []), *argv]


def attach_environ(environ: Mapping[str, str], resources: Resources) -> dict[str, str]:
    """Return the environment of such a command: without that of a job around us."""
    return for_submission(clean(environ), resources)


def find_running(commands: Commands, element: str) -> Running | None:
    """Return the job of an element if it runs now; None if it waits, has ended or is unknown."""
    found = JOB.fullmatch(element)
    if found is None:
        return None
    cluster = found["cluster"] or ""
    done = commands.ask(["squeue", *RUNNING_FORMAT, "-j", found["plain"]], cluster=cluster)
    for line in done.out.splitlines() if done.ok else ():
        job, _, state = line.strip().partition("|")
        if state == "RUNNING":
            return Running(job, cluster)
    return None
