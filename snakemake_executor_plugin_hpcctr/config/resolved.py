"""What holds for a job once its layers are one: settings, the request, the engines' options."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from snakemake_executor_plugin_hpcctr.task import (
    Bind,
    EngineName,
    EngineOptions,
    Gpu,
    Resources,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Field of `Resources` → setting; for all but CPUs and GPUs. 0 and "" ask for nothing.
REQUEST = {
    "mem_mb": "mem",
    "mem_mb_per_cpu": "mem_per_cpu",
    "runtime_min": "runtime",
    "tmp_mb": "tmp",
    "gres": "gres",
    "nodes": "nodes",
    "tasks": "tasks",
    "tasks_per_node": "tasks_per_node",
    "tasks_per_gpu": "tasks_per_gpu",
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "reservation": "reservation",
    "constraint": "constraint",
    "clusters": "clusters",
    "wckey": "wckey",
}


@dataclass(frozen=True, eq=False)
class Resolved:
    """What holds for a job, and who said so.

    Args:
        rule: Name of the rule.
        values: Setting → value; settings that nobody set are absent, unless hpcctr has a
            default of its own.
        origin: Setting → where its value comes from, for people; items of `binds`, `env`,
            `pass_env` and `enroot.paths` also one by one, as `binds[/data]` and `env[NAME]`.
        warnings: Sentences for the user, each to be said once.
        images: Names that the configuration gives to image references.
    """

    rule: str
    values: Mapping[str, Any]
    origin: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """Engines in order of preference: the first that the nodes have is to be used."""
        return cast("tuple[EngineName, ...]", self.values["engine"])

    @property
    def image(self) -> str | None:
        """The image reference for a rule that names none itself; names are looked up."""
        image = self.values.get("image") or None
        return None if image is None else self.images.get(image, image)

    @property
    def binds(self) -> tuple[Bind, ...]:
        """Binds of all layers, one for each target."""
        return cast("tuple[Bind, ...]", self.values.get("binds", ()))

    @property
    def env(self) -> dict[str, str]:
        """Variables of all layers."""
        return dict(self.values.get("env", {}))

    @property
    def pass_env(self) -> tuple[str, ...]:
        """Names of variables whose values come from the submitting environment."""
        return cast("tuple[str, ...]", self.values.get("pass_env", ()))

    @property
    def clean_env(self) -> bool:
        """Whether other variables stay outside."""
        return bool(self.values["clean_env"])

    @property
    def tmpdir(self) -> str | None:
        """The folder that hpcctr.yaml names for TMPDIR; Snakemake's resource is not in it."""
        return self.values.get("tmpdir") or None

    @property
    def launcher(self) -> tuple[str, ...]:
        """What starts the command once for each task; () if nobody says."""
        return cast("tuple[str, ...]", self.values.get("launch", ()))

    @property
    def mpi(self) -> str:
        """The launcher that the command itself starts; "" if none."""
        return cast("str", self.values.get("mpi", ""))

    @property
    def tasks_per_element(self) -> int | None:
        """How many tasks run one after another in one array element; None if nobody says."""
        return cast("int | None", self.values.get("tasks_per_element"))

    @property
    def max_parallel(self) -> int | None:
        """How many elements of one array run at once; None for no limit."""
        return self.values.get("max_parallel") or None

    @cached_property
    def resources(self) -> Resources:
        """The request to the scheduler."""
        return to_resources(self)

    @property
    def stage(self) -> Stage:
        """What is copied to the node's own disk."""
        fields = {"images": "stage.images", "limit_mb": "stage.limit"}
        given = {name: self.values.get(key) for name, key in fields.items()}
        return Stage.model_validate({name: value for name, value in given.items() if value})

    @property
    def local_data(self) -> bool:
        """Whether inputs and outputs are on the node's own disk while the task runs."""
        return bool(self.values.get("stage.data"))

    @cached_property
    def options(self) -> EngineOptions:
        """The engines' own options."""
        return to_options(self)


def to_resources(resolved: Resolved) -> Resources:
    """Return the request: memory in MB, time in minutes, 0 and "" as not asked for.

    GPUs that `gres` asks for are in `gpu`, too, so that the container gets its GPU flag; they
    stay in `gres`, which then is the one to send.
    """
    values = resolved.values
    request: dict[str, Any] = {name: values.get(key) or None for name, key in REQUEST.items()}
    gpu = values.get("gpu") or 0
    model = values.get("gpu_model") or None
    if not gpu:
        per_node, model = gpus_in(values.get("gres") or "")
        gpu = per_node * (values.get("nodes") or 1)
    return Resources(
        **request,
        cpus_per_task=values["cpus_per_task"],
        cpus_per_gpu=values.get("cpus_per_gpu") or None,
        gpu=Gpu(count=gpu, model=model, vendor=values.get("gpu_vendor", "nvidia")) if gpu else None,
        requeue=values.get("requeue", False),
        extra=values.get("extra", ()),
    )


def to_options(resolved: Resolved) -> EngineOptions:
    """Return the blocks `apptainer`, `enroot` and `pyxis`; what nobody set has its default."""
    blocks: dict[str, dict[str, Any]] = {}
    for key, value in resolved.values.items():
        block, dot, option = key.partition(".")
        if dot and block in EngineOptions.model_fields:
            blocks.setdefault(block, {})[option] = value
    return EngineOptions.model_validate(blocks)


def gpus_in(gres: str) -> tuple[int, str | None]:
    """Return how many GPUs generic resources ask for on each node, and their model if it is one.

    `gpu`, `gpu:2`, `gpu:a100` and `gpu:a100:2` as in sbatch(1), `--gres`.
    """
    count, models = 0, set()
    for entry in gres.split(","):
        name, *rest = entry.split(":")
        if name != "gpu":
            continue
        number = rest.pop() if rest and rest[-1].isdigit() else "1"
        count += int(number)
        models.add(rest[0] if rest else None)
    return count, models.pop() if len(models) == 1 else None
