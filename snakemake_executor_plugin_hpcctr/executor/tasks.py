"""A captured job and its resolved settings → Task."""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.units import describe_memory
from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
from snakemake_executor_plugin_hpcctr.engines import ENGINES
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind, Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_executor_plugin_hpcctr.bridge.capture import Captured
    from snakemake_executor_plugin_hpcctr.task import (
        EngineName,
        EngineOptions,
        Image,
        Resources,
        TaskGroup,
    )

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
#: Tasks with a time limit of at most so many minutes are short.
SHORT_MIN = 10
#: An element of short tasks asks for at most so many minutes.
ELEMENT_MIN = 60
ROUNDS = 4
TMP_VARIABLES = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")
#: What the user is told of a rule.
LONELY = (
    'and its command is started once, on the first: set `launch="srun"` to start it on each, or '
    "`mpi` if it starts the others itself"
)


@dataclass(frozen=True)
class Place:
    """Folders that every task of a workflow needs to see.

    Args:
        workdir: The workflow's working directory, absolute.
        sources: Folders with the Snakefile, scripts and cached sources.
    """

    workdir: str
    sources: tuple[str, ...]


def scratch_path(base: str, run_id: str, serial: int) -> str:
    """Return the task's folder on its node; unique, so that no two tasks meet there."""
    return posixpath.join(base, f"hpcctr-{os.getuid()}-{run_id}-{serial}")


def own_tmpdir(scratch: str) -> str:
    """Return the folder within the task's own that TMPDIR names."""
    return posixpath.join(scratch, "tmp")


def drop_tmpdir(scratch: str) -> None:
    """Remove TMPDIR here: Snakemake makes it where it prepares a job, the task on its node."""
    drop_empty(own_tmpdir(scratch), scratch)


def drop_empty(*folders: str) -> None:
    """Remove folders if they exist and are empty, the inner one first."""
    for folder in folders:
        with suppress(OSError):
            os.rmdir(folder)  # noqa: PTH106 (strings, hot)


def declared_env(captured: Captured, threads: int, user: dict[str, str]) -> dict[str, str]:
    """Return what the command finds in its environment: threads, Snakemake's own, the user's."""
    counted = dict.fromkeys(THREAD_VARIABLES, str(threads))
    own = {k: v for k, v in captured.env.items() if k not in TMP_VARIABLES}
    return {**counted, **own, **user}


def with_apptainer_args(options: EngineOptions, words: tuple[str, ...]) -> EngineOptions:
    """Return the options with the words of Snakemake's --apptainer-args before the user's own."""
    if not words:
        return options
    apptainer = options.apptainer
    more = {"extra_args": (*words, *apptainer.extra_args)}
    return options.model_copy(update={"apptainer": apptainer.model_copy(update=more)})


def container_binds(
    place: Place, captured: Captured, own_paths: Iterable[str], user: Iterable[Bind]
) -> tuple[Bind, ...]:
    """Return the binds of a contained task; the user's come last and win.

    Its own inputs, outputs and logs are visible wherever they are: the folder of each path
    that no other bind covers is bound as well.

    Raises:
        ConfigError: A bind over the working directory.
    """
    declared = tuple(user)
    for bind in declared:
        if bind.target == place.workdir != bind.source:
            raise ConfigError(
                f"the bind {bind} would hide the working directory, where the task's script is",
                next_step="choose another folder in the container for it",
            )
    binds = [Bind(source=place.workdir, target=place.workdir)]
    wanted = [*place.sources, *captured.bind_paths]
    wanted += [posixpath.dirname(path) for path in own_paths]
    for folder in dict.fromkeys(wanted):
        if folder != "/" and not _covered(folder, (*binds, *declared)):
            binds.append(Bind(source=folder, target=folder))
    binds += [
        Bind(source=host, target=inside, read_only=True)
        for host, inside in captured.search_paths.items()
        if posixpath.isdir(host)
    ]
    return (*binds, *declared)


def with_targets(paths: Iterable[str]) -> list[str]:
    """Return paths and what the links among them point to; a folder stands for its contents."""
    names = (name for path in paths for name in dict.fromkeys((path, os.path.realpath(path))))
    return [f"{name}/." if posixpath.isdir(name) else name for name in names]


def _covered(path: str, binds: Iterable[Bind]) -> bool:
    return any(
        path == bind.target or path.startswith(bind.target.rstrip("/") + "/") for bind in binds
    )


def base_evidence(task: Task) -> Evidence:
    """Return what is known of a task before it runs."""
    resources = task.resources
    return Evidence(
        engine=task.engine,
        image=task.image.reference if task.image else "",
        binds=tuple(str(bind) for bind in task.binds),
        mem_mb=resources.mem_mb,
        runtime_min=resources.runtime_min,
        gpus=resources.gpu.count if resources.gpu else 0,
        partition=resources.partition or "",
    )


def choose_engine(
    preference: tuple[EngineName, ...], image: Image, available: frozenset[EngineName]
) -> EngineName | None:
    """Return the first engine of the list that the nodes have and that can start the image.

    If none of those can, the first that they have, so that its own error tells why; None if
    they have none of the list.
    """
    there = [name for name in preference if name == "host" or name in available]
    able = (name for name in there if image.format in ENGINES[name].FORMATS)
    return next(able, there[0] if there else None)


def job_name(rule: str, wildcards: tuple[tuple[str, str], ...]) -> str:
    """Return what the queue shows: the rule and its wildcard values, plain characters only."""
    words = [rule, *(value for _, value in wildcards)]
    text = ".".join(words)
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-+=") else "_" for c in text)[:80]


def images_of(task: Task | TaskGroup) -> tuple[Image, ...]:
    """Return the images that a task or the members of a group start."""
    tasks = [task] if isinstance(task, Task) else [member.task for member in task.members]
    return tuple(dict.fromkeys(one.image for one in tasks if one.image is not None))


def same_request(
    task: Task | TaskGroup,
) -> tuple[str, Resources, int | None, int | None, tuple[Image, ...]]:
    """Return what must be equal for two tasks to share an array.

    The images are part of it: while one is pulled, tasks with another run.
    """
    limits = (task.tasks_per_element, task.max_parallel)
    return (task.rule, task.resources, *limits, images_of(task))


def element_resources(task: Task | TaskGroup, tasks: int) -> Resources:
    """Return the request of an element that runs `tasks` tasks like this one after another.

    Only the time adds up.
    """
    runtime_min = task.resources.runtime_min
    if tasks == 1 or runtime_min is None:
        return task.resources
    return task.resources.model_copy(update={"runtime_min": runtime_min * tasks})


def pack_size(task: Task | TaskGroup, tasks: int, parallel: int | None) -> int:
    """Return how many of `tasks` equal tasks run one after another in each array element.

    What the user asks for; else 1, unless the tasks are short and many more than can run at
    once: then so many that each place gets about ROUNDS elements, so that Slurm starts fewer
    of them and the places still end at about the same time.

    Args:
        task: One of them; SHORT_MIN and its time limit decide what is short.
        tasks: How many are ready.
        parallel: How many the partition can run at once; None if that is not known.
    """
    runtime_min = task.resources.runtime_min
    if task.tasks_per_element is not None:
        return task.tasks_per_element
    if not parallel or runtime_min is None or runtime_min > SHORT_MIN:
        return 1
    places = min(parallel, task.max_parallel or parallel)
    return max(1, min(tasks // (ROUNDS * places), ELEMENT_MIN // runtime_min))


def describe_request(resources: Resources) -> str:
    """Say what is asked of the scheduler, as hpcctr has read it: `2 CPUs, 3000M (2.9 GiB), 5 min`.

    What nobody named is the scheduler's default and left out.
    """
    cpus = resources.cpus_per_task
    gpu = resources.gpu
    memory, per_cpu = resources.mem_mb, resources.mem_mb_per_cpu
    words = [
        *_processes(resources),
        f"{cpus} CPU{'s' if cpus > 1 else ''}" + ("" if resources.is_one_process else " per task"),
        f"{gpu.count} GPU{'s' if gpu.count > 1 else ''}" if gpu else "",
        describe_memory(memory) if memory else "",
        f"{describe_memory(per_cpu)} per CPU" if per_cpu else "",
        f"{resources.runtime_min} min" if resources.runtime_min else "",
        f"partition {resources.partition}" if resources.partition else "",
    ]
    return ", ".join(filter(None, words))


def _processes(resources: Resources) -> list[str]:
    """Say how many nodes and tasks a request of several processes has: `2 nodes`, `4 tasks`."""
    counts = (
        (resources.nodes, "node", ""),
        (resources.tasks, "task", ""),
        (resources.tasks_per_node, "task", " per node"),
        (resources.tasks_per_gpu, "task", " per GPU"),
    )
    several = not resources.is_one_process
    return [f"{n} {what}{'s' * (n > 1)}{each}" for n, what, each in counts if n and several]
