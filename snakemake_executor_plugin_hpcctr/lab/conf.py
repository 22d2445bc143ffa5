"""The text of every configuration file of the lab: pure, nothing is read, run or written.

Keys and their reasons: slurm.conf(5), gres.conf(5), cgroup.conf(5), slurmdbd.conf(5). Written for
Slurm 20.11 to 26.05; where releases differ, the text depends on `Machine.version`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from snakemake_executor_plugin_hpcctr.task import Frozen

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab.layout import Layout

Auth = Literal["munge", "none"]
AuthChoice = Literal["auto", "munge", "none"]
MemoryLimit = Literal["cgroup", "sampled", "none"]
MemoryLimitChoice = Literal["auto", "cgroup", "sampled", "none"]

#: These say something new each time; any other key may stand in slurm.conf only once.
REPEATABLE = frozenset({"nodename", "partitionname", "downnodes", "nodeset", "frontendname"})

#: Type of the GPUs that are links to /dev/null, as in `--gres=gpu:fake:1`.
FAKE_GPU = "fake"

#: `CgroupPlugin=disabled` exists from here on; without it, slurmd of these releases looks for
#: cgroups although nothing uses them.
CGROUP_CAN_BE_DISABLED = (23, 11)
#: `CgroupPlugin` exists from here on.
CGROUP_HAS_PLUGINS = (21, 8)


class LabSettings(Frozen):
    """What a person may choose about a lab.

    Args:
        directory: Folder of the lab.
        nodes: Number of nodes, each a slurmd of its own on this machine.
        cpus: CPUs that each node claims to have, whatever the hardware has.
        memory_mb: Memory that each node claims to have, MiB.
        gpus: GPUs of each node: real ones where this machine has some, else links to /dev/null.
        accounting: Also start slurmdbd and MariaDB, so that `sacct` answers.
        auth: How daemons and clients trust each other; `auto` takes munge where it is installed.
        memory_limit: What ends a job that takes more memory than it asked for; `auto` takes
            cgroups where they can be used, else sampling.
        plugstack: Files to include in plugstack.conf, e.g. the one that loads pyxis.
        extra: More lines for slurm.conf; one with a key that the lab sets itself replaces it.
    """

    directory: Path = Path(".lab")
    nodes: int = Field(default=2, ge=1)
    cpus: int = Field(default=8, ge=1)
    memory_mb: int = Field(default=16000, ge=1)
    gpus: int = Field(default=2, ge=0)
    accounting: bool = False
    auth: AuthChoice = "auto"
    memory_limit: MemoryLimitChoice = "auto"
    plugstack: tuple[Path, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def node_names(self) -> tuple[str, ...]:
        """`n1`, `n2` and so on."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))


class Machine(Frozen):
    """What was found out about this machine, and what was chosen for this start of the lab.

    Args:
        hostname: As `hostname -s` prints it; Slurm insists on it.
        user: Owner of all daemons.
        version: Slurm's release, e.g. `(22, 5)`.
        auth: Resolved from `LabSettings.auth`.
        memory_limit: Resolved from `LabSettings.memory_limit`.
        controller_port: TCP port of slurmctld.
        node_ports: TCP port of each node's slurmd.
        dbd_port: TCP port of slurmdbd; not used without accounting.
        real_gpus: Devices of each node; all empty if the GPUs are fake.
        first_job_id: Number of the first job.
    """

    hostname: str
    user: str
    version: tuple[int, int]
    auth: Auth
    memory_limit: MemoryLimit
    controller_port: int
    node_ports: tuple[int, ...]
    dbd_port: int
    real_gpus: tuple[tuple[str, ...], ...]
    first_job_id: int = 1


class State(Frozen):
    """One start of a lab."""

    settings: LabSettings
    machine: Machine


def gpu_count(settings: LabSettings, machine: Machine, node: int) -> int:
    """Return how many GPUs the node with this index has."""
    return len(machine.real_gpus[node]) if any(machine.real_gpus) else settings.gpus


def render_slurm_conf(settings: LabSettings, machine: Machine, layout: Layout) -> str:
    """Write slurm.conf, the settings' own lines included."""
    keys = {
        **_identity(machine, layout),
        **_files(layout),
        **_scheduling(settings),
        **_accounting(settings, machine, layout),
        **_memory_limit(machine.memory_limit),
    }
    if settings.gpus:
        keys["GresTypes"] = "gpu"
    lines, appended = _with_extra(keys, settings.extra)
    return _text(
        lines
        + [_node_line(settings, machine, index) for index in range(settings.nodes)]
        + _partition_lines(settings, machine)
        + appended
    )


def _identity(machine: Machine, layout: Layout) -> dict[str, str]:
    keys = {
        "ClusterName": "lab",
        # the address keeps the controller on loopback
        "SlurmctldHost": f"{machine.hostname}(127.0.0.1)",
        "SlurmctldPort": str(machine.controller_port),
        "SlurmUser": machine.user,
        "SlurmdUser": machine.user,
        "AuthType": f"auth/{machine.auth}",
        "CredType": f"cred/{machine.auth}",
        "FirstJobId": str(machine.first_job_id),
    }
    if machine.auth == "munge":
        keys["AuthInfo"] = f"socket={layout.munge_socket}"
    return keys


def _files(layout: Layout) -> dict[str, str]:
    return {
        "SlurmctldPidFile": str(layout.pid("slurmctld")),
        "SlurmctldLogFile": str(layout.log("slurmctld")),
        "StateSaveLocation": str(layout.controller_state),
        # without %n, two slurmd would overwrite each other
        "SlurmdPidFile": str(layout.pid("slurmd-%n")),
        "SlurmdLogFile": str(layout.log("slurmd-%n")),
        "SlurmdSpoolDir": str(layout.spool / "%n"),
        "PlugStackConfig": str(layout.plugstack_conf),
    }


def _scheduling(settings: LabSettings) -> dict[str, str]:
    return {
        "SlurmdParameters": "config_overrides",  # believe this file, not the hardware
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "ReturnToService": "2",  # a node that comes back is used without an administrator
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        # without a default, one job would take a node's whole memory
        "DefMemPerCPU": str(max(1, settings.memory_mb // settings.cpus)),
        # jobs start at once, not after 3 to 30 s
        "SchedulerParameters": "sched_interval=1,sched_min_interval=50000,batch_sched_delay=0,"
        "bf_interval=1,default_queue_depth=2000",
        "MinJobAge": "60",
        "MaxArraySize": "20001",
        "MaxJobCount": "50000",
        "KillWait": "5",
        "SlurmctldTimeout": "30",
        "SlurmdTimeout": "60",
    }


def _accounting(settings: LabSettings, machine: Machine, layout: Layout) -> dict[str, str]:
    if not settings.accounting:
        return {"AccountingStorageType": "accounting_storage/none"}
    keys = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(machine.dbd_port),
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=1",
    }
    if machine.auth == "munge":
        # the connection to slurmdbd takes the socket from here, not from AuthInfo
        keys["AccountingStoragePass"] = str(layout.munge_socket)
    return keys


def _memory_limit(limit: MemoryLimit) -> dict[str, str]:
    if limit == "cgroup":
        return {"TaskPlugin": "task/cgroup", "ProctrackType": "proctrack/cgroup"}
    keys = {"TaskPlugin": "task/none", "ProctrackType": "proctrack/linuxproc"}
    if limit == "sampled":
        keys |= {
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=1",
            "JobAcctGatherParams": "OverMemoryKill",
        }
    return keys


def _with_extra(keys: dict[str, str], extra: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Let extra lines replace keys; give those that come after the nodes separately."""
    names = {_key(line): line for line in extra}
    kept = [f"{name}={value}" for name, value in keys.items() if name.lower() not in names]
    once = [line for line in extra if _key(line) not in REPEATABLE]
    return kept + once, [line for line in extra if _key(line) in REPEATABLE]


def _key(line: str) -> str:
    return line.partition("=")[0].strip().lower()


def _node_line(settings: LabSettings, machine: Machine, index: int) -> str:
    words = [
        f"NodeName={settings.node_names[index]}",
        f"NodeHostname={machine.hostname}",
        "NodeAddr=127.0.0.1",
        f"Port={machine.node_ports[index]}",
        f"CPUs={settings.cpus}",
        f"RealMemory={settings.memory_mb}",
        "TmpDisk=100000",
        "Feature=lab",
        "State=UNKNOWN",
    ]
    if count := gpu_count(settings, machine, index):
        words.append(f"Gres=gpu:{_gpu_type(machine)}{count}")
    return " ".join(words)


def _gpu_type(machine: Machine) -> str:
    return "" if any(machine.real_gpus) else f"{FAKE_GPU}:"


def _partition_lines(settings: LabSettings, machine: Machine) -> list[str]:
    lines = [f"PartitionName=cpu Nodes={','.join(settings.node_names)} Default=YES State=UP"]
    with_gpus = [
        name
        for index, name in enumerate(settings.node_names)
        if gpu_count(settings, machine, index)
    ]
    if with_gpus:
        lines.append(f"PartitionName=gpu Nodes={','.join(with_gpus)} State=UP")
    return lines


def render_gres_conf(settings: LabSettings, machine: Machine, layout: Layout) -> str:
    """Write gres.conf.

    A fake GPU is a link to /dev/null, which every user can make: Slurm wants a device
    (`File=` with an ordinary file leaves CUDA_VISIBLE_DEVICES unset), and with `Count=` alone
    slurmd 22.05 reports no GPU at all, so that its node is INVAL.
    """
    lines = []
    for index, name in enumerate(settings.node_names):
        lines += [f"NodeName={name} Name=gpu File={file}" for file in machine.real_gpus[index]]
        if not any(machine.real_gpus) and settings.gpus:
            files = f"{layout.fake_gpus}/gpu[0-{settings.gpus - 1}]"
            lines.append(f"NodeName={name} Name=gpu Type={FAKE_GPU} File={files}")
    return _text(lines)


def render_cgroup_conf(machine: Machine) -> str:
    """Write cgroup.conf."""
    if machine.memory_limit == "cgroup":
        lines = ["ConstrainRAMSpace=yes"]
        if machine.version >= CGROUP_HAS_PLUGINS:
            lines.insert(0, "CgroupPlugin=cgroup/v1")
        return _text(lines)
    return _text(["CgroupPlugin=disabled"] if machine.version >= CGROUP_CAN_BE_DISABLED else [])


def render_plugstack_conf(settings: LabSettings) -> str:
    """Write plugstack.conf, which includes the files that the settings name."""
    return _text([f"include {path}" for path in settings.plugstack])


def render_slurmdbd_conf(machine: Machine, layout: Layout) -> str:
    """Write slurmdbd.conf."""
    lines = [
        f"AuthType=auth/{machine.auth}",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={machine.dbd_port}",
        f"SlurmUser={machine.user}",
        f"PidFile={layout.pid('slurmdbd')}",
        f"LogFile={layout.log('slurmdbd')}",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",  # by the socket that MYSQL_UNIX_PORT names
        "StorageUser=root",  # the database's own root, without a password
        "StorageLoc=slurm_acct_db",
    ]
    if machine.auth == "munge":
        lines.insert(1, f"AuthInfo=socket={layout.munge_socket}")
    return _text(lines)


def render_database_conf(machine: Machine, layout: Layout) -> str:
    """Write MariaDB's option file: its own data, no TCP, small buffers."""
    return _text(
        [
            "[mariadbd]",
            f"datadir={layout.database}",
            f"socket={layout.database_socket}",
            f"pid-file={layout.pid('mariadbd')}",
            f"log-error={layout.log('mariadbd')}",
            f"user={machine.user}",
            "skip-networking",
            "innodb_buffer_pool_size=64M",
            "innodb_lock_wait_timeout=900",  # slurmdbd warns below this
            "innodb_flush_log_at_trx_commit=0",  # a throw-away database may lose a second
        ]
    )


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
