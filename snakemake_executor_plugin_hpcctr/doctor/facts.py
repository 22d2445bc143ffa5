"""What the checks know: plain values, gathered beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.task import Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snakemake_executor_plugin_hpcctr.task import EngineName, ImageFormat


@dataclass(frozen=True)
class Trouble:
    """Something that failed while facts were gathered, in the words of its error."""

    what: str
    next_step: str = ""
    where: str = ""


@dataclass(frozen=True)
class Machine:
    """What a machine says of itself; the head and each node that was asked.

    Args:
        name: Host name.
        versions: Program → first line of its version; an engine that is missing is absent.
        mksquashfs: Whether there is the program that makes an image of what a registry has.
        bash: Bash's version, `major.minor`; "" without bash.
        flock: Whether flock(1) is there.
        user_namespaces: Whether an ordinary user may make user namespaces.
        setuid: Whether Apptainer's setuid starter is installed.
        fuse: Whether /dev/fuse may be opened.
        squashfuse: Whether a program that mounts squashfs by FUSE is there.
        pyxis: `absent` (srun does not know it), `loaded`, or `silent`: srun knows it, and this
            node ran a command on the bare host.
        gpu_devices: GPUs for which there is a device file, of NVIDIA's or AMD's.
        gpu_visible: What the job's variable names, e.g. `0,1`.
        nvidia_smi: Whether nvidia-smi lists a GPU.
        nvidia_container_cli: Whether NVIDIA's container tool is there.
        clock: Seconds since 1970, when it was asked.
        tmp_free_mb: Free space in /tmp, MiB; None if that cannot be written.
        missing: Paths of those asked about that do not exist there.
        steering: Variables of the user's shell that steer engines (APPTAINER_…).
        proxies: Names of proxy variables that are set.
    """

    name: str
    versions: Mapping[str, str] = field(default_factory=dict)
    mksquashfs: bool = False
    bash: str = ""
    flock: bool = False
    user_namespaces: bool = False
    setuid: bool = False
    fuse: bool = False
    squashfuse: bool = False
    pyxis: str = "absent"
    gpu_devices: int = 0
    gpu_visible: str = ""
    nvidia_smi: bool = False
    nvidia_container_cli: bool = False
    clock: float = 0.0
    tmp_free_mb: int | None = None
    missing: frozenset[str] = frozenset()
    steering: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    def has(self, engine: EngineName) -> bool:
        """Whether the engine can be used there."""
        if engine == "host":
            return True
        if engine == "pyxis":
            return self.pyxis == "loaded"
        return engine in self.versions


@dataclass(frozen=True)
class Place:
    """Nodes that some rules may get, and the one that answered for them.

    Args:
        label: For people: `partition gpu`.
        resources: The part of a request that chooses nodes.
        node: What the node said; None if none answered.
        trouble: Why none did.
        asked: When the question was sent, the head's clock.
        answered: When the answer came, the head's clock.
        saw_head: Whether the node saw a file that the head had just made.
        seen_after_s: How long until the head saw a file of the node's; None: not in time.
    """

    label: str
    resources: Resources = field(default_factory=Resources)
    node: Machine | None = None
    trouble: Trouble | None = None
    asked: float = 0.0
    answered: float = 0.0
    saw_head: bool = False
    seen_after_s: float | None = None


@dataclass(frozen=True)
class Rule:
    """A rule of the workflow.

    Args:
        name: Its name.
        place: Label of its place.
        engines: Engines in order of preference.
        image: Image reference as the user wrote it, or "".
        image_format: Format of the image; None without one.
        registry: Host of the image's registry, if it must be pulled.
        resources: Its request.
        binds: Sources of the binds that the user declared.
        troubles: What a run would refuse: its request, its image …
    """

    name: str
    place: str
    engines: tuple[EngineName, ...] = ()
    image: str = ""
    image_format: ImageFormat | None = None
    registry: str = ""
    resources: Resources = field(default_factory=Resources)
    binds: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True)
class Folder:
    """A folder on which a run depends.

    Args:
        role: What it is for, for people.
        path: Where.
        free_mb: Free space, MiB; None if it cannot be told.
        writable: Whether a file could be made in it.
        in_home: Whether it lies in the home folder.
        setting: What moves it elsewhere, for people.
    """

    role: str
    path: str
    free_mb: int | None = None
    writable: bool = True
    in_home: bool = False
    setting: str = ""


@dataclass(frozen=True)
class Quota:
    """A line of quota(1). Limits of 0 are none.

    Args:
        used_mb: Space in use, MiB.
        limit_mb: Hard limit, MiB.
        files: Files in use.
        file_limit: Hard limit of files.
    """

    filesystem: str
    used_mb: int
    limit_mb: int
    files: int = 0
    file_limit: int = 0


@dataclass(frozen=True)
class Slurm:
    """What Slurm says of itself and of the user.

    Args:
        answers: Whether its controller answers.
        version: Its version, or "".
        accounting: Whether it keeps accounts.
        enforces: Words of AccountingStorageEnforce.
        accounts: Accounts that the user may use.
        qos: Qualities of service that exist.
        default_times: Partition → time limit of a job that names none, for people.
    """

    answers: bool
    version: str = ""
    accounting: bool = False
    enforces: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    qos: frozenset[str] = frozenset()
    default_times: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """A registry whose images are to be pulled, and what came of the first question to it."""

    host: str
    trouble: str = ""


@dataclass(frozen=True)
class Facts:
    """All that the checks look at.

    Args:
        head: This machine.
        workflow: The Snakefile, or "" without a workflow.
        configuration: Why a configuration file cannot be used.
        loading: Why the workflow cannot be loaded.
        slurm: None for the scheduler `local`.
        places: Nodes that were asked.
        rules: Rules of the workflow.
        folders: Folders of the run.
        quotas: The user's quotas.
        registries: Registries from which images are to be pulled.
        file_clock_s: How much the shared file system's clock is ahead of the head's, seconds.
    """

    head: Machine
    workflow: str = ""
    configuration: Trouble | None = None
    loading: Trouble | None = None
    slurm: Slurm | None = None
    places: tuple[Place, ...] = ()
    rules: tuple[Rule, ...] = ()
    folders: tuple[Folder, ...] = ()
    quotas: tuple[Quota, ...] = ()
    registries: tuple[Registry, ...] = ()
    file_clock_s: float = 0.0
