"""The wheel, installed as a user installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr import ExecutorSettings
from tests.integration.workflow import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str | Path, cwd: Path = ROOT) -> str:
    """Run a program without the checkout on Python's path; return all that it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        words,
        cwd=cwd,
        env=env,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that holds the wheel; what it needs is borrowed from this one."""
    folder = tmp_path_factory.mktemp("fresh")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    isolated = () if find_spec("hatchling") is None else ("--no-build-isolation",)
    run(*pip, "wheel", "--no-deps", *isolated, "--wheel-dir", folder, ROOT)
    wheel = next(folder.glob("*.whl"))
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv/bin/python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel)
    packages = next((folder / "venv/lib").glob("python*/site-packages"))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv/bin"


def test_package_comes_from_the_wheel(fresh: Path, tmp_path: Path) -> None:
    """Python finds the installed package, not the checkout."""
    code = "import snakemake_executor_plugin_hpcctr as p; print(p.__file__)"
    assert str(fresh.parent) in run(fresh / "python", "-c", code, cwd=tmp_path)


def test_snakemake_shows_every_flag(fresh: Path, tmp_path: Path) -> None:
    """`snakemake --help` knows the executor and each of its flags."""
    said = run(fresh / "python", "-m", "snakemake", "--help", cwd=tmp_path)
    flags = [f"--hpcctr-{field.name.replace('_', '-')}" for field in fields(ExecutorSettings)]
    assert [] == [flag for flag in flags if flag not in said]


def test_command_line_starts_without_snakemake(fresh: Path, tmp_path: Path) -> None:
    """`hpcctr --help` works, and imports nothing of Snakemake."""
    said = run(fresh / "python", "-X", "importtime", fresh / "hpcctr", "--help", cwd=tmp_path)
    assert "Usage: hpcctr" in said
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if "|" in line}
    assert "snakemake_executor_plugin_hpcctr" in imported
    assert [] == [name for name in imported if name.partition(".")[0] == "snakemake"]


def test_templates_are_in_the_wheel(fresh: Path, tmp_path: Path) -> None:
    """`hpcctr init` makes a workflow without the checkout."""
    said = run(fresh / "hpcctr", "init", "parameter-sweep", "own", cwd=tmp_path)
    assert "cd own && snakemake" in said
    assert (tmp_path / "own/workflow/scripts/train.py").stat().st_size > 0
    assert (tmp_path / "own/data/digits.csv.gz").stat().st_size > 0


def test_workflow_runs_from_the_wheel(fresh: Path, tmp_path: Path) -> None:
    """The wheel holds all that a run needs, the shell parts included."""
    (tmp_path / "Snakefile").write_text(
        'rule hello:\n    output: "hello.txt"\n    shell: "echo hello >{output}"\n'
    )
    words = ("--executor", "hpcctr", "--hpcctr-scheduler", "local", "-j", "1")
    run(fresh / "python", "-m", "snakemake", *words, cwd=tmp_path)
    assert (tmp_path / "hello.txt").read_text() == "hello\n"
    assert "hello" in run(fresh / "hpcctr", "status", cwd=tmp_path)
