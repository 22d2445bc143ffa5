"""`benchmark:` holds what Snakemake's own executor would have measured."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import proc
from tests.doubles.search import double_path, real_program
from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.lab.image import BaseImage

pytestmark = pytest.mark.lab

MIB = 200
SECONDS = 2
WRITTEN = 30
#: Takes memory, keeps a core busy, writes, and then does nothing for as long.
WORK = f"""
import os, time
held = bytearray(b"x") * ({MIB} << 20)
begun = time.process_time()
while time.process_time() - begun < {SECONDS}:
    pass
with open("written", "wb") as stream:
    for _ in range({WRITTEN}):
        stream.write(bytes(1 << 20))
    stream.flush()
    os.fsync(stream.fileno())
time.sleep({SECONDS})
"""
SNAKEFILE = """
    rule all:
        input: "work.txt", "three.txt", "script.txt", "quick.txt", "chain.txt"
    rule work:
        output: touch("work.txt")
        benchmark: "benchmarks/work.tsv"
        threads: 2
        params: given="a b"
        shell: "python3 work.py"
    rule three:
        output: "three.txt"
        benchmark: repeat("benchmarks/three.jsonl", 3)
        shell: "sleep 0.2; echo {bench_iteration} >>three.log; cp three.log {output}"
    rule script:
        output: "script.txt"
        benchmark: repeat("benchmarks/script.tsv", 2)
        script: "iteration.py"
    rule quick:
        output: "quick.txt"
        benchmark: "benchmarks/quick.tsv"
        shell: "echo {bench_iteration} >{output}"
    rule chain:
        output: "chain.txt"
        benchmark: "benchmarks/chain.tsv"
        shell: "python3 hold.py | cat >{output}"
"""
ITERATION = """
with open(snakemake.output[0], "a") as stream:
    print(snakemake.bench_iteration, file=stream)
"""
HOLD = """
import time
held = bytearray(b"x") * (50 << 20)
time.sleep(3)
"""
COLUMNS = [
    "s",
    "h:m:s",
    "max_rss",
    "max_vms",
    "max_uss",
    "max_pss",
    "io_in",
    "io_out",
    "mean_load",
    "cpu_time",
]
EXTENDED = [
    "jobid",
    "rule_name",
    "wildcards",
    "params",
    "threads",
    "cpu_usage",
    "resources",
    "input_size_mb",
]


@dataclass(frozen=True)
class Run:
    """The workflow after one executor ran it."""

    folder: Path
    result: Result

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the records of a benchmark."""
        assert self.result.code == 0, self.result.said
        lines = (self.folder / "benchmarks" / name).read_text(encoding="utf-8").splitlines()
        header, *rows = [line.split("\t") for line in lines]
        return [dict(zip(header, row, strict=True)) for row in rows]


def prepare(folder: Path, lab: Lab) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder, lab.environ)
    workflow.write("work.py", WORK)
    workflow.write("iteration.py", ITERATION)
    workflow.write("hold.py", HOLD)
    workflow.snakefile(SNAKEFILE)
    return workflow


@pytest.fixture(scope="module")
def ours(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("ours"), lab)
    return Run(workflow.folder, workflow.run("--benchmark-extended", timeout_s=120))


@pytest.fixture(scope="module")
def theirs(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("theirs"), lab)
    return Run(workflow.folder, workflow.run_local("--benchmark-extended", timeout_s=120))


def test_columns_are_those_of_snakemake(ours: Run, theirs: Run) -> None:
    """The same names in the same order, and the same words about the job."""
    own, other = ours.table("work.tsv")[0], theirs.table("work.tsv")[0]
    assert [*COLUMNS, *EXTENDED] == list(own) == list(other)
    for name in ("rule_name", "wildcards", "params", "threads", "input_size_mb"):
        assert other[name] == own[name]


def test_values_are_those_of_snakemake(ours: Run, theirs: Run) -> None:
    """Memory within a tenth; what was written; CPU time within what sampling may miss."""
    own, other = ours.table("work.tsv")[0], theirs.table("work.tsv")[0]
    for name in ("max_rss", "max_vms", "max_uss", "max_pss"):
        assert float(own[name]) == pytest.approx(float(other[name]), rel=0.1), name
    assert float(own["max_rss"]) == pytest.approx(MIB, abs=30)
    assert float(own["io_out"]) == pytest.approx(float(other["io_out"]), abs=5)
    assert float(own["cpu_time"]) == pytest.approx(SECONDS + 0.3, abs=0.5)
    assert float(own["cpu_time"]) == pytest.approx(float(other["cpu_time"]), abs=1)
    seconds = float(own["s"])
    assert float(own["mean_load"]) == pytest.approx(
        100 * float(own["cpu_time"]) / seconds, rel=0.05
    )


def test_children_count(ours: Run) -> None:
    """Memory is that of all processes of the command."""
    assert float(ours.table("chain.tsv")[0]["max_rss"]) > 50


def test_each_repeat_has_a_record(ours: Run, theirs: Run) -> None:
    """The command runs so often, each time told which it is, and each time is measured."""
    lines = (ours.folder / "benchmarks/three.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    other = (theirs.folder / "benchmarks/three.jsonl").read_text(encoding="utf-8").splitlines()
    assert [set(json.loads(line)) for line in other] == [set(record) for record in records]
    assert [True] * 3 == [0.2 <= record["s"] < 5 for record in records]
    for name in ("three.txt", "script.txt", "quick.txt"):
        assert (theirs.folder / name).read_text() == (ours.folder / name).read_text()
    assert len(ours.table("script.tsv")) == 2


def test_scripts_of_all_repeats_are_removed(ours: Run) -> None:
    """Of a `script:` rule there is a copy for each repeat; none stays."""
    assert ours.result.code == 0
    assert [] == list((ours.folder / ".snakemake/scripts").glob("*"))


def test_the_first_failure_ends_the_repeats(lab: Lab, tmp_path: Path) -> None:
    """A repeat that fails is the task's failure, and no other follows."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule fails:
            output: "never"
            benchmark: repeat("benchmark.tsv", 3)
            shell: "echo {bench_iteration} >>ran; [ {bench_iteration} -lt 1 ] || exit 9"
    """)
    result = workflow.run()
    assert "The command failed with exit code 9" in result.said
    assert (tmp_path / "ran").read_text() == "0\n1\n"


def test_a_file_that_cannot_be_written_fails_its_job_only(tmp_path: Path) -> None:
    """Where a benchmark file cannot be written, that job has failed and the others go on."""
    workflow = Workflow(tmp_path, flags=("--hpcctr-scheduler", "local"))
    workflow.snakefile("""
        rule all:
            input: "fails.txt", "other.txt"
        rule fails:
            output: "fails.txt"
            benchmark: "folder"
            shell: "mkdir folder; touch {output}"
        rule other:
            output: "other.txt"
            shell: "sleep 1; touch {output}"
    """)
    result = workflow.run("--keep-going")
    assert "fails ended well, but what follows failed: [Errno 21] Is a directory" in result.said
    assert not result.shows_traceback, result.said
    assert (1, True, False) == (
        result.code,
        (tmp_path / "other.txt").exists(),
        (tmp_path / "fails.txt").exists(),
    )


@pytest.mark.parametrize("engine", ["apptainer", "enroot", "pyxis"])
def test_in_a_container_the_command_is_measured(
    lab: Lab, base_image: BaseImage, tmp_path: Path, engine: str
) -> None:
    """What the engine itself needs does not count, wherever the command's processes are."""
    if engine == "apptainer" and proc.find_program("apptainer") is None:
        pytest.skip("Apptainer is not installed")
    lacking = [] if real_program("enroot") else ["enroot"]
    lacking += [] if lab.settings.plugstack else ["pyxis"]
    if os.environ.get("HPCCTR_TEST_ENGINES") == "doubles":
        lacking = ["enroot", "pyxis"]
    image = base_image.sif if engine == "apptainer" else base_image.sqsh
    workflow = Workflow(tmp_path, {**lab.environ, "PATH": double_path(*lacking)})
    workflow.snakefile(f"""
        rule work:
            output: touch("done")
            benchmark: "benchmarks/work.tsv"
            container: "{image}"
            resources: engine="{engine}"
            shell: "python3 work.py"
    """)
    workflow.write("work.py", WORK)
    run = Run(tmp_path, workflow.run(timeout_s=120))
    row = run.table("work.tsv")[0]
    assert float(row["max_rss"]) == pytest.approx(MIB, abs=30)
    assert float(row["cpu_time"]) == pytest.approx(SECONDS + 0.5, abs=1)


@pytest.mark.parametrize("way", ['launch="srun"', 'mpi="srun"'])
def test_all_processes_of_a_node_count(lab: Lab, tmp_path: Path, way: str) -> None:
    """Three processes that hold 50 MiB each are 150 MiB, whoever starts them."""
    program = "python3 hold.py"
    command = program if "launch" in way else "{resources.mpi} -n {resources.tasks} " + program
    workflow = Workflow(tmp_path, lab.environ)
    workflow.write("hold.py", HOLD)
    workflow.snakefile(f"""
        rule three:
            output: touch("done")
            benchmark: "benchmarks/three.tsv"
            resources: {way}, tasks=3, nodes=1
            shell: "{command}"
    """)
    run = Run(tmp_path, workflow.run(timeout_s=120))
    assert 150 < float(run.table("three.tsv")[0]["max_rss"]) < 220
