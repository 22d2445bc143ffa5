"""Images that no registry has: archives, OCI layouts, a daemon's, what only Apptainer fetches."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import convert, files, oci
from snakemake_executor_plugin_hpcctr.images.layers import merge
from snakemake_executor_plugin_hpcctr.images.metadata import files_of, folders_of
from snakemake_executor_plugin_hpcctr.images.reference import DAEMONS
from snakemake_executor_plugin_hpcctr.images.squashfs import write_squashfs
from snakemake_executor_plugin_hpcctr.images.store import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.images.reference import Reference
    from snakemake_executor_plugin_hpcctr.images.store import Store

TIMEOUT_S = 4 * 3600.0
SCHEMES = ("docker-archive", "oci-archive", "oci")


def key_of_source(reference: Reference) -> str:
    """Return the store's key for an image without a registry: by what can be seen beforehand.

    Raises:
        ImageError: A file or daemon's image that is not there.
    """
    if reference.kind == "daemon":
        seen = _image_id(reference)
    elif reference.kind == "archive":
        seen = reference.location + _state(reference, _path(reference)[0])
    else:
        seen = reference.location
    return f"{reference.kind}-{hashlib.sha256(seen.encode(errors='surrogateescape')).hexdigest()}"


def make_source(store: Store, reference: Reference, key: str) -> Entry:
    """Return such an image as a squashfs of the store, made if it is not there.

    Raises:
        ImageError: It cannot be had.
    """
    with store.making(key, reference.text) as folder:
        if (known := store.finished(key)) is not None:
            return known
        store.say(f"Making an image of {reference.text}")
        part = folder / "image.sqsh"
        if reference.kind == "apptainer":
            _fetch_with_apptainer(reference, folder, part)
            return store.add(Entry(key=key, reference=reference.location, digest=""), "sqsh", part)
        layout = _layout(reference, folder)
        config, layers = read_image(layout, _path(reference)[1])
        oci.check_architecture(reference.text, config, oci.machine())
        merged = merge(layers, files_of(config), folders_of(config))
        write_squashfs(merged.write, part, merged.latest)
        entry = Entry(key=key, reference=reference.location, digest="", config=config)
        return store.add(entry, "sqsh", part)


def _path(reference: Reference) -> tuple[Path, str]:
    scheme, _, rest = reference.location.partition(":")
    if reference.kind != "archive" or scheme not in SCHEMES:
        return Path(), ""
    path, _, name = rest.partition(":")
    return Path(path), name


def _state(reference: Reference, path: Path) -> str:
    file = path / "index.json" if path.is_dir() else path
    try:
        return f"\n{files.identity_of(file)}"
    except OSError as error:
        raise ImageError(
            f"image {reference.text} cannot be read: {file}: {error.strerror}",
            next_step="check the path; a relative one counts from the workflow's folder",
        ) from error


def _daemon(reference: Reference) -> tuple[str, str]:
    """Return the program that asks a daemon, and the daemon's name of the image."""
    scheme, _, name = reference.location.partition(":")
    return DAEMONS[scheme], name.removeprefix("//")


def _image_id(reference: Reference) -> str:
    program, name = _daemon(reference)
    done = proc.run([program, "image", "inspect", "--format", "{{.Id}}", name])
    if done.code == proc.NOT_FOUND:
        raise ImageError(
            f"{reference.text} needs `{program}`, which is not on this machine",
            next_step="push the image to a registry, or bring it as a file: `docker save`, then "
            "docker-archive:FILE",
        )
    if not done.ok:
        raise ImageError(str(done.error(f"{program} has no image {name}").what))
    return f"{program}:{done.out.strip()}"


def _layout(reference: Reference, folder: Path) -> Path:
    """Return the image as a folder: unpacked, or saved by its daemon first."""
    path, archive = _path(reference)[0], folder / "image.tar"
    if reference.kind == "archive" and path.is_dir():
        return path
    if reference.kind == "daemon":
        program, name = _daemon(reference)
        done = proc.run([program, "save", "--output", archive, name], timeout_s=TIMEOUT_S)
        if not done.ok:
            raise ImageError(str(done.error(f"{program} cannot save {name}").what))
        path = archive
    target = folder / "layout"
    try:
        with tarfile.open(path) as content:
            # Python 3.11.3 and older have no filters: `_inside` refuses what leaves the folder.
            if hasattr(tarfile, "data_filter"):
                content.extraction_filter = tarfile.data_filter
            content.extractall(target, members=_inside(content))  # noqa: S202 (members are checked)
    except (tarfile.TarError, EOFError) as error:
        raise ImageError(
            f"{path} is no whole archive of an image: {error}",
            next_step="make it anew, with `docker save` or `skopeo copy`",
        ) from error
    return target


def _inside(content: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the plain files and folders of an archive; others have no place in one of an image.

    Docker's archives link layers that are equal: such links stay, if they do not leave the folder.
    Nothing is written through a link: a chain of them could lead anywhere.
    """
    links: set[str] = set()
    for member in content:
        name, places = posixpath.normpath(member.name), [member.name]
        if member.issym():
            places.append(posixpath.join(posixpath.dirname(member.name), member.linkname))
        elif member.islnk():
            places.append(member.linkname)
        if any(map(_leaves, places)) or not links.isdisjoint(_ways(name)):
            raise tarfile.TarError(f"{member.name} points out of the archive")
        if member.issym():
            links.add(name)
        if member.isfile() or member.isdir() or member.issym() or member.islnk():
            member.mode = 0o755 if member.isdir() else 0o644
            yield member


def _leaves(path: str) -> bool:
    return posixpath.normpath(path).split("/")[0] in {"", ".."}


def _ways(path: str) -> Iterator[str]:
    """Yield a path and the folders above it."""
    while path:
        yield path
        path = posixpath.dirname(path)


@oci.understood()
def read_image(folder: Path, name: str) -> tuple[oci.Config, Sequence[Path]]:
    """Return configuration and layers of an image in an OCI layout or unpacked `docker save`.

    Args:
        folder: The layout.
        name: Which image; "" for the only one.

    Raises:
        ImageError: There is no such image, or its documents are not as specified.
    """
    if (folder / "index.json").exists():
        return _from_layout(folder, name)
    if (folder / "manifest.json").exists():
        return _from_save(folder, name)
    raise ImageError(
        f"{folder} holds no image", next_step="it needs an index.json, or a manifest.json"
    )


def _blob(folder: Path, digest: str) -> Path:
    return folder / "blobs" / digest.replace(":", "/")


def _from_layout(folder: Path, name: str) -> tuple[oci.Config, list[Path]]:
    entries = json.loads((folder / "index.json").read_bytes())["manifests"]
    key = "org.opencontainers.image.ref.name"
    names = [str((entry.get("annotations") or {}).get(key, "")) for entry in entries]
    digest = _chosen([str(entry["digest"]) for entry in entries], names, name, folder)
    text = _blob(folder, digest).read_bytes()
    if (variants := oci.parse_index(text)) is not None:
        digest = oci.choose_variant(str(folder), variants, oci.machine())
        text = _blob(folder, digest).read_bytes()
    manifest = oci.parse_manifest(text, digest)
    config = oci.parse_config(_blob(folder, manifest.config.digest).read_bytes())
    return config, [_blob(folder, layer.digest) for layer in manifest.layers]


def _from_save(folder: Path, name: str) -> tuple[oci.Config, list[Path]]:
    images: list[dict[str, Any]] = json.loads((folder / "manifest.json").read_bytes())
    names = [",".join(image.get("RepoTags") or []) for image in images]
    number = _chosen([str(i) for i in range(len(images))], names, name, folder)
    image = images[int(number)]
    config = oci.parse_config((folder / image["Config"]).read_bytes())
    return config, [folder / layer for layer in image["Layers"]]


def _chosen(items: list[str], names: list[str], name: str, folder: Path) -> str:
    fitting = [i for i, n in zip(items, names, strict=True) if not name or name in n.split(",")]
    if len(fitting) == 1:
        return fitting[0]
    raise ImageError(
        f"{folder} has {'several images' if fitting else f'no image {name!r}'}",
        next_step=f"name one of them behind a colon: {', '.join(filter(None, names)) or 'none'}",
    )


def _fetch_with_apptainer(reference: Reference, folder: Path, part: Path) -> None:
    sif = folder / "image.sif"
    words = ["pull", str(sif), reference.location]
    convert.run_apptainer(words, folder, f"pull {reference.text}")
    if convert.is_squashfs(sif):
        sif.replace(part)
    else:
        convert.extract_squashfs(sif, part)
