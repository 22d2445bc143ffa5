"""Mounts as Enroot writes them: lines of fstab(5), with its own guesses and `x-` options."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.doubles.node import kernel, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EARLY = -1  # the pass of Enroot's own mounts, done before the hooks

#: Name → the flag it sets; `no…` forms and their opposites stand in CLEARED.
SET = {
    "bind": kernel.MS_BIND,
    "dirsync": kernel.MS_DIRSYNC,
    "noatime": kernel.MS_NOATIME,
    "nodev": kernel.MS_NODEV,
    "nodiratime": kernel.MS_NODIRATIME,
    "noexec": kernel.MS_NOEXEC,
    "nosuid": kernel.MS_NOSUID,
    "private": kernel.MS_PRIVATE,
    "rbind": kernel.MS_BIND | kernel.MS_REC,
    "relatime": kernel.MS_RELATIME,
    "remount": kernel.MS_REMOUNT,
    "ro": kernel.MS_RDONLY,
    "rprivate": kernel.MS_PRIVATE | kernel.MS_REC,
    "rshared": kernel.MS_SHARED | kernel.MS_REC,
    "rslave": kernel.MS_SLAVE | kernel.MS_REC,
    "runbindable": kernel.MS_UNBINDABLE | kernel.MS_REC,
    "shared": kernel.MS_SHARED,
    "silent": kernel.MS_SILENT,
    "slave": kernel.MS_SLAVE,
    "strictatime": kernel.MS_STRICTATIME,
    "sync": kernel.MS_SYNCHRONOUS,
    "unbindable": kernel.MS_UNBINDABLE,
    "x-detach": kernel.MNT_DETACH,  # no flag of mount(2), but it makes the line more than nothing
    "x-move": kernel.MS_MOVE,
}
CLEARED = {
    "async": kernel.MS_SYNCHRONOUS,
    "atime": kernel.MS_NOATIME,
    "dev": kernel.MS_NODEV,
    "diratime": kernel.MS_NODIRATIME,
    "exec": kernel.MS_NOEXEC,
    "loud": kernel.MS_SILENT,
    "norelatime": kernel.MS_RELATIME,
    "nostrictatime": kernel.MS_STRICTATIME,
    "rw": kernel.MS_RDONLY,
    "suid": kernel.MS_NOSUID,
}
_WITHOUT_FLAG = """
    auto defaults group noauto nofail nogroup noowner nouser nousers owner user users
    x-create=auto x-create=dir x-create=file
"""
WITHOUT_FLAG = frozenset(_WITHOUT_FLAG.split())
PROPAGATION = {
    kernel.MS_SHARED: "rshared",
    kernel.MS_SLAVE: "rslave",
    kernel.MS_PRIVATE: "rprivate",
    kernel.MS_UNBINDABLE: "runbindable",
}
ANY_PROPAGATION = kernel.MS_SHARED | kernel.MS_SLAVE | kernel.MS_PRIVATE | kernel.MS_UNBINDABLE
#: What a mount already is and an unprivileged remount must repeat: statvfs flag → mount flag.
LOCKED = {
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
    os.ST_RDONLY: kernel.MS_RDONLY,
    os.ST_NOATIME: kernel.MS_NOATIME,
    os.ST_NODIRATIME: kernel.MS_NODIRATIME,
    os.ST_RELATIME: kernel.MS_RELATIME,
}


class MountError(Exception):
    """A mount failed; the text is what `enroot-mount` prints."""


@dataclass(frozen=True)
class Entry:
    """One complete line of a mount table."""

    source: str
    target: str
    kind: str
    options: tuple[str, ...]
    number: int = 0  # the pass in which it is done

    @property
    def flags(self) -> int:
        """The flags of mount(2) that the options ask for, in their order."""
        flags = 0
        for option in self.options:
            flags = (flags | SET.get(option, 0)) & ~CLEARED.get(option, 0)
        return flags

    @property
    def data(self) -> str:
        """The options that only the file system itself knows."""
        return ",".join(option for option in self.options if not is_option(option))


def is_option(word: str) -> bool:
    """Say whether Enroot takes one word for a mount option."""
    return word in SET or word in CLEARED or word in WITHOUT_FLAG


def looks_like_options(word: str) -> bool:
    """Say whether Enroot takes a field for options rather than for a path or a type."""
    return "," in word or is_option(word)


def parse_fstab(text: str, name: str = "fstab") -> list[Entry]:
    r"""Read mount lines, guessing the fields that they leave out.

    Words end at white space and nothing is unescaped: `\040` stays as it is written, as in an
    Enroot whose helpers are built with musl (its packages and its default build).

    Raises:
        MountError: A line without a source, target or type.
    """
    lines = map(texts.words, texts.lines(text))
    return [_complete(words, name) for words in lines if words and not words[0].startswith("#")]


def _complete(words: list[str], name: str) -> Entry:
    numbers = [int(word) for word in words[4:6] if word.lstrip("-").isdigit()]
    source, target, kind, options = (*words[:4], *[""] * (4 - len(words[:4])))
    if target and not kind and not options and looks_like_options(target):
        target, kind, options = "", "none", target
    if kind and not options and looks_like_options(kind):
        kind, options = "none", kind
        target = "" if target == "none" else target
    if source == "tmpfs":
        kind = "tmpfs" if kind in {"", "none"} else kind
    else:
        target = target or source
        if kind in {"", "none"}:
            kind, options = "none", options or "rbind,x-create=auto"
    if not target:
        raise MountError(f'invalid fstab entry: "{" ".join(words)}" at {name}')
    number = next((number for number in reversed(numbers) if number), 0)
    return Entry(source, target, kind, tuple(filter(None, options.split(","))), number)


def resolve(root: str, path: str) -> str:
    """Follow `path` inside `root`, where absolute links start at `root` again.

    Raises:
        OSError: More than 40 links.
    """
    names, done, links = path.split("/")[::-1], "", 0
    while names:
        name = names.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            done = done.rpartition("/")[0]
            continue
        here = f"{root}{done}/{name}"
        if not os.path.islink(here):  # noqa: PTH114 (paths are put together as text throughout)
            done += f"/{name}"
            continue
        links += 1
        if links > 40:
            raise OSError(40, os.strerror(40))
        link = str(Path(here).readlink())
        done = "" if link.startswith("/") else done
        names += link.split("/")[::-1]
    return root + done


def mount_entries(root: str, entries: Iterable[Entry], number: int = 0) -> list[str]:
    """Do the mounts of one pass below `root`; return what `enroot-mount` would warn of.

    Raises:
        MountError: A mount without the option `nofail` failed.
    """
    warnings = []
    for entry in entries:
        if entry.number != number:
            continue
        try:
            _mount(root, entry)
        except MountError as error:
            if "nofail" not in entry.options:
                raise
            if "silent" not in entry.options or "loud" in entry.options:
                warnings.append(str(error))
    return warnings


@contextmanager
def _failing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MountError(f"failed to {what}: {error.strerror}") from error


def _mount(root: str, entry: Entry) -> None:
    with _failing(f"resolve path: {root}/{entry.target.lstrip('/')}"):
        target = resolve(root, entry.target)
    flags, mode = entry.flags, _mode_to_create(entry)
    if mode:
        with _failing(f"create {'file' if mode == stat.S_IFREG else 'directory'}: {target}"):
            _create(target, mode)
    if entry.kind != "none" or flags & ~(ANY_PROPAGATION | kernel.MS_REC | kernel.MS_SILENT):
        verb = "unmount" if "x-detach" in entry.options else "mount"
        with _failing(f"{verb}: {entry.source} at {target}"):
            _mount_itself(entry, target, flags & ~ANY_PROPAGATION)
    with _failing(f"set mount propagation: {target}"):
        _propagate(entry, target, flags)


def _mode_to_create(entry: Entry) -> int:
    """Return S_IFREG, S_IFDIR, or 0 if nothing is to be made at the target."""
    if "x-create=file" in entry.options:
        return stat.S_IFREG
    if "x-create=dir" in entry.options:
        return stat.S_IFDIR
    if "x-create=auto" not in entry.options:
        return 0
    if not entry.flags & kernel.MS_BIND:
        return stat.S_IFDIR
    source = Path(entry.source)
    if not source.exists():
        return 0
    return stat.S_IFDIR if source.is_dir() else stat.S_IFREG


def _create(target: str, mode: int) -> None:
    path = Path(target)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
        return
    if mode == stat.S_IFDIR:
        path.mkdir()
    else:
        path.touch()


def _mount_itself(entry: Entry, target: str, flags: int) -> None:
    if "x-detach" in entry.options:
        kernel.unmount(target)
        return
    if "rbind" not in entry.options:
        flags &= ~kernel.MS_REC
    if flags & (kernel.MS_BIND | kernel.MS_REMOUNT):
        seen = target if flags & kernel.MS_REMOUNT else entry.source
        flags |= _locked_flags(seen)
    kernel.mount(entry.source, target, entry.kind, flags, entry.data)
    only_bind = not flags & ~(kernel.MS_BIND | kernel.MS_REC)
    if (
        flags & kernel.MS_BIND
        and not flags & kernel.MS_REMOUNT
        and not (only_bind and not entry.data)
    ):
        # The first call makes the bind and ignores the other flags, the second sets them.
        kernel.mount(None, target, None, flags | kernel.MS_REMOUNT, entry.data)


def _locked_flags(path: str) -> int:
    try:
        held = os.statvfs(path).f_flag
    except OSError:
        return 0
    return sum(flag for bit, flag in LOCKED.items() if held & bit)


def _propagate(entry: Entry, target: str, flags: int) -> None:
    for flag, recursive in PROPAGATION.items():
        if flags & flag:
            deep = kernel.MS_REC if recursive in entry.options else 0
            kernel.mount(None, target, None, flag | deep)
