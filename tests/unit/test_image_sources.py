from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.reference import parse
from snakemake_executor_plugin_hpcctr.images.sources import _layout

if TYPE_CHECKING:
    from pathlib import Path


def entry(name: str, link: str = "", kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    """Return a file of an archive, or a link."""
    found = tarfile.TarInfo(name)
    if link:
        found.type, found.linkname = kind, link
    return found


def unpacked(folder: Path, *entries: tarfile.TarInfo) -> Path:
    """Return the folder into which an archive of these is unpacked."""
    with tarfile.open(folder / "image.tar", "w") as archive:
        for one in entries:
            archive.addfile(one, io.BytesIO())
    (folder / "work").mkdir()
    return _layout(parse(f"docker-archive:{folder}/image.tar", str(folder)), folder / "work")


def test_links_between_layers_stay(tmp_path: Path) -> None:
    """Docker saves equal layers once and links the others."""
    entries = (entry("a/layer.tar"), entry("b/layer.tar", "../a/layer.tar"), entry("..data"))
    target = unpacked(tmp_path, *entries)
    assert (target / "a/layer.tar").samefile(target / "b/layer.tar")
    assert (target / "..data").is_file()


@pytest.mark.parametrize(
    "entries",
    [
        (entry("../x"),),
        (entry("/x"),),
        (entry("a", "/etc/hosts"),),
        (entry("a", "../x"),),
        (entry("a", "../x", tarfile.LNKTYPE),),
        (entry("a", "."), entry("a/b")),
        (entry("a", "b/.."), entry("b", "."), entry("a")),
        (entry("a", "b/../x"), entry("b", "."), entry("a/x")),
    ],
    ids=lambda entries: " ".join(f"{e.name}>{e.linkname}" for e in entries),
)
def test_nothing_leaves_the_folder(tmp_path: Path, entries: tuple[tarfile.TarInfo, ...]) -> None:
    """What an archive names outside of itself, through links too, is refused in words."""
    with pytest.raises(ImageError, match="points out of the archive"):
        unpacked(tmp_path, *entries)
    assert {"image.tar", "work"} == {path.name for path in tmp_path.iterdir()}
