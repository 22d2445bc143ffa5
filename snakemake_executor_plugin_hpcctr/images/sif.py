"""SIF files: where the root file system is in them (SIF specification, version 1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.squashfs import check_squashfs

if TYPE_CHECKING:
    from pathlib import Path

#: launch script, magic, version, architecture, uuid, two times, then numbers of descriptors
#: (free, total) and offsets and lengths of descriptors and data.
_HEADER = struct.Struct("<32s10s3s3s16s8q")
#: type, in use, ids of descriptor, group and link, offset, size, size with padding, two times,
#: two owners, name, extra.
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_MAGIC = b"SIF_MAGIC\0"
_PARTITION = 0x4004
_SQUASHFS, _PRIMARY = 1, 2
_KIND = struct.Struct("<ii3s")
ARCHITECTURES = {b"01\0": "386", b"02\0": "amd64", b"04\0": "arm64", b"06\0": "ppc64le"}
DAMAGED = "copy or pull it again; a full disk or a broken transfer is the usual cause"


@dataclass(frozen=True)
class Partition:
    """The root file system in a SIF, a squashfs.

    Args:
        offset: First byte.
        size: Bytes.
        architecture: Machines that it is for, `amd64` …; "" if that is not known.
    """

    offset: int
    size: int
    architecture: str = ""


def root_partition(path: Path) -> Partition:
    """Return where the root file system is, and check that all of it is there.

    Raises:
        ImageError: No SIF, cut short, encrypted, or without a squashfs.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEADER.size)
        if len(head) < _HEADER.size or not head[32:].startswith(_MAGIC):
            raise ImageError(f"{path} is no SIF", next_step=f"look at it with `file {path}`")
        fields = _HEADER.unpack(head)
        total, offset = fields[8], fields[9]
        stream.seek(offset)
        table = stream.read(total * _DESCRIPTOR.size)
    for start in range(0, len(table) - _DESCRIPTOR.size + 1, _DESCRIPTOR.size):
        entry = _DESCRIPTOR.unpack_from(table, start)
        kind, role, machine = _KIND.unpack_from(entry[13])
        if entry[0] == _PARTITION and entry[1] and role == _PRIMARY:
            if kind != _SQUASHFS:
                raise ImageError(
                    f"the root file system of {path} is no plain squashfs (encrypted, or a folder)",
                    next_step="only the engine apptainer can start it",
                )
            found = Partition(entry[5], entry[6], ARCHITECTURES.get(machine, ""))
            here = max(0, min(found.size, path.stat().st_size - found.offset))
            check_squashfs(path, offset=found.offset, length=here)
            return found
    raise ImageError(f"{path} is a damaged SIF: it names no root file system", next_step=DAMAGED)
