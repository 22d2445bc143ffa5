"""An image of hpcctr.yaml that is built: another one, with packages and files added."""

from __future__ import annotations

from pydantic import Field

from snakemake_executor_plugin_hpcctr.task import Frozen


class Recipe(Frozen):
    """What an image is made of.

    Args:
        base: Image reference that it begins with.
        apt: Debian packages.
        pip: Python packages, as pip takes them.
        conda: Packages of conda-forge.
        files: Absolute path here → absolute path in the image.
    """

    base: str
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
