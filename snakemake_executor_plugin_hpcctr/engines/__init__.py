"""Container engines: one pure module each, Task → Launch.

A new engine is a module with NAME, PROBE and launch() (see base.Engine), a line in ENGINES,
and a row in tests/conformance.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines import apptainer, enroot, host, pyxis
from snakemake_executor_plugin_hpcctr.engines.step import launcher_argv
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.engines.base import Engine, Launch
    from snakemake_executor_plugin_hpcctr.task import EngineName, Task

ENGINES: dict[EngineName, Engine] = {
    "apptainer": apptainer,
    "enroot": enroot,
    "pyxis": pyxis,
    "host": host,
}


def check_texts(task: Task) -> None:
    """Refuse the one character that no shell, argument or variable can carry.

    Raises:
        ConfigError: A NUL in the command, a variable or a bind.
    """
    texts = {
        "the command": "".join((task.command, *task.repeats)),
        **{f"the variable {name}": value for name, value in task.env.items()},
        "a bind": "".join(map(str, task.binds)),
    }
    if name := next((name for name, text in texts.items() if "\0" in text), None):
        raise ConfigError(
            f"{name} holds a NUL character, which no program can be given",
            next_step="look for `\\0` in a text of the Snakefile: Python makes one character of "
            "it; write `\\\\0` for a backslash and a zero",
        )


def launch(task: Task) -> Launch:
    """Return how the task's engine starts it.

    Raises:
        ConfigError: A NUL in a text.
        EngineError: The engine cannot express a bind, path or option of the task.
        ImageError: The engine cannot start an image of this format.
    """
    check_texts(task)
    start = ENGINES[task.engine].launch(task)
    if task.engine == "pyxis":  # its own command line begins with srun
        return start
    return replace(start, launcher=launcher_argv(task))
