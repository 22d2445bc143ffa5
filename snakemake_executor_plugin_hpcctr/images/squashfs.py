"""Squashfs files: written from a tar stream, checked, looked into (squashfs-tools)."""

from __future__ import annotations

import functools
import os
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = b"hsqs"
#: Byte of the superblock where its own length stands, a little-endian 64-bit number.
BYTES_USED = 40
SUPERBLOCK = 96
INSTALL = "install squashfs-tools; every Apptainer and Enroot needs them, so a node may have them"
TIMEOUT_S = 4 * 3600.0
#: zstd at level 3: 0.9 s for an image of 215 MB on two cores, level 15 takes 23 s of CPU time for
#: 12 % less; read by all three engines.
FAST = ("-comp", "zstd", "-Xcompression-level", "3")


def write_squashfs(write_tar: Callable[[BinaryIO], None], target: Path, latest: int) -> None:
    """Write a squashfs from a tar archive that `write_tar` writes.

    Before release 4.5 mksquashfs reads folders only: the archive is unpacked beside the target.

    Args:
        write_tar: Writes the archive.
        target: The new file.
        latest: Time of the latest file in it: what mksquashfs would date by its own clock (the
            root, the whole) gets this, so that the same archive gives the same bytes.

    Raises:
        ImageError: No squashfs-tools, or no space.
    """
    if not _reads_tar():
        _unpack_and_pack(write_tar, target)
        return
    argv: list[str | Path] = [
        "mksquashfs",
        "-",
        target,
        "-tar",
        "-noappend",
        *compression(),
        *("-root-mode", "755", "-all-root", "-no-xattrs", "-quiet", "-no-progress"),
        *("-processors", str(len(os.sched_getaffinity(0)))),
    ]
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(latest)}
    _check(proc.feed(argv, write_tar, env=env), target)


def _unpack_and_pack(write_tar: Callable[[BinaryIO], None], target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".root-") as name:
        argv = ["tar", "--extract", "--no-same-owner", "--preserve-permissions", "-C", name]
        _check(proc.feed(argv, write_tar), target)
        pack(Path(name), target)


def pack(folder: Path, target: Path) -> None:
    """Write a squashfs of a folder.

    Raises:
        ImageError: No squashfs-tools, no space, or files that we cannot read.
    """
    argv: list[str | Path] = [
        "mksquashfs",
        folder,
        target,
        "-noappend",
        *compression(),
        *_no_clock(),
    ]
    argv += ["-all-root", "-no-xattrs", "-quiet", "-no-progress"]
    _check(proc.run(argv, timeout_s=TIMEOUT_S), target)


def unpack(image: Path, folder: Path, *, offset: int = 0) -> None:
    """Unpack a squashfs into a folder that does not exist yet; devices are left out.

    Raises:
        ImageError: No squashfs-tools, no space, or a damaged image.
    """
    argv: list[str | Path] = [
        "unsquashfs",
        "-no-progress",
        "-no-xattrs",
        "-offset",
        str(offset),
        "-d",
        folder,
        image,
    ]
    done = proc.run(argv, timeout_s=TIMEOUT_S)
    # Without root, devices cannot be made: unsquashfs says so and ends with 2.
    if not done.ok and not (done.code == 2 and folder.exists()):  # noqa: PLR2004 (as said)
        raise _error(done, f"cannot unpack {image}")


def read_file(image: Path, path: str, *, offset: int = 0) -> str | None:
    """Return a text file of a squashfs, or None if it is not there.

    Raises:
        ImageError: No squashfs-tools.
    """
    done = proc.run(["unsquashfs", "-offset", str(offset), "-cat", image, path], timeout_s=60)
    if done.code == proc.NOT_FOUND:
        raise _error(done, f"cannot look into {image}")
    return done.out if done.ok else None


def check_squashfs(image: Path, *, offset: int = 0, length: int | None = None) -> None:
    """Check that a squashfs is whole, by the length that it says itself.

    Args:
        image: The file.
        offset: Where it begins in the file.
        length: Bytes that are there; None for all of the file from `offset` on.

    Raises:
        ImageError: It is no squashfs, or cut short.
    """
    with image.open("rb") as stream:
        stream.seek(offset)
        head = stream.read(SUPERBLOCK)
    here = image.stat().st_size - offset if length is None else length
    if len(head) < SUPERBLOCK or not head.startswith(MAGIC):
        raise ImageError(f"{image} holds no squashfs", next_step=f"look at it with `file {image}`")
    (used,) = struct.unpack_from("<Q", head, BYTES_USED)
    if used > here:
        raise ImageError(
            f"{image} is cut short: {here} of {used} bytes are there",
            next_step="copy or pull it again; a full disk or a broken transfer is the usual cause",
        )


def compression() -> tuple[str, ...]:
    """Return the flags for zstd, or none (gzip) where mksquashfs was built without it."""
    return FAST if "zstd" in _help() else ()


def _no_clock() -> tuple[str, ...]:
    """Return flags by which a folder of the same files gives the same bytes at any time."""
    return ("-mkfs-time", "0") if "-mkfs-time" in _help() else ()


def _reads_tar() -> bool:
    return "-tar" in _help() or not _help()


@functools.cache
def _help() -> str:
    done = proc.run(["mksquashfs", "-help"])
    return "" if done.code == proc.NOT_FOUND else done.out + done.err


def _check(done: proc.Completed, target: Path) -> None:
    if not done.ok:
        target.unlink(missing_ok=True)
        raise _error(done, f"cannot write {target}")


def _error(done: proc.Completed, what: str) -> ImageError:
    said = done.err + done.out
    if done.code == proc.NOT_FOUND:
        return ImageError(f"{what}: `{done.argv[0]}` is not installed", next_step=INSTALL)
    if "No space left" in said or "Disk quota" in said:
        return ImageError(
            f"{what}: no space left",
            next_step="free some (`hpcctr images prune` shows what can go), or name a folder with "
            "more in `image_dir`",
        )
    return ImageError(str(done.error(what).what))
