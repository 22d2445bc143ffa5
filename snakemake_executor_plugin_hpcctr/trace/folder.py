"""The folder of a run: the one place that composes paths of scripts, markers and logs."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.script.marker import Marker, parse_marker
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

#: State of hpcctr in a working directory; safe to delete when nothing runs.
STATE = Path(".snakemake/hpcctr")
#: What helps a run where it cannot write.
OTHER_LOGS = "name another log folder with --hpcctr-log-dir"


@dataclass(frozen=True)
class Number:
    """A task's number within its run: the submission, the index within that, and in a group."""

    submission: int
    index: int
    member: int | None = None

    def __str__(self) -> str:
        element = f"{self.submission}.{self.index}"
        return element if self.member is None else f"{element}-{self.member}"

    @classmethod
    def parse(cls, text: str) -> Number | None:
        """Read a marker's file name `SUBMISSION.INDEX.RESTART`; None if it is another file.

        Markers of a group's members are none that the head waits for: the group has its own.
        """
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004
            return None
        return cls(int(parts[0]), int(parts[1]))


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; created by `make`.

    Args:
        path: Absolute.
        logs: Absolute folder of the tasks' logs.
    """

    path: Path
    logs: Path

    @property
    def run_id(self) -> str:
        """The run's name, unique in the world."""
        return self.path.name

    @property
    def markers(self) -> Path:
        """The folder that the head scans."""
        return self.path / "markers"

    def script(self, number: Number) -> Path:
        """Return the path of a task's script."""
        return self.path / "tasks" / f"{number}.sh"

    def element_script(self, element: Number) -> Path:
        """Return the path of a script that runs several tasks."""
        return self.path / "elements" / f"{element}.sh"

    def element_log(self, rule: str, element: Number) -> Path:
        """Return the path of what such a script says besides its tasks."""
        return self.logs / rule / f"{self.run_id}.element.{element}.log"

    def marker(self, number: Number) -> Path:
        """Return the path of a task's exit marker, without the restart count."""
        return self.markers / str(number)

    def batch_file(self, submission: int) -> Path:
        """Return the path of the script that the scheduler gets."""
        return self.path / "batch" / f"{submission}.sh"

    def log(self, rule: str, number: Number) -> Path:
        """Return the path of a task's log; only the index differs within a submission."""
        return self.logs / rule / f"{self.run_id}.{number}.log"

    @property
    def specs(self) -> Path:
        """The folder of what the runner gets to do."""
        return self.path / "runner"

    def make(self) -> None:
        """Create the folders and the static parts of every script.

        Raises:
            ConfigError: A folder cannot be written.
        """
        try:
            for name in ("tasks", "elements", "batch", "markers", "runner"):
                (self.path / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            self.logs.mkdir(parents=True, exist_ok=True)
            probe = self.logs / f".write-test-{self.run_id}"
            probe.touch()
            probe.unlink()
            for name in LIBRARY:
                write_atomically(self.path / name, library_text(name))
        except OSError as error:
            raise unwritable(error) from error

    def make_log_folder(self, rule: str) -> None:
        """Create the log folder of a rule: Slurm starts no job whose log folder is missing."""
        (self.logs / rule).mkdir(parents=True, exist_ok=True)

    def finished(self, known: AbstractSet[str]) -> dict[str, tuple[Number, Marker]]:
        """Read the markers that are new, in one scan of the folder (which refreshes NFS, too).

        Args:
            known: File names of markers that were read before.

        Returns:
            File name → number of the task and its marker.
        """
        found: dict[str, tuple[Number, Marker]] = {}
        for name in os.listdir(self.markers):  # noqa: PTH208 (names only, thousands of them)
            if name in known or (number := Number.parse(name)) is None:
                continue
            marker = _read_marker(f"{self.markers}/{name}")
            if marker is not None:
                found[name] = (number, marker)
        return found

    def last_marker(self, number: Number) -> Marker | None:
        """Return the marker of a member's last start; None if there is none.

        A group that starts again removes what its members left: no marker follows a first one.
        """
        first = _read_marker(f"{self.marker(number)}.0")
        if first is not None:
            return first
        found = {path.suffix[1:]: path for path in self.markers.glob(f"{number}.*")}
        restarts = sorted((int(text) for text in found if text.isdecimal()), reverse=True)
        return next((m for n in restarts if (m := _read_marker(str(found[str(n)])))), None)

    def remove(self) -> None:
        """Remove the run's scripts and markers; its logs stay."""
        shutil.rmtree(self.path, ignore_errors=True)


def new_run(workdir: Path, logs: Path | None) -> RunFolder:
    """Name a new run of a working directory; nothing is created yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run_id = f"{stamp}-{secrets.token_hex(3)}"
    state = workdir / STATE
    return RunFolder(path=state / "runs" / run_id, logs=logs or state / "logs")


def unwritable(error: OSError, other: str = OTHER_LOGS) -> ConfigError:
    """Say that a file or folder of ours could not be made, and what else the user can do."""
    return ConfigError(
        f"cannot write to {error.filename or STATE}: {error.strerror}",
        next_step=f"free space or permissions there, or {other}",
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it: it is there whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    part.replace(path)


def _read_marker(path: str) -> Marker | None:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return parse_marker(text)
