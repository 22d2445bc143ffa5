"""What the tasks of one step on one node know of each other: a file under a lock."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass
class Shared:
    """The counters of the plugin's shared memory.

    Args:
        entered: Tasks that have come so far.
        started: Tasks that have gone on to their command.
        ended: Tasks whose command has ended.
        pid: The process that holds the container, -1 if there is none.
        namespace_pid: A process in the container's namespaces, of this step or of another.
        refused: Whether the options were refused before the container was made.
        name: Enroot's name of the container.
    """

    entered: int = 0
    started: int = 0
    ended: int = 0
    pid: int = -1
    namespace_pid: int = -1
    refused: bool = False
    name: str = ""


@dataclass(frozen=True)
class StepState:
    """One step on one node."""

    folder: Path
    job: str
    step: str
    node: str
    local_tasks: int
    total_tasks: int
    alive: IO[str]  # locked as long as one task of the step lives

    @classmethod
    def open(cls, environment: Mapping[str, str]) -> StepState:
        """Find the step's folder from the variables that Slurm sets for a task."""
        job, step = environment.get("SLURM_JOB_ID", "0"), environment.get("SLURM_STEP_ID", "0")
        node = environment.get("SLURMD_NODENAME", "localhost")
        folder = root_folder() / f"{node}-{job}.{step}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        alive = (folder / "alive").open("a")
        fcntl.flock(alive, fcntl.LOCK_SH)
        counts = task_counts(environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
        index = int(environment.get("SLURM_NODEID", "0"))
        local = counts[index] if index < len(counts) else 1
        total = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
        return cls(folder, job, step, node, local, total, alive)

    @contextmanager
    def locked(self) -> Iterator[Shared]:
        """Read what the tasks share, and write it back at the end."""
        with (self.folder / "shared").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            shared = Shared(**json.loads(text)) if text else Shared()
            try:
                yield shared
            finally:
                file.truncate(0)
                file.write(json.dumps(asdict(shared)))

    def forget(self) -> None:
        """Remove the step's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def root_folder() -> Path:
    """Return the folder of all steps of this user on this node."""
    return Path(f"/tmp/pyxis-double-{os.geteuid()}")


def task_counts(text: str) -> list[int]:
    """Read Slurm's `2(x3),1` as [2, 2, 2, 1]."""
    counts = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found:
            counts += [int(found[1])] * int(found[2] or 1)
    return counts


def abandoned_containers() -> list[str]:
    """Return the unnamed containers of steps that were killed, and forget those steps."""
    names = []
    for folder in root_folder().iterdir():
        try:
            with (folder / "alive").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                text = (folder / "shared").read_text(encoding="utf-8")
                name = json.loads(text)["name"] if text else ""
                shutil.rmtree(folder, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError, NotADirectoryError):
            continue
        names += [name] if re.fullmatch(r"pyxis_\d+\.\d+", name) else []
    return names
