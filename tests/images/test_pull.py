from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.images.pull import Puller
from snakemake_executor_plugin_hpcctr.images.reference import parse
from snakemake_executor_plugin_hpcctr.images.squashfs import read_file
from snakemake_executor_plugin_hpcctr.images.store import Store
from tests.images.registry import LoopbackRegistry, Member, folder, layer, write_layout

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.images.store import Entry


def pull(store: Path, reference: str, said: list[str] | None = None) -> Entry:
    """Pull an image into a store."""
    puller = Puller(Store(store, (said if said is not None else []).append), {})
    parsed = parse(reference, "/")
    return puller.pull(parsed, puller.resolve(parsed))


def listing(image: Path) -> dict[str, str]:
    """Return path → mode of what is in a squashfs."""
    done = proc.run(["unsquashfs", "-lln", image])
    lines = [line.split(None, 5) for line in done.out.splitlines() if "squashfs-root/" in line]
    return {f[5].removeprefix("squashfs-root/"): f[0] for f in lines}


def test_an_image_is_pulled_once(tmp_path: Path, tiny: str) -> None:
    """The second pull asks nobody and says nothing."""
    said: list[str] = []
    first = pull(tmp_path / "store", tiny, said)
    count = len(said)
    assert first == pull(tmp_path / "store", tiny, said)
    assert count == len(said)
    assert ["image.json", "image.sqsh"] == sorted(
        path.name for path in (tmp_path / "store/images" / first.key).iterdir()
    )
    assert not any((tmp_path / "store/blobs").iterdir())
    assert not any((tmp_path / "store/tmp").iterdir())


def test_layers_become_what_docker_would_show(tmp_path: Path, registry: LoopbackRegistry) -> None:
    """Whiteouts, opaque folders, replaced files, links and odd names end as in a container."""
    lower = layer(
        [
            folder("keep"),
            Member("keep/a", b"lower"),
            Member("keep/gone", b"x"),
            folder("hidden"),
            Member("hidden/old", b"x"),
            Member("hard", b"content"),
            Member("link-to-hard", kind=tarfile.LNKTYPE, link="hard"),
            folder("usr/bin"),
            Member("bin", kind=tarfile.SYMTYPE, link="usr/bin"),
            folder("becomes-file"),
            Member("becomes-file/x", b"x"),
            Member("null", kind=tarfile.CHRTYPE),
        ]
    )
    upper = layer(
        [
            Member("keep/.wh.gone"),
            Member("keep/a", b"upper"),
            folder("hidden"),
            Member("hidden/.wh..wh..opq"),
            Member("hidden/new", b"x"),
            Member("hard", b"replaced"),
            Member("bin/tool", b"#!/bin/sh\n", mode=0o755),
            Member("becomes-file", b"file"),
            Member("a space", b"x"),
            Member("line\nbreak", b"x"),
            Member("bytes-\udcff", b"x"),
            Member("back\\slash", b"x"),
            Member("-dash", b"x"),
            Member("l" * 200 + "/" + "m" * 200, b"x"),
            Member("secret", b"x", mode=0o000),
            Member("../../escape", b"x"),
        ]
    )
    reference = registry.push(write_layout(tmp_path / "oci", [lower, upper]), "odd:1")
    image = tmp_path / "store/images" / pull(tmp_path / "store", reference).key / "image.sqsh"
    root = tmp_path / "root"
    proc.run(["unsquashfs", "-q", "-n", "-d", root, image])
    assert "upper" == (root / "keep/a").read_text()
    assert not (root / "keep/gone").exists()
    assert ["new"] == [path.name for path in (root / "hidden").iterdir()]
    assert "replaced" == (root / "hard").read_text()
    assert "content" == (root / "link-to-hard").read_text()
    assert (root / "usr/bin/tool").stat().st_mode & 0o111
    assert (root / "bin").is_symlink()
    assert (root / "becomes-file").is_file()
    assert not (root / "null").exists()
    for name in ("a space", "line\nbreak", "bytes-\udcff", "back\\slash", "-dash", "escape"):
        assert (root / name).is_file(), name
    assert (root / ("l" * 200) / ("m" * 200)).is_file()
    assert (root / "secret").stat().st_mode & 0o400


def test_the_same_image_is_the_same_file_everywhere(tmp_path: Path, tiny: str) -> None:
    """Two stores that pull one digest hold equal bytes."""
    one, other = (pull(tmp_path / name, tiny) for name in ("a", "b"))
    assert one.formats["sqsh"].sha256 == other.formats["sqsh"].sha256


def test_the_image_s_configuration_is_kept_for_every_engine(tmp_path: Path, tiny: str) -> None:
    """Enroot's and Apptainer's own files carry variables, entry point and labels."""
    entry = pull(tmp_path / "store", tiny)
    image = tmp_path / "store/images" / entry.key / "image.sqsh"
    assert "/srv/work" == entry.config.workdir
    assert "FROM_IMAGE=it's $HOME\n" in (read_file(image, "etc/environment") or "")
    assert "cd /srv/work" in (read_file(image, "etc/rc") or "")
    script = read_file(image, ".singularity.d/env/10-docker2singularity.sh") or ""
    done = proc.run(["sh", "-c", f'{script}\nprintf %s "$LINES"'])
    assert "one\ntwo" == done.out
    assert "tiny" in (read_file(image, ".singularity.d/labels.json") or "")


@pytest.mark.parametrize("program", ["apptainer", "enroot"])
def test_each_engine_starts_it_with_the_image_s_variables(
    tmp_path: Path, tiny: str, program: str, request: pytest.FixtureRequest
) -> None:
    """The one squashfs serves Apptainer and Enroot, by hand as well, entry point included."""
    request.getfixturevalue(program)
    entry = pull(tmp_path / "store", tiny)
    image = tmp_path / "store/images" / entry.key / "image.sqsh"
    words = {"apptainer": ["apptainer", "-q", "run"], "enroot": ["enroot", "start"]}[program]
    done = proc.run([*words, image, "sh", "-c", 'echo "$QUOTES"'])
    assert done.ok, done.err
    assert "entry point: sh -c" in done.out
    assert "two words" in done.out
