"""Snakemake's flags have the same effect on the cluster as with its own executor."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.comparison import content, planned, records
from tests.integration.workflow import Result, Workflow

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.lab import Lab

pytestmark = pytest.mark.lab

SNAKEFILE = Path(__file__).with_name("flags.smk")
ALWAYS = ("--default-resources", "extra='x y'", "--latency-wait", "1")


@dataclass
class Pair:
    """The same workflow twice: for hpcctr on the lab, and for Snakemake's own executor."""

    ours: Workflow
    theirs: Workflow
    last: list[Result] = field(default_factory=list)

    @classmethod
    def make(cls, lab: Lab, folder: Path, **variables: str) -> Pair:
        """Write both."""
        ours = Workflow(folder / "slurm/work", {**lab.environ, **variables})
        theirs = Workflow(folder / "snakemake/work", variables)
        for workflow in (ours, theirs):
            workflow.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
        return cls(ours, theirs)

    def run(self, *words: str) -> int:
        """Run both side by side and compare what they left; return their exit code."""
        theirs = self.theirs.start("--executor", "local", "-j", "2", *words, *ALWAYS)
        self.last = [self.ours.run(*words, *ALWAYS, timeout_s=90), theirs.finish(90)]
        ours, local = self.last
        assert local.code == ours.code, ours.said + local.said
        assert content(self.theirs.folder) == content(self.ours.folder), ours.said
        assert records(self.theirs.folder) == records(self.ours.folder)
        return ours.code

    def plan(self, *words: str) -> list[str]:
        """Return what both would run, each planned with the other's executor."""
        ours = self.ours.start("-n", "--executor", "local", "-j", "2", *words, *ALWAYS)
        theirs = self.theirs.start("-n", "--executor", "hpcctr", "-j", "2", *words, *ALWAYS)
        plan = planned(ours.finish())
        assert planned(theirs.finish()) == plan
        return plan


def test_parts_of_a_workflow(lab: Lab, tmp_path: Path) -> None:
    """--until, --batch, --omit-from, --notemp, --touch and --forceall choose the same jobs."""
    pair = Pair.make(lab, tmp_path)
    assert 0 == pair.run("--until", "source", "--notemp")
    assert 0 == pair.run("--batch", "last=1/2", "--notemp")
    assert ["a.txt", "b.txt"] == sorted(p.name for p in (pair.ours.folder / "parts").iterdir())
    assert 0 == pair.run("--omit-from", "last")
    assert not (pair.ours.folder / "last.txt").exists()
    assert 0 == pair.run("--rerun-triggers", "mtime", "--config", "text=other")
    assert ["Nothing to be done"] == pair.plan("--rerun-triggers", "mtime", "input")
    assert 0 == pair.run("--touch")
    assert 0 == pair.run("--forceall", "--config", "text=third")
    assert "third a x y" in (pair.ours.folder / "last.txt").read_text()
    assert ["Nothing to be done"] == pair.plan("--config", "text=third")


def test_failures(lab: Lab, tmp_path: Path) -> None:
    """--keep-going, --keep-incomplete, --rerun-incomplete and --retries treat failures alike."""
    pair = Pair.make(lab, tmp_path)
    bad = ("failed.txt", "third.txt", "unchecked.txt", "nothing.txt", "parts/a.txt")
    assert 1 == pair.run(*bad, "--keep-going", "--retries", "1", "--config", "fail=yes")
    assert {"parts/a.txt", "failed.log"} <= content(pair.ours.folder).keys()
    fails = ("failed.txt", "--config", "fail=yes")
    assert 1 == pair.run(*fails, "--keep-incomplete")
    assert "644 half\n" == content(pair.ours.folder)["failed.txt"]
    assert ["Nothing to be done"] == pair.plan("failed.txt", "--config", "fail=no")
    for workflow in (pair.ours, pair.theirs):  # as a head that was killed leaves it
        marker = base64.b64encode(b"failed.txt").decode()
        workflow.write(f".snakemake/incomplete/{marker}", "{}")
    good = ("failed.txt", "third.txt", "--config", "fail=no", "--retries", "2")
    assert 1 == pair.run(*good)
    assert all("--rerun-incomplete" in result.said for result in pair.last)
    assert 0 == pair.run(*good, "--rerun-incomplete")
    assert ["Nothing to be done"] == pair.plan(*good)


def test_cache_is_shared(lab: Lab, tmp_path: Path) -> None:
    """What one executor puts into the between-workflow cache, the other takes out of it."""
    (tmp_path / "cache").mkdir()
    pair = Pair.make(lab, tmp_path, SNAKEMAKE_OUTPUT_CACHE=str(tmp_path / "cache"))
    flags = ("cached.txt", "--cache", *ALWAYS)
    assert 0 == pair.ours.run(*flags).code
    assert 0 == pair.theirs.run_local(*flags).code
    assert content(pair.ours.folder)["cached.txt"] == content(pair.theirs.folder)["cached.txt"]
    (pair.theirs.folder / "cached.txt").unlink()
    second = Workflow(tmp_path / "second", pair.ours.environ)
    second.write("Snakefile", SNAKEFILE.read_text(encoding="utf-8"))
    result = second.run(*flags)
    assert 0 == result.code
    assert [] == second.submitted()
    tmpdir = re.search(r"tmpdir=(\S+)/tmp", result.said)
    assert tmpdir
    assert not Path(tmpdir[1]).exists()


def test_folder_for_temporary_files(lab: Lab, tmp_path: Path) -> None:
    """A folder named as `tmpdir` is that of every variable, and is made on the node."""
    pair = Pair.make(lab, tmp_path)
    assert 0 == pair.run("tmpdir.txt", "--set-resources", f"folder:tmpdir='{tmp_path}/own'")
    assert f"{tmp_path}/own" in (pair.ours.folder / "tmpdir.txt").read_text()
