"""A tiny image of this machine's own programs: a second's work, no network, no root."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PROGRAMS = "bash sh cat env grep id ls mkdir pwd sleep sort touch tr true"
PROGRAMS = tuple(_PROGRAMS.split())
FOLDERS = ("dev", "etc", "home", "proc", "root", "run", "srv", "sys", "tmp", "usr/bin", "var")
LINKS = {"bin": "usr/bin", "var/run": "/run", "var/lock": "/run/lock"}
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\n",
    "etc/profile": f"PATH={LOGIN_PATH}\nexport PATH\n",  # as Debian's, it forgets the image's PATH
    "etc/login.defs": f"ENV_PATH PATH={LOGIN_PATH}\nENV_SUPATH PATH={LOGIN_PATH}\n"
    "DEFAULT_HOME yes\nUSERGROUPS_ENAB yes\n",
    "etc/in-the-image": "yes\n",
}
#: As `enroot import` writes them for an image with an entry point, a folder and variables.
REGISTRY_FILES = {
    "etc/environment": "PATH=/opt/image/bin:/usr/bin\nFROM_IMAGE=image value\n",
    "etc/rc.local": "# for people who change the entry point\n",
    "etc/rc": """\
cd /srv/work || exit 1
test ! -s /etc/rc.local || . /etc/rc.local
exec sh -c 'echo "entry point: $*"; exec "$@"' sh "$@"
""",
    "srv/work/.keep": "",
}
LIBRARY = re.compile(r"(/\S+) \(0x")


def build_image(target: Path, *, registry: bool = False) -> Path:
    """Write a squashfs image with a shell and a handful of programs.

    Args:
        target: The image; a folder of the same name without suffix is made beside it.
        registry: Give it what an image from a registry has: an entry point, a folder, variables.

    Raises:
        CommandError: No squashfs-tools.
    """
    root = target.with_suffix("")
    build_root(root)
    if registry:
        _write_files(root, REGISTRY_FILES)
    done = proc.run(
        ["mksquashfs", root, target, "-noappend", "-quiet", "-no-progress", "-all-root"]
    )
    if not done.ok:
        raise done.error("the image could not be written", "install squashfs-tools")
    return target


def build_root(root: Path) -> None:
    """Make a folder with a shell and a handful of programs."""
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
    for name, to in LINKS.items():
        (root / name).symlink_to(to)
    for name in PROGRAMS:
        _copy_program(root, name)
    _write_files(root, FILES)


def _write_files(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _copy_program(root: Path, name: str) -> None:
    path = proc.find_program(name)
    if path is None:
        return
    shutil.copy(path, root / "usr/bin" / name)
    for library in LIBRARY.findall(proc.run(["ldd", path]).out):
        copy = root / library.removeprefix("/")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, copy)
