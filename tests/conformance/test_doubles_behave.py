"""One table for Enroot and one for pyxis: the doubles answer as the real ones do.

The rows are asked of the doubles everywhere, and of the real ones where they are installed, so
that a double cannot drift from what it stands for.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from tests.doubles import fixtures

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab

pytest_plugins = ["tests.doubles.fixtures"]

NO_SUCH = "No such file or directory"
NO_GPU_TOOL = "[ERROR] Command not found: nvidia-container-cli"
SEE_ALL = r'printf "<%s>" "$A" "$B" "$C"'
SPANK = "spank: required plugin spank_pyxis.so: task_init() failed with rc=-1"


@dataclass(frozen=True)
class Row:
    """A command line and its answer; `{…}` in a text stands for a path, see `_places`.

    Args:
        name: Shown by pytest.
        words: The arguments, those that every row has left out.
        code: Exit code.
        out: All that is printed.
        err: A part of what is printed as errors; nothing may be printed if this is empty.
        env: Variables of the engine's process.
    """

    name: str
    words: tuple[str, ...]
    code: int = 0
    out: str = ""
    err: str = ""
    env: dict[str, str] = field(default_factory=dict)


def _name(row: Row) -> str:
    return row.name


def run_in_image(name: str, text: str, out: str, *options: str, **env: str) -> Row:
    """Return a row that runs shell text in the tiny image."""
    return Row(name, (*options, "{image}", "sh", "-c", text), out=out, env=env)


START = (
    run_in_image("runs in the image", "cat /etc/in-the-image", "yes\n"),
    run_in_image("a login shell resets PATH", "echo $PATH", "/usr/local/bin:/usr/bin:/bin\n"),
    run_in_image("starts in the home", 'echo "$PWD" "$HOME"', "{home} {home}\n"),
    run_in_image("without a login in the root", "pwd", "/\n", ENROOT_LOGIN_SHELL="no"),
    run_in_image("the user's ids", "id -u; id -g", "{uid}\n{gid}\n"),
    run_in_image("root if asked", 'id -u; echo "$HOME"', "0\n/root\n", "--root"),
    run_in_image("fresh /tmp and /run", "ls /tmp; touch /tmp/x /run/x && echo ok", "ok\n"),
    run_in_image("a clean environment", 'echo "${LEAK-none}"', "none\n", LEAK="x"),
    run_in_image("writable if asked", "touch /x && echo ok", "ok\n", "--rw"),
    run_in_image(
        "variables", SEE_ALL, "<x y><host><a=b,c:d>", "-e", "A=x y", "--env=B", "-eC=a=b,c:d"
        if False else "--env=C=a=b,c:d", B="host",
    ),
)
