"""Which of root's powers this machine's root has (capabilities(7))."""

from __future__ import annotations

import re
from pathlib import Path

KERNEL_ORDER = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
    "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
    "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE"
)
#: The first is bit 0 of a set.
NAMES = tuple(f"CAP_{name}" for name in KERNEL_ORDER.split())


def held_capabilities() -> tuple[int, int]:
    """Return the permitted set of this process as bits, and the number of the last capability."""
    status = Path("/proc/self/status").read_text()
    return parse_permitted(status), int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def parse_permitted(status: str) -> int:
    """Read `CapPrm` out of /proc/PID/status (proc(5)); no bits if it is not there."""
    found = re.search(r"^CapPrm:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def names_of(bits: int) -> list[str]:
    """Return the names of the capabilities in a set."""
    return [name for number, name in enumerate(NAMES) if bits >> number & 1]
