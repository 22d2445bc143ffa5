"""A request against the limits of the partitions: what could never run, and where it could.

Slurm accepts many such requests and lets them wait for ever, unless the site has set
`EnforcePartLimits` (slurm.conf(5)).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.sbatch_words import COVERED, option_names
from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.gres import parse_gpus
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.task import Resources

#: sinfo's options for one line per partition and kind of node:
#: partition, number of nodes, CPUs, memory in MB, generic resources.
NODES_FORMAT = ("-h", "-a", "-e", "-o", "%R|%D|%c|%m|%G")

#: What `scontrol show partition` says of a partition that everybody may use.
OPEN = {"State": "UP", "Hidden": "NO", "AllowGroups": "ALL", "AllowAccounts": "ALL"}


@dataclass(frozen=True)
class NodeKind:
    """Nodes that are alike."""

    count: int
    cpus: int
    memory_mb: int
    gpus: Mapping[str, int] = field(default_factory=dict)

    def gpus_of(self, model: str | None) -> int:
        """Return the GPUs per node: of one model, or all; unnamed ones may be of any model."""
        if model is None:
            return sum(self.gpus.values())
        return self.gpus.get(model.lower(), 0) + self.gpus.get("", 0)


@dataclass(frozen=True)
class Partition:
    """A partition and its limits; None where it has none.

    Args:
        is_open: Whether everybody may use it, now.
    """

    name: str
    is_default: bool = False
    is_open: bool = True
    max_min: float | None = None
    max_nodes: int | None = None
    nodes: tuple[NodeKind, ...] = ()


def parse_partitions(partitions: str, nodes: str) -> dict[str, Partition]:
    """Read `scontrol -o show partition`, and sinfo with NODES_FORMAT."""
    kinds: dict[str, list[NodeKind]] = {}
    for line in nodes.splitlines():
        place, kind = _node_kind(line)
        if kind:
            kinds.setdefault(place, []).append(kind)
    found = {}
    for line in partitions.splitlines():
        keys: dict[str, str] = dict(re.findall(r"(\S+?)=(\S*)", line))
        if name := keys.get("PartitionName"):
            seconds = parse_duration(keys.get("MaxTime", ""))
            found[name] = Partition(
                name=name,
                is_default=keys.get("Default") == "YES",
                is_open=OPEN.items() <= keys.items(),
                max_min=None if seconds is None else seconds / 60,
                max_nodes=_number(keys.get("MaxNodes", "")),
                nodes=tuple(kinds.get(name, ())),
            )
    return found


def impossible(resources: Resources, partitions: Mapping[str, Partition]) -> SubmitError | None:
    """Return why no partition that the request names can ever run it; None if one can.

    Nothing is said about a request that the user's own options for sbatch may change.
    """
    if not partitions or set(option_names(resources.extra)) & COVERED.keys():
        return None
    wanted = _wanted(resources, partitions)
    for name in wanted:
        if name not in partitions:
            return _no_such_partition(name, partitions)
    objections = [objection(resources, partitions[name]) for name in wanted]
    if not objections or None in objections:
        return None
    return SubmitError(
        "; ".join(text for text in objections if text),
        next_step=_where_it_fits(resources, partitions),
    )


def places(resources: Resources, partitions: Mapping[str, Partition]) -> int | None:
    """Return how many one-node tasks with this request fit on the nodes of its partitions.

    None if the partitions are not known or the request spans nodes.
    """
    named = [partitions[name] for name in _wanted(resources, partitions) if name in partitions]
    if not named or not resources.is_one_process:
        return None
    return sum(_places_on(kind, resources) for one in named for kind in one.nodes) or None


def _places_on(kind: NodeKind, resources: Resources) -> int:
    gpus, model = _gpus_asked(resources)
    shares = [kind.cpus // resources.cpus_per_task]
    if memory := _memory_mb(resources):
        shares.append(kind.memory_mb // memory)
    if gpus:
        shares.append(kind.gpus_of(model) // gpus)
    return kind.count * min(shares)


def objection(resources: Resources, partition: Partition) -> str | None:
    """Return the first reason why a partition can never run the request."""
    return next(_objections(resources, partition), None)


def _objections(resources: Resources, partition: Partition) -> Iterator[str]:
    name = f"partition `{partition.name}`"
    # A QOS may lift the partition's own limits (sacctmgr(1), PartitionTimeLimit).
    if resources.qos is None:
        asked, most = resources.runtime_min, partition.max_min
        if asked and most is not None and asked > most:
            yield f"{name} runs a task for at most {most:g} min, and this one asks for {asked} min"
        if resources.nodes and partition.max_nodes and resources.nodes > partition.max_nodes:
            yield (
                f"{name} gives at most {partition.max_nodes} node(s) to a task, and this one asks "
                f"for {resources.nodes}"
            )
    if partition.nodes:
        yield from _node_objections(resources, partition, name)


def _node_objections(resources: Resources, partition: Partition, name: str) -> Iterator[str]:
    nodes = partition.nodes
    total = sum(kind.count for kind in nodes)
    if resources.nodes and resources.nodes > total:
        yield f"{name} has {total} node(s), and the task asks for {resources.nodes}"
    cpus, memory = resources.cpus_per_task, _memory_mb(resources)
    if cpus > (most := max(kind.cpus for kind in nodes)):
        yield f"no node of {name} has {cpus} CPUs for one task; the largest has {most}"
    if memory > (most := max(kind.memory_mb for kind in nodes)):
        yield f"no node of {name} has {memory} MB of memory; the largest has {most} MB"
    yield from _gpu_objections(resources, partition, name)
    per_node = _gpus_asked(resources) if _on_one_node(resources) else (0, None)
    if not any(
        kind.cpus >= cpus and kind.memory_mb >= memory and kind.gpus_of(per_node[1]) >= per_node[0]
        for kind in nodes
    ):
        yield (
            f"no single node of {name} has all that the task asks for: {cpus} CPU(s), "
            f"{memory} MB, {per_node[0]} GPU(s)"
        )


def _gpu_objections(resources: Resources, partition: Partition, name: str) -> Iterator[str]:
    count, model = _gpus_asked(resources)
    if count == 0:
        return
    most = max(kind.gpus_of(model) for kind in partition.nodes)
    if most == 0:
        models = sorted({m for kind in partition.nodes for m in kind.gpus if m})
        has = f"it has {', '.join(models)}" if models else "it has none"
        yield f"{name} has no GPU{f' of model `{model}`' if model else ''}; {has}"
    elif _on_one_node(resources) and count > most:
        yield f"no node of {name} has {count} GPUs; the largest has {most}"
    elif count > (total := sum(kind.count * kind.gpus_of(model) for kind in partition.nodes)):
        yield f"{name} has {total} GPUs in all, and the task asks for {count}"


def _wanted(resources: Resources, partitions: Mapping[str, Partition]) -> list[str]:
    if resources.partition:
        return [name.strip() for name in resources.partition.split(",") if name.strip()]
    return [name for name, partition in partitions.items() if partition.is_default]


def _no_such_partition(name: str, partitions: Mapping[str, Partition]) -> SubmitError:
    hint = did_you_mean(name, partitions)
    known = f"this cluster has: {', '.join(sorted(partitions))}"
    return SubmitError(
        f"there is no partition `{name}`", next_step=f"{hint} {known}" if hint else known
    )


def _where_it_fits(resources: Resources, partitions: Mapping[str, Partition]) -> str:
    fits = [
        name
        for name, one in sorted(partitions.items())
        if one.is_open and objection(resources, one) is None
    ]
    if fits:
        return f"ask for less, or set `slurm_partition` to one that could run it: {', '.join(fits)}"
    return "ask for less: no partition of this cluster could run it"


def _gpus_asked(resources: Resources) -> tuple[int, str | None]:
    """Return number and model of the GPUs: of the job, or of each node if written as gres."""
    if resources.gpu:
        return resources.gpu.count, resources.gpu.model
    gpus = parse_gpus(resources.gres or "")
    models = [model for model in gpus if model]
    return gpus.total(), models[0] if len(models) == 1 and len(gpus) == 1 else None


def _on_one_node(resources: Resources) -> bool:
    """Tell whether all GPUs of the request must be in one node."""
    if resources.gpu is None:
        return True
    return resources.nodes == 1 or resources.is_one_process


def _memory_mb(resources: Resources) -> int:
    """Return the memory that one node must have for one task."""
    return resources.mem_mb or (resources.mem_mb_per_cpu or 0) * resources.cpus_per_task


def _node_kind(line: str) -> tuple[str, NodeKind | None]:
    name, *rest = line.strip().split("|")
    if len(rest) != 4:  # noqa: PLR2004 (NODES_FORMAT)
        return name, None
    count, cpus, memory = (_number(text) for text in rest[:3])
    if not count or not cpus or not memory:
        return name, None
    return name, NodeKind(count, cpus, memory, Counter(parse_gpus(rest[3])))


def _number(text: str) -> int | None:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else None
