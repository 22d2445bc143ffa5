"""What the engines share: which image they can start, and the binds that every task gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import EngineError, ImageError
from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import Image, ImageFormat, Task

FORMAT_NAMES: dict[ImageFormat, str] = {
    "sif": "a .sif image",
    "sqsh": "a .sqsh image",
    "directory": "a directory",
    "registry": "a registry reference",
    "container": "the name of an Enroot container",
}

SHOWN = {
    "\n": "a newline",
    "\t": "a tab",
    " ": "a space",
    "\\": "a backslash",
    ",": "a comma",
    ":": "a colon",
}


def need_image(task: Task, *formats: ImageFormat) -> Image:
    """Return the task's image if the engine can start its format.

    Raises:
        ImageError: No image, or one of another format.
    """
    image = task.image
    if image is None:
        raise ImageError(
            f"engine {task.engine} needs an image, and the rule has none",
            where=f"rule {task.rule}",
            next_step='give the rule `container: "…"`, or set `engine="host"`',
        )
    if image.format not in formats:
        usable = ", ".join(FORMAT_NAMES[f] for f in formats)
        raise ImageError(
            f"engine {task.engine} cannot start {FORMAT_NAMES[image.format]}: {image.reference}",
            where=f"rule {task.rule}",
            next_step=f"engine {task.engine} starts {usable}; Apptainer starts .sif and .sqsh "
            "alike, so one .sqsh serves every engine",
        )
    return image


def all_binds(task: Task) -> tuple[Bind, ...]:
    """Return the binds of a contained task: /tmp and scratch, then its own, parents first.

    Every engine sees the node's /tmp and /var/tmp, as Apptainer does by itself. A bind inside
    another's target comes after it, or the outer one would hide it.
    """
    always = [Bind(source=path, target=path) for path in ("/tmp", "/var/tmp")]  # noqa: S108 (bound as they are)
    own = {path: Bind(source=path, target=path) for path in (task.scratch, task.tmpdir)}
    by_target = {bind.target: bind for bind in (*always, *own.values(), *task.binds)}
    return tuple(sorted(by_target.values(), key=lambda bind: bind.target.count("/")))


def refuse(task: Task, path: str, characters: str, next_step: str) -> None:
    """Refuse a path with a character that the engine has no way to write.

    Raises:
        EngineError: Names the character, the path and the way out.
    """
    for character in characters:
        if character in path:
            shown = SHOWN.get(character, character)
            raise EngineError(
                f"engine {task.engine} cannot bind a path with {shown} in it: {path!r}",
                where=f"rule {task.rule}",
                next_step=next_step,
            )
