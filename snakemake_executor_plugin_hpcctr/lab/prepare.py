"""Make the folders and files of a lab before its daemons start."""

from __future__ import annotations

import os
import secrets
import shutil
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.lab import conf

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab.conf import State
    from snakemake_executor_plugin_hpcctr.lab.layout import Layout

KEY_BYTES = 1024


def prepare(state: State, layout: Layout) -> None:
    """Write all files of a fresh start; whatever an earlier start left is removed.

    Raises:
        ConfigError: The short folder for sockets belongs to somebody else.
    """
    _make_folders(layout)
    for name in state.settings.node_names:
        (layout.spool / name).mkdir(mode=0o755)
    for path, text in _texts(state, layout).items():
        path.write_text(text)
        path.chmod(0o644)
    if state.settings.accounting:
        _write_private(
            layout.slurmdbd_conf, conf.render_slurmdbd_conf(state.machine, layout).encode()
        )
    if state.machine.auth == "munge":
        _write_private(layout.munge_key, secrets.token_bytes(KEY_BYTES))
    for number in range(state.settings.gpus):
        (layout.fake_gpus / f"gpu{number}").symlink_to("/dev/null")


def _texts(state: State, layout: Layout) -> dict[Path, str]:
    settings, machine = state.settings, state.machine
    return {
        layout.slurm_conf: conf.render_slurm_conf(settings, machine, layout),
        layout.plugstack_conf: conf.render_plugstack_conf(settings),
        layout.directory / "gres.conf": conf.render_gres_conf(settings, machine, layout),
        layout.directory / "cgroup.conf": conf.render_cgroup_conf(machine),
        layout.database_conf: conf.render_database_conf(machine, layout),
        # a lab in a project's folder is not part of the project
        layout.directory / ".gitignore": "*\n",
    }


def _make_folders(layout: Layout) -> None:
    _make_runtime(layout)
    logs = layout.log("any").parent
    for folder in (logs, layout.fake_gpus):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (logs, layout.fake_gpus, layout.controller_state, layout.spool):
        folder.mkdir(mode=0o755)
    # munged insists that every user can reach its socket
    layout.munge_socket.parent.mkdir(mode=0o711)
    layout.munge_socket.parent.chmod(0o711)
    layout.database.mkdir(mode=0o700)


def _make_runtime(layout: Layout) -> None:
    """Make the runtime folder anew; a short one lies in /tmp, where anybody may be first."""
    if os.path.lexists(layout.runtime):
        if layout.runtime.is_symlink() or layout.runtime.stat().st_uid != os.getuid():
            raise ConfigError(
                f"`{layout.runtime}` belongs to somebody else",
                next_step="choose a folder with a shorter path with `--dir`",
            )
        shutil.rmtree(layout.runtime)
    layout.runtime.mkdir(mode=0o755)
    layout.runtime.chmod(0o755)


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
