"""Files of a folder that several users and hosts share: whole or not there, and with its rights."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.progress import size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 22
FULL = (errno.ENOSPC, errno.EDQUOT)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; in one that a group may write, it may there, too.

    Raises:
        OSError: A folder cannot be made.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
        rights = stat.S_IMODE(path.parent.stat().st_mode) & (stat.S_IWGRP | stat.S_ISGID)
        if rights & stat.S_IWGRP:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | rights | stat.S_IRWXG)


def share(path: Path) -> None:
    """Give a file the rights that its folder gives: read for all who may, write for the group."""
    folder = stat.S_IMODE(path.parent.stat().st_mode)
    rights = stat.S_IRUSR | stat.S_IWUSR
    rights |= stat.S_IRGRP if folder & stat.S_IRGRP else 0
    rights |= stat.S_IWGRP if folder & stat.S_IWGRP else 0
    rights |= stat.S_IROTH if folder & stat.S_IROTH else 0
    with suppress(PermissionError):
        path.chmod(rights)


def publish(part: Path, target: Path) -> None:
    """Put a finished file in its place; what it holds is on the disk before its name is."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    share(target)


def write_text(path: Path, text: str) -> None:
    """Write a small file; a reader sees the old text or the new one."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    share(path)


def identity_of(path: Path) -> str:
    """Return what changes when a file does: size and time."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def sha256_of(path: Path) -> str:
    """Return `sha256:…` of a file's content."""
    checksum = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum.update(chunk)
    return f"sha256:{checksum.hexdigest()}"


def free_bytes(folder: Path) -> int:
    """Return how much a user may still write to the file system of a folder."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    status = os.statvfs(there)
    return status.f_bavail * status.f_frsize


@contextmanager
def told_if_full(folder: Path, doing: str) -> Iterator[None]:
    """Turn the system's errors about a folder into words.

    Raises:
        ImageError: No space, no quota, no permission, or another error of the file system.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ImageError(
                f"{doing}: no space left in {folder} ({size(free_bytes(folder))} free)",
                next_step="free some (`hpcctr images prune` shows what can go; a quota may be "
                "the limit, see `quota -s`), or name another folder in `image_dir`",
            ) from error
        if error.filename is None:
            raise
        raise ImageError(
            f"{doing}: {error.filename}: {error.strerror}",
            next_step="check the permissions of the image folder: `hpcctr images where` names it; "
            "a shared one needs `chmod g+rwxs`",
        ) from error
