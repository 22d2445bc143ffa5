"""The scheduler `local`: the same scripts on this machine."""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.schedulers.local.scheduler import LocalScheduler

__all__ = ["LocalScheduler"]
