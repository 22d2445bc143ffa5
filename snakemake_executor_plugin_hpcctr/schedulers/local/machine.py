"""What this machine has for tasks: cores, memory, GPUs."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.gres import parse_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.task import GpuVendor, Resources

#: Says which GPUs there are, in place of a look: a number, or ids with commas (`0,2`, `3,`).
GPUS_VARIABLE = "HPCCTR_LOCAL_GPUS"
VISIBLE: dict[GpuVendor, str] = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "ROCR_VISIBLE_DEVICES"}
#: What cgroups write for "no limit" is larger than this.
NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Amount:
    """Cores, memory (MiB) and the number of GPUs: of a machine, or of a request."""

    cores: int
    memory_mb: int
    gpus: int

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.cores + other.cores, self.memory_mb + other.memory_mb, self.gpus + other.gpus
        )

    def __sub__(self, other: Amount) -> Amount:
        return Amount(
            self.cores - other.cores, self.memory_mb - other.memory_mb, self.gpus - other.gpus
        )

    def fits(self, free: Amount) -> bool:
        """Tell whether the request can be taken from what is free."""
        left = free - self
        return min(left.cores, left.memory_mb, left.gpus) >= 0


@dataclass(frozen=True)
class Machine:
    """What tasks may use.

    Args:
        cores: CPUs.
        memory_mb: Memory, MiB.
        gpus: Ids as in CUDA_VISIBLE_DEVICES.
    """

    cores: int
    memory_mb: int
    gpus: tuple[str, ...] = ()

    @property
    def amount(self) -> Amount:
        """The same as numbers."""
        return Amount(self.cores, self.memory_mb, len(self.gpus))


def needed(resources: Resources) -> Amount:
    """Return what a request takes of a machine."""
    tasks = resources.tasks or resources.tasks_per_node or 1
    cores = tasks * resources.cpus_per_task
    gpus = resources.gpu.count if resources.gpu else parse_gpus(resources.gres or "").total()
    return Amount(
        cores=cores,
        memory_mb=resources.mem_mb or (resources.mem_mb_per_cpu or 0) * cores,
        gpus=gpus,
    )


def inspect_machine(environ: Mapping[str, str]) -> Machine:
    """Return what this process may use: inside a Slurm job, that job's share of the node.

    Args:
        environ: The environment, for the GPUs and the share.
    """
    cores, memory = [len(os.sched_getaffinity(0))], [*_memory_limits()]
    if "SLURM_JOB_ID" in environ:
        cores += _numbers(environ.get("SLURM_CPUS_ON_NODE", ""))
        memory += _numbers(environ.get("SLURM_MEM_PER_NODE", ""))
    return Machine(min(cores), min(memory), find_gpus(environ))


def find_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the GPUs that tasks may use: those this process may see."""
    given = environ.get(GPUS_VARIABLE)
    if given is not None:
        count = given.strip()
        return tuple(map(str, range(int(count)))) if count.isdecimal() else _ids(count)
    for variable in VISIBLE.values():
        if variable in environ:
            return _ids(environ[variable])
    return tuple(map(str, range(_count_devices())))


def _ids(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip() not in {"", "NoDevFiles"})


def _count_devices() -> int:
    """Count the device files; the ids of a GPU library go from 0, whatever these are numbered."""
    nvidia = [
        path for path in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)
    ]
    amd = list(Path("/dev/dri").glob("renderD*")) if Path("/dev/kfd").exists() else []
    return len(nvidia) or len(amd)


def _memory_limits() -> Iterator[int]:
    """Yield the machine's memory and the limits of our cgroups, MiB."""
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    for file in _cgroup_files():
        with suppress(OSError, ValueError):
            limit = int(file.read_text())
            if limit < NO_LIMIT:
                yield limit >> 20


def _cgroup_files() -> Iterator[Path]:
    """Yield the files that may limit our memory, from our cgroup up to the root (cgroups(7))."""
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    for line in lines:
        _, controllers, folder = line.split(":", 2)
        if controllers == "":
            root, name = Path("/sys/fs/cgroup"), "memory.max"
        elif "memory" in controllers.split(","):
            root, name = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        else:
            continue
        here = Path(folder.lstrip("/"))
        for part in (here, *here.parents):
            yield root / part / name


def _numbers(text: str) -> list[int]:
    return [int(text)] if text.isdecimal() else []
