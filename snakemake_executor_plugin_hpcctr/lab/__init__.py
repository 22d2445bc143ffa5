"""A real, throw-away Slurm on one machine, for trying things out and for tests."""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.lab.cluster import Lab, LabStatus
from snakemake_executor_plugin_hpcctr.lab.conf import LabSettings

__all__ = ["Lab", "LabSettings", "LabStatus"]
