"""What type checkers say of pipelines: nothing about correct ones, something about each mistake."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "typing"
ROOT = FOLDER.parents[1]
MISTAKES = {
    number
    for number, line in enumerate((FOLDER / "mistakes.py").read_text().splitlines(), 1)
    if line.endswith("# mistake")
}
CHECKERS = ("mypy", "basedpyright")


def reported(checker: str, name: str) -> set[int]:
    """Return the lines of a file about which a checker reports an error."""
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    return _mypy(name) if checker == "mypy" else _pyright(name)


def _mypy(name: str) -> set[int]:
    argv = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    done = subprocess.run(
        [*argv, str(FOLDER / name)],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    return {int(n) for n in re.findall(rf"{name}:(\d+): error:", done.stdout)}


def _pyright(name: str) -> set[int]:
    argv = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error"]
    done = subprocess.run(
        [*argv, "--pythonpath", sys.executable, str(FOLDER / name)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}


@pytest.mark.parametrize("checker", CHECKERS)
def test_correct_pipelines_pass(checker: str) -> None:
    """Nothing is found in the examples."""
    assert set() == reported(checker, "examples.py")


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_mistake_is_reported(checker: str) -> None:
    """Each seeded mistake is reported on its line, and no other line is."""
    assert MISTAKES == reported(checker, "mistakes.py")
