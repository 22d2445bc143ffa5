"""The scheduler `slurm`."""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.schedulers.slurm.scheduler import SlurmScheduler

__all__ = ["SlurmScheduler"]
