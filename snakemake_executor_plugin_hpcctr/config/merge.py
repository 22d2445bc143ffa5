"""Several layers of settings → one, with the layer that set each value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.config.fields import AUTO
from snakemake_executor_plugin_hpcctr.config.resolved import Resolved, gpus_in
from snakemake_executor_plugin_hpcctr.config.sbatch_words import overriding
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT = "default"

#: Settings whose items add up over the layers; a stronger layer replaces an equal item.
ADDED_UP = ("binds", "env", "pass_env", "enroot.paths")

#: A variable has one source only: a value, or the submitting environment.
RIVALS = {"env": "pass_env", "pass_env": "env"}

#: Settings that say how many processes a job has.
PROCESSES = ("tasks", "tasks_per_node", "tasks_per_gpu")


@dataclass(frozen=True)
class Layer:
    """Settings from one place.

    Args:
        values: Setting → value, options of an engine as `block.option`. A rule's `threads:`
            is here, too, if it is more than 1.
        origin: Setting → where it was set, for people; items of `binds` and `env` as
            `binds[TARGET]` and `env[NAME]`.
        about_rule: Whether the layer speaks of certain rules. Only there a GPU model alone
            asks for a GPU: as a default it says which one, should a rule want one.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    about_rule: bool = False


def merge(rule: str, stack: Sequence[Layer], threads: int, preference: Layer) -> Resolved:
    """Merge layers into one.

    Args:
        rule: Name of the rule.
        stack: The layers that concern it, weakest first.
        threads: The rule's `threads`.
        preference: Says what the engine `auto` stands for.

    Raises:
        ConfigError: A layer asks for GPUs in two ways.
    """
    merged = _Merged()
    for layer in stack:
        merged.add(layer)
    merged.finish(threads, preference)
    return Resolved(rule, merged.values, merged.origin, tuple(merged.warnings))


class _Merged:
    """Settings while layer after layer, weakest first, is put on top."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origin: dict[str, str] = {}
        self.warnings: list[str] = []
        self.items: dict[str, dict[str, Any]] = {key: {} for key in ADDED_UP}

    def add(self, layer: Layer) -> None:
        """Put a stronger layer on top."""
        values = self._without_weaker_rivals(layer)
        for key, value in values.items():
            if key not in ADDED_UP:
                self.values[key] = value
                self.origin[key] = layer.origin[key]
        for key in ADDED_UP:
            if key in values:
                self._add_items(key, values[key], layer)
        self._ask_for_gpu_by_model(layer)

    def _drop(self, *keys: str) -> None:
        for key in keys:
            self.values.pop(key, None)
            self.origin.pop(key, None)

    def _without_weaker_rivals(self, layer: Layer) -> dict[str, Any]:
        """Drop what the layer's settings stand in for; return the settings that count."""
        values = dict(layer.values)
        if {"mem", "mem_per_cpu"} <= values.keys():
            del values["mem"]
            self.warnings.append(
                f"`mem` and `mem_per_cpu` are both set ({layer.origin['mem_per_cpu']}): "
                "`mem_per_cpu` is used"
            )
        if "cpus_per_task" in values:
            values.pop("cpus_per_gpu", None)
        if "mem" in values or "mem_per_cpu" in values:
            self._drop("mem", "mem_per_cpu")
        if values.keys() & {"cpus_per_task", "cpus_per_gpu", "threads"}:
            self._drop("cpus_per_task", "cpus_per_gpu", "threads")
        self._one_way_to_gpus(layer, values)
        return values

    def _one_way_to_gpus(self, layer: Layer, values: dict[str, Any]) -> None:
        by_gres = gpus_in(values.get("gres", ""))[0] > 0
        by_gpu = "gpu" in values or ("gpu_model" in values and layer.about_rule)
        if by_gres and by_gpu:
            key = "gpu" if "gpu" in values else "gpu_model"
            raise ConfigError(
                f"both `{key}` and `gres={values['gres']}` ask for GPUs",
                where=layer.origin[key],
                next_step="keep one: `gpu` (GPUs of the whole job) or `gres` (GPUs of each node)",
            )
        if by_gres:
            self._drop("gpu", "gpu_model")
        if by_gpu and "gres" in self.values:
            rest = [e for e in self.values["gres"].split(",") if e.split(":")[0] != "gpu"]
            self.values["gres"] = ",".join(rest)
            if not rest:
                self._drop("gres")

    def _ask_for_gpu_by_model(self, layer: Layer) -> None:
        named = "gpu_model" in layer.values and "gpu" not in layer.values
        if named and layer.about_rule and not self.values.get("gpu"):
            self.values["gpu"] = 1
            self.origin["gpu"] = layer.origin["gpu_model"]

    def _add_items(self, key: str, value: Any, layer: Layer) -> None:
        rival = RIVALS.get(key)
        for name, item in named_items(value).items():
            if key == "pass_env" and name in layer.values.get("env", {}):
                continue
            self.items[key].pop(name, None)
            self.items[key][name] = item
            self.origin[f"{key}[{name}]"] = layer.origin[f"{key}[{name}]"]
            if rival and self.items[rival].pop(name, None) is not None:
                self._drop(f"{rival}[{name}]")
        self.origin[key] = layer.origin[key]

    def finish(self, threads: int, preference: Layer) -> None:
        """Fill in what nobody set, and say what looks wrong."""
        for key, items in self.items.items():
            if items:
                as_mapping = key in {"env", "enroot.paths"}
                self.values[key] = dict(items) if as_mapping else tuple(items.values())
            else:
                self._drop(key)
        if self.values.get("engine", (AUTO,)) == (AUTO,):
            self.values["engine"] = preference.values["engine"]
            self.origin["engine"] = preference.origin["engine"]
        if "clean_env" not in self.values:
            self.values["clean_env"], self.origin["clean_env"] = False, DEFAULT
        self._finish_cpus(threads)
        self._check_launchers()
        self._warn_of_request()

    def _finish_cpus(self, threads: int) -> None:
        gpus = self.values.get("gpu") or gpus_in(self.values.get("gres", ""))[0]
        per_gpu = self.values.get("cpus_per_gpu") or 0
        if per_gpu and gpus:
            self.values["cpus_per_task"] = max(1, per_gpu * gpus // self._tasks(gpus))
            self.origin["cpus_per_task"] = self.origin["cpus_per_gpu"]
        else:
            self._drop("cpus_per_gpu")
        wanted = self.values.get("cpus_per_task")
        if wanted is None:
            self.values["cpus_per_task"] = max(1, threads)
            self.origin["cpus_per_task"] = self.origin.get("threads", DEFAULT)
        elif wanted != threads and not per_gpu:
            self.warnings.append(
                f"it gets {wanted} CPUs ({self.origin['cpus_per_task']}), but its command is "
                f"told `threads: {threads}`: set `threads: {wanted}` in the rule"
            )
        self._drop("threads")

    def _tasks(self, gpus: int) -> int:
        """Return how many tasks share the job's GPUs."""
        get = self.values.get
        on_nodes = (get("tasks_per_node") or 0) * (get("nodes") or 1)
        return get("tasks") or (get("tasks_per_gpu") or 0) * gpus or on_nodes or 1

    def _check_launchers(self) -> None:
        """Refuse two launchers, one inside the other, and one that is not told how many.

        Raises:
            ConfigError: Names the setting, and where it was set.
        """
        mpi, launch = self.values.get("mpi"), self.values.get("launch")
        if mpi and launch:
            raise ConfigError(
                f"`mpi={mpi}` and `launch={' '.join(launch)}` would start each process twice",
                where=self.origin["launch"],
                next_step="keep `mpi` where the command itself starts the launcher "
                "(`{resources.mpi} -n {resources.tasks} …`), `launch` where hpcctr is to",
            )
        if mpi and not any(self.values.get(name) for name in PROCESSES):
            raise ConfigError(
                f"`mpi={mpi}` is set, but not how many processes the job has",
                where=self.origin["mpi"],
                next_step="add `tasks=N` (processes in all) or `tasks_per_node=N`",
            )

    def _warn_of_request(self) -> None:
        if self.values.get("gpu") and self.values.get("tasks", 1) > 1:
            self.warnings.append(
                "`tasks` counts the tasks of the whole job, also with GPUs: use "
                "`tasks_per_gpu` for tasks that each have a GPU"
            )
        self.warnings += [
            f"{sentence} ({self.origin['extra']})"
            for sentence in overriding(self.values.get("extra", ()))
        ]


def named_items(value: Any) -> dict[str, Any]:
    """Return the items of a setting in ADDED_UP by what makes them equal."""
    if isinstance(value, dict):
        return value
    return {item.target if isinstance(item, Bind) else item: item for item in value}
