"""A real registry on loopback, and images for it that are made here: no network, no root."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import socket
import subprocess
import tarfile
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.images.oci import machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PATIENCE_S = 20.0
#: Debian's package of each program.
PACKAGES = {
    "docker-registry": "docker-registry",
    "skopeo": "skopeo",
    "mksquashfs": "squashfs-tools",
    "unsquashfs": "squashfs-tools",
}
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def need(*programs: str) -> None:
    """Skip the test where a program is not installed; names its package."""
    for program in programs:
        if proc.find_program(program) is None:
            pytest.skip(f"`{program}` is not installed: Debian has it in {PACKAGES[program]}")


@dataclass
class LoopbackRegistry:
    """docker-registry on a free port; ended by `stop`.

    Args:
        folder: Its files.
        users: Name → password; without any, everybody may read and write.
    """

    folder: Path
    users: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Host and port as in a reference."""
        return f"localhost:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        need("docker-registry", "skopeo")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        config = self.folder / "config.yml"
        config.write_text(json.dumps(self._config()))
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [proc.find_program("docker-registry") or "", "serve", config],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": f"127.0.0.1:{self.port}"},
        }
        if self.users:
            passwords = self.folder / "htpasswd"
            passwords.write_text("".join(f"{u}:{_bcrypt(u, p)}\n" for u, p in self.users.items()))
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(passwords)}}
        return config

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def push(self, layout: Path, name: str, *, docker: bool = False) -> str:
        """Push an OCI layout as `NAME:TAG`; return the whole reference.

        Args:
            layout: Made by `write_layout`.
            name: Repository and tag.
            docker: With a manifest of Docker's kind, the only one that `enroot import` takes.
        """
        target = f"docker://{self.host}/{name}"
        login = [f"--dest-creds={user}:{word}" for user, word in self.users.items()][:1]
        kind = "v2s2" if docker else "oci"
        argv = ["skopeo", "--insecure-policy", "copy", "--all", "--format", kind, *login]
        done = proc.run([*argv, "--dest-tls-verify=false", f"oci:{layout}:it", target])
        assert done.ok, done.err
        return target


def _bcrypt(user: str, password: str) -> str:
    done = proc.run(["htpasswd", "-nbB", user, password])
    if not done.ok:
        pytest.skip("`htpasswd` is not installed: Debian has it in apache2-utils")
    return done.out.strip().partition(":")[2]


@dataclass(frozen=True)
class Member:
    """One member of a layer."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644


def folder(name: str, mode: int = 0o755) -> Member:
    """Return a folder of a layer."""
    return Member(name, kind=tarfile.DIRTYPE, mode=mode)


def layer(members: Sequence[Member], root: Path | None = None) -> bytes:
    """Return a layer archive of a folder's files and of single members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as archive:
        if root is not None:
            archive.add(root, arcname=".")
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = member.kind, member.link, member.mode
            info.size, info.mtime = len(member.content), 1_700_000_000
            archive.addfile(info, io.BytesIO(member.content))
    return out.getvalue()


@dataclass
class Layout:
    """An OCI layout under way: a folder of blobs.

    Args:
        path: The folder.
    """

    path: Path

    def blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Add a blob; return its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        target = self.path / "blobs/sha256" / digest
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def json(self, content: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        """Add a JSON document; return its descriptor."""
        return self.blob(json.dumps(content).encode(), media_type)

    def image(
        self, layers: Sequence[bytes], config: Mapping[str, Any], architecture: str = ""
    ) -> dict[str, Any]:
        """Add an image; return the descriptor of its manifest."""
        diffs = ["sha256:" + hashlib.sha256(content).hexdigest() for content in layers]
        document = {
            "architecture": architecture or machine(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diffs},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(document, CONFIG),
            "layers": [self.blob(gzip.compress(content, 1), LAYER) for content in layers],
        }
        where = {"architecture": document["architecture"], "os": "linux"}
        return {**self.json(manifest, MANIFEST), "platform": where}

    def index(self, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Add an index of several images; return its descriptor."""
        content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(images)}
        return self.json(content, INDEX)

    def finish(self, descriptor: Mapping[str, Any]) -> Path:
        """Name an image or index `it`; return the folder."""
        entry = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": "it"}}
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.path / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [entry]})
        )
        return self.path


def write_layout(
    path: Path, layers: Sequence[bytes], config: Mapping[str, Any] | None = None
) -> Path:
    """Write an OCI layout with one image."""
    layout = Layout(path)
    return layout.finish(layout.image(layers, config or {}))


def other_architecture() -> str:
    """Return an architecture that this machine does not have."""
    return "arm64" if platform.machine() != "aarch64" else "amd64"
