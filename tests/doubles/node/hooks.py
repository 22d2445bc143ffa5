"""What Enroot's stock hooks do to a root file system just before a start."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.doubles.node import texts
from tests.doubles.node.settings import SYSTEM_FOLDER, EnrootError, error, switched_on

NVIDIA_HOOK = f"{SYSTEM_FOLDER}/hooks.d/98-nvidia.sh"
STRICT_BASH = ("bash", "--norc", "-euo", "pipefail", "-O", "lastpipe")
NVIDIA_CAPABILITIES = frozenset(
    ("all", "compute", "compat32", "display", "graphics", "utility", "video")
)


@dataclass(frozen=True)
class Person:
    """The user as the host knows them, and as the container will see them."""

    name: str
    group: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


def current_person(*, uid: int, gid: int) -> Person:
    """Look the user up on the host; an unknown uid gets a plain entry."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        home = os.environ.get("HOME", "/")
        entry = pwd.struct_passwd((str(uid), "x", uid, gid, "", home, "/bin/sh"))
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        group = str(gid)
    return Person(entry.pw_name, group, uid, gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell)


def install_accounts(root: Path, person: Person) -> None:
    """Put root, nobody and the user first in the container's passwd and group; make the home."""
    shell = person.shell if os.access(f"{root}{person.shell}", os.X_OK) else "/bin/sh"
    nobody = Path("/proc/sys/kernel/overflowuid").read_text(encoding="ascii").strip()
    nogroup = Path("/proc/sys/kernel/overflowgid").read_text(encoding="ascii").strip()
    users = [
        f"root:x:0:0:root:/root:{shell}",
        f"nobody:x:{nobody}:{nogroup}:nobody:/:/sbin/nologin",
        f"{person.name}:x:{person.uid}:{person.gid}:{person.gecos}:{person.home}:{shell}",
    ]
    groups = ["root:x:0:", f"nogroup:x:{nogroup}:", f"{person.group}:x:{person.gid}:"]
    _put_first(root / "etc/passwd", users)
    _put_first(root / "etc/group", groups)
    _make_home(root, person.home)


def _put_first(database: Path, entries: list[str]) -> None:
    """Keep the database's other lines; `_apt` goes too, or apt would try to become that user."""
    database.parent.mkdir(exist_ok=True)
    old = texts.lines(texts.read(database)) if database.exists() else []
    names = {entry.split(":")[0] for entry in entries} | {"_apt", ""}
    unique = list({entry.split(":")[0]: entry for entry in entries}.values())
    kept = [line for line in old if line.split(":")[0] not in names]
    # A new file: the old one may belong to a user that does not exist in the namespace.
    new = database.with_name(f".{database.name}.new")
    texts.write(new, "\n".join([*unique, *kept]) + "\n")
    new.replace(database)


def _make_home(root: Path, home: str) -> None:
    folder = Path(f"{root}{home}")
    if folder.exists():
        return
    mask = os.umask(0o077)
    folder.mkdir(parents=True)
    os.umask(mask)
    if (root / "etc/skel").is_dir():
        shutil.copytree(root / "etc/skel", folder, dirs_exist_ok=True)


def home_lines(home: str) -> tuple[str, str]:
    """Return the line for the mount table and for the environment, if the home is mounted."""
    if not switched_on("MOUNT_HOME"):
        return "", ""
    source = os.environ.get("HOME") or home
    target = "/root" if switched_on("REMAP_ROOT") else source
    return f"{source} {target} none x-create=dir,bind,rw,nosuid\n", f"HOME={target}\n"


def install_time_zone(root: Path) -> None:
    """Give the container the host's `/etc/localtime`, which is a link, and its target."""
    host = Path("/etc/localtime")
    if not host.is_symlink():
        return
    link = root / "etc/localtime"
    link.unlink(missing_ok=True)
    link.symlink_to(host.readlink())
    zone = host.resolve()
    inside = Path(f"{root}{zone}")
    if not inside.exists() and zone.exists():
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(zone, inside)


def install_apt_setting(root: Path) -> None:
    """Let apt work as the root of a remapped container."""
    if switched_on("REMAP_ROOT") and (root / "etc/debian_version").exists():
        folder = root / "etc/apt/apt.conf.d"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "enroot").write_text('APT::Sandbox::User "root";\n', encoding="ascii")


def check_gpu(image: dict[str, str]) -> None:
    """Do what the NVIDIA hook does where its tool is not installed.

    Args:
        image: The container's variables; those of the host win.

    Raises:
        EnrootError: GPUs are asked for.
    """
    wanted = {**image, **os.environ}
    if (wanted.get("NVIDIA_VISIBLE_DEVICES") or "void") == "void":
        return
    capabilities = wanted.get("NVIDIA_DRIVER_CAPABILITIES") or "utility"
    for capability in capabilities.replace(",", " ").split():
        if capability not in NVIDIA_CAPABILITIES:
            raise _hook_failed(f"Unknown NVIDIA driver capability: {capability}")
    if shutil.which("nvidia-container-cli"):
        raise error("double of enroot: it passes no GPU on, use the real one")
    raise _hook_failed(
        "Command not found: nvidia-container-cli, see https://github.com/NVIDIA/libnvidia-container"
    )


def _hook_failed(text: str) -> EnrootError:
    return EnrootError(f"[ERROR] {text}\n[ERROR] {NVIDIA_HOOK} exited with return code 1")


def run_config(config: Path | None, function: str) -> str:
    """Run one function of a start configuration on the host and return what it prints.

    Raises:
        EnrootError: It failed; bash has already said why.
    """
    if config is None:
        return ""
    script = 'exec 3>&1 >/dev/null; source "$1"; exec >&3; ! declare -F "$2" >/dev/null || "$2"'
    done = subprocess.run(
        (*STRICT_BASH, "-c", script, "bash", config, function),
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise EnrootError("")
    return os.fsdecode(done.stdout)


def read_rc_function(config: Path | None) -> str:
    """Return the body of the configuration's function `rc`, or nothing."""
    if config is None:
        return ""
    script = 'exec 3>&1 >/dev/null; source "$1"; exec >&3; declare -f rc || :'
    done = subprocess.run(
        ("bash", "--norc", "-c", script, "bash", str(config)),
        capture_output=True,
        check=False,
    )
    return "".join(f"{line}\n" for line in texts.lines(os.fsdecode(done.stdout))[2:-1])
