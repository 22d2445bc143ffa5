"""`enroot start`: a container of its own mount and user namespace, ending in the user's command."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.doubles.node import hooks, kernel, login, texts, variables
from tests.doubles.node.fstab import EARLY, Entry, MountError, mount_entries, parse_fstab
from tests.doubles.node.settings import EnrootError, error, folder, switched_on

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What every container gets before the hooks run: kind of mount → where.
TREES = {"/proc": "rw,noexec,nodev", "/sys": "ro,noexec,nodev", "/dev": "rw,noexec"}
MEMORY = ("/tmp", "/var/run", "/var/lock")
HOST_FILES = {"hosts": "", "hostname": "", "resolv.conf": "", "machine-id": ",nofail,silent"}
LAYERS = ("lower", "upper", "work")
LOCK_WAIT_S = 30
MOUNT_WAIT_S = 10


@dataclass(frozen=True)
class Start:
    """A checked request to start a container."""

    root: Path  # an image file or an unpacked container
    rc: Path | None
    config: Path | None
    mounts: tuple[str, ...]
    variables: tuple[str, ...]
    words: tuple[str, ...]


def system_mounts() -> list[Entry]:
    """Return Enroot's own mounts, in their order: kernel trees, memory, shared memory, files."""
    lines = [
        *(f"{path} {path} none x-create=dir,rbind,nosuid,rslave,{o}" for path, o in TREES.items()),
        *(f"tmpfs {path} tmpfs x-create=dir,rw,nosuid,nodev,mode=755,slave" for path in MEMORY),
        "/dev/shm /dev/shm none x-create=dir,bind,rw,nosuid,nodev,noexec,rslave",
        *(
            f"/etc/{name} /etc/{name} none x-create=file,bind,ro,nosuid,nodev,noexec,private{more}"
            for name, more in HOST_FILES.items()
        ),
    ]
    return parse_fstab("".join(f"{line} 0 {EARLY}\n" for line in lines))


def is_image(path: Path) -> bool:
    """Say whether unsquashfs finds a squashfs in the file."""
    if not path.is_file():
        return False
    done = subprocess.run(("unsquashfs", "-s", path), capture_output=True, check=False)
    return done.returncode == 0


def find_root(text: str) -> Path:
    """Return the image file or container that `enroot start` is told to start.

    Raises:
        EnrootError: It is neither.
    """
    if not text:
        raise error("Invalid argument")
    if is_image(Path(text)):
        return Path(text).resolve()
    if "/" in text:
        raise error(f"Invalid argument: {text}")
    root = (folder("DATA") / text).resolve()
    if not root.is_dir():
        raise error(f"No such file or directory: {root}")
    return root


def check_config(text: str) -> Path:
    """Return the path of a start configuration that bash can read.

    Raises:
        EnrootError: It is missing, or bash finds a fault in it.
    """
    path = find_file(text)
    said = subprocess.run(("bash", "-n", path), capture_output=True, text=True, check=False)
    if said.returncode:
        warnings = "".join(f"[WARN] {line}\n" for line in said.stderr.splitlines())
        raise EnrootError(f"{warnings}[ERROR] Invalid argument: {path}")
    return path


def find_file(text: str) -> Path:
    """Return the absolute path of a file that must exist.

    Raises:
        EnrootError: It does not.
    """
    path = Path(text).resolve()
    if not path.is_file():
        raise error(f"No such file or directory: {path}")
    return path


def check_lines(mounts: Sequence[str], environment: Sequence[str]) -> None:
    """Refuse what cannot be a mount line or a variable.

    Raises:
        EnrootError: Names the line.
    """
    for line in mounts:
        if not line or any(character in texts.SPACE for character in line):
            raise error(f"Invalid argument: {line}")
    for line in environment:
        if not variables.is_declaration(line):
            raise error(f"Invalid argument: {line}")


def run(request: Start) -> None:
    """Set the container up and become its command; returns only by an exception.

    Raises:
        EnrootError: The set-up failed.
    """
    me = hooks.current_person(uid=os.geteuid(), gid=os.getegid())
    try:
        kernel.enter_user_namespace(as_root=switched_on("REMAP_ROOT"))
        kernel.keep_capabilities()
        kernel.unshare(kernel.CLONE_NEWNS)
    except OSError as problem:
        text = f"enroot-nsenter: failed to create user namespace: {problem.strerror}"
        raise EnrootError(text) from problem
    try:
        root = _mount_root(request.root)
        environment, rc = _configure(root, request, me)
        _protect(root)
    except MountError as problem:
        raise EnrootError(f"enroot-mount: {problem}") from problem
    except OSError as problem:
        raise EnrootError(f"enroot-mount: failed to mount: {problem}") from problem
    try:
        login.become(str(root), rc, list(request.words), environment, me)
    except login.LoginError as problem:
        raise EnrootError(f"enroot-switchroot: {problem}") from problem


def _mount_root(image: Path) -> Path:
    """Return the container's root, a mount that only this process sees."""
    runtime = str(folder("RUNTIME"))
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.mount("tmpfs", runtime, "tmpfs", data="mode=700")
    root = image
    if image.is_file():
        root = folder("RUNTIME") / "overlay"
        root.mkdir()
        _mount_image(image, root)
    kernel.mount(str(root), str(root), flags=kernel.MS_BIND)
    own = Entry("none", str(root), "none", ("remount", "bind", "nosuid", "nodev", "slave"))
    mount_entries("", [own])
    return root


def _mount_image(image: Path, root: Path) -> None:
    """Mount the image under a writable layer in memory, or unpack it where FUSE is missing."""
    if not (shutil.which("squashfuse") and os.access("/dev/fuse", os.R_OK | os.W_OK)):
        _unpack(image, root)
        return
    for part in LAYERS:
        (root / part).mkdir()
    _start_squashfuse(image, root / "lower")
    layers = ",".join(f"{part}dir={root}/{part}" for part in LAYERS)
    kernel.mount("overlay", str(root), "overlay", data=f"{layers},xino=off")


def _start_squashfuse(image: Path, target: Path) -> None:
    """Start the process that serves the image; it ends with this one, whatever this one becomes.

    It is in a process group of its own, as the real one's: a signal to the group of the
    container leaves it alone, a signal to every process of a job ends it and the root with it.
    """
    options = f"uid={os.geteuid()},gid={os.getegid()}"
    log = os.memfd_create("squashfuse")
    server = subprocess.Popen(
        ("squashfuse", "-f", "-o", options, image, target),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,
        preexec_fn=lambda: kernel.die_with_parent(signal.SIGKILL),  # noqa: PLW1509 (one thread)
    )
    end = time.monotonic() + MOUNT_WAIT_S
    while not target.is_mount():
        if server.poll() is not None or time.monotonic() > end:
            text = os.pread(log, 65536, 0).decode(errors="replace")
            warnings = "".join(f"[WARN] {line}\n" for line in text.splitlines())
            raise EnrootError(f"{warnings}[ERROR] Failed to mount: {image}")
        time.sleep(0.002)
    server.returncode = 0  # it stays a child of the command: nobody waits for it


def _unpack(image: Path, root: Path) -> None:
    argv = ("unsquashfs", "-no-progress", "-user-xattrs", "-f", "-d", root, image)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        warnings = "".join(f"[WARN] {line}\n" for line in done.stderr.splitlines())
        raise EnrootError(f"{warnings}[ERROR] Failed to mount: {image}")


def _configure(root: Path, request: Start, me: hooks.Person) -> tuple[dict[str, str], bytes | None]:
    """Do the mounts and hooks; return the environment and the command script."""
    environ_file, mount_file = folder("RUNTIME") / "environment", folder("RUNTIME") / "fstab"
    os.environ |= {
        "ENROOT_PID": str(os.getpid()),
        "ENROOT_ROOTFS": str(root),
        "ENROOT_ENVIRON": str(environ_file),
        "ENROOT_MOUNTS": str(mount_file),
    }
    with (root / ".lock").open("w") as lock:
        _wait_for(lock)
        texts.write(environ_file, variables.tidy(_declared(root, request)))
        own = parse_fstab(_read_substituted(root / "etc/fstab")) + system_mounts()
        _do(root, own, EARLY)
        _run_hooks(root, request, me)
        _do(root, parse_fstab(texts.read(mount_file), str(mount_file)))
        said = hooks.run_config(request.config, "mounts")
        lines = said + "".join(f"{line.replace(':', ' ')}\n" for line in request.mounts)
        _do(root, own + parse_fstab(lines, str(mount_file)))
        rc = _command_script(request)
    text = variables.tidy(texts.read(environ_file))
    return variables.parse(text), rc


def _do(root: Path, entries: list[Entry], number: int = 0) -> None:
    for warning in mount_entries(str(root), entries, number):
        sys.stderr.write(f"enroot-mount: {warning}\n")


def _wait_for(lock: IO[str]) -> None:
    end = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise error("Could not acquire rootfs lock") from None
            time.sleep(0.01)
        else:
            return


def _read_substituted(path: Path) -> str:
    if not path.is_file():
        return ""
    text = variables.substitute(texts.read(path), os.environ)
    return text if text.endswith("\n") or not text else f"{text}\n"


def _declared(root: Path, request: Start) -> str:
    """Put the image's variables, the terminal, the configuration and `--env` in this order."""
    return (
        _read_substituted(root / "etc/environment")
        + variables.substitute("TERM=${TERM}\n", os.environ)
        + hooks.run_config(request.config, "environ")
        + variables.declare(request.variables, os.environ)
    )


def _run_hooks(root: Path, request: Start, me: hooks.Person) -> None:
    mount_line, variable_line = hooks.home_lines(me.home)
    environ_file = os.environ["ENROOT_ENVIRON"]
    texts.write(environ_file, texts.read(environ_file) + variable_line)
    texts.write(os.environ["ENROOT_MOUNTS"], mount_line)
    hooks.install_apt_setting(root)
    hooks.install_time_zone(root)
    hooks.install_accounts(root, me)
    hooks.check_gpu(variables.parse(texts.read(environ_file)))
    hooks.run_config(request.config, "hooks")


def _command_script(request: Start) -> bytes | None:
    if request.rc:
        return request.rc.read_bytes()
    return os.fsencode(hooks.read_rc_function(request.config)) or None


def _protect(root: Path) -> None:
    """Make the root read-only unless it was asked for writable; the lock file in any case."""
    entries = []
    if not switched_on("ROOTFS_WRITABLE"):
        options = ("remount", "bind", "nosuid", "nodev", "ro")
        entries.append(Entry("none", str(root), "none", options))
    lock = f"{root}/.lock"
    unchangeable = ("bind", "nosuid", "nodev", "noexec", "ro", "private")
    entries.append(Entry(lock, lock, "none", unchangeable))
    mount_entries("", entries)
