"""A small image to try engines with: Debian, Python and numpy, as .sqsh and as .sif."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError
from snakemake_executor_plugin_hpcctr.lab import packages
from snakemake_executor_plugin_hpcctr.lab.apt import machine_mirror, this_distribution

CONTENT = ("python3", "python3-numpy", "procps")
#: Another release than most machines run, so that it shows whether a command ran inside.
DEBIAN = "trixie"
BUILD_S = 1800.0


@dataclass(frozen=True)
class BaseImage:
    """The image in both formats; `sif` is there only where Apptainer is."""

    sif: Path
    sqsh: Path


def build_base_image(directory: Path) -> BaseImage:
    """Build `base.sqsh` and, where Apptainer is installed, `base.sif`; what is there stays.

    Raises:
        CommandError: No root, a program is missing, or a step failed.
    """
    image = BaseImage(directory / "base.sif", directory / "base.sqsh")
    apptainer = proc.find_program("apptainer")
    wanted = [image.sqsh, *([image.sif] if apptainer else [])]
    if all(path.exists() for path in wanted):
        return image
    packages.require(packages.IMAGES)
    _require_root(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(directory / ".lock"),
        tempfile.TemporaryDirectory(dir=directory, prefix=".build-") as work,
    ):
        if not all(path.exists() for path in wanted):  # another process may have built them
            _build(Path(work), image, apptainer)
    return image


def _build(work: Path, image: BaseImage, apptainer: str | None) -> None:
    root = work / "root"
    _make_root(root)
    part = work / "base.sqsh"
    _step(_squash(root, part), part, image.sqsh)
    if apptainer:
        part = work / "base.sif"
        _step([apptainer, "-q", "build", "--userns", part, root], part, image.sif)


def _require_root(directory: Path) -> None:
    if os.geteuid() != 0:
        raise CommandError(
            "only root can build the base image, whose files belong to root",
            next_step=f"run `sudo hpcctr lab image --dir {directory}`; afterwards everybody can "
            "use the images",
        )


def _make_root(root: Path) -> None:
    """Unpack the packages, then make it fit for all: readable, and without device nodes."""
    here = this_distribution()
    suite = DEBIAN if here.name == "debian" else here.codename
    include = f"--include={','.join(CONTENT)}"
    done = proc.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", include, suite, root, machine_mirror()],
        timeout_s=BUILD_S,
    )
    if not done.ok:
        raise done.error("the base image could not be put together")
    shutil.rmtree(root / "dev")
    (root / "dev").mkdir()
    proc.run(["chmod", "-R", "a+rX", root])


def _squash(root: Path, target: Path) -> list[str | Path]:
    return ["mksquashfs", root, target, "-comp", "zstd", "-noappend", "-quiet", "-no-progress"]


def _step(argv: list[str | Path], part: Path, target: Path) -> None:
    """Run a command that writes `part`, then put it in its place at once."""
    done = proc.run(argv, timeout_s=BUILD_S)
    if not done.ok:
        raise done.error(f"`{target.name}` could not be built")
    part.chmod(0o644)
    part.replace(target)
