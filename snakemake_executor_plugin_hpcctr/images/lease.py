"""A lock that holds on NFS and that a dead host cannot hold for ever.

The lock is a file that is made with O_EXCL (atomic since NFS 3) and touched while its owner
lives. One that has not been touched for STALE_S by the watch of whoever waits is taken over, so
no two clocks are compared; one of a process of this host that has ended, at once. (`flock` is
kept on the machine by some mounts and refused by others; a file that merely exists would stay
after a crash.)

It saves work and is not what keeps the store whole: should two ever hold it, both publish the
same content under the same name.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.images.files import make_folder, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BEAT_S = 15.0
#: More than the minute for which an NFS client may keep a file's attributes.
STALE_S = 120.0
LOOK_S = 0.5


@dataclass(frozen=True)
class Owner:
    """Who holds a lease."""

    host: str
    pid: int
    user: str
    token: str

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid})"

    @property
    def ended(self) -> bool:
        """Whether it is known to be gone; of another host's processes nothing is known."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _me() -> Owner:
    user = os.environ.get("USER") or str(os.getuid())
    return Owner(socket.gethostname(), os.getpid(), user, secrets.token_hex(8))


@contextmanager
def lease(
    path: Path, waiting: Callable[[Owner], None], *, stale_s: float = STALE_S
) -> Iterator[None]:
    """Hold the lock of a path, once everybody else has let it go.

    Args:
        path: The lock file; its folder is made.
        waiting: Called once if somebody else holds it.
        stale_s: Seconds without a sign of life after which it is taken over.

    Raises:
        OSError: The file cannot be made.
    """
    make_folder(path.parent)
    me = _me()
    _acquire(path, me, waiting, stale_s)
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, done), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        if read_owner(path) == me:
            path.unlink(missing_ok=True)


def _acquire(path: Path, me: Owner, waiting: Callable[[Owner], None], stale_s: float) -> None:
    seen: tuple[object, float] = (None, time.monotonic())
    told = False
    while not _create(path, me):
        owner, sign = read_owner(path), _sign_of_life(path)
        if sign != seen[0]:
            seen = (sign, time.monotonic())
        if (owner and owner.ended) or time.monotonic() - seen[1] > stale_s:
            _break(path, sign)
            continue
        if owner and not told:
            told = True
            waiting(owner)
        time.sleep(LOOK_S)


def _create(path: Path, me: Owner) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o664)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(asdict(me), stream)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    share(path)
    return True


def read_owner(path: Path) -> Owner | None:
    """Return who holds the lock; None if nobody does, or it was just made."""
    with suppress(OSError, ValueError, TypeError):
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    return None


def _sign_of_life(path: Path) -> object:
    """Return something that changes with each beat; opened first, so that NFS asks its server.

    A lock that is closed to us, left by somebody who died before it was shared, has one too.
    """
    with suppress(OSError), path.open("rb"):
        pass
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _break(path: Path, sign: object) -> None:
    """Take a dead lock away; by a rename, which only one of several can do."""
    if sign is None or _sign_of_life(path) != sign:
        return
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        aside.unlink(missing_ok=True)


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(BEAT_S):
        with suppress(OSError):
            os.utime(path)
