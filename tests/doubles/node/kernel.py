"""The Linux calls that the doubles need and Python's library lacks: namespaces, mounts, rights.

Sources: user_namespaces(7), mount(2), pivot_root(2), capabilities(7), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUSER = 0x10000000

MS_RDONLY = 1 << 0
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_SYNCHRONOUS = 1 << 4
MS_REMOUNT = 1 << 5
MS_DIRSYNC = 1 << 7
MS_NOATIME = 1 << 10
MS_NODIRATIME = 1 << 11
MS_BIND = 1 << 12
MS_MOVE = 1 << 13
MS_REC = 1 << 14
MS_SILENT = 1 << 15
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _path(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def enter_user_namespace(*, as_root: bool) -> None:
    """Become the only user of a new user namespace, with every capability in it.

    Args:
        as_root: Be seen as uid and gid 0 inside, else as oneself.
    """
    uid, gid = os.geteuid(), os.getegid()
    _checked(_libc.unshare(CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{0 if as_root else gid} {gid} 1", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{0 if as_root else uid} {uid} 1", encoding="ascii")


def unshare(kind: int) -> None:
    """Leave the namespace of this kind for a new one."""
    _checked(_libc.unshare(kind))


def join_namespace(descriptor: int, kind: int) -> None:
    """Enter the namespace that an open file of `/proc/PID/ns` stands for."""
    _checked(_libc.setns(descriptor, kind))


def mount(
    source: str | None, target: str, kind: str | None = None, flags: int = 0, data: str = ""
) -> None:
    """Mount, bind, remount or change propagation: the system call of this name."""
    words = (_path(source), _path(target), _path(kind))
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(data)))


def unmount(target: str) -> None:
    """Take a mount away, now for new users of it and later for those that are in it."""
    _checked(_libc.umount2(_path(target), MNT_DETACH))


def switch_root(folder: str) -> None:
    """Make `folder`, a mount point, the root of this process and forget the old root."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY)
    new = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    os.fchdir(new)
    _checked(_libc.pivot_root(b".", b"."))
    os.fchdir(old)
    mount(None, ".", flags=MS_REC | MS_SLAVE)
    unmount(".")
    os.fchdir(new)
    os.chroot(".")
    os.close(old)
    os.close(new)


def _last_capability() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


def keep_capabilities() -> None:
    """Let the programs started from here have the capabilities of this process."""
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    _checked(_libc.capget(ctypes.byref(header), data))
    for half in data:
        half.inheritable = half.permitted
    _checked(_libc.capset(ctypes.byref(header), data))
    for number in range(_last_capability() + 1):
        if data[number // 32].permitted & (1 << number % 32):
            _checked(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0))


def drop_privileges() -> None:
    """Give up every capability for good, unless this is root, who keeps those of the namespace."""
    last = _last_capability()
    _checked(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if os.geteuid() == 0:
        return
    for number in range(last + 1):
        _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    header = _CapabilityHeader(CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(ctypes.byref(header), (_CapabilityData * 2)()))


def die_with_parent(signal_number: int) -> None:
    """Ask for a signal when the process that started this one ends; for use before an exec."""
    _libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
