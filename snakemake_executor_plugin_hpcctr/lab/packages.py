"""Which Debian package brings which program, and what is missing here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

INSTALL_S = 1800.0

#: Program → Debian package, by what needs it.
SLURM = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "scontrol": "slurm-client",
    "sinfo": "slurm-client",
    "scancel": "slurm-client",
}
MUNGE = {"munged": "munge"}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "sacctmgr": "slurm-client",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
}
IMAGES = {"mmdebstrap": "mmdebstrap", "mksquashfs": "squashfs-tools"}
APPTAINER = {
    "squashfuse": "squashfuse",
    "fuse-overlayfs": "fuse-overlayfs",
    "fusermount3": "fuse3",
    "newuidmap": "uidmap",
    "mksquashfs": "squashfs-tools",
}


def missing(programs: dict[str, str]) -> dict[str, str]:
    """Return those programs, with their packages, that are not on PATH or in /usr/sbin."""
    return {name: package for name, package in programs.items() if not proc.find_program(name)}


def all_missing(*, accounting: bool) -> list[tuple[str, str, str]]:
    """Return package, program and purpose of each program that is missing for the lab."""
    purposes = {
        "the lab": {**SLURM, **MUNGE, **(ACCOUNTING if accounting else {})},
        "`hpcctr lab image`": IMAGES,
        "Apptainer": APPTAINER,
    }
    found: dict[str, tuple[str, str, str]] = {}
    for purpose, programs in purposes.items():
        for name, package in missing(programs).items():
            found.setdefault(name, (package, name, purpose))
    return sorted(found.values())


def apt_command(packages: Iterable[str]) -> list[str]:
    """Return the command that installs packages; sorted, each once."""
    return ["apt-get", "install", "--yes", "--no-install-recommends", *sorted(set(packages))]


def require(programs: dict[str, str]) -> None:
    """Check that programs are there.

    Raises:
        CommandError: Some are not; names them and the packages that bring them.
    """
    lacking = missing(programs)
    if lacking:
        names = ", ".join(f"`{name}`" for name in lacking)
        raise CommandError(
            f"not installed: {names}",
            next_step="as root, run `hpcctr lab packages --install` for all that the lab can use, "
            f"or on Debian `{' '.join(apt_command(lacking.values()))}`",
        )


def install(packages: Collection[str]) -> None:
    """Install Debian packages, without asking and without starting daemons by hand.

    Raises:
        CommandError: No root, no apt-get, or apt-get failed.
    """
    command = apt_command(packages)
    if os.geteuid() != 0:
        raise CommandError(
            "only root can install packages", next_step=f"run `sudo {' '.join(command)}`"
        )
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update"], command):
        done = proc.run(argv, env=env, timeout_s=INSTALL_S)
        if not done.ok:
            raise done.error("the packages could not be installed")
