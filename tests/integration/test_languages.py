"""Scripts, notebooks and tools of every language do what they do with Snakemake's executor."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import records
from tests.integration.served import served
from tests.integration.workflow import Run, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("languages.smk")
#: Programs of Python packages are beside the Python that runs the tests.
PATH = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
NEEDS = {
    "by_r.txt": "Rscript",
    "by_xonsh.txt": "xonsh",
    "by_hy.txt": "hy",
    "by_julia.txt": "julia",
    "by_rust.txt": "rust-script",
    "by_notebook.txt": "jupyter-nbconvert",
    "in_shadow.txt": "jupyter-nbconvert",
    "by_cwl.txt": "cwltool",
    "by_space.txt": "python3",
}
CELL = """
with open(snakemake.output[0], "w") as stream:
    print(snakemake.params.word, snakemake.threads, file=stream)
with open("rubbish.txt", "w") as stream:
    print("made by a notebook", file=stream)
"""
CWL = """
    cwlVersion: v1.2
    class: CommandLineTool
    baseCommand: [cat]
    inputs:
      first: {type: File, inputBinding: {position: 1}}
      name: string
      word: string
    stdout: $(inputs.name)
    outputs:
      result: stdout
"""
FILES = {
    "inputs/a.txt": "a\n",
    "scripts/write.R": """
        text <- readLines(snakemake@input[[1]])
        words <- c(text, snakemake@params$word, snakemake@params[["number"]], snakemake@threads)
        writeLines(as.character(words), snakemake@output[[1]])
    """,
    "scripts/write.xsh": "echo @(snakemake.params.word) > @(snakemake.output[0])\n",
    "scripts/write.hy": """
        (with [stream (open (get snakemake.output 0) "w")]
          (print snakemake.params.word :file stream))
    """,
    "scripts/write.jl": """
        open(snakemake.output[1], "w") do stream
            println(stream, snakemake.params["word"])
        end
    """,
    "scripts/write.rs": """
        use std::io::Write;
        let mut stream = std::fs::File::create(&snakemake.output[0])?;
        writeln!(stream, "{}", snakemake.params.word)?;
    """,
    "scripts/with a space.py": """
        with open(snakemake.output[0], "w") as stream:
            print(snakemake.params.word, file=stream)
    """,
    "scripts/write.ipynb": json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "id": "one",
                    "execution_count": None,
                    "metadata": {},
                    "outputs": [],
                    "source": CELL,
                }
            ],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python", "language": "python"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    ),
}


def here() -> list[str]:
    """Return the outputs whose interpreters are installed."""
    return [output for output in NEEDS if shutil.which(NEEDS[output], path=PATH["PATH"])]


def prepare(folder: Path, environ: dict[str, str]) -> Workflow:
    """Write the workflow."""
    workflow = Workflow(folder / "work", {**environ, **PATH})
    workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    for name, text in FILES.items():
        workflow.write(name, text)
    return workflow


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve the CWL tool: Snakemake 9.27 cannot name one in a file so that cwltool takes it."""
    folder = tmp_path_factory.mktemp("tool")
    (folder / "tool.cwl").write_text(textwrap.dedent(CWL))
    with served(folder) as address:
        yield {"TOOL": f"{address}/tool.cwl"}


@pytest.fixture(scope="module")
def on_slurm(lab: Lab, tool: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it on the lab."""
    workflow = prepare(tmp_path_factory.mktemp("slurm"), {**lab.environ, **tool})
    return Run(workflow, workflow.run(*here(), "--keep-going", timeout_s=180))


@pytest.fixture(scope="module")
def by_snakemake(tool: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run it with Snakemake's own executor."""
    workflow = prepare(tmp_path_factory.mktemp("snakemake"), tool)
    return Run(workflow, workflow.run_local(*here(), "--keep-going", timeout_s=180))


@pytest.mark.parametrize("output", NEEDS)
def test_output_is_that_of_snakemake(on_slurm: Run, by_snakemake: Run, output: str) -> None:
    """The same file comes out, and Snakemake notes the same about it."""
    if output not in here():
        pytest.skip(f"{NEEDS[output]} is not installed")
    expected = (by_snakemake.workflow.folder / output).read_text()
    assert expected == (on_slurm.workflow.folder / output).read_text(), on_slurm.result.said
    wanted, found = (records(run.workflow.folder)[output] for run in (by_snakemake, on_slurm))
    assert wanted == found


def test_nothing_is_left(on_slurm: Run) -> None:
    """Snakemake's copies of scripts are gone, what notebooks leave stays in their shadow."""
    assert 0 == on_slurm.result.code, on_slurm.result.said
    left = [path.name for path in (on_slurm.workflow.folder / ".snakemake/scripts").iterdir()]
    assert {"__pycache__"} >= set(left)  # of Hy and xonsh, as after Snakemake's own executor
    assert [] == on_slurm.workflow.scratch_folders()


def test_other_executor_runs_nothing_again(on_slurm: Run) -> None:
    """After a run on the cluster, Snakemake's own executor finds nothing left to do."""
    result = on_slurm.workflow.start("-n", "-j", "1", *here()).finish()
    assert "Nothing to be done" in result.said, result.said
