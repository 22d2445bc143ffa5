"""Layers of an image → one tar stream, without root and without unpacking them to the disk.

Two passes: the first reads the names of all layers and decides what is visible, the second
copies the content of just that.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.tree import Node, Source, Tree, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

BUFFER = 1 << 20
ZSTD = b"\x28\xb5\x2f\xfd"
#: Number of the layer that holds what we add.
ADDED = -1
EXECUTABLE, PLAIN = 0o755, 0o644
READ_FOLDER, READ_FILE = 0o700, 0o400


@dataclass(frozen=True)
class Merged:
    """The file system that layers make, ready to be written as one tar archive.

    All belongs to root, as in what Apptainer and Enroot build for a user; every file can be read
    by its owner, or nobody but root could unpack it. Devices and extended attributes are left
    out.

    Args:
        layers: Layer archives, the lowest first; gzip, bzip2, xz, zstd or plain.
        tree: What is visible of them.
        contents: Content of the files that were added on top.
    """

    layers: tuple[Path, ...]
    tree: Tree
    contents: tuple[bytes, ...]

    @property
    def latest(self) -> int:
        """Time of the latest file, seconds since 1970."""
        times = (int(node.info.mtime) for _, node in self.tree.walk() if node.info is not None)
        return max(times, default=0)

    def write(self, out: BinaryIO) -> None:
        """Write the archive.

        Raises:
            ImageError: A layer cannot be read.
        """
        wanted = _by_source(self.tree)
        with tarfile.open(
            fileobj=out,
            mode="w|",
            format=tarfile.GNU_FORMAT,
            bufsize=BUFFER,
            errors="surrogateescape",
        ) as merged:
            _write_folders(self.tree, merged)
            for number, (names, node) in wanted.pop(ADDED, {}).items():
                content = self.contents[number]
                merged.addfile(_header(names[0], node, len(content)), io.BytesIO(content))
            for number, layer in enumerate(self.layers):
                if members := wanted.get(number):
                    with _opened(layer) as archive:
                        _copy_members(archive, members, merged)


def merge(layers: Sequence[Path], added: Mapping[str, bytes], folders: Iterable[str]) -> Merged:
    """Decide what of each layer is visible.

    Args:
        layers: As for `Merged`.
        added: Path → content of files on top of them; scripts (`#!`) can be run.
        folders: Folders that must be there, made where no layer has them.

    Raises:
        ImageError: A layer cannot be read.
    """
    tree = Tree()
    for number, path in enumerate(layers):
        with _opened(path) as archive:
            tree.apply(number, archive)
    _add_files(tree, added)
    for folder in folders:
        tree.make_folder(folder)
    return Merged(tuple(layers), tree, tuple(added.values()))


Wanted = dict[int, tuple[list[str], Node]]


def _by_source(tree: Tree) -> dict[int, Wanted]:
    """Return layer → member → its visible names; several names are hard links of one file."""
    wanted: dict[int, Wanted] = {}
    for path, node in tree.walk():
        if node.source is not None and node.info is not None and node.info.isreg():
            members = wanted.setdefault(node.source.layer, {})
            members.setdefault(node.source.member, ([], node))[0].append(path)
    return wanted


def _add_files(tree: Tree, added: Mapping[str, bytes]) -> None:
    for number, (path, content) in enumerate(added.items()):
        info = tarfile.TarInfo(path)
        info.mode = EXECUTABLE if content.startswith(b"#!") else PLAIN
        tree.add(parts_of(path), info, Source(ADDED, number))


def _write_folders(tree: Tree, merged: tarfile.TarFile) -> None:
    """Write folders, links and pipes: what has no content."""
    for path, node in tree.walk():
        if node.children is not None or (node.info is not None and not node.info.isreg()):
            merged.addfile(_header(path, node, 0))


def _copy_members(archive: tarfile.TarFile, members: Wanted, merged: tarfile.TarFile) -> None:
    for number, info in enumerate(archive):
        if number not in members:
            continue
        names, node = members[number]
        merged.addfile(_header(names[0], node, info.size), archive.extractfile(info))
        for name in names[1:]:
            link = _header(name, node, 0)
            link.type, link.linkname = tarfile.LNKTYPE, names[0]
            merged.addfile(link)


def _header(path: str, node: Node, size: int) -> tarfile.TarInfo:
    """Return a header of our own: the layer's may hold attributes, owners and sparse maps."""
    header = tarfile.TarInfo(path)
    header.size = size
    if node.info is None:
        header.type, header.mode = tarfile.DIRTYPE, EXECUTABLE
        return header
    header.mtime = int(node.info.mtime)
    if node.children is not None:
        header.type, header.mode = tarfile.DIRTYPE, node.info.mode | READ_FOLDER
    elif node.info.issym():
        header.type, header.linkname, header.mode = tarfile.SYMTYPE, node.info.linkname, 0o777
    elif node.info.isfifo():
        header.type, header.mode = tarfile.FIFOTYPE, node.info.mode
    else:
        header.mode = node.info.mode | READ_FILE
    return header


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(path.open("rb"))
        if stream.read(4) == ZSTD:
            stream = stack.enter_context(proc.reading(["zstd", "-dcq", path]))
        else:
            stream.seek(0)
        try:
            archive = tarfile.open(  # noqa: SIM115 (the stack closes it)
                fileobj=stream, mode="r|*", bufsize=BUFFER, errors="surrogateescape"
            )
            yield stack.enter_context(archive)
        except (tarfile.TarError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError(
                f"layer {path.name} of the image cannot be read: {error}",
                next_step="the image is damaged in its registry, or packed in a way that is not "
                "known: push it again, e.g. with `skopeo copy`",
            ) from error
