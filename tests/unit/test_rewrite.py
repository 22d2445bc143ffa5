"""Captured commands become independent of files that are gone when they start."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.bridge.rewrite import (
    choose_papermill_later,
    inline_cwl_inputs,
    inline_script,
    move_notebook,
    script_files,
)
from snakemake_executor_plugin_hpcctr.executor.tasks import with_apptainer_args
from snakemake_executor_plugin_hpcctr.task import ApptainerOptions, EngineOptions

if TYPE_CHECKING:
    from pathlib import Path


def run(command: str, folder: Path, path: str = "/usr/bin:/bin") -> str:
    """Run a command in bash as a task does and return what it prints."""
    environ = {"PATH": path, "TMPDIR": str(folder)}
    done = subprocess.run(
        ["bash", "-c", command], check=True, capture_output=True, text=True, env=environ, cwd=folder
    )
    return done.stdout


def test_long_command_is_read_from_its_file(tmp_path: Path) -> None:
    """A command that Snakemake wrote to a temporary script is that script's text."""
    script = tmp_path / ".snakemake/shell_tmp.1/script.sh"
    script.parent.mkdir(parents=True)
    script.write_text("echo long\n")
    assert "echo long" == inline_script(f'"/bin/bash" "{script}"')


@pytest.mark.parametrize("command", ["echo a", 'echo ".snakemake/shell_tmp.1/script.sh"'])
def test_other_commands_stay_as_they_are(command: str) -> None:
    """A command that only looks like it is left alone."""
    assert command == inline_script(command)


def test_inputs_of_a_cwl_tool_travel_with_the_command(tmp_path: Path) -> None:
    """The tool finds its inputs on the node, whatever characters they hold."""
    inputs = {"word": 'it\'s "a" $WORD\n漢', "file": {"class": "File"}}
    file = tmp_path / "inputs"
    file.write_text(json.dumps(inputs))
    command = inline_cwl_inputs(f"set -euo pipefail;  cat  file:/tool.cwl {file}")
    file.unlink()
    said = run(command.replace("file:/tool.cwl", ""), tmp_path)
    assert inputs == json.loads(said)


@pytest.mark.parametrize("program", ["papermill", "jupyter-nbconvert"])
def test_notebook_takes_the_program_that_is_there(tmp_path: Path, program: str) -> None:
    """In an image the notebook runs by papermill, or by nbconvert where that is missing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / program).write_text('#!/bin/sh\nfor a in "$@"; do echo "[$a]"; done\n')
    (folder / program).chmod(0o755)
    command = "set -euo pipefail;  papermill --log-level ERROR '/a b/n.ipynb' out.ipynb"
    said = run(choose_papermill_later(command), tmp_path, f"{folder}:/usr/bin:/bin").split("\n")
    expected = {
        "papermill": ["[--log-level]", "[ERROR]", "[/a b/n.ipynb]", "[out.ipynb]", ""],
        "jupyter-nbconvert": [
            *("[--log-level]", "[ERROR]", "[--execute]", "[--output]", f"[{tmp_path}/out.ipynb]"),
            *("[--to]", "[notebook]", "[--ExecutePreprocessor.timeout=-1]", "[/a b/n.ipynb]", ""),
        ],
    }
    assert expected[program] == said


def test_other_programs_are_not_replaced() -> None:
    """A command without papermill stays as it is."""
    assert "jupyter-nbconvert x" == choose_papermill_later("jupyter-nbconvert x")


@pytest.mark.parametrize("folder", ["plain", "with a space"])
def test_notebook_works_in_its_shadow(tmp_path: Path, folder: str) -> None:
    """The folder of the head in a notebook's first cell becomes the shadow folder."""
    script = tmp_path / folder / ".snakemake/scripts/tmpabc_1.my.ipynb"
    script.parent.mkdir(parents=True)
    script.write_text("import os; os.chdir(r'/head'); use('/head')")
    command = f"papermill '{script}' out" if " " in folder else f"papermill {script} out"
    assert [script] == script_files(command)
    move_notebook(command, "/head", "/head/.snakemake/shadow/x")
    assert "import os; os.chdir(r'/head/.snakemake/shadow/x'); use('/head')" == script.read_text()


def test_missing_notebook_is_no_error() -> None:
    """A file that is not where the command seems to say is left to the command."""
    move_notebook("papermill /no/.snakemake/scripts/tmpa.x.ipynb", "/a", "/b")


def test_apptainer_args_come_before_the_users_own() -> None:
    """Words of --apptainer-args stand before those of the rule, which so win."""
    options = EngineOptions(apptainer=ApptainerOptions(extra_args=("--own",)))
    assert ("--given", "--own") == with_apptainer_args(options, ("--given",)).apptainer.extra_args
    assert options is with_apptainer_args(options, ())
