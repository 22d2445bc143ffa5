"""Snakemake executor plugin `hpcctr`: container pipelines on Slurm.

Snakemake imports every installed plugin at each start, so these three names are all there is,
and each is loaded when it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.executor.executor import Executor
    from snakemake_executor_plugin_hpcctr.executor.settings import ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


def __getattr__(name: str) -> Any:
    if name == "Executor":
        from snakemake_executor_plugin_hpcctr.executor.executor import Executor  # noqa: PLC0415 (lazy by design)

        return Executor
    if name in {"ExecutorSettings", "common_settings"}:
        from snakemake_executor_plugin_hpcctr.executor import settings  # noqa: PLC0415 (lazy by design)

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
