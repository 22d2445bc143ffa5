"""The environment in which Slurm's commands run, and which a job inherits.

The head process may itself run in a Slurm job. What describes that job (SLURM_MEM_PER_NODE,
SLURM_JOB_ID …) would become part of each request, or of each task's world; what describes the
cluster stays.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.task import Resources

#: How to reach the cluster.
CLUSTER = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT"})

#: A user's own defaults for sbatch(1), by the field of the request that overrides them: sbatch
#: prefers these variables to the lines in a batch file.
DEFAULTS = {
    "SBATCH_ACCOUNT": "account",
    "SBATCH_PARTITION": "partition",
    "SBATCH_QOS": "qos",
    "SBATCH_RESERVATION": "reservation",
    "SBATCH_CONSTRAINT": "constraint",
    "SBATCH_CLUSTERS": "clusters",
    "SLURM_CLUSTERS": "clusters",
}

JOB_SCOPED = re.compile(r"(SLURM|SLURMD|SBATCH|SRUN|SALLOC|PMI|PMIX|PMIX2)_.*")
#: A user's habits, e.g. SQUEUE_STATES or SCANCEL_INTERACTIVE, would change what we are told.
HABITS = re.compile(r"(SQUEUE|SINFO|SACCT|SCANCEL|SCONTROL)_.*")
GPU_SCOPED = frozenset({"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"})


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what describes a surrounding job, and without habits."""
    inside = "SLURM_JOB_ID" in environ
    return {
        name: value
        for name, value in environ.items()
        if name in CLUSTER
        or name in DEFAULTS
        or not (
            JOB_SCOPED.fullmatch(name) or HABITS.fullmatch(name) or (inside and name in GPU_SCOPED)
        )
    }


def for_submission(environ: Mapping[str, str], resources: Resources) -> dict[str, str]:
    """Return the clean environment without defaults that would override the request."""
    return {
        name: value
        for name, value in environ.items()
        if name not in DEFAULTS or getattr(resources, DEFAULTS[name]) is None
    }
