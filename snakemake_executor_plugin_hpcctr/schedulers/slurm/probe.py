"""A short question to a node, by srun(1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.slurm.request import gpus_value

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.proc import Completed
    from snakemake_executor_plugin_hpcctr.task import Resources

UNKNOWN_NAME = re.compile(
    r"[Ii]nvalid partition|Invalid account|Invalid qos|Invalid feature|reservation is invalid"
    r"|No cluster .* known"
)


def srun_argv(resources: Resources, script: str, within_s: float) -> list[str]:
    """Return the command that runs a POSIX shell script on one CPU of a free node."""
    gpu = resources.gpu
    one_gpu = None if gpu is None else gpu.model_copy(update={"count": 1})
    given = [
        ("immediate", max(1, round(within_s))),
        ("job-name", "hpcctr-probe"),
        ("nodes", 1),
        ("ntasks", 1),
        ("cpus-per-task", 1),
        ("mem", "200M"),
        ("time", 2),
        ("chdir", "/"),
        ("mpi", "none"),
        ("input", "none"),
        ("clusters", resources.clusters),
        ("partition", resources.partition),
        ("account", resources.account),
        ("qos", resources.qos),
        ("reservation", resources.reservation),
        ("constraint", resources.constraint),
        ("gpus", gpus_value(one_gpu)),
    ]
    options = [f"--{name}={value}" for name, value in given if value is not None]
    return ["srun", "--quiet", *options, "/bin/sh", "-c", script]


def has_unknown_name(done: Completed) -> bool:
    """Tell whether srun refused a name; other refusals may hold for so small a request only."""
    return UNKNOWN_NAME.search(done.err) is not None
