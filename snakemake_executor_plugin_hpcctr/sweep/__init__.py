"""Parameter sweeps: sweep.yaml → trials → parts of a Snakemake workflow. Submits nothing.

In a Snakefile: `from snakemake_executor_plugin_hpcctr.sweep import Sweep`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep

__all__ = ["Sweep"]


def __getattr__(name: str) -> Any:
    if name == "Sweep":
        from snakemake_executor_plugin_hpcctr.sweep.snakefile import Sweep  # noqa: PLC0415 (the bridge needs `naming` only)

        return Sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
