from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.images.progress import Progress, duration, size
from snakemake_executor_plugin_hpcctr.images.tree import Tree, parts_of

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
KINDS = st.sampled_from(["file", "folder", "remove"])
LAYERS = st.lists(st.lists(st.tuples(KINDS, PATHS), max_size=6), max_size=4)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a member of a layer."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def tree_of(*layers: list[tarfile.TarInfo]) -> dict[str, tuple[int, int] | None]:
    """Return path → layer and member of each file; None for what has no content."""
    tree = Tree()
    for number, members in enumerate(layers):
        tree.apply(number, members)
    return {
        path: (node.source.layer, node.source.member) if node.source else None
        for path, node in tree.walk()
    }


def clear(path: Path) -> None:
    """Remove whatever is at a path."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def apply_to_disk(root: Path, number: int, layer: list[tuple[str, str]]) -> None:
    """Do what a layer says to a real folder, in the plainest way."""
    for kind, path in layer:
        if kind == "remove" and (root / path).parent.is_dir():
            clear(root / path)
    for index, (kind, path) in enumerate(layer):
        *parents, name = path.split("/")
        folder = root
        for part in () if kind == "remove" else parents if kind == "file" else (*parents, name):
            folder /= part
            if not folder.is_dir():
                clear(folder)
                folder.mkdir()
        if kind == "file":
            clear(root / path)
            (root / path).write_text(f"{number}.{index}")


@given(LAYERS)
def test_layers_make_what_they_would_make_on_a_disk(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[tuple[str, str]]]
) -> None:
    """Files, folders and whiteouts in any order end as if each layer were unpacked on the last."""
    root = tmp_path_factory.mktemp("root")
    members = []
    for number, layer in enumerate(layers):
        apply_to_disk(root, number, layer)
        members.append([as_member(kind, path) for kind, path in layer])
    on_disk = {
        str(path.relative_to(root)): None if path.is_dir() else path.read_text()
        for path in root.rglob("*")
    }
    found = {
        path: None if source is None else f"{source[0]}.{source[1]}"
        for path, source in tree_of(*members).items()
    }
    assert on_disk == found


def as_member(kind: str, path: str) -> tarfile.TarInfo:
    """Return the member that says so in a layer."""
    if kind == "remove":
        folder, _, name = path.rpartition("/")
        return member(f"{folder}/.wh.{name}")
    return member(path, tarfile.DIRTYPE if kind == "folder" else tarfile.REGTYPE)


def test_a_path_through_a_link_of_a_lower_layer_is_followed_within_the_image() -> None:
    """An absolute link means the image's root, and a circle of links ends."""
    lower = [
        member("usr/bin/x"),
        member("bin", tarfile.SYMTYPE, "/usr/bin"),
        member("up", tarfile.SYMTYPE, "../../usr"),
        member("loop", tarfile.SYMTYPE, "loop"),
    ]
    found = tree_of(lower, [member("bin/x"), member("up/y"), member("loop/z")])
    assert (1, 0) == found["usr/bin/x"]
    assert (1, 1) == found["usr/y"]


def test_hard_links_share_the_content_of_their_target() -> None:
    """Also where the target was replaced in a later layer, or is a link itself."""
    lower = [
        member("a"),
        member("b", tarfile.LNKTYPE, "a"),
        member("c", tarfile.LNKTYPE, "./b"),
        member("d", tarfile.LNKTYPE, "missing"),
    ]
    assert {"a": (1, 0), "b": (0, 0), "c": (0, 0)} == tree_of(lower, [member("a")])


@pytest.mark.parametrize("path", ["../x", "/../../x", "a/../../x", "./x", "//x"])
def test_no_path_leads_out_of_the_image(path: str) -> None:
    """`..` ends at the image's root."""
    assert ["x"] == parts_of(path)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (8.9e9, "8.9 GB")]
)
def test_sizes_are_short(count: float, text: str) -> None:
    """Powers of 1000, one digit behind the point."""
    assert text == size(count)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (12, "12 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    """The two largest units."""
    assert text == duration(seconds)


def test_progress_says_how_much_how_fast_and_how_long() -> None:
    """Bytes that were there already don't count for the speed."""
    said: list[str] = []
    progress = Progress("x", 4000, said.append, every_s=0.0)
    progress.had(1000)
    progress.add(1000)
    assert 1 == len(said)
    assert said[0].startswith("x: 2.0 kB of 4.0 kB, ")
    assert progress.text(progress._started + 10) == "2.0 kB of 4.0 kB, 100 B/s, 20 s left"
