from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.config.fields import Surroundings
from snakemake_executor_plugin_hpcctr.config.layers import Resolved, make_layers, resolve
from snakemake_executor_plugin_hpcctr.config.resolved import gpus_in
from snakemake_executor_plugin_hpcctr.config.sources import file_source
from snakemake_executor_plugin_hpcctr.config.yamlfile import parse_config
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.task import Gpu

if TYPE_CHECKING:
    from collections.abc import Mapping


def resolved(
    project: str = "", resources: Mapping[str, object] | None = None, threads: int = 1
) -> Resolved:
    """Resolve a job of the rule `train`."""
    around = Surroundings(base="/project")
    source = file_source(parse_config(project, "hpcctr.yaml", around), "")
    layers = make_layers({}, source, None, Path("/project"), {})
    return resolve("train", resources or {}, threads, layers)


def refused(project: str = "", resources: Mapping[str, object] | None = None) -> ConfigError:
    """Return the error that a job of the rule `train` meets."""
    with pytest.raises(ConfigError) as caught:
        resolved(project, resources)
    return caught.value


@pytest.mark.parametrize(
    ("project", "resources", "mem", "per_cpu"),
    [
        ("defaults: {mem: 1GB}", {"mem_mb_per_cpu": 100}, None, 100),
        ("defaults: {mem_per_cpu: 1GB}", {"mem_mb": 100}, 100, None),
        ("defaults: {mem: 1GB}", {"mem_mb": 0}, None, None),
        ("defaults: {mem_per_cpu: 1GB}", {"mem_mb": 0}, None, None),
    ],
)
def test_memory_of_two_layers(
    project: str, resources: dict[str, object], mem: int | None, per_cpu: int | None
) -> None:
    """Memory per node and per CPU stand for each other: the stronger layer's is used."""
    got = resolved(project, resources)
    assert (mem, per_cpu) == (got.resources.mem_mb, got.resources.mem_mb_per_cpu)
    assert got.warnings == ()


def test_memory_twice_in_a_layer() -> None:
    """Set in one layer, memory per CPU is used, and a warning says so."""
    got = resolved("", {"mem_mb": 500, "mem_mb_per_cpu": 100})
    assert (got.resources.mem_mb, got.resources.mem_mb_per_cpu) == (None, 100)
    (warning,) = got.warnings
    assert warning == (
        "`mem` and `mem_per_cpu` are both set (rule train, resources: mem_mb_per_cpu): "
        "`mem_per_cpu` is used"
    )


@pytest.mark.parametrize(
    ("project", "resources", "threads", "cpus", "per_gpu", "warned"),
    [
        ("", {}, 4, 4, None, False),
        ("", {"cpus_per_task": 8}, 4, 8, None, True),
        ("", {"cpus_per_task": 4}, 4, 4, None, False),
        ("", {"cpus_per_task": -1}, 1, 1, None, False),
        ("defaults: {cpus_per_task: 4}", {}, 1, 4, None, True),
        ("defaults: {cpus_per_task: 4}", {}, 8, 8, None, False),
        ("", {"cpus_per_gpu": 4, "gpu": 2}, 1, 8, 4, False),
        ("", {"cpus_per_gpu": 4, "gpu": 2}, 3, 8, 4, False),
        ("", {"cpus_per_gpu": 4, "gpu": 2, "tasks_per_gpu": 1}, 1, 4, 4, False),
        ("", {"cpus_per_gpu": 4, "gpu": 2, "tasks_per_node": 2, "nodes": 2}, 1, 2, 4, False),
        ("", {"cpus_per_gpu": 4}, 3, 3, None, False),
        ("", {"cpus_per_gpu": 4, "gpu": 1, "cpus_per_task": 2}, 2, 2, None, False),
        ("defaults: {cpus_per_gpu: 4}", {"gpu": 1}, 6, 6, None, False),
    ],
)
def test_cpus(
    project: str,
    resources: dict[str, object],
    threads: int,
    cpus: int,
    per_gpu: int | None,
    warned: bool,  # noqa: FBT001 (the table's value)
) -> None:
    """CPUs are cpus_per_task, else cpus_per_gpu of a GPU job, else threads, layer by layer."""
    got = resolved(project, resources, threads)
    assert (cpus, per_gpu) == (got.resources.cpus_per_task, got.resources.cpus_per_gpu)
    assert warned is any("told `threads:" in sentence for sentence in got.warnings)


@pytest.mark.parametrize(
    ("project", "resources", "gpu", "gres"),
    [
        ("", {"gpu": 2}, Gpu(count=2), None),
        ("", {"gpu": 0}, None, None),
        ("", {"gpu": "a100:2"}, Gpu(count=2, model="a100"), None),
        ("", {"gpu_model": "a100"}, Gpu(count=1, model="a100"), None),
        ("", {"gpu": 1, "gpu_vendor": "amd"}, Gpu(count=1, vendor="amd"), None),
        ("defaults: {gpu_model: a100}", {}, None, None),
        ("defaults: {gpu_model: a100}", {"gpu": 3}, Gpu(count=3, model="a100"), None),
        ("rules: {train: {gpu_model: a100}}", {}, Gpu(count=1, model="a100"), None),
        ("defaults: {gpu: 4}", {"gpu_model": "a100"}, Gpu(count=4, model="a100"), None),
        ("defaults: {gpu: 4}", {"gpu": 0}, None, None),
        ("", {"gres": "gpu:a100:2"}, Gpu(count=2, model="a100"), "gpu:a100:2"),
        ("", {"gres": "gpu:2,shard:1", "nodes": 3}, Gpu(count=6), "gpu:2,shard:1"),
        ("", {"gres": "shard:1", "gpu": 1}, Gpu(count=1), "shard:1"),
        ("defaults: {gres: 'gpu:2,shard:1'}", {"gpu": 1}, Gpu(count=1), "shard:1"),
        ("defaults: {gres: 'gpu:2'}", {"gpu": 0}, None, None),
        ("defaults: {gpu: 2, gpu_model: x}", {"gres": "gpu:1"}, Gpu(count=1), "gpu:1"),
    ],
)
def test_gpus(
    project: str, resources: dict[str, object], gpu: Gpu | None, gres: str | None
) -> None:
    """GPUs are asked for by `gpu`, by a model for this rule, or by `gres`; 0 takes them back."""
    got = resolved(project, resources)
    assert (gpu, gres) == (got.resources.gpu, got.resources.gres)


@pytest.mark.parametrize(
    ("gres", "expected"),
    [
        ("", (0, None)),
        ("gpu", (1, None)),
        ("gpu:3", (3, None)),
        ("gpu:a100", (1, "a100")),
        ("gpu:a:1,gpu:b:2", (3, None)),
        ("mps:4", (0, None)),
    ],
)
def test_gpus_in_gres(gres: str, expected: tuple[int, str | None]) -> None:
    """Slurm's forms of `gpu` are counted; a model is told if there is one only."""
    assert expected == gpus_in(gres)


@pytest.mark.parametrize(
    ("resources", "where", "what"),
    [
        ({"gpu": -1}, "rule train, resources: gpu", "at least 0, got -1"),
        ({"gpu": 1, "gres": "gpu:1"}, "rule train, resources: gpu", "both `gpu` and `gres=gpu:1`"),
        ({"gpu_model": "a", "gres": "gpu"}, "rule train, resources: gpu_model", "both `gpu_model`"),
        ({"gpu": "a:1", "gpu_model": "b"}, "rule train, resources: gpu", "names the model a"),
        ({"nodes": True}, "rule train, resources: nodes", "expected a whole number, got True"),
        ({"binds": "data"}, "rule train, resources: binds", "not absolute"),
        ({"engine": "docker"}, "rule train, resources: engine", "got 'docker'"),
        ({"slurm_extra": "--wrap=x"}, "rule train, resources: slurm_extra", "--wrap cannot"),
        ({"apptainer_args": "'"}, "rule train, resources: apptainer_args", "no partner"),
        ({"mpi": "srun"}, "rule train, resources: mpi", "not how many processes"),
        (
            {"mpi": "srun", "launch": "srun -l", "tasks": 2},
            "rule train, resources: launch",
            "`mpi=srun` and `launch=srun -l` would start each process twice",
        ),
        ({"launch": "srun '"}, "rule train, resources: launch", "no partner"),
        ({"cluster": "a", "clusters": "b"}, "rule train", "set the same thing"),
        ({"gpu": "x", "mem_mb": -1}, "rule train", "2 problems"),
    ],
)
def test_bad_resource(resources: dict[str, object], where: str, what: str) -> None:
    """A resource that cannot be used is an error that names rule and resource."""
    error = refused("", resources)
    assert where == error.where
    assert what in error.what


def test_launchers() -> None:
    """`launch` is split into words, `mpi` is kept as it is; neither is set by default."""
    assert ((), "") == (resolved("").launcher, resolved("").mpi)
    assert ("srun", "--mpi=pmi2") == resolved("", {"launch": "srun --mpi=pmi2"}).launcher
    assert resolved("", {"mpi": "mpirun -x A", "tasks_per_node": 2}).mpi == "mpirun -x A"


def test_gpus_in_two_ways_in_a_file() -> None:
    """The same section of hpcctr.yaml cannot ask for GPUs in two ways either."""
    error = refused("rules:\n  train:\n    gres: gpu:1\n    gpu: 1\n")
    assert error.where == "hpcctr.yaml:4, rules 'train'"


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        ({"gpu": 1, "tasks": 2}, "`tasks` counts the tasks of the whole job"),
        ({"slurm_extra": "--mem=3"}, "--mem overrides the setting `mem` (rule train, resources: "),
        ({"enigne": "x"}, "did you mean `engine`?"),
    ],
)
def test_warnings(resources: dict[str, object], sentence: str) -> None:
    """What works but looks wrong is told in one sentence."""
    (warning,) = resolved("", resources).warnings
    assert sentence in warning


def test_whole_request() -> None:
    """Each setting arrives in the request, and empty text clears a weaker layer's."""
    project = (
        "defaults: {constraint: fast, tmp: 1GB, reservation: r, wckey: w, requeue: on, "
        "clusters: [a, b], account: 7, runtime: 2h, extra: --nice, tasks_per_node: 2}"
    )
    request = resolved(project, {"constraint": "", "tasks": 4, "nodes": 2, "qos": "q"}).resources
    assert request.model_dump(exclude_defaults=True) == {
        "tmp_mb": 1000,
        "reservation": "r",
        "wckey": "w",
        "requeue": True,
        "clusters": "a,b",
        "account": "7",
        "runtime_min": 120,
        "extra": ("--nice",),
        "tasks_per_node": 2,
        "tasks": 4,
        "nodes": 2,
        "qos": "q",
    }
