"""The engines of this machine, each with the image it starts, and a way to run tasks in them.

A real engine is used where it is installed, else its double (tests/doubles), else its tests are
skipped with the reason. `HPCCTR_TEST_ENGINES=doubles` takes the doubles in any case.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.script.marker import Marker, parse_marker
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text, render_task
from snakemake_executor_plugin_hpcctr.task import (
    Bind,
    EngineName,
    EngineOptions,
    EnrootOptions,
    Image,
    ImageFormat,
    PyxisOptions,
    Task,
)
from tests.doubles.search import double_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snakemake_executor_plugin_hpcctr.lab import Lab

LEFT_S = 3.0


@dataclass(frozen=True)
class Kind:
    """A row of the table: an engine, and what it starts.

    Args:
        name: Shown by pytest.
        engine: The engine.
        image: Format of the image; None for the host.
        create: Whether Enroot unpacks the image first.
    """

    name: str
    engine: EngineName
    image: ImageFormat | None
    create: bool = False


KINDS = (
    Kind("host", "host", None),
    Kind("apptainer-sif", "apptainer", "sif"),
    Kind("apptainer-sqsh", "apptainer", "sqsh"),
    Kind("enroot", "enroot", "sqsh"),
    Kind("enroot-create", "enroot", "sqsh", create=True),
    Kind("pyxis", "pyxis", "sqsh"),
)


@dataclass(frozen=True)
class Ran:
    """A script that ended.

    Args:
        code: Its own exit code.
        out: What it printed.
        err: What it printed as errors.
        marker: What it left.
        left: Command lines of processes that it left behind.
    """

    code: int
    out: str
    err: str
    marker: Marker
    left: list[str]


@dataclass(frozen=True)
class Place:
    """A project's folder on a node, and an engine to run tasks with.

    Args:
        kind: The engine.
        path: The working directory of all tasks; a run's folder is in it.
        image: The image.
        search: PATH of the scripts.
        allocation: Variables by which a script finds its Slurm job; empty without Slurm.
        options: How the engine keeps its containers.
    """

    kind: Kind
    path: Path
    image: Image | None
    search: str
    allocation: Mapping[str, str]
    options: EngineOptions
    _serials: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def run_folder(self) -> Path:
        """The folder with scripts and markers."""
        return self.path / "run"

    def task(self, command: str, **changes: Any) -> Task:
        """Return a task that runs here."""
        scratch = f"/tmp/hpcctr-test-{os.getpid()}-{self.path.name}-{next(self._serials)}"
        binds = (Bind(source=str(self.path), target=str(self.path)), *changes.pop("binds", ()))
        values: dict[str, Any] = {
            "key": "k",
            "rule": "r",
            "command": command,
            "engine": self.kind.engine,
            "image": self.image,
            "binds": binds,
            "workdir": str(self.path),
            "scratch": scratch,
            "tmpdir": f"{scratch}/tmp",
            "options": self.options,
        }
        return Task(**values | changes)

    def write(self, task: Task) -> Path:
        """Write the script of a task."""
        name = task.scratch.rpartition("/")[2]
        script = self.run_folder / f"{name}.sh"
        text = render_task(
            task,
            launch(task),
            number="1.0",
            library=str(self.run_folder),
            marker=str(self.run_folder / name),
        )
        script.write_bytes(os.fsencode(text))
        return script

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the submitting environment: a user's, and what the test adds."""
        own = {"PATH": self.search, "HOME": os.environ["HOME"], "LANG": "C.UTF-8"}
        return {**own, **self.allocation, **(more or {})}

    def start(self, script: Path, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a script in a session of its own."""
        return subprocess.Popen(
            ["bash", script],
            env=self.environ(more),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str], script: Path, restart: int = 0) -> Ran:
        """Wait for a script, and collect what it left."""
        try:
            out, err = process.communicate("not for the task", timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        text = script.with_suffix(f".{restart}").read_text(encoding="utf-8", errors="replace")
        marker = parse_marker(text)
        assert marker
        return Ran(process.returncode, out, err, marker, left_in_session(process.pid))

    def run(self, task: Task, more: Mapping[str, str] | None = None, restart: int = 0) -> Ran:
        """Run a task to its end."""
        script = self.write(task)
        if restart:
            more = {**(more or {}), "SLURM_RESTART_COUNT": str(restart)}
        return self.end(self.start(script, more), script, restart)


def left_in_session(session: int) -> list[str]:
    """Return command lines of a session's processes, once they had a moment to end."""
    until = time.monotonic() + LEFT_S
    while (left := _in_session(session)) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def _in_session(session: int) -> list[str]:
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = stat.read_text().rpartition(")")[2].split()[:4]
            if int(owner) == session and state != "Z":
                left.append((stat.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return left


@pytest.fixture(scope="module")
def pyxis_slurm(lab: Lab) -> Iterator[dict[str, str]]:
    """Take an allocation of the lab; return the variables that name it."""
    environ = {**os.environ, **lab.environ}
    done = proc.run(["salloc", "--no-shell", "--ntasks=1", "--time=10"], env=environ)
    granted = re.search(r"Granted job allocation (\d+)", done.err)
    assert granted, done.err
    yield {**lab.environ, "SLURM_JOB_ID": granted[1], "SLURM_JOBID": granted[1]}
    proc.run(["scancel", granted[1]], env=environ)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Return one engine after another."""
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def place(
    kind: Kind, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Return a project's folder and the engine; what the engine unpacked is removed at the end."""
    allocation = request.getfixturevalue("pyxis_slurm") if kind.engine == "pyxis" else {}
    search = _search_path(kind, allocation)
    image = _image(kind, request)
    path = tmp_path_factory.mktemp(kind.name)
    (path / "run").mkdir()
    for name in LIBRARY:
        (path / "run" / name).write_text(library_text(name), encoding="utf-8")
    data = {"ENROOT_DATA_PATH": str(tmp_path_factory.mktemp("data"))} if kind.create else {}
    options = EngineOptions(
        enroot=EnrootOptions(create=kind.create, paths=data),
        pyxis=PyxisOptions(name=f"hpcctr-test-{os.getpid()}"),  # unpacked once, not at every step
    )
    place = Place(kind, path, image, search, allocation, options)
    place.run(place.task("true"))  # what is done once per node is done now
    yield place
    if kind.engine in {"enroot", "pyxis"}:
        _remove_unpacked(place, {**place.environ(), **data})


def _remove_unpacked(place: Place, environ: Mapping[str, str]) -> None:
    """Remove what an engine unpacked to be used again."""
    name = f"pyxis_{place.options.pyxis.name}"
    if (before := launch(place.task("true")).before) is not None:
        name = before.do[-2]
        Path(f"{before.lock}.{os.getuid()}").unlink(missing_ok=True)
    proc.run(["enroot", "remove", "--force", name], env=environ)


def _search_path(kind: Kind, lab_environ: Mapping[str, str]) -> str:
    """Return the PATH of the scripts: doubles stand before it for engines that are not there."""
    if kind.engine == "apptainer" and not shutil.which("apptainer"):
        pytest.skip("Apptainer is not installed")
    if kind.engine not in {"enroot", "pyxis"}:
        return os.environ["PATH"]
    if os.environ.get("HPCCTR_TEST_ENGINES") == "doubles":
        return double_path("pyxis", "enroot") if kind.engine == "pyxis" else double_path("enroot")
    missing = [] if shutil.which("enroot") else ["enroot"]
    if kind.engine == "pyxis" and not _knows_pyxis(lab_environ):
        missing.append("pyxis")
    return double_path(*missing)


def _knows_pyxis(lab_environ: Mapping[str, str]) -> bool:
    said = proc.run(["srun", "--help"], env={**os.environ, **lab_environ}).out
    return "--container-image" in said


def _image(kind: Kind, request: pytest.FixtureRequest) -> Image | None:
    if kind.image is None:
        return None
    base = request.getfixturevalue("base_image")
    path: Path = getattr(base, kind.image)
    return Image(reference=path.name, location=str(path), format=kind.image, identity="base")
