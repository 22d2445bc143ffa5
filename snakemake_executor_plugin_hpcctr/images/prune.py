"""Which images of a store can go: by age, by what lock files name, by size."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ConfigError
from snakemake_executor_plugin_hpcctr.images.lock import LOCK_FILE
from snakemake_executor_plugin_hpcctr.images.store import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snakemake_executor_plugin_hpcctr.images.store import Entry, Store

DAY_S = 86400.0
#: What no transfer or conversion has touched for so long is left from one that was killed.
LEFTOVER_S = 2 * DAY_S


@dataclass(frozen=True)
class Candidate:
    """An image of the store as `choose` sees it.

    Args:
        key: Its folder.
        name: Reference, for people.
        size: Bytes.
        last_use: Seconds since 1970.
        locked: Lock file that names it, "" if none does.
    """

    key: str
    name: str
    size: int
    last_use: float
    locked: str = ""


@dataclass(frozen=True)
class Rules:
    """What may go; every rule that is set must agree.

    Args:
        days: Not used for so many days.
        keep_bytes: As many of the longest unused as must go for the rest to fit.
        keys: Only these.
        locked_too: Those that a lock file names, too.
    """

    days: float | None = None
    keep_bytes: int | None = None
    keys: tuple[str, ...] = ()
    locked_too: bool = False


def choose(candidates: Iterable[Candidate], rules: Rules, now: float) -> list[Candidate]:
    """Return the images that can go, the longest unused first."""
    listed = sorted(candidates, key=lambda candidate: candidate.last_use)
    free = [
        candidate
        for candidate in listed
        if (rules.locked_too or not candidate.locked)
        and (rules.days is None or now - candidate.last_use >= rules.days * DAY_S)
        and (not rules.keys or candidate.key in rules.keys)
    ]
    if rules.keep_bytes is None:
        return free
    total = sum(candidate.size for candidate in listed)
    chosen = []
    for candidate in free:
        if total <= rules.keep_bytes:
            break
        chosen.append(candidate)
        total -= candidate.size
    return chosen


def candidates_of(store: Store, folders: Iterable[Path]) -> list[Candidate]:
    """Return the images of a store.

    A lock file counts if it is in a folder that was given, or in a workflow that ran with the
    image.

    Raises:
        ConfigError: A folder that was given has no lock file, or a lock file cannot be read.
    """
    given = {
        key: str(file) for folder in folders for file, keys in [_locked(folder)] for key in keys
    }
    return [_candidate(store, entry, given) for entry in store.entries()]


def _candidate(store: Store, entry: Entry, given: dict[str, str]) -> Candidate:
    uses = store.uses(entry.key)
    locked = given.get(entry.key, "")
    for use in uses:
        file = Path(use.workdir) / LOCK_FILE
        # A workflow of somebody else may be closed to us; what it locks is then not known.
        if not locked and entry.key in _keys(file):
            locked = str(file)
    return Candidate(
        key=entry.key,
        name=entry.reference,
        size=sum(info.size for info in entry.formats.values()),
        last_use=max([entry.made, *(use.last for use in uses)]),
        locked=locked,
    )


def _locked(folder: Path) -> tuple[Path, set[str]]:
    file = folder if folder.is_file() else folder / LOCK_FILE
    if not file.exists():
        raise ConfigError(f"there is no {LOCK_FILE} in {folder}")
    return file, _keys(file)


def _keys(file: Path) -> set[str]:
    with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
        images = json.loads(file.read_text(encoding="utf-8"))["images"].values()
        return {
            key_of(platform["manifest"])
            for image in images
            for platform in image["platforms"].values()
        }
    return set()


def leftovers(store: Store) -> list[Path]:
    """Return parts of pulls that were killed long ago and never begun again."""
    now = time.time()
    found = []
    for path in [*(store.path / "blobs").glob("*"), *(store.path / "tmp").glob("*")]:
        with suppress(OSError):
            if now - path.stat().st_mtime > LEFTOVER_S:
                found.append(path)
    return found


def remove(path: Path) -> None:
    """Remove a file or folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
