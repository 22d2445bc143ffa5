"""What a lab consists of: its daemons in the order of their start, its files, its environment."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.lab import packages
from snakemake_executor_plugin_hpcctr.lab.daemons import Daemon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.lab.conf import LabSettings, State
    from snakemake_executor_plugin_hpcctr.lab.layout import Layout

#: Cannot be written in slurm.conf(5): it has no quotes, `#` begins a comment, `%` a pattern.
UNWRITABLE = re.compile(r"[\s#%,\"'\\]")


def checked(settings: LabSettings) -> LabSettings:
    """Make paths absolute, and refuse those that Slurm could not use.

    Raises:
        ConfigError: A path has a character that slurm.conf cannot hold, or a file is missing.
    """
    directory = settings.directory.absolute()
    if found := UNWRITABLE.search(str(directory)):
        raise ConfigError(
            f"slurm.conf cannot hold a path with {found[0]!r}: `{directory}`",
            next_step="choose another folder with `--dir`",
        )
    plugstack = tuple(path.absolute() for path in settings.plugstack)
    for path in plugstack:
        if not path.is_file():
            raise ConfigError(
                f"there is no file `{path}` to include in plugstack.conf",
                next_step="`--plugstack` takes a file with a line such as "
                "`required /usr/lib/slurm/spank_pyxis.so`",
            )
    return settings.model_copy(update={"directory": directory, "plugstack": plugstack})


def required_programs(settings: LabSettings) -> dict[str, str]:
    """Return all programs that a lab needs, with their packages."""
    return {
        **packages.SLURM,
        **(packages.MUNGE if settings.auth == "munge" else {}),
        **(packages.ACCOUNTING if settings.accounting else {}),
    }


def environment(layout: Layout, outer: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of daemons and clients.

    Slurm's own variables of an allocation in which this may run, and its clients' defaults, must
    not reach them; MariaDB's client library takes its socket from MYSQL_UNIX_PORT.
    """
    foreign = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SINFO_", "SCANCEL_", "SACCT")
    return {
        **{name: value for name, value in outer.items() if not name.startswith(foreign)},
        "SLURM_CONF": str(layout.slurm_conf),
        "MYSQL_UNIX_PORT": str(layout.database_socket),
    }


def plan_daemons(state: State, layout: Layout) -> tuple[Daemon, ...]:
    """Return the daemons in the order in which they must start."""
    conf = os.fspath(layout.slurm_conf)
    commands = {}
    if state.machine.auth == "munge":
        commands["munged"] = _munged(layout)
    if state.settings.accounting:
        # setsid(1), since mariadbd cannot go into the background by itself
        options = f"--defaults-file={layout.database_conf}"
        commands["mariadbd"] = ("setsid", "--fork", _path("mariadbd"), options)
        commands["slurmdbd"] = (_path("slurmdbd"),)
    commands["slurmctld"] = (_path("slurmctld"), "-f", conf)
    for name in state.settings.node_names:
        commands[f"slurmd-{name}"] = (_path("slurmd"), "-f", conf, "-N", name)
    return tuple(
        Daemon(name, argv, layout.pid(name), layout.log(name)) for name, argv in commands.items()
    )


def _munged(layout: Layout) -> tuple[str, ...]:
    return (
        _path("munged"),
        # a lab may lie in a folder that only its user can enter, or that a group can write to;
        # the key and the socket's folder have modes of their own
        "--force",
        f"--key-file={layout.munge_key}",
        f"--socket={layout.munge_socket}",
        f"--pid-file={layout.pid('munged')}",
        f"--log-file={layout.log('munged')}",
        f"--seed-file={layout.munge_seed}",
    )


def _path(program: str) -> str:
    return proc.find_program(program) or program
