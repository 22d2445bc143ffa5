"""The image store: pulled and converted images by their content, small JSON files as its index.

    blobs/KEY/DIGEST          an image's layers under way, not shared; removed once it is made
    images/KEY/image.sqsh     the image; image.sif beside it where one was asked for
    images/KEY/image.json     Entry: configuration, size, hash of each file
    images/KEY/uses/HASH.json Use: a workflow that runs with it
    refs/NAME.json            Tagged: what a tag named when it was pulled
    files/NAME.json           Hashed: the hash of a user's own file
    locks/, tmp/              work under way

KEY is the digest of the image's manifest, or of what it was made from. Nothing is ever changed
in place, so readers need no lock.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import secrets
import shutil
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field, ValidationError

from snakemake_executor_plugin_hpcctr.images import files
from snakemake_executor_plugin_hpcctr.images.lease import Owner, lease
from snakemake_executor_plugin_hpcctr.images.oci import Config, Digest, machine
from snakemake_executor_plugin_hpcctr.task import Frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: A use is noted again after so many seconds.
USE_EVERY_S = 3600.0
_Model = TypeVar("_Model", bound=Frozen)


class FileInfo(Frozen):
    """One file of an image. Sizes in bytes, times in seconds since 1970."""

    size: int
    sha256: str
    made: float


class Entry(Frozen):
    """What the store knows of an image.

    Args:
        key: Its folder.
        reference: As it was first pulled.
        digest: Of its manifest, or of the file for what has no manifest.
        config: What the image says of itself.
        transferred: Bytes that were pulled for it.
        made: When.
        by: `user@host`.
        formats: Its files, by suffix.
    """

    key: str
    reference: str
    digest: str
    config: Config = Config()
    transferred: int = 0
    made: float = 0.0
    by: str = ""
    formats: dict[str, FileInfo] = Field(default_factory=dict)


class Hashed(Frozen):
    """The hash of a file outside the store, as long as size and time are the same."""

    path: str
    identity: str
    sha256: str


class Tagged(Frozen):
    """What a reference named when it was looked up.

    Args:
        reference: The reference's location.
        digest: What the tag named: an index or a manifest. It can be pinned with `@`.
        manifest: Digest of the manifest for this machine; the image's key.
        seen: When.
    """

    reference: str
    digest: Digest
    manifest: Digest
    seen: float = 0.0


class Use(Frozen):
    """A workflow that runs with an image."""

    workdir: str
    user: str
    last: float


@dataclass(frozen=True)
class Store:
    """A folder of images.

    Args:
        path: Absolute; on a file system that head and nodes share.
        say: Where progress goes, one sentence at a time.
    """

    path: Path
    say: Callable[[str], None]

    def folder(self, key: str) -> Path:
        """Return the folder of an image."""
        return self.path / "images" / key

    def file(self, key: str, suffix: str) -> Path:
        """Return the path of one of its files, there or not."""
        return self.folder(key) / f"image.{suffix}"

    def blobs(self, key: str) -> Path:
        """Return the folder of an image's layers under way, which its lock guards."""
        return self.path / "blobs" / key

    def entry(self, key: str) -> Entry | None:
        """Return what is known of an image, or None."""
        return _read(self.folder(key) / "image.json", Entry)

    def entries(self) -> list[Entry]:
        """Return all images, the newest first."""
        with suppress(OSError):
            folders = list((self.path / "images").iterdir())
            found = [(folder.name, self.entry(folder.name)) for folder in folders]
            entries = [entry for key, entry in found if entry and entry.key == key]
            return sorted(entries, key=lambda entry: entry.made, reverse=True)
        return []

    def has(self, key: str, suffix: str) -> bool:
        """Whether an image has a file of this format."""
        return self.file(key, suffix).exists()

    def finished(self, key: str) -> Entry | None:
        """Return what is known of an image whose squashfs is there, or None."""
        return self.entry(key) if self.has(key, "sqsh") else None

    def tagged(self, location: str) -> Tagged | None:
        """Return what a reference named when it was last looked up on such a machine."""
        return _read(self._reference_file(location), Tagged)

    def all_tagged(self) -> list[Tagged]:
        """Return all references that were looked up."""
        found = (_read(path, Tagged) for path in sorted((self.path / "refs").glob("*.json")))
        return [tagged for tagged in found if tagged]

    def remember(self, tagged: Tagged) -> None:
        """Note what a reference names."""
        files.write_text(
            self._reference_file(tagged.reference), tagged.model_dump_json(indent=1) + "\n"
        )

    def forget(self, location: str) -> None:
        """Drop the note of a reference."""
        self._reference_file(location).unlink(missing_ok=True)

    def _reference_file(self, location: str) -> Path:
        return self.path / "refs" / f"{file_stem(location)}.{machine()}.json"

    @contextmanager
    def making(self, key: str, what: str) -> Iterator[Path]:
        """Hold the lock of an image; gives an empty folder that is removed at the end.

        What an attempt that was killed has left in it is removed first; layers stay.
        """

        def tell(owner: Owner) -> None:
            self.say(f"{what} is being made by {owner}: waiting for it")

        folder = self.path / "tmp" / key
        with (
            files.told_if_full(self.path, f"cannot make {what}"),
            lease(self.path / "locks" / f"{key}.lock", tell),
        ):
            shutil.rmtree(folder, ignore_errors=True)
            files.make_folder(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def working(self, name: str) -> Iterator[Path]:
        """Give an empty folder of its own, removed at the end."""
        folder = self.path / "tmp" / f"{name}-{secrets.token_hex(4)}"
        with files.told_if_full(self.path, f"cannot {name}"):
            files.make_folder(folder)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def add(self, entry: Entry, suffix: str, part: Path) -> Entry:
        """Publish a finished file of an image, then the note of it."""
        target = self.file(entry.key, suffix)
        files.make_folder(target.parent)
        info = FileInfo(size=part.stat().st_size, sha256=files.sha256_of(part), made=time.time())
        known = self.entry(entry.key)
        formats = {**(known.formats if known else {}), suffix: info}
        first = known or entry
        added = first.model_copy(
            update={
                "formats": formats,
                "digest": first.digest or info.sha256,
                "made": first.made or info.made,
                "by": first.by or f"{getpass.getuser()}@{socket.gethostname()}",
            }
        )
        files.publish(part, target)
        files.write_text(self.folder(entry.key) / "image.json", added.model_dump_json(indent=1))
        return added

    def hash_of(self, path: Path) -> str:
        """Return `sha256:…` of a file; read again only if its size or time has changed."""
        identity = files.identity_of(path)
        note = self.path / "files" / f"{file_stem(str(path))}.json"
        known = _read(note, Hashed)
        if known is not None and (known.path, known.identity) == (str(path), identity):
            return known.sha256
        found = Hashed(path=str(path), identity=identity, sha256=files.sha256_of(path))
        with suppress(OSError):
            files.write_text(note, found.model_dump_json(indent=1) + "\n")
        return found.sha256

    def used(self, key: str, workdir: str) -> None:
        """Note that a workflow runs with an image; quietly nothing in a store we cannot write."""
        name = hashlib.sha256(workdir.encode(errors="surrogateescape")).hexdigest()[:16]
        file = self.folder(key) / "uses" / f"{name}.json"
        with suppress(OSError):
            if file.exists() and time.time() - file.stat().st_mtime < USE_EVERY_S:
                return
            use = Use(workdir=workdir, user=getpass.getuser(), last=time.time())
            files.write_text(file, use.model_dump_json() + "\n")

    def uses(self, key: str) -> list[Use]:
        """Return the workflows that ran with an image, the latest first."""
        found = (_read(file, Use) for file in (self.folder(key) / "uses").glob("*.json"))
        return sorted((use for use in found if use), key=lambda use: use.last, reverse=True)

    def remove(self, key: str) -> None:
        """Remove an image, its note first, so that nobody finds half of it."""
        (self.folder(key) / "image.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder(key), ignore_errors=True)


def _read(path: Path, model: type[_Model]) -> _Model | None:
    """Read a note; None if it is missing or of a later release."""
    with suppress(OSError, ValidationError):
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    return None


def key_of(digest: str) -> str:
    """Return the folder name of an image by its digest."""
    return digest.replace(":", "-")


def file_stem(location: str) -> str:
    """Return a file name for a reference: readable, and unique by a short hash."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "+", location.partition("://")[2] or location)[-150:]
    digest = hashlib.sha256(location.encode(errors="surrogateescape")).hexdigest()
    return f"{readable.strip('+')}-{digest[:8]}"
