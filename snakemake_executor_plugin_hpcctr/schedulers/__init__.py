"""What runs submissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.schedulers.local import LocalScheduler
from snakemake_executor_plugin_hpcctr.schedulers.slurm import SlurmScheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler

SCHEDULERS = ("slurm", "local")


def make(
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Scheduler:
    """Return the scheduler of a name.

    Args:
        name: One of SCHEDULERS.
        environ: Environment of its commands and of the tasks; ours if None.
        warn: Takes a sentence that the user should see; the log's warnings if None.

    Raises:
        ConfigError: There is none of that name.
    """
    if name == "slurm":
        return SlurmScheduler(environ, warn)
    if name == "local":
        return LocalScheduler(environ, warn)
    hint = did_you_mean(name, SCHEDULERS)
    raise ConfigError(
        f"there is no scheduler {name!r}",
        next_step=f"{hint} known: {', '.join(SCHEDULERS)}".strip(),
    )
