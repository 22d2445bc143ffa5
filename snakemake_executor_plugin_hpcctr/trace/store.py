"""One SQLite database per working directory: a row for each attempt of each task."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Row:
    """One attempt of a task. Times are seconds since 1970; None where not known.

    Args:
        run: The run's name.
        number: Number of the task in its run.
        key: Durable identity of the job.
        rule: Rule.
        wildcards: `name=value`, comma-separated.
        attempt: Snakemake's attempt, from 1.
        engine: Engine.
        image: Image as the user wrote it.
        digest: Digest of its content; "" if it is a file that was not hashed.
        log: Path of the log.
        submitted: When it was handed to the scheduler (the head's clock).
        element: The scheduler's id, `123` or `123_4`; "" until it was accepted.
        tag: Unique tag of the submission; "" until it was accepted.
        started: When the command started (the node's clock).
        ended: When it ended (the node's clock).
        node: Where it ran.
        exit_code: Exit code of the command.
        cpu_s: CPU seconds.
        peak_mb: Peak memory, MiB.
        cause: "ok", or the cause of the failure (see the catalogue of causes).
    """

    run: str
    number: str
    key: str
    rule: str
    wildcards: str
    attempt: int
    engine: str
    image: str
    log: str
    submitted: float
    digest: str = ""
    element: str = ""
    tag: str = ""
    started: float | None = None
    ended: float | None = None
    node: str | None = None
    exit_code: int | None = None
    cpu_s: float | None = None
    peak_mb: float | None = None
    cause: str | None = None


COLUMNS = tuple(field.name for field in fields(Row))
ENDING = ("started", "ended", "node", "exit_code", "cpu_s", "peak_mb", "cause")


class Trace:
    """The database; safe to use from the head's two threads.

    Writing is batched by the caller: one transaction per call. Each call, the first included,
    raises a ConfigError if the file cannot be used: no database, locked for long, no space.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        with _usable(path):
            self._connection = sqlite3.connect(path, check_same_thread=False, timeout=30)
        with self._transaction():
            # A journal file works on NFS, where SQLite's shared-memory WAL does not.
            self._connection.execute("PRAGMA synchronous=OFF")
            columns = ", ".join(COLUMNS)
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS tasks ({columns}, PRIMARY KEY (run, number))"
            )
            self._add_missing_columns()
            # Somebody else's database may be read only: what is right is not written again.
            (found,) = self._connection.execute("PRAGMA user_version").fetchone()
            if found != SCHEMA_VERSION:
                self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, _usable(self._path), self._connection:
            yield

    def _add_missing_columns(self) -> None:
        """Bring a database of an earlier release to this one's form; its rows stay."""
        found = {row[1] for row in self._connection.execute("PRAGMA table_info(tasks)")}
        for name in COLUMNS:
            if name not in found:
                self._connection.execute(f"ALTER TABLE tasks ADD COLUMN {name} DEFAULT ''")

    def add(self, rows: Iterable[Row]) -> None:
        """Record tasks that are about to be submitted."""
        marks = ", ".join("?" * len(COLUMNS))
        values = [tuple(map(_stored, asdict(row).values())) for row in rows]
        with self._transaction():
            self._connection.executemany(
                f"INSERT INTO tasks ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608 (constant text)
                values,
            )

    def submitted(self, run: str, tag: str, elements: Sequence[tuple[str, str]]) -> None:
        """Record what the scheduler accepted under a tag: pairs of number and element."""
        with self._transaction():
            self._connection.executemany(
                "UPDATE tasks SET element=?, tag=? WHERE run=? AND number=?",
                [(element, tag, run, number) for number, element in elements],
            )

    def ended(self, rows: Iterable[Row]) -> None:
        """Record how tasks ended."""
        settings = ", ".join(f"{name}=:{name}" for name in ENDING)
        with self._transaction():
            self._connection.executemany(
                f"UPDATE tasks SET {settings} WHERE run=:run AND number=:number",  # noqa: S608 (constant text)
                [asdict(row) for row in rows],
            )

    def rows(self, run: str | None = None) -> list[Row]:
        """Return all tasks, or those of one run, in the order of their submission."""
        query = f"SELECT {', '.join(COLUMNS)} FROM tasks"  # noqa: S608 (constant text)
        where, values = (" WHERE run=?", (run,)) if run else ("", ())
        with self._transaction():
            found = self._connection.execute(f"{query}{where} ORDER BY rowid", values).fetchall()
        return [Row(*map(_restored, values)) for values in found]

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn SQLite's words into ours, with the path and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigError(
            f"the record of all tasks cannot be used: {error}",
            where=str(path),
            next_step="check the space (`df -h .`, `quota -s`) and that the file is yours; it may "
            "be moved away when nothing runs: the next run begins a new one",
        ) from error


def _stored(value: object) -> object:
    """Return text of a path that is not UTF-8 as its bytes: SQLite takes no lone surrogates."""
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode(errors="surrogateescape")
    return value


def _restored(value: Any) -> Any:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
