"""The documents of a registry: manifests, indexes and image configurations, as values.

Media types and fields are those of the OCI image specification 1.1 and of Docker's schema 2.
"""

from __future__ import annotations

import json
import platform
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.task import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = "sha256:[0-9a-f]{64}"
#: Digests name files and folders of the store: anything else in their place could lead out of it.
Digest = Annotated[str, Field(pattern=f"^{DIGEST}$")]
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
#: What `uname -m` says → the registry's name.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386"}


class Blob(Frozen):
    """Something that a registry keeps under its digest."""

    digest: Digest
    size: int
    media_type: str = ""


class Config(Frozen):
    """What an image says of itself. Empty where it says nothing.

    Args:
        env: Names and values, in the image's order.
        entrypoint: Words before the command of `docker run`.
        cmd: The command of `docker run` where none is given.
        workdir: Folder in which it starts.
        user: User that it was made for.
        labels: Labels.
        architecture: `amd64`, `arm64` …
        created: When it was built, as the image says.
    """

    env: dict[str, str] = Field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    architecture: str = ""
    created: str = ""


class Manifest(Frozen):
    """One image for one architecture.

    Args:
        digest: Of the manifest itself.
        config: The blob with the image's configuration.
        layers: Its layers, the lowest first.
    """

    digest: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """Bytes to transfer."""
        return self.config.size + sum(layer.size for layer in self.layers)


class Variant(Frozen):
    """One line of an index: the image for an architecture."""

    digest: Digest
    architecture: str


def machine() -> str:
    """Return this machine's architecture by the registries' name."""
    here = platform.machine()
    return ARCHITECTURES.get(here, here)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what reading a document that is not as specified raises into words.

    Raises:
        ImageError: The document has no such field, or something else in it.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ImageError(
            f"the image's manifest or configuration is not as specified ({said})",
            next_step="the image is damaged, or made by a tool that is not known: make it again, "
            "e.g. with `skopeo copy`",
        ) from error


@understood()
def parse_index(text: bytes) -> tuple[Variant, ...] | None:
    """Read an index; None if it is the manifest of one image.

    Raises:
        ImageError: It is not as specified.
    """
    content = _object(text)
    if content.get("mediaType") not in INDEXES and "manifests" not in content:
        return None
    return tuple(
        Variant(digest=str(item["digest"]), architecture=str(where.get("architecture", "")))
        for item in content.get("manifests", [])
        if (where := item.get("platform") or {}).get("os", "linux") == "linux"
    )


def choose_variant(name: str, variants: tuple[Variant, ...], architecture: str) -> str:
    """Return the digest of the image for an architecture.

    Raises:
        ImageError: There is none; names those that are there.
    """
    for variant in variants:
        if variant.architecture in {architecture, ""}:
            return variant.digest
    there = sorted({v.architecture for v in variants} - {"unknown"})
    raise _wrong_architecture(name, " and ".join(there) or "no Linux machine", architecture)


def check_architecture(name: str, config: Config, architecture: str) -> None:
    """Refuse an image that was built for other machines.

    Raises:
        ImageError: It says that it was built for another architecture.
    """
    if config.architecture not in {"", architecture}:
        raise _wrong_architecture(name, config.architecture, architecture)


def _wrong_architecture(name: str, there: str, wanted: str) -> ImageError:
    return ImageError(
        f"{name} was built for {there}, and this machine is {wanted}",
        next_step="name a tag that was built for this machine (many have one per architecture), "
        "or pull it on a node of the other kind",
    )


@understood()
def parse_manifest(text: bytes, digest: str) -> Manifest:
    """Read the manifest of one image.

    Raises:
        ImageError: It is of a kind that is no image, of Docker's first schema, or not as
            specified.
    """
    content = _object(text)
    if content.get("schemaVersion") == 1 or "config" not in content:
        raise ImageError(
            f"{digest} is of a kind that is not understood: {content.get('mediaType', 'schema 1')}",
            next_step="push the image again with a tool of the last ten years, e.g. `skopeo copy`",
        )
    layers = tuple(_blob(item) for item in content.get("layers", []))
    return Manifest(digest=digest, config=_blob(content["config"]), layers=layers)


@understood()
def parse_config(text: bytes) -> Config:
    """Read an image's configuration.

    Raises:
        ImageError: It is not as specified.
    """
    content = _object(text)
    inner = content.get("config") or {}
    pairs = [str(item).partition("=") for item in inner.get("Env") or []]
    return Config(
        env={name: value for name, _, value in pairs if name},
        entrypoint=tuple(map(str, inner.get("Entrypoint") or [])),
        cmd=tuple(map(str, inner.get("Cmd") or [])),
        workdir=str(inner.get("WorkingDir") or ""),
        user=str(inner.get("User") or ""),
        labels={str(k): str(v) for k, v in (inner.get("Labels") or {}).items()},
        architecture=str(content.get("architecture") or ""),
        created=str(content.get("created") or ""),
    )


def _blob(item: Any) -> Blob:
    return Blob(
        digest=str(item["digest"]),
        size=int(item.get("size", 0)),
        media_type=str(item.get("mediaType", "")),
    )


def _object(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ImageError(
            "the registry's answer is no manifest",
            next_step="something between here and the registry answers in its place (a proxy, "
            "a login page): look at the URL in a browser",
        )
    return content
