"""What a group asks of the scheduler, from what its members ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.config.layers import Layers, Resolved, resolve
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.executor.groups import (
    GPUS,
    numbers,
    request,
    single_values,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

if TYPE_CHECKING:
    from collections.abc import Mapping


def member(rule: str, threads: int = 1, **resources: Any) -> Resolved:
    """Return the settings of a job of a rule with these resources."""
    return resolve(rule, resources, threads, Layers())


def asked(*members: Resolved, totals: Mapping[str, int] | None = None) -> Resources:
    """Return the request of a group of members whose sums are known."""
    return request(single_values(members), totals or {}, members)


def test_what_one_member_names_holds_for_the_group() -> None:
    """A word that only one job names is the group's; equal ones are one."""
    found = asked(
        member("a", slurm_partition="gpu", qos="long"),
        member("b", slurm_partition="gpu", slurm_extra="--exclusive"),
        member("c"),
    )
    expected = Resources(partition="gpu", qos="long", extra=("--exclusive",))
    assert expected == found


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            {"slurm_account": "x"},
            {"slurm_account": "y"},
            "account x, and rule b asks for account y",
        ),
        ({"slurm_extra": "--hold"}, {"slurm_extra": "-d 1"}, "asks for extra -d 1"),
        ({"gres": "disk:1"}, {"gres": "disk:2"}, "rule a asks for gres disk:1"),
        ({}, {"tasks": 4}, "rule b asks for tasks 4, and a group runs on one node"),
        ({"nodes": 2}, {}, "rule a asks for nodes 2"),
    ],
)
def test_members_that_do_not_agree_are_named(
    one: dict[str, Any], other: dict[str, Any], words: str
) -> None:
    """The message names both rules and what each of them asks for."""
    with pytest.raises(ConfigError) as caught:
        asked(member("a", **one), member("b", **other))
    assert words in caught.value.what
    assert "group" in caught.value.next_step


def test_models_of_gpus_must_agree() -> None:
    """A submission has one kind of GPU; a job that names no model takes the others'."""
    a100, t4, some = (
        member("a", gpu=1, gpu_model="a100"),
        member("b", gpu=1, gpu_model="t4"),
        member("c", gpu=1),
    )
    assert Gpu(count=2, model="a100") == asked(some, a100, totals={GPUS: 2}).gpu
    with pytest.raises(ConfigError, match="rule a asks for the GPU a100, and rule b for t4"):
        asked(some, a100, t4, totals={GPUS: 3})


def test_gpus_in_generic_resources_add_up() -> None:
    """`gres` is sent as the site wants it, with the group's number of GPUs in it."""
    one = member("a", gres="gpu:a100:1,disk:1")
    found = asked(one, one, totals={GPUS: 2})
    assert ("gpu:a100:2,disk:1", Gpu(count=2, model="a100")) == (found.gres, found.gpu)


def test_numbers_of_a_member_have_snakemakes_names() -> None:
    """Memory per CPU counts for all CPUs; what nobody asks for is left out."""
    found = numbers(member("a", threads=4, mem_mb_per_cpu=100, runtime=5))
    assert {"_cores": 4, "mem_mb": 400, "runtime": 5} == found


def test_totals_become_the_request() -> None:
    """Sums that Snakemake has made are what the group asks for."""
    found = asked(
        member("a", requeue=True), member("b"), totals={"_cores": 6, "mem_mb": 10, "runtime": 3}
    )
    assert Resources(cpus_per_task=6, mem_mb=10, runtime_min=3, requeue=True) == found
