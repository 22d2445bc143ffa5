"""Which engines of this machine are real, and a PATH on which doubles stand in for the rest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from snakemake_executor_plugin_hpcctr import proc

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
