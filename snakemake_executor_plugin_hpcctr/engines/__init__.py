"""Container engines: one pure module each, Task → Launch.

A new engine is a module with NAME, PROBE and launch() (see base.Engine), a line in ENGINES,
and a row in tests/conformance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines import apptainer, enroot, host, pyxis
from snakemake_executor_plugin_hpcctr.engines.step import launcher_argv

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.engines.base import Engine, Launch
    from snakemake_executor_plugin_hpcctr.task import EngineName, Task

ENGINES: dict[EngineName, Engine] = {
    "apptainer": apptainer,
    "enroot": enroot,
    "pyxis": pyxis,
    "host": host,
}


def launch(task: Task) -> Launch:
    """Return how the task's engine starts it.

    Raises:
        EngineError: The engine cannot express a bind, path or option of the task.
        ImageError: The engine cannot start an image of this format.
    """
    start = ENGINES[task.engine].launch(task)
    if task.engine == "pyxis":  # its own command line begins with srun
        return start
    return replace(start, launcher=launcher_argv(task))
