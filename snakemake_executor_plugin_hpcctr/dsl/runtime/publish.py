"""`publishDir`: a task's files, where the user wants to find them."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.dsl.errors import DslError
from snakemake_executor_plugin_hpcctr.dsl.runtime.collect import expand_braces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snakemake_executor_plugin_hpcctr.dsl.model import Publish, PublishMode


@dataclass(frozen=True)
class Owner:
    """The task that publishes.

    Args:
        name: The task for people.
        key: Rule and key, which tell it from others.
        registry: Folder that remembers who published what.
        cached: Whether it ran in an earlier run: then files that are there stay.
    """

    name: str
    key: str
    registry: Path
    cached: bool = False


def publish(
    places: Sequence[tuple[Publish, Callable[[str], str | None] | None]],
    files: Iterable[str],
    work: Path,
    owner: Owner,
) -> list[str]:
    """Publish files of a task; return their targets.

    Args:
        places: Where and how, each with its `saveAs`.
        files: Names of declared outputs, relative to the task's folder.
        work: That folder.
        owner: The task.

    Raises:
        DslError: Another task publishes the same target, the file cannot be put there, or its
            new name stands for a folder above.
    """
    listed = _outermost(files)
    found = []
    for place, save_as in places:
        if not place.enabled:
            continue
        for name in listed:
            target = target_of(place, name, save_as)
            if target is None:
                continue
            try:
                _claim(target, owner)
                _put(work / name, target, place, owner)
            except OSError as error:
                if place.fail_on_error:
                    raise DslError(
                        f"`{owner.name}`: {name} cannot be published as {target}: "
                        f"{error.strerror or error}",
                        next_step="check the folder's permissions and space, and the mode: hard "
                        "links need one file system",
                    ) from None
                continue
            found.append(str(target))
    return found


def _outermost(files: Iterable[str]) -> list[str]:
    """Return names without those that lie in a folder of the list."""
    names = list(dict.fromkeys(files))
    return [n for n in names if not any(n.startswith(f"{other}/") for other in names)]


def target_of(
    place: Publish, name: str, save_as: Callable[[str], str | None] | None
) -> Path | None:
    """Return where a file goes; None if it is not published there.

    Raises:
        DslError: It would take the place of the folder itself, or of one above.
    """
    if place.pattern and not _matches(name, place.pattern):
        return None
    new = name if save_as is None else save_as(name)
    if new is None:
        return None
    folder = os.path.abspath(Path(place.path).expanduser())  # noqa: PTH100 (links stay)
    target = Path(os.path.abspath(os.path.join(folder, new)))  # noqa: PTH100, PTH118 (as above)
    if any(base.is_relative_to(target) for base in (Path(folder), Path.cwd())):
        raise DslError(
            f"saveAs gave {new!r} for {name}, which stands for the folder {target}",
            next_step="return a file name, or None to leave the file out",
        )
    return target


def _matches(name: str, pattern: str) -> bool:
    """Whether a name fits a glob in which `*` does not cross folders."""
    return any(_fits(name.split("/"), one.split("/")) for one in expand_braces(pattern))


def _fits(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if "**" in patterns[0]:
        rest = patterns[0].replace("**", "*")
        inner = [rest, *patterns[1:]] if patterns[0] != "**" else patterns[1:] or ["*"]
        return any(_fits(parts[n:], inner) for n in range(len(parts)))
    if not parts or not fnmatch.fnmatchcase(parts[0], patterns[0]):
        return False
    return _fits(parts[1:], patterns[1:])


def _claim(target: Path, owner: Owner) -> None:
    """Remember whose file a target is.

    Raises:
        DslError: It is another task's of this run.
    """
    owner.registry.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(str(target).encode(), digest_size=12).hexdigest()
    note = owner.registry / name
    try:
        with note.open("x", encoding="utf-8") as stream:
            stream.write(f"{owner.key}\n{owner.name}\n")
    except FileExistsError:
        key, _, rest = note.read_text(encoding="utf-8").partition("\n")
        if key != owner.key:
            other = rest.strip()
            raise DslError(
                f"two tasks publish {target}: {owner.name} and {other}",
                next_step="give each its own name: publish(…, saveAs=…), or ${…} in the path",
            ) from None


def _put(source: Path, target: Path, place: Publish, owner: Owner) -> None:
    if os.path.lexists(target):
        wanted = not owner.cached if place.overwrite is None else place.overwrite
        if not wanted or _is_itself(source, target):
            return
    put_whole(target, lambda part: make(source, part, place.mode))


def put_whole(target: Path, making: Callable[[Path], object]) -> None:
    """Make a file or folder under another name beside its place, then put it there.

    It is there whole, or not at all; what was there before is replaced.

    Args:
        target: Its place.
        making: Makes it under the name that it is given.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    _remove(part)
    making(part)
    _remove(target)
    part.replace(target)


def _is_itself(source: Path, target: Path) -> bool:
    """Whether a target is the task's own file: what is stored where it is published."""
    return not target.is_symlink() and target.resolve() == source.resolve()


def make(source: Path, target: Path, mode: PublishMode) -> None:
    """Make a file or folder at a place that is free, in a mode of publishDir."""
    match mode:
        case "symlink":
            target.symlink_to(source.absolute())
        case "rellink":
            target.symlink_to(os.path.relpath(source, target.parent.resolve()))
        case "link":
            _hard_link(source, target)
        case "copy":
            _copy(source, target, links=False)
        case "copyNoFollow":
            _copy(source, target, links=True)
        case "move":
            shutil.move(str(source), str(target))


def _remove(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _hard_link(source: Path, target: Path) -> None:
    real = source.resolve()
    if real.is_dir():
        shutil.copytree(real, target, copy_function=os.link)
    else:
        target.hardlink_to(real)


def _copy(source: Path, target: Path, *, links: bool) -> None:
    if source.is_dir() and not (links and source.is_symlink()):
        shutil.copytree(source, target, symlinks=links)
    else:
        shutil.copy2(source, target, follow_symlinks=not links)
