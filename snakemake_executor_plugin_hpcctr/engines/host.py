"""Engine `host`: the plain command, in no container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines.base import Launch

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import EngineName, ImageFormat, Task

NAME: EngineName = "host"
FORMATS: tuple[ImageFormat, ...] = ("sif", "sqsh", "directory", "registry", "container")
PROBE: tuple[str, ...] = ("true",)


def launch(task: Task) -> Launch:  # noqa: ARG001 (the protocol's signature)
    """Return an empty launch: the command runs as it is."""
    return Launch(argv=(), contained=False)
