"""The image folder: registry images pulled once, under a lock, published by a rename."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.engines.pyxis import enroot_spelling
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.task import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.task import EngineName, ImageFormat

PULL_TIMEOUT_S = 4 * 3600.0
MAGIC: tuple[tuple[bytes, int, ImageFormat], ...] = (
    (b"SIF_MAGIC", 32, "sif"),
    (b"hsqs", 0, "sqsh"),
)


@dataclass(frozen=True)
class ImageFolder:
    """Pulled images of one place.

    Args:
        path: Absolute folder that head and nodes share.
        say: Where progress goes, one sentence at a time.
    """

    path: Path
    say: Callable[[str], None]

    def ready(self, image: Image, engine: EngineName) -> Image:
        """Return the image as a file that `engine` can start, pulled if it comes from a registry.

        Raises:
            ImageError: A missing or damaged file, or a pull that failed.
        """
        if image.format == "container":
            return image
        if image.format != "registry":
            return check_file(image)
        wanted: ImageFormat = "sif" if engine == "apptainer" else "sqsh"
        target = self.path / f"{file_stem(image.location)}.{wanted}"
        if not target.exists():
            self._pull(image, target)
        return Image(
            reference=image.reference,
            location=str(target),
            format=wanted,
            identity=_identity(target),
        )

    def _pull(self, image: Image, target: Path) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if target.exists():
                return
            self.say(f"Pulling {image.reference} to {target}")
            part = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
            argv = pull_argv(image.location, part)
            try:
                done = proc.run(argv, timeout_s=PULL_TIMEOUT_S)
                if not done.ok:
                    raise ImageError(
                        str(done.error(f"cannot pull {image.reference}").what),
                        next_step="check the spelling of the reference, the network of this "
                        "host and the registry's credentials; or pull it elsewhere and name "
                        "the file",
                    )
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)


def pull_argv(location: str, target: Path) -> list[str]:
    """Return the command that fetches a registry image into a file, by the file's suffix."""
    if target.suffix == ".sif":
        program = "apptainer" if proc.find_program("apptainer") else "singularity"
        return [program, "--quiet", "pull", str(target), location]
    return ["enroot", "import", "--output", str(target), enroot_spelling(location)]


def file_stem(location: str) -> str:
    """Return a file name for a reference: readable, and unique by a short hash."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "+", location.partition("://")[2])
    return f"{readable}-{hashlib.sha256(location.encode()).hexdigest()[:8]}"


def check_file(image: Image) -> Image:
    """Return the image with its identity, and its format corrected by what is in the file.

    Raises:
        ImageError: It is missing, unreadable, or neither a SIF nor a squashfs.
    """
    path = Path(image.location)
    if not os.path.exists(path):  # noqa: PTH110 (Path.exists raises in a folder closed to us)
        raise ImageError(
            f"image {image.reference} does not exist (looked for {path})",
            next_step="check the path and the permissions of its folders, or make the image; a "
            "relative path counts from the working directory of the workflow",
        )
    if path.is_dir():
        return image.model_copy(update={"format": "directory"})
    found = _magic(path)
    if found is None:
        raise ImageError(
            f"{image.reference} is neither a SIF nor a squashfs image",
            next_step=f"look at it with `file {path}`; a copy that was cut short or an error "
            "page saved under that name are common",
        )
    return image.model_copy(update={"format": found, "identity": _identity(path)})


def _magic(path: Path) -> ImageFormat | None:
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise ImageError(
            f"image {path} cannot be read: {error.strerror}",
            next_step=f"ask its owner for read permission (`chmod a+r {path}`)",
        ) from error
    for magic, offset, image_format in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return image_format
    return None


def _identity(path: Path) -> str:
    status = os.stat(path)  # noqa: PTH116 (one system call, both values)
    return f"{status.st_size}-{status.st_mtime_ns}"
