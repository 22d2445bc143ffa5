"""The commands of Enroot that keep containers: create, export, list, remove, import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.doubles.node.settings import EnrootError, error, folder
from tests.doubles.node.start import is_image

COLUMNS = ("NAME", "PID", "COMM", "STATE", "STARTED", "TIME", "MNTNS", "USERNS", "COMMAND")
HUB = "registry-1.docker.io"


def create(image: str, name: str, *, force: bool) -> None:
    """Unpack an image into a container called `name`, by default as its file.

    Raises:
        EnrootError: No image, a bad name, or a container of that name exists.
    """
    path = _must_be_file(image)
    if not is_image(path):
        raise error(f"Invalid image format: {path}")
    root = container(name or path.name.removesuffix(".sqsh"))
    if root.exists():
        if not force:
            raise error(f"File already exists: {root}")
        _delete(root)
    sys.stderr.write("[INFO] Extracting squashfs filesystem...\n")
    argv = ["unsquashfs", "-no-progress", "-processors", os.environ["ENROOT_MAX_PROCESSORS"]]
    _run([*argv, "-user-xattrs", "-d", str(root), str(path)])
    subprocess.run(("chmod", "-f", "-R", "u+rwX", root), check=False)


def export(name: str, output: str, *, force: bool) -> None:
    """Write a container's files into an image.

    Raises:
        EnrootError: No such container, or the image exists.
    """
    root = existing(name)
    image = Path(output or f"{name}.sqsh").resolve()
    if image.exists():
        if not force:
            raise error(f"File already exists: {image}")
        image.unlink()
    sys.stderr.write("[INFO] Creating squashfs filesystem...\n")
    argv = ["mksquashfs", str(root), str(image), "-all-root", "-no-progress", "-processors"]
    argv += [os.environ["ENROOT_MAX_PROCESSORS"], *os.environ["ENROOT_SQUASH_OPTIONS"].split()]
    _run([*argv, "-wildcards", "-e", "dev/*", ".lock"])


def remove(name: str, *, force: bool) -> None:
    """Delete a container after asking.

    Raises:
        EnrootError: No such container, or nobody answers.
    """
    root = existing(name)
    if not force:
        if sys.stdin.isatty():
            sys.stderr.write(f"Do you really want to delete {root}? [y/N] ")
        answer = sys.stdin.readline()
        if not answer:
            raise EnrootError("")
        if answer.strip() not in {"y", "Y"}:
            return
    _delete(root)


def list_names() -> None:
    """Print the names of the containers."""
    names = sorted(entry.name for entry in folder("DATA").iterdir())
    sys.stdout.write("".join(f"{name}\n" for name in names))


def list_table() -> None:
    """Print a table of the containers and of the processes that run in them."""
    roots = {path.name: path for path in sorted(folder("DATA").iterdir()) if path.is_dir()}
    rows: list[tuple[str, ...]] = [COLUMNS]
    for name, root in roots.items():
        found = [_process_columns(pid) for pid in _processes_in(root)] or [()]
        rows += [(name if i == 0 else "", *columns) for i, columns in enumerate(found)]
    full = [(*row, *[""] * (len(COLUMNS) - len(row))) for row in rows]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    for row in full:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells) + "\n")


def import_image(uri: str, output: str) -> None:
    """Refuse to import as the real one does where the registry's host is not known.

    Raises:
        EnrootError: Always.
    """
    if uri.startswith(("dockerd://", "podman://")):
        raise error(f"Command not found: {uri.partition('d:')[0]}")
    if not uri.startswith("docker://"):
        raise error(f"Invalid argument: {uri}")
    host, name = registry(uri.removeprefix("docker://"))
    image = Path(output or f"{name}.sqsh").resolve()
    if image.exists():
        raise error(f"File already exists: {image}")
    _refuseregistry(host)


def digest(uri: str) -> None:
    """Refuse to ask a registry for a digest, as import_image does.

    Raises:
        EnrootError: Always.
    """
    if not uri.startswith("docker://"):
        raise error(f"Invalid argument: {uri}")
    _refuseregistry(registry(uri.removeprefix("docker://"))[0])


def _refuseregistry(host: str) -> None:
    sys.stderr.write("[INFO] Querying registry for permission grant\n")
    raise EnrootError(f"curl: (6) Could not resolve host: {host}", code=6)


def registry(reference: str) -> tuple[str, str]:
    """Return the registry's host and the default name of the image file."""
    host, mark, image = reference.rpartition("#")
    first, slash, rest = reference.partition("/")
    if not mark and slash and ("." in first or ":" in first):
        host, image = first, rest
    host = host.rpartition("@")[2] or HUB
    name, _, tag = image.partition(":")
    return host.partition(":")[0], f"{name.replace('/', '+')}+{tag or 'latest'}"


def container(name: str) -> Path:
    """Return the folder of a container, which need not exist.

    Raises:
        EnrootError: The name is empty or a path.
    """
    if not name:
        raise error("Invalid argument")
    if "/" in name:
        raise error(f"Invalid argument: {name}")
    return (folder("DATA") / name).resolve()


def existing(name: str) -> Path:
    """Return the folder of a container that must exist.

    Raises:
        EnrootError: It does not.
    """
    root = container(name)
    if not root.is_dir():
        raise error(f"No such file or directory: {root}")
    return root


def _must_be_file(text: str) -> Path:
    if not text:
        raise error("Invalid argument")
    path = Path(text).resolve()
    if not path.is_file():
        raise error(f"No such file or directory: {path}")
    return path


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, stdout=sys.stderr, check=False)
    if done.returncode:
        raise EnrootError("", code=done.returncode)


def _delete(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        subprocess.run(("chmod", "-f", "-R", "+rwX", root), check=False)
        shutil.rmtree(root)


def _processes_in(root: Path) -> list[int]:
    """Return one process for each mount namespace that has `root` as its root."""
    wanted = root.stat()
    found: dict[Path, int] = {}
    for entry in sorted((p for p in Path("/proc").iterdir() if p.name.isdigit()), key=_number):
        try:
            seen = (entry / "root").stat()
            namespace = (entry / "ns/mnt").readlink()
        except OSError:
            continue  # ended meanwhile, or another user's
        if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.setdefault(namespace, _number(entry))
    return list(found.values())


def _number(entry: Path) -> int:
    return int(entry.name)


def _process_columns(pid: int) -> tuple[str, ...]:
    fields = "pid:1,comm:1,stat:1,stime:1,etime:1,mntns:1,userns:1,command:1"
    argv = ("ps", "-p", str(pid), "--no-headers", "-o", fields)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return tuple(done.stdout.split(maxsplit=7))
