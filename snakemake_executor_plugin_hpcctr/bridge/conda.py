"""Conda environments in a container: who made them decides where their conda is."""

from __future__ import annotations

import os
from typing import Any


def lend_host_conda(arguments: dict[str, Any], image: str) -> tuple[str, ...]:
    """Let a command in a container activate an environment that was made on this host.

    Without `--sdm apptainer` Snakemake makes environments outside of containers, so the conda
    that activates them is this host's, too.

    Args:
        arguments: Those of Snakemake's `run_wrapper`.
        image: What stands for the image there.

    Returns:
        Folders that the container must see: conda itself and the environment.
    """
    from snakemake.deployment.conda import Conda  # noqa: PLC0415 (start-up time)

    host = Conda(prefix_path=arguments["conda_base_path"])
    Conda.instances[image] = host
    return (host.prefix_path, *environment_folders(arguments))


def environment_folders(arguments: dict[str, Any]) -> tuple[str, ...]:
    """Return the folder of a job's environment, unless it is one that only a name tells."""
    address = arguments["conda_env"]
    return (address,) if os.path.isdir(address) else ()  # noqa: PTH112 (Snakemake's string)
