"""Registries on loopback, and images in them, for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.doubles.image import build_root
from tests.images.registry import LoopbackRegistry, Member, folder, layer, need, write_layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = {
    "Env": [
        "PATH=/opt/image/bin:/usr/bin",
        "FROM_IMAGE=it's $HOME",
        'QUOTES="two words"',
        "LINES=one\ntwo",
    ],
    "Entrypoint": ["sh", "-c", 'echo "entry point: $*"; exec "$@"', "sh"],
    "Cmd": ["true"],
    "WorkingDir": "/srv/work",
    "Labels": {"org.example.title": "tiny"},
}


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackRegistry]:
    """Return a registry that everybody may use."""
    found = LoopbackRegistry(tmp_path_factory.mktemp("registry"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def closed_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackRegistry]:
    """Return a registry that wants a login."""
    found = LoopbackRegistry(tmp_path_factory.mktemp("closed"), {"anna": "s3cr3t"})
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def tiny_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image with a shell and what images of registries have, as an OCI layout."""
    need("mksquashfs", "unsquashfs")
    folders = tmp_path_factory.mktemp("layout")
    build_root(folders / "root")
    upper = [
        folder("srv/work"),
        Member("etc/.wh.in-the-image"),
        Member("etc/in-a-layer", b"yes\n"),
    ]
    return write_layout(folders / "oci", [layer((), folders / "root"), layer(upper)], CONFIG)


@pytest.fixture(scope="session")
def tiny(registry: LoopbackRegistry, tiny_layout: Path) -> str:
    """Return the reference of that image in the registry."""
    return registry.push(tiny_layout, "team/tiny:1", docker=True)
