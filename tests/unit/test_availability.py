from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from snakemake_executor_plugin_hpcctr.engines import ENGINES
from snakemake_executor_plugin_hpcctr.executor.availability import (
    REMEMBER_S,
    Availability,
    parse_probe,
    probe_script,
)
from snakemake_executor_plugin_hpcctr.task import EngineName, Resources

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler

ANY: tuple[EngineName, ...] = ("apptainer", "enroot", "pyxis")
EVERY = frozenset(ENGINES)


@dataclass
class Cluster:
    """A scheduler of which only the question to a node is used."""

    answer: str | None = "apptainer\n"
    cluster: str = "slurm mycluster"
    name: str = "slurm"
    asked: list[Resources] = field(default_factory=list)

    def identity(self) -> str:
        """Name the cluster."""
        return self.cluster

    def ask_node(self, resources: Resources, script: str, within_s: float) -> str | None:
        """Count the question and give the prepared answer."""
        names = [n for n in ENGINES if (self.name, n) != ("local", "pyxis")]
        assert (script, within_s) == (probe_script(names), 20.0)
        self.asked.append(resources)
        return self.answer


@dataclass
class Run:
    """A run of Snakemake: its cluster, what it knows, and what it told the user."""

    cluster: Cluster
    memory: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        scheduler = cast("Scheduler", self.cluster)
        self.available = Availability(scheduler, self.memory, self.said.append)

    def engines(
        self, *preference: EngineName, resources: Resources | None = None
    ) -> frozenset[EngineName]:
        """Return the engines for a rule that prefers these."""
        return self.available.engines(preference, resources or Resources())


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """Return the file that remembers answers, not there yet."""
    return tmp_path / "engines.json"


def test_a_node_is_asked_once_for_all_rules(memory: Path) -> None:
    """Rules with the same partition share one answer."""
    run = Run(Cluster("apptainer\nenroot\n"), memory)
    found = [run.engines(*ANY), run.engines("enroot"), run.engines("apptainer")]
    assert [{"apptainer", "enroot"}] * 3 == found
    assert len(run.cluster.asked) == 1


def test_other_nodes_are_asked_for_themselves(memory: Path) -> None:
    """Partition, constraint and cluster decide which nodes a request may get."""
    run = Run(Cluster(), memory)
    for resources in (
        Resources(),
        Resources(partition="gpu"),
        Resources(constraint="a100"),
        Resources(clusters="other"),
        Resources(partition="gpu", mem_mb=1000, account="mine"),
    ):
        run.engines(*ANY, resources=resources)
    assert len(run.cluster.asked) == 4


def test_a_later_run_remembers(memory: Path) -> None:
    """The answer is kept for an hour, so that small runs do not wait for a node."""
    Run(Cluster(), memory).engines(*ANY)
    later = Run(Cluster("enroot\n"), memory)
    assert later.engines(*ANY) == {"apptainer"}
    assert later.cluster.asked == []


@pytest.mark.parametrize("age_s", [REMEMBER_S + 1, 10 * REMEMBER_S])
def test_an_old_answer_is_asked_anew(memory: Path, age_s: float) -> None:
    """After an hour the node is asked again."""
    Run(Cluster(), memory).engines(*ANY)
    known = json.loads(memory.read_text(encoding="utf-8"))
    for entry in known.values():
        entry["asked"] = time.time() - age_s
    memory.write_text(json.dumps(known), encoding="utf-8")
    assert Run(Cluster("enroot\n"), memory).engines(*ANY) == {"enroot"}


def test_an_engine_that_was_missing_is_looked_for_again(memory: Path) -> None:
    """An administrator who installs an engine need not wait for an hour."""
    Run(Cluster("enroot\n"), memory).engines("enroot")
    assert Run(Cluster(), memory).engines("apptainer") == {"apptainer"}


def test_what_was_learnt_of_one_cluster_is_not_believed_of_another(memory: Path) -> None:
    """The same working directory may be used from two clusters."""
    Run(Cluster(cluster="slurm a"), memory).engines(*ANY)
    assert Run(Cluster("enroot\n", cluster="slurm b"), memory).engines(*ANY) == {"enroot"}
    again = Run(Cluster(cluster="slurm a"), memory)
    again.engines(*ANY)
    assert again.cluster.asked == []


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", '{"x": 1}', "\x00\xff"])
def test_a_damaged_memory_is_replaced(memory: Path, content: str) -> None:
    """A file that cannot be read costs one question and nothing else."""
    memory.write_text(content, encoding="latin-1")
    assert Run(Cluster(), memory).engines(*ANY) == {"apptainer"}
    assert Run(Cluster("enroot\n"), memory).engines(*ANY) == {"apptainer"}


def test_busy_nodes_leave_the_check_to_the_task(memory: Path) -> None:
    """Without an answer every engine counts as there, for later rules too, and the user is told."""
    run = Run(Cluster(None), memory)
    assert [EVERY, EVERY] == [run.engines("apptainer"), run.engines("pyxis")]
    assert len(run.cluster.asked) == 1
    assert len(run.said) == 1
    assert run.said[0].startswith("No node of the default partition was free to tell")
    assert not memory.exists()


def test_the_host_needs_no_question(memory: Path) -> None:
    """Rules that run without a container ask nobody."""
    run = Run(Cluster(), memory)
    assert run.engines("host") == {"host"}
    assert run.cluster.asked == []


@pytest.mark.parametrize(
    ("resources", "name", "place"),
    [
        (Resources(), "slurm", "the default partition"),
        (Resources(partition="gpu"), "slurm", "partition gpu"),
        (
            Resources(partition="gpu", constraint="a100", clusters="b"),
            "slurm",
            "partition gpu, constraint a100, cluster b",
        ),
        (Resources(partition="gpu"), "local", "this machine"),
    ],
)
def test_places_are_named_for_people(
    memory: Path, resources: Resources, name: str, place: str
) -> None:
    """An error says which nodes lack an engine in the user's own words."""
    assert place == Run(Cluster(name=name), memory).available.where(resources)


def test_the_advice_names_what_is_there(memory: Path) -> None:
    """If another engine is there it is named, else the user learns how to get one."""
    available = Run(Cluster(), memory).available
    assert available.advice(frozenset({"enroot", "host"})).startswith("it has enroot, host: ")
    assert "`engine: host`" in available.advice(frozenset())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        ("apptainer\nhost\n", {"apptainer", "host"}),
        ("Welcome to the pyxis cluster, host n1!\n\nenroot\r\n", {"enroot"}),
        ("no apptainer here\n", set()),
    ],
)
def test_only_whole_lines_are_an_answer(text: str, found: set[str]) -> None:
    """A site's greeting is not mistaken for an engine."""
    assert found == parse_probe(text)


def probed(folder: Path, programs: dict[str, str]) -> frozenset[EngineName]:
    """Run the probe on a machine that has these programs and no other engine."""
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    for tool in ("sh", "grep", "true", "timeout"):
        (folder / tool).symlink_to(f"/bin/{tool}")
    environ = {"PATH": str(folder)}
    done = subprocess.run(
        ["/bin/sh", "-c", probe_script(ENGINES)],
        capture_output=True,
        text=True,
        env=environ,
        check=True,
    )
    assert not done.stderr
    return parse_probe(done.stdout)


@pytest.mark.parametrize(
    ("programs", "found"),
    [
        ({}, {"host"}),
        ({"apptainer": "exit 0"}, {"host", "apptainer"}),
        ({"singularity": "exit 0"}, {"host", "apptainer"}),
        ({"apptainer": "exit 1"}, {"host"}),
        ({"enroot": '[ "$1" = version ]'}, {"host", "enroot"}),
        ({"srun": "echo --container-image=PATH"}, {"host", "pyxis"}),
        ({"srun": "echo usage"}, {"host"}),
    ],
)
def test_the_probe_finds_what_a_node_has(
    tmp_path: Path, programs: dict[str, str], found: set[str]
) -> None:
    """A plain shell script names the engines that can be used, whatever they print."""
    assert found == probed(tmp_path, programs)
