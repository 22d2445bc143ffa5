"""What a compute node runs, fully resolved: frozen values without I/O.

Units: memory in MiB as Slurm's `--mem` counts it, time in minutes, everything else a count.
"""

from __future__ import annotations

import posixpath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snakemake_executor_plugin_hpcctr.errors import ConfigError

EngineName = Literal["apptainer", "enroot", "pyxis", "host"]
ImageFormat = Literal["sif", "sqsh", "directory", "registry", "container"]
GpuVendor = Literal["nvidia", "amd"]

BIND_MODES = {"ro": True, "rw": False}


class Frozen(BaseModel):
    """Base of all values here: immutable, hashable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Bind(Frozen):
    """One host path made visible in a container.

    Args:
        source: Absolute path on the node.
        target: Absolute path in the container.
        read_only: Whether the container may not write there.
    """

    source: str
    target: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Read `SRC[:DST[:ro|rw]]`.

        Raises:
            ConfigError: A relative path, a fourth field, or a mode other than ro and rw.
        """
        parts = text.split(":")
        if len(parts) > 3 or (len(parts) == 3 and parts[2] not in BIND_MODES):  # noqa: PLR2004
            raise ConfigError(
                f"bind {text!r} has too many `:`, or a mode other than ro and rw",
                next_step="write SRC:DST or SRC:DST:ro; for a path that itself contains `:`, "
                "give the bind as a mapping in hpcctr.yaml: {source: …, target: …}",
            )
        source, target = parts[0], parts[1] if len(parts) > 1 else parts[0]
        for path in (source, target):
            if not path.startswith("/"):
                raise ConfigError(
                    f"bind {text!r} has a path that is not absolute: {path!r}",
                    next_step="write the whole path from `/`; a compute node has no current "
                    "folder of yours to resolve it against",
                )
        return cls(
            source=posixpath.normpath(source),
            target=posixpath.normpath(target),
            read_only=len(parts) == 3 and BIND_MODES[parts[2]],  # noqa: PLR2004
        )

    def __str__(self) -> str:
        return f"{self.source}:{self.target}" + (":ro" if self.read_only else "")


class Image(Frozen):
    """A container image.

    Args:
        reference: What the user wrote, for messages.
        location: An absolute path; for `registry` a reference as in `docker://host/repo:tag`;
            for `container` the name of an existing Enroot container.
        format: What `location` is.
        identity: Changes with the content (size and time of a file, or a digest); "" if unknown.
        digest: `sha256:…` of a registry image or of a file that was hashed; "" if unknown.
    """

    reference: str
    location: str
    format: ImageFormat
    identity: str = ""
    digest: str = ""


class Gpu(Frozen):
    """A request for GPUs.

    Args:
        count: GPUs of the whole job, at least 1.
        model: The scheduler's name for a model (Slurm: the type in `gpu:TYPE:N`).
        vendor: Decides `--nv` or `--rocm`.
    """

    count: int = Field(ge=1)
    model: str | None = None
    vendor: GpuVendor = "nvidia"


class Resources(Frozen):
    """What a task asks of the scheduler. None leaves the scheduler's own default.

    Args:
        cpus_per_task: CPUs of each task.
        mem_mb: Memory per node, MiB.
        mem_mb_per_cpu: Memory per allocated CPU, MiB; only one of the two is set.
        runtime_min: Time limit, minutes.
        gpu: GPUs of the job.
        gres: Raw generic resources, as in Slurm's `--gres`.
        extra: More options for the scheduler's submit command, as separate words.
    """

    cpus_per_task: int = Field(default=1, ge=1)
    mem_mb: int | None = None
    mem_mb_per_cpu: int | None = None
    runtime_min: int | None = None
    tmp_mb: int | None = None
    gpu: Gpu | None = None
    gres: str | None = None
    cpus_per_gpu: int | None = None
    nodes: int | None = None
    tasks: int | None = None
    tasks_per_node: int | None = None
    tasks_per_gpu: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    reservation: str | None = None
    constraint: str | None = None
    clusters: str | None = None
    wckey: str | None = None
    requeue: bool = False
    extra: tuple[str, ...] = ()

    @property
    def is_one_process(self) -> bool:
        """Whether the request leaves it at one process on one node."""
        counts = (self.nodes, self.tasks, self.tasks_per_node)
        return all((count or 1) == 1 for count in counts) and not self.tasks_per_gpu


class ApptainerOptions(Frozen):
    """Options that only Apptainer and Singularity have; names are those of their flags."""

    program: str = "apptainer"
    cleanenv: bool = False
    containall: bool = False
    no_home: bool = False
    fakeroot: bool = False
    writable_tmpfs: bool = False
    overlay: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    extra_args: tuple[str, ...] = ()


class EnrootOptions(Frozen):
    """Options of `enroot start`, and how its containers are kept.

    Args:
        create: Unpack the image once per node (`enroot create`) and start that container,
            in place of mounting the image for each task.
        keep: Leave such a container on the node for later tasks and runs.
        paths: ENROOT_* variables, e.g. `{"ENROOT_DATA_PATH": "/scratch/enroot"}`.
    """

    root: bool = False
    rw: bool = False
    mount_home: bool = True
    create: bool = False
    keep: bool = True
    paths: dict[str, str] = Field(default_factory=dict)
    extra_args: tuple[str, ...] = ()


class PyxisOptions(Frozen):
    """The `--container-*` options of pyxis 0.24 that no other setting covers."""

    name: str | None = None
    save: str | None = None
    mount_home: bool = True
    remap_root: bool | None = None
    entrypoint: bool = False
    entrypoint_log: bool = False
    writable: bool | None = None
    env: tuple[str, ...] = ()
    unshare: tuple[str, ...] = ()
    extra_args: tuple[str, ...] = ()


class EngineOptions(Frozen):
    """One block of options per engine; a task uses the block of its own engine."""

    apptainer: ApptainerOptions = ApptainerOptions()
    enroot: EnrootOptions = EnrootOptions()
    pyxis: PyxisOptions = PyxisOptions()


class Stage(Frozen):
    """Copies on the node's own disk.

    Args:
        images: Absolute folder on the node for copies of images; None to use them in place.
        limit_mb: How large that folder may become, MiB.
        inputs: Pairs of an input and its copy in the task's own folder.
        outputs: Pairs of where an output is made and where it is copied after success.
    """

    images: str | None = None
    limit_mb: int = 102_400
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()


class Task(Frozen):
    """One command, its container and its request.

    Args:
        key: Durable identity (rule, wildcards, outputs); equal in every run of the workflow.
        rule: Name of the rule.
        wildcards: Names and values, in the rule's order.
        attempt: 1 for the first try.
        command: The shell text, prefix and suffix included, exactly as it is to run.
        interpreter: Program that reads `command`: a path on the host, a bare name in a container.
        benchmark: Whether what the command uses is measured.
        repeats: Commands that follow it one after another, unless one fails: a benchmark's.
        engine: What starts the container.
        launcher: Words of what starts the command once for each process that the request asks
            for, as `("srun", "--mpi=pmix")`; () for one process.
        image: None for the engine `host`.
        binds: All binds, those that hpcctr adds included; later ones win on a nested target.
        workdir: Absolute path, the same outside and inside.
        env: Variables that the command finds, whatever the image or the node says.
        pass_env: Names whose values come from the submitting environment (secrets too).
        clean_env: Keep every other variable of the submitting environment out.
        scratch: Folder on the node that the script makes for the task and removes at the end.
        tasks_per_element: How many such tasks run one after another in one array element;
            None leaves it to hpcctr.
        stage: What is copied to the node's own disk first.
        max_parallel: How many elements of its array run at once; None for no limit.
        tmpdir: Value of `$TMPDIR`: a folder in `scratch`, or one that the user names.
        shared: Whether other tasks run at the same time in the same allocation.
    """

    key: str
    rule: str
    wildcards: tuple[tuple[str, str], ...] = ()
    attempt: int = 1
    command: str
    interpreter: str = "/bin/bash"
    benchmark: bool = False
    repeats: tuple[str, ...] = ()
    engine: EngineName = "host"
    launcher: tuple[str, ...] = ()
    image: Image | None = None
    binds: tuple[Bind, ...] = ()
    workdir: str
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    clean_env: bool = False
    scratch: str
    tmpdir: str
    resources: Resources = Resources()
    tasks_per_element: int | None = Field(default=None, ge=1)
    max_parallel: int | None = Field(default=None, ge=1)
    options: EngineOptions = EngineOptions()
    shared: bool = False
    stage: Stage = Stage()

    @property
    def title(self) -> str:
        """Rule and wildcard values for people: `train (lr=0.1)`."""
        return title_of(self.rule, self.wildcards)


def title_of(rule: str, wildcards: tuple[tuple[str, str], ...]) -> str:
    """Return rule and wildcard values for people: `train (lr=0.1)`."""
    values = ", ".join(f"{name}={value}" for name, value in wildcards)
    return f"{rule} ({values})" if values else rule


class NodeWork(Frozen):
    """What Snakemake does around a job and, within a group, only the node can do.

    Paths are relative to the working directory, or absolute.

    Args:
        shadow: The job's shadow folder, absolute; "" without one.
        shadow_kind: How that is filled: `minimal`, `copy-minimal`, `shallow` or `full`.
        shadow_inputs: Inputs that are not in it before the group runs.
        products: Outputs and logs, which leave the shadow folder.
        touches: Outputs that are touched.
        local: Outputs that exist only on the node; older ones are removed, folders made.
        taken: Outputs that must be there afterwards.
    """

    shadow: str = ""
    shadow_kind: str = ""
    shadow_inputs: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    touches: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


class Member(Frozen):
    """A task within a group.

    Args:
        task: The task; its own request says how much of the group's it needs.
        after: Positions of the members that must have succeeded before it starts.
        unit: Members of the same unit start together: they talk through a pipe or a service.
        serves: Files that it makes if it is a service, which is ended when it is needed no more.
        waits_for: Files of services that must be there before it starts.
        work: What is to be done around it.
    """

    task: Task
    after: tuple[int, ...] = ()
    unit: int
    serves: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    work: NodeWork = NodeWork()


class TaskGroup(Frozen):
    """Several tasks that run on one node, in one element of a submission.

    Args:
        key: Durable identity, from its members' outputs.
        rule: Its name in folders and in the queue: `group_NAME`.
        title: Its name for people.
        members: Its tasks, in an order in which they could run.
        attempt: 1 for the first try.
        workdir: Absolute path.
        resources: What all of it asks for.
        patience_s: How long a service may take to make its file, seconds.
        temporary: Files that nobody needs after certain members, given by their positions.
    """

    key: str
    rule: str
    title: str
    members: tuple[Member, ...]
    attempt: int = 1
    workdir: str
    resources: Resources = Resources()
    patience_s: int = 60
    temporary: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def wildcards(self) -> tuple[tuple[str, str], ...]:
        """None: its members have each their own."""
        return ()

    @property
    def tasks_per_element(self) -> int:
        """A group has its element to itself."""
        return 1

    @property
    def max_parallel(self) -> int | None:
        """How many such groups run at once: the smallest of its members' limits."""
        limits = [m.task.max_parallel for m in self.members if m.task.max_parallel]
        return min(limits, default=None)
