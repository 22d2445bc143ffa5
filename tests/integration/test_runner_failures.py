"""`run:` rules that fail, and nodes that cannot run them: what a user is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

BLOCKS = """
    rule all:
        input: "error.txt", "shell.txt", "exits.txt", "killed.txt", "missing.txt", "module.txt"

    rule error:
        output: "error.txt"
        run:
            def inner():
                raise ValueError("the reason")
            inner()

    rule shell:
        output: "shell.txt"
        run:
            shell("echo said before; exit 3")

    rule exits:
        output: "exits.txt"
        run:
            sys.exit(7)

    rule killed:
        output: "killed.txt"
        run:
            os.kill(os.getpid(), 9)

    rule missing:
        output: "missing.txt"
        run:
            pass

    rule module:
        output: "module.txt"
        run:
            import no_such_module
"""
ONE_BLOCK = """
    rule block:
        output: "block.txt"
        run:
            shell("echo block >{output}")
"""


@pytest.fixture(scope="module")
def blocks(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Run all of them, with --keep-going."""
    workflow = Workflow(tmp_path_factory.mktemp("blocks") / "work", lab.environ)
    workflow.snakefile(BLOCKS)
    return workflow.run("--keep-going", "--latency-wait", "1", timeout_s=120)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            "error",
            (
                "The rule's own code failed: ValueError in file",
                'Snakefile", line 9',
                "the reason",
                "line 10, in __rule_error",
            ),
        ),
        ("shell", ("CalledProcessError in file", "said before", "exit status 3")),
        ("exits", ("The `run:` block ended itself: sys.exit(7)", "exit code 7")),
        ("killed", ("The command was ended by SIGKILL",)),
        ("module", ("No module named 'no_such_module'", "ModuleNotFoundError in file")),
    ],
)
def test_failed_block_says_why(blocks: Result, rule: str, words: tuple[str, ...]) -> None:
    """The message has Snakemake's own words, with the line of the Snakefile."""
    told = blocks.block(f"{rule} failed on ")
    assert [] == [word for word in words if word not in told], told
    assert f"Error in rule {rule}:" in blocks.said


def test_missing_output_is_found_by_snakemake(blocks: Result) -> None:
    """A block that made nothing fails as under local."""
    assert "MissingOutputException in rule missing" in blocks.said


def test_no_traceback_of_ours_is_shown(blocks: Result) -> None:
    """Neither the message nor a log's last lines show the runner's inside."""
    assert blocks.code == 1
    assert "snakemake_executor_plugin_hpcctr" not in blocks.said


def test_missing_python_is_named_with_its_setting(lab: Lab, tmp_path: Path) -> None:
    """A Python that a node lacks is named, and so is the setting."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(ONE_BLOCK)
    workflow.write("hpcctr.yaml", "python: /no/such/python\n")
    result = workflow.run()
    assert result.code == 1
    assert "has no Python /no/such/python" in result.said
    assert "`python:` in hpcctr.yaml, or --hpcctr-python" in result.said
    assert ["runner"] == [row.cause for row in workflow.rows()]


def test_python_without_snakemake_is_named(lab: Lab, tmp_path: Path) -> None:
    """A Python without hpcctr is told from one that is not there."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(ONE_BLOCK)
    bare = workflow.write("bare", f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    result = workflow.run("--hpcctr-python", str(bare))
    assert result.code == 1
    assert "does not have it, or lacks hpcctr" in result.said
    assert ["runner"] == [row.cause for row in workflow.rows()]


def test_python_can_be_set(lab: Lab, tmp_path: Path) -> None:
    """The Python that is set runs the block, after the user's --precommand."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(ONE_BLOCK)
    mine = workflow.write("bin/my python", f'#!/bin/sh\ntouch used; exec {sys.executable} "$@"\n')
    mine.chmod(0o755)
    precommand = f'export PATH="{mine.parent}:$PATH"'
    result = workflow.run("--hpcctr-python", "my python", "--precommand", precommand)
    assert result.code == 0, result.said
    assert (tmp_path / "used").exists()


def test_container_of_a_block_is_left_out_as_under_local(lab: Lab, tmp_path: Path) -> None:
    """Like local, the block runs on the node; unlike local, hpcctr says so."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile(ONE_BLOCK.replace("run:", 'container: "image.sif"\n        run:'))
    result = workflow.run()
    assert result.code == 0, result.said
    (told,) = result.lines("outside of the container")
    assert told.startswith("rule block: ")
    assert "Nothing to be done" in workflow.start("--executor", "local", "-n").finish().said


def test_vanished_script_is_snakemakes_error(lab: Lab, tmp_path: Path) -> None:
    """A script that is gone is refused as under local, and nothing is submitted."""
    workflow = Workflow(tmp_path, lab.environ)
    workflow.snakefile("""
        rule gone:
            output: "gone.txt"
            script: "gone.py"
    """)
    said = [line for line in workflow.run_local().said.splitlines() if "gone.py" in line]
    result = workflow.run()
    assert result.code == 1
    assert said
    assert [] == [line for line in said if line not in result.said]
    assert [] == workflow.submitted()
