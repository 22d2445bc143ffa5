from __future__ import annotations

import pickle
import shlex
import stat
from types import CodeType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.bridge.place import asks_for_plan
from snakemake_executor_plugin_hpcctr.bridge.runner import render_command
from snakemake_executor_plugin_hpcctr.bridge.spec import Spec
from snakemake_executor_plugin_hpcctr.runner.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

#: As Python shows paths that are no UTF-8.
TEXT = st.text(st.characters(codec=None, exclude_categories=[]))


@given(st.lists(TEXT), TEXT, st.binary(), st.dictionaries(TEXT, TEXT))
def test_spec_arrives_as_it_was(
    argv: list[str], rule: str, arguments: bytes, environ: dict[str, str]
) -> None:
    """Any argument, name, value and pickle is read back unchanged."""
    spec = Spec("9.27.1", tuple(argv), rule, arguments, ("a b", "c"), environ)

    assert spec == Spec.parse(spec.text())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"snakemake": "9"}', "null"])
def test_damaged_spec_is_refused(text: str) -> None:
    """A file that is not whole is a ValueError, whatever it holds."""
    with pytest.raises(ValueError, match=r"."):
        Spec.parse(text)


def test_spec_file_is_private(tmp_path: Path) -> None:
    """Only its owner can read the file, and no half of it is left beside it."""
    Spec("9", ()).write(tmp_path / "1.json")

    (file,) = tmp_path.iterdir()
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


def test_command_goes_where_snakemake_was_started() -> None:
    """The command checks for the Python, quotes every word, and runs the user's precommand."""
    lines = render_command("/a b", "module load x", "/p y/python", "/s'.json").splitlines()

    assert ["cd -- '/a b' || exit", "module load x || exit"] == lines[:2]
    module = "snakemake_executor_plugin_hpcctr.runner"
    assert ["exec", "/p y/python", "-m", module, "/s'.json"] == shlex.split(lines[-1])


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("print(1)", False),
        ("workflow.source_path('x')", False),
        ("dag = 1; print(dag)", False),
        ("print(len(workflow.dag.jobs))", True),
        ("call = lambda: workflow.persistence.path", True),
    ],
)
def test_blocks_that_need_the_plan_are_seen(block: str, expected: bool) -> None:  # noqa: FBT001 (a table)
    """A block that uses the workflow's plan of jobs is told from one that does not."""
    code = compile(f"def block():\n    {block}\n", "Snakefile", "exec")
    (inner,) = (part for part in code.co_consts if isinstance(part, CodeType))

    assert expected is asks_for_plan(inner)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "cannot be read"),
        (["no such file"], "No such file"),
    ],
)
def test_runner_refuses_in_words(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a file to read, the runner says so in one line."""
    assert 2 == main(argv)

    said = capsys.readouterr().err
    assert said.startswith("hpcctr: runner: ")
    assert words in said


def test_runner_refuses_another_snakemake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values that another version pickled are not read."""
    spec = Spec("1.2.3", (), "a", pickle.dumps(print))
    spec.write(tmp_path / "1.json")

    assert 2 == main([str(tmp_path / "1.json")])
    assert ", not 1.2.3" in capsys.readouterr().err
