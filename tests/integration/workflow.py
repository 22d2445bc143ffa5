"""Runs Snakemake in a folder of a test's own, as a user would, and never hangs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from snakemake_executor_plugin_hpcctr.trace.store import Row, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = (sys.executable, "-m", "snakemake")
HPCCTR = (sys.executable, "-m", "snakemake_executor_plugin_hpcctr.cli")
POLL_S = 0.05
PATIENCE_S = 30.0
#: Variables that would change a run: a profile, an allocation in which the tests run, settings.
FOREIGN = ("SNAKEMAKE_", "SLURM_", "SBATCH_", "SRUN_", "HPCCTR_", "APPTAINER", "SINGULARITY")


@dataclass(frozen=True)
class Result:
    """What a program said, both streams together, and its exit code; -9 if it took too long."""

    code: int
    said: str

    def lines(self, word: str) -> list[str]:
        """Return the lines that hold a word."""
        return [line for line in self.said.splitlines() if word in line]

    @property
    def shows_traceback(self) -> bool:
        """Whether Python's own words about an error were shown; in a task's log they may be."""
        return any(line.startswith("Traceback") for line in self.said.splitlines())

    def block(self, first: str) -> str:
        """Return the lines from the one that holds a text up to Snakemake's next message."""
        lines = self.said.splitlines()
        start = next((n for n, line in enumerate(lines) if first in line), None)
        assert start is not None, f"{first!r} is not in:\n{self.said}"
        end = next(
            (n for n, line in enumerate(lines[start + 1 :], start + 1) if line.startswith("[")),
            len(lines),
        )
        return "\n".join(lines[start:end])


class Running:
    """A program under way, in a session of its own; killed with all it started when it is late."""

    def __init__(self, argv: tuple[str, ...], folder: Path, environ: Mapping[str, str]) -> None:
        self.log = folder / f".test-output-{time.monotonic_ns()}.txt"
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                argv,
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed a text so many times."""
        until = time.monotonic() + PATIENCE_S
        while self.said.count(text) < times:
            assert self.process.poll() is None, f"ended before it said {text!r}:\n{self.said}"
            assert time.monotonic() < until, f"never said {text!r}:\n{self.said}"
            time.sleep(POLL_S)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def interrupt_all(self) -> None:
        """Press Ctrl-C in a terminal, which reaches every process that it started, too."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self, timeout_s: float = 60.0) -> Result:
        """Wait for its end."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return Result(self.process.returncode, self.said)

    def kill(self) -> None:
        """End it at once: on SIGTERM Snakemake would wait for its jobs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Workflow:
    """A working directory with a Snakefile.

    Args:
        folder: Where it is; made if it is missing.
        environ: Variables besides this process's own, e.g. SLURM_CONF.
        flags: Added to every call with `--executor hpcctr`.
    """

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Write a file, without the indentation that its text has in a test."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def snakefile(self, text: str) -> None:
        """Write the Snakefile."""
        self.write("Snakefile", text)

    def start(
        self, *words: str, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
    ) -> Running:
        """Start `snakemake` with these words; `before` is a program that starts it."""
        return Running((*before, *SNAKEMAKE, *words), self.folder, self.variables(env))

    def start_hpcctr(
        self, *words: str, env: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
    ) -> Running:
        """Start `snakemake --executor hpcctr`; it looks at its tasks often."""
        flags = ("--executor", "hpcctr", "-j", "50", "--hpcctr-poll-max", "1", *self.flags)
        return self.start(*words, *flags, env=env, before=before)

    def run(
        self,
        *words: str,
        env: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
        timeout_s: float = 60.0,
    ) -> Result:
        """Run `snakemake --executor hpcctr` to its end."""
        return self.start_hpcctr(*words, env=env, before=before).finish(timeout_s)

    def run_local(
        self, *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> Result:
        """Run Snakemake's own local executor to its end."""
        return self.start("--executor", "local", "-j", "4", *words, env=env).finish(timeout_s)

    def hpcctr(self, *words: str) -> Result:
        """Run `hpcctr` to its end."""
        return Running((*HPCCTR, *words), self.folder, self.variables(None)).finish()

    def rows(self) -> list[Row]:
        """Return all tasks that were recorded, none if nothing was ever submitted."""
        file = self.folder / ".snakemake/hpcctr/trace.sqlite"
        if not file.exists():
            return []
        trace = Trace(file)
        try:
            return trace.rows()
        finally:
            trace.close()

    def submitted(self) -> list[Row]:
        """Return the tasks that the scheduler took."""
        return [row for row in self.rows() if row.element]

    def scratch_folders(self) -> list[Path]:
        """Return folders of tasks that are left in /tmp."""
        runs = {row.run for row in self.rows()}
        return [path for run in runs for path in Path("/tmp").glob(f"hpcctr-*-{run}-*")]

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the variables that its programs get."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        search = [str(ROOT), *filter(None, [own.get("PYTHONPATH")])]
        return {**own, "PYTHONPATH": os.pathsep.join(search), **self.environ, **(more or {})}


@dataclass(frozen=True)
class Run:
    """A workflow after one executor ran it.

    Args:
        workflow: The workflow.
        result: How it ended.
        within: The working directory, where the workflow names one below its folder.
    """

    workflow: Workflow
    result: Result
    within: str = ""

    @property
    def folder(self) -> Path:
        """Where its outputs are."""
        return self.workflow.folder / self.within

    def read(self, name: str) -> list[str]:
        """Return the lines of a file that a run which ended well has made."""
        assert self.result.code == 0, self.result.said
        return (self.folder / name).read_text(encoding="utf-8").splitlines()

    def row(self, rule: str) -> Row:
        """Return the last line of the trace about a rule."""
        return [row for row in self.workflow.rows() if row.rule == rule][-1]


def wait_for_file(path: Path) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < until, f"{path} was never made"
        time.sleep(POLL_S)


def path_without(folder: Path, *programs: str) -> str:
    """Return a PATH on which these programs cannot be found: links to all the others."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for entry in Path(place).glob("*"):
            link = folder / entry.name
            if entry.name not in programs:
                link.unlink(missing_ok=True)
                link.symlink_to(entry)
    assert all(shutil.which(name, path=str(folder)) is None for name in programs)
    return str(folder)
