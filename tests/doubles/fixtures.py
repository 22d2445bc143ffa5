"""What tests share that use the doubles: `pytest_plugins = ["tests.doubles.fixtures"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import CommandError
from tests.doubles.image import build_image
from tests.doubles.search import engines_path, is_double

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["engines_path", "is_double", "tiny_image", "tiny_registry_image"]


@pytest.fixture(scope="session")
def tiny_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a squashfs image of this machine's shell and a handful of programs."""
    return _build(tmp_path_factory, registry=False)


@pytest.fixture(scope="session")
def tiny_registry_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same, with an entry point, a folder and variables, as a registry's images have."""
    return _build(tmp_path_factory, registry=True)


def _build(folders: pytest.TempPathFactory, *, registry: bool) -> Path:
    try:
        return build_image(folders.mktemp("image") / "tiny.sqsh", registry=registry)
    except CommandError as error:
        pytest.skip(str(error))
