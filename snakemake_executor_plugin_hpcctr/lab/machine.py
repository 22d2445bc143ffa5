"""Find out what this machine has: names, versions, ports, GPUs, cgroups."""

from __future__ import annotations

import os
import pwd
import random
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.lab.conf import Machine

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab.conf import Auth, LabSettings, MemoryLimit

#: Below the range from which Linux takes the ports of outgoing connections (ip(7)).
PORTS = range(20000, 32000)
CGROUPS = Path("/sys/fs/cgroup")


def inspect_machine(settings: LabSettings) -> Machine:
    """Gather all that the configuration files depend on.

    Raises:
        ConfigError: The settings ask for what this machine does not have.
    """
    ports = free_ports(settings.nodes + 2)
    limit = choose_memory_limit(settings)
    return Machine(
        hostname=socket.gethostname().partition(".")[0],
        user=user_name(),
        version=slurm_version(),
        auth=choose_auth(settings),
        memory_limit=limit,
        controller_port=ports[0],
        dbd_port=ports[1],
        node_ports=tuple(ports[2:]),
        real_gpus=share_gpus(real_gpus(), settings),
        # the cgroups of all labs lie in one tree, named by job number
        first_job_id=(ports[0] - PORTS.start + 1) * 1000 if limit == "cgroup" else 1,
    )


def user_name() -> str:
    """Return the name of the user who runs this.

    Raises:
        ConfigError: The user has no entry in the password database, which Slurm needs.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise ConfigError(
            f"the user with number {os.getuid()} has no name, and Slurm needs one",
            next_step="add the user to /etc/passwd",
        ) from None


def slurm_version() -> tuple[int, int]:
    """Return the release of the installed Slurm, as in `slurm-wlm 22.05.8`."""
    done = proc.run([proc.find_program("slurmctld") or "slurmctld", "-V"])
    found = re.search(r"(\d+)\.(\d+)", done.out)
    if found is None:
        raise done.error("the release of Slurm could not be found out")
    return int(found[1]), int(found[2])


def choose_auth(settings: LabSettings) -> Auth:
    """Resolve `auto`: munge where it is installed."""
    if settings.auth != "auto":
        return settings.auth
    return "munge" if proc.find_program("munged") else "none"


def choose_memory_limit(settings: LabSettings) -> MemoryLimit:
    """Resolve `auto`: cgroups where they can be used, else sampling.

    Raises:
        ConfigError: cgroups are asked for where they cannot be used.
    """
    usable = os.geteuid() == 0 and all(
        os.access(CGROUPS / controller, os.W_OK) for controller in ("memory", "freezer")
    )
    if settings.memory_limit == "cgroup" and not usable:
        raise ConfigError(
            "`--memory-limit cgroup` needs root and the cgroup v1 controllers memory and freezer",
            next_step="use `--memory-limit sampled`: it ends a job about a second after it took "
            "too much",
        )
    if settings.memory_limit == "auto":
        return "cgroup" if usable else "sampled"
    return settings.memory_limit


def real_gpus() -> list[str]:
    """Return the devices of this machine's NVIDIA GPUs, in order."""
    devices = [str(path) for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted(devices, key=lambda path: int(path.removeprefix("/dev/nvidia")))


def share_gpus(devices: list[str], settings: LabSettings) -> tuple[tuple[str, ...], ...]:
    """Deal real GPUs out to the nodes: each to one node only, at most `gpus` per node."""
    return tuple(
        tuple(devices[node :: settings.nodes][: settings.gpus]) for node in range(settings.nodes)
    )


def free_ports(count: int) -> list[int]:
    """Return TCP ports on which nothing listens now.

    They are drawn at random, so that two labs that start at the same time hardly ever meet.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        if _can_listen(port):
            found.append(port)
        if len(found) == count:
            break
    return found


def _can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
