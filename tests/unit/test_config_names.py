from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.config.model import RuleSettings
from snakemake_executor_plugin_hpcctr.config.names import (
    RESOURCES,
    is_relevant,
    near_misses,
    settings_of,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.config.fields import Section

DROPPED = "the quotes round '--nice' are one pair too many and are dropped"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "resources.md"


@pytest.mark.parametrize("name", sorted({r.setting for r in RESOURCES.values() if r.setting}))
def test_each_name_leads_to_a_setting(name: str) -> None:
    """Each resource name stands for a setting that hpcctr.yaml has, too."""
    section: type[Section] = RuleSettings
    block, dot, option = name.partition(".")
    assert block in section.model_fields
    if dot:
        assert option == "extra_args"


def test_page_lists_the_names() -> None:
    """The reference page has a row for each name and for no other."""
    cells = re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert set(RESOURCES) == listed


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"slurm_account": 123}, {"account": 123}),
        ({"slurm_partition": "a,b"}, {"partition": "a,b"}),
        ({"cluster": "c"}, {"clusters": "c"}),
        ({"cluster": "c", "clusters": "c"}, {"clusters": "c"}),
        ({"mem_mb": 2000, "mem": "2 GB", "mem_mib": 1908}, {"mem": 2000}),
        ({"mem_mb_per_cpu": 10}, {"mem_per_cpu": 10}),
        ({"cpus_per_task": 0}, {"cpus_per_task": 1}),
        ({"cpus_per_task": -1}, {"cpus_per_task": 1}),
        ({"cpus_per_gpu": -1}, {"cpus_per_gpu": 0}),
        ({"tasks_per_gpu": -1}, {"tasks_per_gpu": 0}),
        ({"gpu_manufacturer": "amd"}, {"gpu_vendor": "amd"}),
        ({"pyxis_args": "--a"}, {"pyxis.extra_args": "--a"}),
        ({"tmpdir": "/t", "disk_mb": 5, "own": 1}, {}),
        ({"mpi": "srun", "tasks": 2}, {"mpi": "srun", "tasks": 2}),
        ({"mpi": True}, {"mpi": "True"}),
        ({"mpi": False}, {"mpi": ""}),
        ({"launch": "srun --mpi=pmi2"}, {"launch": "srun --mpi=pmi2"}),
        ({"gpu": None}, {}),
    ],
)
def test_accepted_unchanged(resources: dict[str, object], expected: dict[str, object]) -> None:
    """Names in good standing become settings without a word."""
    layer = settings_of(resources)
    assert expected == layer.settings
    assert layer.warnings == ()


@pytest.mark.parametrize(
    ("resources", "expected", "warning"),
    [
        ({"gpus": 2}, {"gpu": 2}, "resource `gpus`: it is read as `gpu`: write `gpu`"),
        ({"nvidia_gpu": 2}, {"gpu": 2}, "resource `nvidia_gpu`: it is read as `gpu`: write `gpu`"),
        (
            {"ntasks_per_gpu": 2},
            {"tasks_per_gpu": 2},
            "resource `ntasks_per_gpu`: it is read as `tasks_per_gpu`: write `tasks_per_gpu`",
        ),
        ({"node": 2}, {"nodes": 2}, "resource `node`: it is read as `nodes`: write `nodes`"),
        ({"mpi_tasks": 2}, {}, "resource `mpi_tasks`: it has no effect: write `tasks`"),
        ({"threads": 2}, {}, "resource `threads`: it has no effect: use the rule's `threads:`"),
        (
            {"slurm_requeue": True},
            {"requeue": True},
            "resource `slurm_requeue`: it is read as `requeue`: write `requeue`",
        ),
        (
            {"slurm_account": "a, b"},
            {"account": "a"},
            "resource `slurm_account`: of several accounts the first is used, `a`",
        ),
        (
            {"gpu": "a100:2"},
            {"gpu": "a100:2"},
            'resource `gpu`: the model is better given apart: gpu=2, gpu_model="a100"',
        ),
        (
            {"slurm_extra": "'--nice'"},
            {"extra": "'--nice'"},
            f"resource `slurm_extra`: {DROPPED}",
        ),
    ],
)
def test_accepted_with_a_warning(
    resources: dict[str, object], expected: dict[str, object], warning: str
) -> None:
    """Names and forms that mislead work, and the warning says what to write."""
    layer = settings_of(resources)
    assert expected == layer.settings
    assert (warning,) == layer.warnings


@pytest.mark.parametrize(
    "resources",
    [{"cluster": "a", "slurm_cluster": "b"}, {"gpu": 1, "gpus": 2}, {"nodes": 1, "node": 2}],
)
def test_contradiction(resources: dict[str, object]) -> None:
    """Two names of one setting with two values are refused."""
    with pytest.raises(ConfigError, match="set the same thing"):
        settings_of(resources)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("enigne", "engine"),
        ("bind", "binds"),
        ("partition", "slurm_partition"),
        ("mem_gb", "mem_mb"),
        ("cpu_per_task", "cpus_per_task"),
        ("walltime", "runtime"),
    ],
)
def test_near_miss(name: str, meant: str) -> None:
    """A misspelt name is pointed out, with the name that was meant."""
    expected = f"resource `{name}` is not known and has no effect: did you mean `{meant}`?"
    assert (expected,) == near_misses([name])


@pytest.mark.parametrize("name", ["io", "license", "db_connections", "gpu_mem", "_cores", "mem_mb"])
def test_own_resource(name: str) -> None:
    """Resources of the user's own, and known ones, are left alone."""
    assert near_misses([name]) == ()


def test_relevance() -> None:
    """Values of names without a meaning for tasks do not tell tasks apart."""
    assert is_relevant("mem_mb")
    assert is_relevant("mpi_tasks")
    assert not is_relevant("tmpdir")
    assert not is_relevant("own")
