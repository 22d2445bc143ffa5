"""Which engines of this machine are real, and a PATH on which the doubles stand in for the rest.

For `pytest_plugins = ["tests.doubles.fixtures"]`; the functions can be used without pytest.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError
from tests.doubles.image import build_image

FOLDER = Path(__file__).parent / "path"
ENGINES = ("pyxis", "enroot")


def double_path(*engines: str) -> str:
    """Return a PATH with the doubles of these engines before everything else."""
    return ":".join([*(str(FOLDER / engine) for engine in engines), real_path()])


def real_path() -> str:
    """Return PATH without the doubles."""
    folders = os.environ.get("PATH", os.defpath).split(":")
    return ":".join(folder for folder in folders if FOLDER not in Path(folder).parents)


def real_program(engine: str) -> str | None:
    """Return the path of the real program: `enroot`, or an `srun` that knows pyxis's options.

    Which srun knows them depends on SLURM_CONF: the plugin belongs to a cluster.
    """
    if engine == "enroot":
        return shutil.which("enroot", path=real_path())
    srun = shutil.which("srun", path=real_path())
    if srun is None or "--container-image" not in proc.run([srun, "--help"]).out:
        return None
    return srun


def is_double(engine: str) -> bool:
    """Say whether the engine on engines_path() is a double; Apptainer never is."""
    return engine in ENGINES and real_program(engine) is None


def engines_path() -> str:
    """Return PATH, the doubles before it for those engines only that are not really there."""
    return double_path(*(engine for engine in ENGINES if is_double(engine)))


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
