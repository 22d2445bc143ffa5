from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.dsl import snakefile
from snakemake_executor_plugin_hpcctr.dsl.planner import rule_name
from snakemake_executor_plugin_hpcctr.dsl.run import rule_of
from snakemake_executor_plugin_hpcctr.errors import ConfigError
from tests.unit.dsl.planned import plan

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
class train(Process, container="docker://x:1", engine="pyxis", gpu=1, cpus=8, time="90 min",
            memory=lambda task: f"{16 * task.attempt} GB", errorStrategy="retry", maxRetries=2,
            queue="gpu", maxForks=4):
    lr: In[float]
    script = "true"

class here(Process):
    def exec(self):
        pass

@workflow
def main():
    train(channel.of(0.1, 0.2))
    here()
"""
TRAIN = """\
    input:
        tasks.needs('train'),
    output:
        "{root}/train/{{key}}.json",
    container:
        "docker://x:1"
    threads: 8
    retries: 2
    resources:
        attempt=lambda wildcards, attempt: attempt,
        engine="pyxis",
        gpu=1,
        runtime=90,
        slurm_partition="gpu",
        mem_mb=tasks.value('train', 'mem_mb'),
        maxForks_train=1,
    shell:
        hpcctr + " dsl task --root {root} train {{wildcards.key}} --attempt {{resources.attempt}}"
"""


def test_a_call_becomes_a_rule(tmp_path: Path) -> None:
    """Constants stand in the rule; only what differs by attempt is looked up."""
    made = plan(tmp_path, TEXT)
    text = snakefile.render(made)
    assert TRAIN.format(root=made.root) in text.split("rule train:\n")[1]
    assert "checkpoint" not in text
    assert "params:" not in text


def test_python_in_the_head_is_a_local_rule(tmp_path: Path) -> None:
    """A process with `exec` makes no job for the scheduler."""
    text = snakefile.render(plan(tmp_path, TEXT))
    assert text.split("rule here:\n")[1].startswith("    localrule: True\n")


def test_max_forks_becomes_a_limit(tmp_path: Path) -> None:
    """`maxForks` is a resource with a limit for the whole run."""
    assert ["maxForks_train=4"] == snakefile.limits(plan(tmp_path, TEXT))


@pytest.mark.parametrize(
    ("name", "rule"), [("p", "p"), ("w:p", "w_p"), ("all", "all_"), ("segment", "segment_")]
)
def test_names_of_rules(name: str, rule: str) -> None:
    """Qualified names become identifiers; names that every workflow has are kept free."""
    assert rule == rule_name(name)


def test_a_process_is_found_by_its_name(tmp_path: Path) -> None:
    """`--until` takes a process's name and proposes one for a misspelt."""
    made = plan(tmp_path, TEXT)
    assert "train" == rule_of(made, "train")
    with pytest.raises(ConfigError) as caught:
        rule_of(made, "trian")
    assert "did you mean `train`?" == caught.value.next_step


LIMITED = """
class one(Process, cpus=8, memory=lambda task: f"{2 ** task.attempt} GB", time="2 days",
          resourceLimits={"cpus": 4, "memory": "3 GB", "time": "1 h"}, errorStrategy="retry",
          container="x.sqsh", containerOptions="--fakeroot", binds=["/data", "/ref:/r:ro"],
          secret=["TOKEN", "ACCOUNT"], conda="numpy"):
    n: In[int]
    script = "echo ${task.cpus}"

@workflow
def main():
    one(channel.of(1))
"""


def test_resource_limits_cut_what_is_asked(tmp_path: Path) -> None:
    """Constant and dynamic resources are cut to `resourceLimits`, for the script, too."""
    made = plan(tmp_path, LIMITED)
    assert (4, 3_600_000) == (made.calls[0].directives["cpus"], made.calls[0].directives["time"])
    assert [2 * 1024**3, 3 * 1024**3] == [one["memory"] for one in made.calls[0].attempts]


def test_options_binds_and_secrets(tmp_path: Path) -> None:
    """Container options go to the engine that starts, secrets are variables of the workflow."""
    text = snakefile.render(plan(tmp_path, LIMITED))
    assert 'envvars:\n    "ACCOUNT",\n    "TOKEN",\n' in text
    assert 'binds="/data,/ref:/r:ro",' in text
    assert 'apptainer_args="--fakeroot",' in text


def test_directives_without_effect_are_named(tmp_path: Path) -> None:
    """A directive that nothing acts on is a warning, not silence."""
    warnings = plan(tmp_path, LIMITED).warnings
    assert ["`one`: the directive `conda` has no effect here"] == [
        warning.partition(": ")[2] for warning in warnings
    ]
