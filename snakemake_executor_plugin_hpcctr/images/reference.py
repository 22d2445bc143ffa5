"""Image reference → what it means, in every tool's spelling; no file is looked at for that.

Grammar (Docker's names, with the spellings of Apptainer and Enroot):

    docker://[HOST/]REPOSITORY[:TAG][@DIGEST]        Docker, Apptainer
    docker://[USER@][HOST#]REPOSITORY[:TAG][@DIGEST]  Enroot
    HOST/REPOSITORY[:TAG], REPOSITORY:TAG, HOST#REPOSITORY[:TAG]   as in `srun --container-image=`
    oras://… library://… shub://… https://….sif       what only Apptainer can fetch
    dockerd://NAME docker-daemon:NAME podman://NAME   images of a daemon on this machine
    docker-archive:FILE[:NAME] oci:FOLDER[:NAME] oci-archive:FILE[:NAME]
    build://NAME                                      an image that hpcctr.yaml says how to build
    enroot://NAME                                     a container that `enroot list` shows
    FILE.sif FILE.sqsh FOLDER FILE.def file://FILE    paths, relative ones from the workflow
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, Literal

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.oci import DIGEST
from snakemake_executor_plugin_hpcctr.task import Frozen, Image, ImageFormat

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal[
    "registry", "apptainer", "daemon", "archive", "definition", "recipe", "file", "container"
]

HUB = "docker.io"
#: What Docker Hub's interface is called, in the tools' own files too.
HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
SUFFIXES: dict[str, ImageFormat] = {
    ".sif": "sif",
    ".simg": "sif",
    ".img": "sif",
    ".sqsh": "sqsh",
    ".squashfs": "sqsh",
}
FETCHED_BY_APPTAINER = ("oras", "library", "shub", "http", "https")
DAEMONS = {"dockerd": "docker", "docker-daemon": "docker", "podman": "podman"}
ARCHIVES = ("docker-archive", "oci-archive", "oci")
SCHEMES = ("docker", *FETCHED_BY_APPTAINER, *DAEMONS, *ARCHIVES, "enroot", "build", "file")

_HOST = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(DIGEST)
_USER = re.compile(r"([^@/#:]+)@(?!sha256:)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)
_EXAMPLES = (
    "write docker://HOST/REPOSITORY:TAG, a path to a .sif, a .sqsh or a directory, "
    "or enroot://NAME for a container that `enroot list` shows"
)


class Reference(Frozen):
    """A parsed image reference.

    Args:
        text: What the user wrote.
        kind: Who can turn it into an image.
        location: For `file` and `definition` an absolute path; for `container` its name; for
            the others a URI without the user's own spelling.
        host: Registry, `docker.io` for Docker Hub.
        repository: Name in the registry, `library/python` for Docker Hub's own `python`.
        tag: Tag; "" if only a digest is given.
        digest: `sha256:…`, or "".
        user: User name for the registry, from Enroot's spelling.
    """

    text: str
    kind: Kind
    location: str
    host: str = ""
    repository: str = ""
    tag: str = ""
    digest: str = ""
    user: str = ""

    @property
    def image(self) -> Image:
        """The image as tasks know it: still a reference unless it is a file or container."""
        if self.kind == "container":
            return Image(reference=self.text, location=self.location, format="container")
        if self.kind != "file":
            return Image(reference=self.text, location=self.location, format="registry")
        suffix = posixpath.splitext(self.location)[1].lower()
        return Image(
            reference=self.text,
            location=self.location,
            format=SUFFIXES.get(suffix, "directory"),
        )

    def pinned(self, digest: str) -> Reference:
        """Return the same registry reference, fixed to a digest."""
        changed = self.model_copy(update={"digest": digest})
        return changed.model_copy(update={"location": _registry_uri(changed)})


def parse_reference(text: str, folder: str) -> Image:
    """Read an image reference as the image that tasks know, see `parse`.

    Raises:
        ImageError: As for `parse`.
    """
    return parse(text, folder).image


def parse(text: str, folder: str, exists: Callable[[str], bool] = os.path.exists) -> Reference:
    """Read an image reference.

    Args:
        text: What the user wrote.
        folder: Absolute folder of the workflow, from which relative paths count.
        exists: Asked only for a text that could be a folder as well as a registry's name.

    Raises:
        ImageError: An empty reference, an unknown scheme, or a name that no registry takes;
            says what was probably meant.
    """
    words = text.strip()
    match = _SCHEME.fullmatch(words)
    scheme, rest = (match[1].lower(), match[3]) if match else ("", words)
    if not words or (match and not rest) or words.startswith("://"):
        raise ImageError(f"{text!r} is not an image reference", next_step=_EXAMPLES)
    if match and (match[2] or scheme in {*ARCHIVES, "docker-daemon"}):
        return _with_scheme(text, scheme, rest, folder)
    if match and scheme in SCHEMES and not _looks_like_path(words):
        meant = f"{scheme}://{rest.lstrip('/')}"
        if rest.startswith("/") or scheme != "docker":
            raise ImageError(f"{text!r} is not an image reference", next_step=f"write {meant}")
    if _is_registry_name(words) and not exists(posixpath.join(folder, words)):
        return _registry(text, words)
    return _path(text, words, folder)


def _with_scheme(text: str, scheme: str, rest: str, folder: str) -> Reference:
    if scheme == "docker":
        return _registry(text, rest)
    if scheme == "file":
        return _path(text, rest, folder)
    plain: dict[str, tuple[Kind, str]] = {
        "enroot": ("container", rest),
        "build": ("recipe", f"build://{rest}"),
        # In a spelling that is read back: a location is parsed again where the image is made.
        "dockerd": ("daemon", f"docker-daemon:{rest}"),
        "docker-daemon": ("daemon", f"docker-daemon:{rest}"),
        "podman": ("daemon", f"podman://{rest}"),
    }
    if scheme in plain:
        kind, location = plain[scheme]
        return Reference(text=text, kind=kind, location=location)
    if scheme in ARCHIVES:
        path, _, name = rest.partition(":")
        path = posixpath.normpath(posixpath.join(folder, posixpath.expanduser(path)))
        location = f"{scheme}:{path}" + (f":{name}" if name else "")
        return Reference(text=text, kind="archive", location=location)
    if scheme in FETCHED_BY_APPTAINER:
        location = f"{scheme}://{rest.replace('#', '/')}" if scheme == "oras" else text.strip()
        return Reference(text=text, kind="apptainer", location=location)
    meant = did_you_mean(scheme, SCHEMES)
    raise ImageError(
        f"{scheme}:// in {text!r} is not known",
        next_step=f"{meant} {_EXAMPLES}" if meant else _EXAMPLES,
    )


def _registry(text: str, rest: str) -> Reference:
    user = _USER.match(rest)
    host, name = _split_host(rest[user.end() :] if user else rest)
    name, at, digest = name.partition("@")
    repository, colon, tag = name.partition(":")
    _check_name(text, host, repository)
    if colon and _TAG.fullmatch(tag) is None:
        raise ImageError(
            f"{tag!r} in {text!r} cannot be a tag" if tag else f"the tag in {text!r} is empty",
            next_step="a tag has letters, digits, `_`, `.` and `-`, at most 128 of them; leave "
            "`:` out for `latest`",
        )
    if at and _DIGEST.fullmatch(digest) is None:
        raise ImageError(
            f"{digest!r} in {text!r} is not a digest",
            next_step="a digest is `sha256:` and 64 digits 0-9, a-f; `hpcctr images inspect` "
            "prints it",
        )
    if host in HUB_NAMES:
        host, repository = HUB, repository if "/" in repository else f"library/{repository}"
    found = Reference(
        text=text,
        kind="registry",
        location="",
        host=host,
        repository=repository,
        tag=tag or ("" if digest else "latest"),
        digest=digest,
        user=user[1] if user else "",
    )
    return found.model_copy(update={"location": _registry_uri(found)})


def _split_host(text: str) -> tuple[str, str]:
    """Return host and name; Enroot's `#` tells them apart, else Docker's own rule."""
    if "#" in text:
        host, _, name = text.partition("#")
        return host, name
    first, slash, rest = text.partition("/")
    if slash and _is_host(first):
        return first, rest
    return HUB, text


def _is_host(text: str) -> bool:
    """Whether the first part of a name is a host: it has a dot or a port, or is `localhost`."""
    return ("." in text or ":" in text or text == "localhost") and bool(_HOST.fullmatch(text))


def _check_name(text: str, host: str, repository: str) -> None:
    if _HOST.fullmatch(host) is None:
        raise ImageError(f"{host!r} in {text!r} is not a registry", next_step=_EXAMPLES)
    if _REPOSITORY.fullmatch(repository) is not None:
        return
    lower = repository.lower()
    if _REPOSITORY.fullmatch(lower) is not None:
        raise ImageError(
            f"{repository!r} in {text!r} has capital letters, which no registry takes",
            next_step=f"write {text.strip().replace(repository, lower)}",
        )
    raise ImageError(f"{repository!r} in {text!r} is no name of an image", next_step=_EXAMPLES)


def _registry_uri(reference: Reference) -> str:
    tag = f":{reference.tag}" if reference.tag else ""
    digest = f"@{reference.digest}" if reference.digest else ""
    user = f"{reference.user}@" if reference.user else ""
    return f"docker://{user}{_short_name(reference)}{tag}{digest}"


def _short_name(reference: Reference) -> str:
    if reference.host != HUB:
        return f"{reference.host}/{reference.repository}"
    # `docker.io/a.b/c`: without the host its first part would be taken for one.
    short = reference.repository.removeprefix("library/")
    return f"{HUB}/{reference.repository}" if _split_host(short)[0] != HUB else short


def _looks_like_path(words: str) -> bool:
    suffix = posixpath.splitext(words)[1].lower()
    return words.startswith(("/", "./", "../", "~")) or suffix in {*SUFFIXES, ".def"}


def _is_registry_name(words: str) -> bool:
    """Whether a text without a scheme is meant as pyxis means it: a name in a registry."""
    if _looks_like_path(words) or words in {".", ".."}:
        return False
    host, name = _split_host(words)
    plain = name.partition("@")[0].partition(":")[0]
    named = "#" in words or "@sha256:" in words or ":" in name or (host != HUB)
    return named and bool(_REPOSITORY.fullmatch(plain.lower()))


def _path(text: str, path: str, folder: str) -> Reference:
    location = posixpath.normpath(posixpath.join(folder, posixpath.expanduser(path)))
    kind: Kind = "definition" if location.endswith(".def") else "file"
    return Reference(text=text, kind=kind, location=location)
