from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_hpcctr.schedulers.gres import parse_gpus
from snakemake_executor_plugin_hpcctr.schedulers.slurm.limits import (
    NodeKind,
    Partition,
    impossible,
    parse_partitions,
    places,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

RECORDED = Path(__file__).parent / "recorded" / "slurm-22.05"
PARTITIONS = parse_partitions(
    (RECORDED / "scontrol-partitions.txt").read_text(encoding="utf-8"),
    (RECORDED / "sinfo-nodes.txt").read_text(encoding="utf-8"),
)


def test_partitions_are_read() -> None:
    """Limits come from scontrol, the nodes from sinfo."""
    big, small = NodeKind(1, 16, 20000, {"a100": 4}), NodeKind(1, 8, 8000, {"a100": 4})
    assert Partition("main", is_default=True, nodes=(big, small)) == PARTITIONS["main"]
    assert Partition("short", max_min=10, max_nodes=1, nodes=(small,)) == PARTITIONS["short"]
    assert 2880 == PARTITIONS["gpu"].max_min
    assert {"closed", "secret"} == {name for name, one in PARTITIONS.items() if not one.is_open}


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"partition": "nope"}, "there is no partition `nope`"),
        ({"partition": "short", "runtime_min": 99}, "at most 10 min, and this one asks for 99 min"),
        ({"partition": "short", "nodes": 2}, "at most 1 node(s) to a task, and this one asks"),
        ({"nodes": 3}, "partition `main` has 2 node(s), and the task asks for 3"),
        (
            {"cpus_per_task": 17},
            "no node of partition `main` has 17 CPUs for one task; the largest",
        ),
        ({"mem_mb": 20001}, "has 20001 MB of memory; the largest has 20000 MB"),
        ({"mem_mb_per_cpu": 3000, "cpus_per_task": 8}, "has 24000 MB of memory"),
        ({"gpu": Gpu(count=5)}, "no node of partition `main` has 5 GPUs; the largest has 4"),
        ({"gres": "gpu:5"}, "no node of partition `main` has 5 GPUs"),
        ({"gpu": Gpu(count=1, model="h100")}, "no GPU of model `h100`; it has a100"),
        ({"gpu": Gpu(count=9), "nodes": 2}, "has 8 GPUs in all, and the task asks for 9"),
        ({"gpu": Gpu(count=9), "tasks": 9}, "has 8 GPUs in all"),
        (
            {"partition": "short,gpu", "mem_mb": 30000},
            "30000 MB of memory; the largest has 8000 MB; no",
        ),
    ],
)
def test_what_could_never_run_is_refused(request_: dict[str, Any], sentence: str) -> None:
    """Slurm would let these wait for ever; the message names limit and number."""
    error = impossible(Resources(**request_), PARTITIONS)
    assert error is not None
    assert sentence in error.what
    assert not error.transient


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"partition": "short", "runtime_min": 10, "mem_mb": 8000, "cpus_per_task": 8},
        {"partition": "short,main", "mem_mb": 20000},
        {"gpu": Gpu(count=4, model="A100")},
        {"gpu": Gpu(count=8), "nodes": 2},
        {"gpu": Gpu(count=8), "tasks": 8},
        {"nodes": 2, "tasks": 3, "cpus_per_task": 8},
        {"partition": "short", "runtime_min": 99, "qos": "long"},
        {"partition": "nope", "extra": ("--partition=main",)},
        {"mem_mb": 99999, "extra": ("--mem", "10")},
        {"gres": "nvme:100"},
    ],
)
def test_what_might_run_passes(request_: dict[str, Any]) -> None:
    """Nothing is refused that Slurm, a QOS or an option of the user's could make possible."""
    assert impossible(Resources(**request_), PARTITIONS) is None


def test_no_single_node_has_it_all() -> None:
    """Each part of a request may be there, and yet on no node together."""
    kinds = (NodeKind(2, 64, 1000), NodeKind(2, 4, 9000))
    partitions = {"p": Partition("p", is_default=True, nodes=kinds)}
    error = impossible(Resources(cpus_per_task=32, mem_mb=5000), partitions)
    assert error is not None
    assert "no single node of partition `p` has all that the task asks for: 32 CPU(s)" in error.what


def test_a_slip_of_the_pen_is_forgiven() -> None:
    """The nearest name is offered, and all others."""
    error = impossible(Resources(partition="shrt"), PARTITIONS)
    assert error is not None
    assert "did you mean `short`? this cluster has: closed, gpu, main, secret, short" == (
        error.next_step
    )


def test_partitions_that_could_run_it_are_named() -> None:
    """Those that are closed or not for everybody are not recommended."""
    error = impossible(Resources(partition="short", runtime_min=99), PARTITIONS)
    assert error is not None
    assert error.next_step.endswith("to one that could run it: gpu, main")


def test_a_silent_slurm_refuses_nothing() -> None:
    """Without facts there is no objection."""
    assert impossible(Resources(partition="nope", mem_mb=10**9), {}) is None


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:4", {"": 4}),
        ("gpu", {"": 1}),
        ("gpu:a100", {"a100": 1}),
        ("gpu:A100:4(S:0-1)", {"a100": 4}),
        ("gpu:a100:2(S:0,1),gpu:v100:1,nvme:800", {"a100": 2, "v100": 1}),
        ("gpu:1g.5gb:7", {"1g.5gb": 7}),
        ("gpu:4(S:0-1)", {"": 4}),
        ("gres/gpu:2", {"": 2}),
        ("(null)", {}),
        ("", {}),
        ("nvme:1", {}),
    ],
)
def test_gpus_are_counted_in_generic_resources(text: str, gpus: dict[str, int]) -> None:
    """As sinfo writes them, and as a request does."""
    assert gpus == parse_gpus(text)


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        ({}, 24),
        ({"cpus_per_task": 5}, 4),
        ({"mem_mb": 7000}, 3),
        ({"partition": "short", "gpu": Gpu(count=2)}, 2),
        ({"partition": "short,gpu", "cpus_per_task": 8}, 3),
        ({"nodes": 2}, None),
        ({"partition": "nope"}, None),
    ],
)
def test_places_for_tasks_are_counted(request_: dict[str, Any], count: int | None) -> None:
    """The nodes of the named partitions hold so many such tasks when they are free."""
    assert count == places(Resources(**request_), PARTITIONS)
