"""Resource names of Snakemake, of its Slurm plugin and of hpcctr → settings.

Names and meanings follow snakemake-executor-plugin-slurm 2.8, so that its Snakefiles run
unchanged. A name that is not listed is the user's own, as Snakemake allows: it is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config import texts
from snakemake_executor_plugin_hpcctr.config.suggest import nearest
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True)
class ResourceName:
    """What a resource name means.

    Args:
        setting: Name of the setting in hpcctr.yaml (`block.option` for an engine's); None if
            the resource is accepted without effect on a task.
        warning: Said when it is used; "" for a name in good standing.
    """

    setting: str | None
    warning: str = ""


def _read_as(setting: str, resource: str) -> ResourceName:
    return ResourceName(setting, f"it is read as `{resource}`: write `{resource}`")


#: Of several names for one setting, the first that a rule sets counts.
RESOURCES: dict[str, ResourceName] = {
    "engine": ResourceName("engine"),
    "binds": ResourceName("binds"),
    "env": ResourceName("env"),
    "clean_env": ResourceName("clean_env"),
    "apptainer_args": ResourceName("apptainer.extra_args"),
    "enroot_args": ResourceName("enroot.extra_args"),
    "pyxis_args": ResourceName("pyxis.extra_args"),
    "gpu": ResourceName("gpu"),
    "gpus": _read_as("gpu", "gpu"),
    "nvidia_gpu": _read_as("gpu", "gpu"),
    "gpu_model": ResourceName("gpu_model"),
    "gpu_vendor": ResourceName("gpu_vendor"),
    "gpu_manufacturer": ResourceName("gpu_vendor"),
    "gres": ResourceName("gres"),
    "mem_mb": ResourceName("mem"),
    "mem_mib": ResourceName("mem"),
    "mem": ResourceName("mem"),
    "mem_mb_per_cpu": ResourceName("mem_per_cpu"),
    "runtime": ResourceName("runtime"),
    "cpus_per_task": ResourceName("cpus_per_task"),
    "cpus_per_gpu": ResourceName("cpus_per_gpu"),
    "nodes": ResourceName("nodes"),
    "slurm_nodes": _read_as("nodes", "nodes"),
    "node": _read_as("nodes", "nodes"),
    "tasks": ResourceName("tasks"),
    "tasks_per_node": ResourceName("tasks_per_node"),
    "tasks_per_gpu": ResourceName("tasks_per_gpu"),
    "ntasks_per_gpu": _read_as("tasks_per_gpu", "tasks_per_gpu"),
    "launch": ResourceName("launch"),
    "mpi": ResourceName("mpi"),
    "tasks_per_element": ResourceName("tasks_per_element"),
    "max_parallel": ResourceName("max_parallel"),
    "slurm_partition": ResourceName("partition"),
    "slurm_account": ResourceName("account"),
    "qos": ResourceName("qos"),
    "reservation": ResourceName("reservation"),
    "constraint": ResourceName("constraint"),
    "cluster": ResourceName("clusters"),
    "clusters": ResourceName("clusters"),
    "slurm_cluster": ResourceName("clusters"),
    "slurm_extra": ResourceName("extra"),
    "requeue": ResourceName("requeue"),
    "slurm_requeue": _read_as("requeue", "requeue"),
    "mpi_tasks": ResourceName(None, "it has no effect: write `tasks`"),
    "threads": ResourceName(None, "it has no effect: use the rule's `threads:`"),
    "tmpdir": ResourceName(None),
    "disk": ResourceName(None),
    "disk_mb": ResourceName(None),
    "disk_mib": ResourceName(None),
}

EFFECTIVE = tuple(name for name, known in RESOURCES.items() if known.setting)

#: How near a user's own resource name must be to one of ours to be taken for a slip.
NEAR = 0.8

#: The same amount under several names: Snakemake derives the others from one.
DERIVED = frozenset({"mem_mb", "mem_mib", "mem"})

#: Words that look like resources of hpcctr but are too far from them to be found by spelling.
MEANT = {
    "account": "slurm_account",
    "partition": "slurm_partition",
    "walltime": "runtime",
    "time": "runtime",
    "time_min": "runtime",
    "mounts": "binds",
    "container_engine": "engine",
    "ntasks": "tasks",
    "ntasks_per_node": "tasks_per_node",
}


@dataclass(frozen=True)
class RuleLayer:
    """A rule's resources as settings.

    Args:
        settings: Setting → value, in the form that `RuleSettings` reads.
        sources: Setting → name of the resource that set it.
        warnings: Sentences for the user.
    """

    settings: dict[str, object]
    sources: dict[str, str]
    warnings: tuple[str, ...]


def is_relevant(name: str) -> bool:
    """Whether a resource's value can change a task."""
    known = RESOURCES.get(name)
    return known is not None and (known.setting is not None or bool(known.warning))


def settings_of(resources: Mapping[str, object]) -> RuleLayer:
    """Translate resources that Snakemake hands over into settings.

    Raises:
        ConfigError: Two names of one setting contradict each other.
    """
    settings: dict[str, object] = {}
    sources: dict[str, str] = {}
    warnings: list[str] = []
    for name, known in RESOURCES.items():
        value = resources.get(name)
        if value is None:
            continue
        if known.warning:
            warnings.append(f"resource `{name}`: {known.warning}")
        if known.setting is None:
            continue
        if known.setting in settings:
            _check_equal(known.setting, sources[known.setting], name, resources)
            continue
        read, said = _ADAPT.get(known.setting, _unchanged)(value)
        settings[known.setting], sources[known.setting] = read, name
        if said:
            warnings.append(f"resource `{name}`: {said}")
    return RuleLayer(settings, sources, tuple(warnings))


def _check_equal(setting: str, first: str, second: str, resources: Mapping[str, object]) -> None:
    one, other = resources[first], resources[second]
    if str(one) != str(other) and not {first, second} <= DERIVED:
        raise ConfigError(
            f"the resources {first}={one!r} and {second}={other!r} set the same thing, "
            f"`{setting}`, to two values",
            next_step=f"keep `{first}`",
        )


def _unchanged(value: object) -> tuple[object, str]:
    return value, ""


def _first_account(value: object) -> tuple[object, str]:
    names = str(value).replace(",", " ").split()
    if len(names) < 2:  # noqa: PLR2004 (several accounts)
        return value, ""
    return names[0], f"of several accounts the first is used, `{names[0]}`"


def _gpu(value: object) -> tuple[object, str]:
    model, colon, count = str(value).rpartition(":")
    if not colon:
        return value, ""
    return value, f'the model is better given apart: gpu={count}, gpu_model="{model}"'


def _extra(value: object) -> tuple[object, str]:
    if isinstance(value, str) and texts.has_stray_quotes(value):
        return value, f"the quotes round {value} are one pair too many and are dropped"
    return value, ""


def _at_least(least: int) -> Callable[[object], tuple[object, str]]:
    """Raise numbers below the least, as the Slurm plugin does."""

    def adapt(value: object) -> tuple[object, str]:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return max(value, least), ""
        return value, ""

    return adapt


def _launcher(value: object) -> tuple[object, str]:
    """Accept `mpi=True`: the Slurm plugin asks only whether it is set."""
    return (str(value) if value else "") if isinstance(value, bool) else value, ""


#: Setting → what its resource's value becomes, and what to say about it.
_ADAPT: dict[str, Callable[[object], tuple[object, str]]] = {
    "account": _first_account,
    "gpu": _gpu,
    "extra": _extra,
    "mpi": _launcher,
    "cpus_per_task": _at_least(1),
    "cpus_per_gpu": _at_least(0),
    "tasks_per_gpu": _at_least(0),
}


@cache
def meant_by(name: str) -> str | None:
    """Return the resource that an unknown name was probably meant to be, or None."""
    if name in RESOURCES or name.startswith("_"):
        return None
    return MEANT.get(name) or nearest(name, EFFECTIVE, close=NEAR)


def near_misses(names: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each unknown name that was probably meant to be one of ours."""
    return tuple(
        f"resource `{name}` is not known and has no effect: did you mean `{meant}`?"
        for name in names
        if (meant := meant_by(name))
    )
