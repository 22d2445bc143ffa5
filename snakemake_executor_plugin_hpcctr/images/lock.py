"""`hpcctr.lock`: which content each image reference of a workflow stands for."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationError

from snakemake_executor_plugin_hpcctr.errors import ConfigError, ImageError
from snakemake_executor_plugin_hpcctr.images.oci import Digest  # noqa: TC001 (pydantic reads it)
from snakemake_executor_plugin_hpcctr.task import Frozen

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = "hpcctr.lock"
RELOCK = "run `hpcctr images lock` if this is what you want, and commit hpcctr.lock"


class Platform(Frozen):
    """A reference's image for one architecture.

    Args:
        manifest: Digest of its manifest; the hash of the file for an image that is a file.
        size: Bytes to transfer, or of the file.
        files: Format → hash of the file that was made of it. The same manifest gives the same
            file with the same release of mksquashfs.
    """

    manifest: Digest
    size: int = 0
    files: dict[str, str] = Field(default_factory=dict)


class Locked(Frozen):
    """What a reference stands for.

    Args:
        digest: What its tag named: `docker://…@DIGEST` is the same image for ever.
        locked: When, in UTC.
        platforms: Architecture → image.
    """

    digest: Digest
    locked: str
    platforms: dict[str, Platform] = Field(default_factory=dict)


class Lock(Frozen):
    """A whole hpcctr.lock.

    Args:
        version: Of the file's form.
        images: Reference, without a user's own spelling → what it stands for. Paths are
            relative to the file where they are below it.
    """

    version: Literal[1] = 1
    images: dict[str, Locked] = Field(default_factory=dict)

    def with_image(self, name: str, new: Locked) -> Lock:
        """Return the lock with one image set; other architectures of the same digest stay."""
        old = self.images.get(name)
        if old is not None and old.digest == new.digest:
            new = new.model_copy(
                update={"platforms": {**old.platforms, **new.platforms}, "locked": old.locked}
            )
        return Lock(images=dict(sorted({**self.images, name: new}.items())))


def read_lock(file: Path) -> Lock | None:
    """Read a lock file; None if there is none.

    Raises:
        ConfigError: It cannot be read as one.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    try:
        return Lock.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"it is no lock file of hpcctr: {place + ': ' if place else ''}{first['msg']}",
            where=str(file),
            next_step="merge conflicts are a usual cause; take one side, then run "
            "`hpcctr images lock`",
        ) from None


def render_lock(lock: Lock) -> str:
    """Return the text of a lock file: sorted, one value a line, so that it merges well."""
    return json.dumps(lock.model_dump(), indent=2) + "\n"


def lock_name(path: str, folder: str) -> str:
    """Return how a file stands in a lock file: relative where it is below the workflow."""
    inside = path.startswith(folder.rstrip("/") + "/")
    return posixpath.relpath(path, folder) if inside else path


def not_locked(reference: str) -> ImageError:
    """Return the error about an image that the lock file does not name."""
    return ImageError(f"{reference} is not in hpcctr.lock", next_step=RELOCK)


def changed(reference: str, locked: str, found: str) -> ImageError:
    """Return the error about an image whose content is not what was locked."""
    return ImageError(
        f"{reference} is {found or 'of unknown content'}, and hpcctr.lock has {locked}",
        next_step=f"get the image of that digest back, or {RELOCK}",
    )
