"""Image reference → Image: what the user's text means, without looking at any file."""

from __future__ import annotations

import posixpath

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.task import Image, ImageFormat

SCHEMES = ("docker", "oras", "library", "shub", "http", "https", "dockerd")
SUFFIXES: dict[str, ImageFormat] = {
    ".sif": "sif",
    ".simg": "sif",
    ".img": "sif",
    ".sqsh": "sqsh",
    ".squashfs": "sqsh",
}


def parse_reference(text: str, folder: str) -> Image:
    """Read an image reference.

    A scheme means a registry (`docker://…`; Enroot's `#` between host and repository is read
    as Docker's `/`); `enroot://NAME` an existing Enroot container; all else is a path, and a
    relative one counts from `folder`.

    Args:
        text: What the user wrote.
        folder: Absolute folder of the workflow.

    Raises:
        ImageError: An empty reference or an unknown scheme.
    """
    scheme, separator, rest = text.strip().partition("://")
    if (separator and not rest) or not text.strip():
        raise ImageError(f"{text!r} is not an image reference", next_step=_EXAMPLES)
    if separator and scheme == "enroot":
        return Image(reference=text, location=rest, format="container")
    if separator and scheme == "file":
        return _path(text, rest, folder)
    if separator:
        if scheme not in SCHEMES:
            raise ImageError(f"{scheme}:// in {text!r} is not known", next_step=_EXAMPLES)
        return Image(
            reference=text, location=f"{scheme}://{rest.replace('#', '/')}", format="registry"
        )
    return _path(text, text.strip(), folder)


_EXAMPLES = (
    "write docker://HOST/REPOSITORY:TAG, a path to a .sif, a .sqsh or a directory, "
    "or enroot://NAME for a container that `enroot list` shows"
)


def _path(text: str, path: str, folder: str) -> Image:
    location = posixpath.normpath(posixpath.join(folder, path))
    suffix = posixpath.splitext(location)[1].lower()
    return Image(reference=text, location=location, format=SUFFIXES.get(suffix, "directory"))
