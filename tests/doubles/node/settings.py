"""The settings of the Enroot double: ENROOT_* variables over its own defaults."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

VERSION = "4.1.2"
BANNER = f"double of enroot {VERSION} for tests"
#: Where the real one has its hooks and enroot.conf; named in messages, never read.
SYSTEM_FOLDER = "/etc/enroot"
NO = re.compile(r"(no?|N[oO]?|[fF](alse)?|FALSE)")
DIRECTIVE = re.compile(r"^#\s*(ENROOT_[A-Z_]+)[\s=]+(.*)$", re.MULTILINE)


class EnrootError(Exception):
    """The end of the program; the text goes to stderr as it is.

    Args:
        text: Nothing if a program that was run has already said what is wrong.
        code: Exit code.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


def error(text: str) -> EnrootError:
    """Return the error that Enroot reports as `[ERROR] text`."""
    return EnrootError(f"[ERROR] {text}")


def defaults() -> dict[str, str]:
    """Return what a site's enroot.conf would say: folders on the node's own disk, per user."""
    folder = f"/tmp/enroot-double-{os.geteuid()}"
    return {
        "ENROOT_RUNTIME_PATH": f"{folder}/runtime",
        "ENROOT_CACHE_PATH": f"{folder}/cache",
        "ENROOT_DATA_PATH": f"{folder}/data",
        "ENROOT_TEMP_PATH": os.environ.get("TMPDIR", "/tmp"),
        "ENROOT_SQUASH_OPTIONS": "-comp lzo -noD -exit-on-error",
        "ENROOT_MAX_PROCESSORS": str(len(os.sched_getaffinity(0))),
        "ENROOT_LOGIN_SHELL": "true",
        "ENROOT_VERSION": VERSION,
    }


def load() -> None:
    """Complete this process's environment with the defaults, drop switches that say no.

    Raises:
        EnrootError: One of the folders cannot be made.
    """
    for name, value in defaults().items():
        os.environ[name] = os.environ.get(name) or value
    _drop_refusals()
    mask = os.umask(0o077)
    for name in ("ENROOT_CACHE_PATH", "ENROOT_DATA_PATH", "ENROOT_RUNTIME_PATH"):
        _make_folder(Path(os.environ[name]))
    os.umask(mask)


def load_directives(config: Path) -> None:
    """Apply the `#ENROOT_NAME=VALUE` lines of a start configuration, over the environment."""
    for name, value in DIRECTIVE.findall(config.read_text(encoding="utf-8", errors="replace")):
        said = subprocess.run(
            ("bash", "-c", f"echo {value}"), capture_output=True, text=True, check=True
        )
        os.environ[name] = said.stdout.rstrip("\n")
    _drop_refusals()


def _drop_refusals() -> None:
    for name, value in list(os.environ.items()):
        if name.startswith("ENROOT_") and NO.fullmatch(value):
            del os.environ[name]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        text = f"mkdir: cannot create directory '{folder}': {problem.strerror}"
        raise EnrootError(text) from problem


def folder(kind: str) -> Path:
    """Return one of Enroot's folders, e.g. `folder("DATA")`."""
    return Path(os.environ[f"ENROOT_{kind}_PATH"])


def switched_on(name: str) -> bool:
    """Say whether a switch such as ENROOT_REMAP_ROOT is on."""
    return bool(os.environ.get(f"ENROOT_{name}"))
