"""An image's configuration as files in its root, so that each engine finds what Docker would set.

Enroot and pyxis read /etc/environment and run /etc/rc; Apptainer sources the scripts in
/.singularity.d/env and runs /.singularity.d/runscript, from a plain squashfs too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.script.quote import NAME, double_quoted, quote, words

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.images.oci import Config

ENVIRONMENT = ".singularity.d/env/10-docker2singularity.sh"
RUNSCRIPT = ".singularity.d/runscript"
LABELS = ".singularity.d/labels.json"
#: Folders that engines mount something on.
MOUNT_POINTS = ("dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp")
#: What an image without a command of its own runs.
SHELL = ("/bin/sh",)


def files_of(config: Config) -> dict[str, bytes]:
    """Return path → content of the files that carry an image's configuration."""
    texts = {
        "etc/environment": _lines(config.env),
        "etc/rc": render_rc(config),
        ENVIRONMENT: render_environment(config.env),
        RUNSCRIPT: render_runscript(config),
        LABELS: json.dumps(config.labels, indent=1, sort_keys=True) + "\n",
    }
    return {path: text.encode(errors="surrogateescape") for path, text in texts.items()}


def folders_of(config: Config) -> tuple[str, ...]:
    """Return folders that an image must have: those that engines mount something on, its own."""
    return (*MOUNT_POINTS, *([config.workdir] if config.workdir else []))


def files_for_enroot(env: dict[str, str], *, runs: bool) -> dict[str, str]:
    """Return what Enroot reads, for an image of Apptainer.

    Args:
        env: What its environment scripts set.
        runs: Whether it has a start script of its own.
    """
    default = 'if [ $# -gt 0 ]; then\n    exec "$@"\nfi\nexec /bin/sh\n'
    start = f'exec /{RUNSCRIPT} "$@"\n' if runs else default
    return {"etc/environment": _lines(env), "etc/rc": start}


def _lines(env: dict[str, str]) -> str:
    """Return NAME=VALUE lines as Enroot reads them; it can hold no value of several lines."""
    return "".join(f"{name}={value}\n" for name, value in env.items() if "\n" not in value)


def render_environment(env: dict[str, str]) -> str:
    """Return a script that sets an image's variables, byte for byte."""
    exports = "".join(
        f"export {name}={double_quoted(value)}\n"
        for name, value in env.items()
        if NAME.fullmatch(name)
    )
    return f"#!/bin/sh\n{exports}"


def _command(config: Config) -> str:
    entry, default = (
        words(config.entrypoint),
        words(config.cmd or (() if config.entrypoint else SHELL)),
    )
    given = f'exec {entry} "$@"' if entry else 'exec "$@"'
    return (
        f"if [ $# -gt 0 ]; then\n    {given}\nelse\n"
        f"    exec {' '.join(filter(None, (entry, default)))}\nfi\n"
    )


def render_rc(config: Config) -> str:
    """Return Enroot's start script: working directory, entry point, command."""
    folder = quote(config.workdir or "/")
    return f"cd {folder} && unset OLDPWD || exit 1\n\n{_command(config)}"


def render_runscript(config: Config) -> str:
    """Return what `apptainer run` starts; like Apptainer's own, it stays in the caller's folder."""
    return f"#!/bin/sh\n{_command(config)}"
