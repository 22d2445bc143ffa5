"""Data on the nodes' own disks, on a real Slurm with every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.doubles.image import build_image
from tests.doubles.search import engines_path
from tests.integration.workflow import Workflow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab

SNAKEFILE = """
rule all:
    input: "models/1.txt", "models/2.txt"
rule train:
    input: "data/in.txt"
    output: "models/{n}.txt"
    container: "small.sqsh"
    resources: mem_mb=2000, runtime=5
    shell: "(cat {input} /proc/self/mountinfo; ls models) >{output}; test {wildcards.n} = 1"
"""


@pytest.mark.parametrize("engine", ["apptainer", "enroot", "pyxis"])
def test_data_travel_to_the_node_and_back(
    engine: str, lab_environ: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The command reads a copy and writes to the node; after success the output is in its place."""
    if engine == "apptainer":
        request.getfixturevalue(engine)
    flow = Workflow(tmp_path / "flow", {**lab_environ, "PATH": engines_path()})
    build_image(tmp_path / "small.sqsh")
    (flow.folder / "small.sqsh").symlink_to(tmp_path / "small.sqsh")
    flow.write("data/in.txt", "data\n")
    flow.write("hpcctr.yaml", f"engine: {engine}\ndefaults: {{stage: {{data: true}}}}\n")
    flow.snakefile(SNAKEFILE)
    result = flow.run("--keep-going")
    assert 1 == result.code, result.said
    made = (flow.folder / "models/1.txt").read_text()
    assert made.startswith("data\n")
    assert "/in/0/in.txt" in made
    assert "/out/0" in made
    # What was there when the command looked: its own output, and nothing of the other task.
    assert made.endswith("\n1.txt\n")
    assert ["1.txt"] == [path.name for path in (flow.folder / "models").iterdir()]
    assert [] == flow.scratch_folders()
    assert ["n=1"] == [row.wildcards for row in flow.rows() if row.cause == "ok"]
