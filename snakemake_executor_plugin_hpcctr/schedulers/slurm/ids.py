"""Ids of Slurm's jobs and array elements: `123`, `123_4`, and with a cluster `123_4;name`."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

T = TypeVar("T")

ARRAY_BLOCK = re.compile(r"(?P<job>\d+)_\[(?P<indices>[^\]%]*)(?:%\d+)?\]?")
INDICES = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+)(?::(?P<step>\d+))?)?")


def split_cluster(element: str) -> tuple[str, str]:
    """Return an element's id as Slurm's commands take it, and its cluster ("" if it is ours)."""
    plain, _, cluster = element.partition(";")
    return plain, cluster


def join_cluster(plain: str, cluster: str) -> str:
    """Return the element's id of which `split_cluster` gives the parts."""
    return f"{plain};{cluster}" if cluster else plain


def by_cluster(elements: Iterable[str]) -> dict[str, list[str]]:
    """Group elements by cluster; the ids lose their cluster's name."""
    groups: dict[str, list[str]] = defaultdict(list)
    for element in elements:
        plain, cluster = split_cluster(element)
        groups[cluster].append(plain)
    return dict(groups)


def job_of(plain: str) -> str:
    """Return the number of the job or array that an id belongs to."""
    return plain.partition("_")[0]


def expand(job_id: str) -> Iterable[str]:
    """Return the elements behind one id as Slurm prints it.

    A block of an array, `123_[4-6,9%2]`, stands for its elements; Slurm may have cut a long one
    short with `...`. Any other id stands for itself.
    """
    block = ARRAY_BLOCK.fullmatch(job_id) if "[" in job_id else None
    return _members(block) if block else (job_id,)


def _members(block: re.Match[str]) -> Iterator[str]:
    for part in block["indices"].split(","):
        if found := INDICES.fullmatch(part):
            first, last = int(found["first"]), int(found["last"] or found["first"])
            for index in range(first, last + 1, int(found["step"] or 1)):
                yield f"{block['job']}_{index}"


def compress(ids: Iterable[str]) -> list[str]:
    """Return few words that name all ids: `123_[0-3,7]` for the elements of one array."""
    jobs: dict[str, list[int]] = defaultdict(list)
    for plain in ids:
        job, _, index = plain.partition("_")
        indices = jobs[job]
        if index:
            indices.append(int(index))
    return [f"{job}_[{ranges(indices)}]" if indices else job for job, indices in jobs.items()]


def ranges(numbers: Collection[int]) -> str:
    """Return numbers as sbatch's `--array` takes them: `0-3,7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in pieces of at most `size`, so that no command line gets too long."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
