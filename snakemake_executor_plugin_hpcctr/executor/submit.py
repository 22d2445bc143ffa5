"""Tasks → scripts → submissions; what the scheduler will not take now waits its turn."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.errors import HpcctrError, ImageError, SubmitError
from snakemake_executor_plugin_hpcctr.executor.tasks import (
    element_resources,
    images_of,
    job_name,
    pack_size,
    same_request,
)
from snakemake_executor_plugin_hpcctr.executor.write import write_scripts
from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
from snakemake_executor_plugin_hpcctr.script.render import render_series
from snakemake_executor_plugin_hpcctr.trace.folder import Number, unwritable, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.executor.live import Live
    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import Task, TaskGroup
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder
    from snakemake_executor_plugin_hpcctr.trace.store import Trace

RETRY_FIRST_S = 2.0
RETRY_MAX_S = 60.0


@dataclass(frozen=True)
class Bundle:
    """Tasks of one submission, before they are written.

    Args:
        number: The submission's number within the run.
        size: How many of the tasks run one after another in each element.
        members: Pairs of Snakemake's job and its task, in order.
    """

    number: int
    size: int
    members: tuple[tuple[Any, Task | TaskGroup], ...]


@dataclass
class Batch:
    """One submission with its tasks, and when to try it (again)."""

    submission: Submission
    tasks: list[Live]
    first: Task | TaskGroup
    size: int
    due: float = 0.0
    wait_s: float = RETRY_FIRST_S
    said: str = ""


@dataclass
class Answer:
    """What became of batches: accepted ones, and those refused for good, with the reason."""

    accepted: list[Batch] = field(default_factory=list)
    refused: list[tuple[Batch, HpcctrError]] = field(default_factory=list)


@dataclass
class Submitter:
    """Writes scripts and submits them.

    Args:
        scheduler: Where to.
        folder: Paths of the run.
        trace: Where every task is recorded before it is submitted.
        workdir: Where the scripts start, absolute.
        warn: Takes a sentence that the user should see.
        image_work: Path of an image → the work that makes it, done or not; None if it is there.
    """

    scheduler: Scheduler
    folder: RunFolder
    trace: Trace
    workdir: str
    warn: Callable[[str], None]
    image_work: Callable[[str], Future[None] | None] = lambda _: None
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _waiting: deque[Batch] = field(default_factory=deque)
    _stopped: Event = field(default_factory=Event)

    def plan(self, items: Iterable[tuple[Any, Task | TaskGroup]], largest: int) -> list[Bundle]:
        """Put tasks with equal requests together, in submissions of at most `largest` elements.

        Their order is kept. Many short tasks share an element, see `pack_size`.
        """
        groups: dict[Hashable, list[tuple[Any, Task | TaskGroup]]] = {}
        for job, task in items:
            groups.setdefault(same_request(task), []).append((job, task))
        bundles = []
        for members in groups.values():
            size = self._size(members[0][1], len(members), largest)
            most = largest * size
            bundles += [
                Bundle(next(self._numbers), size, tuple(members[start : start + most]))
                for start in range(0, len(members), most)
            ]
        return bundles

    def _size(self, first: Task | TaskGroup, tasks: int, largest: int) -> int:
        arrays = largest > 1
        size = pack_size(first, tasks, self.scheduler.parallel(first.resources) if arrays else None)
        if size > 1 and first.tasks_per_element is None:
            try:
                self.scheduler.check(element_resources(first, size))
            except SubmitError:
                return 1  # the partition has no room for the longer time limit
        return size

    def write(self, bundles: Iterable[Bundle]) -> list[Batch]:
        """Write the scripts of tasks and record them; one batch per bundle.

        Raises:
            ConfigError: A file cannot be written, e.g. because the disk is full.
        """
        try:
            batches = [self._write(bundle) for bundle in bundles]
        except OSError as error:
            raise unwritable(error) from error
        lives = (task for batch in batches for task in batch.tasks)
        self.trace.add(task.row for live in lives for task in live.tasks)
        return batches

    def _write(self, bundle: Bundle) -> Batch:
        first = bundle.members[0][1]
        self.folder.make_log_folder(first.rule)
        tasks = [
            write_scripts(self.folder, job, task, Number(bundle.number, index))
            for index, (job, task) in enumerate(bundle.members)
        ]
        return self._batch(bundle.number, first, tasks, bundle.size)

    def _batch(self, number: int, first: Task | TaskGroup, tasks: list[Live], size: int) -> Batch:
        """Make a submission of tasks whose scripts are written."""
        elements = self._elements(number, first.rule, tasks, size)
        tag = f"hpcctr:{self.folder.run_id}:{number}"
        submission = Submission(
            name=job_name(first.rule, first.wildcards if len(tasks) == 1 else ()),
            tag=tag,
            resources=element_resources(first, min(size, len(tasks))),
            scripts=tuple(str(script) for script, _ in elements),
            logs=tuple(str(log) for _, log in elements),
            workdir=self.workdir,
            batch_file=str(self.folder.batch_file(number)),
            comment=tag,
            max_parallel=first.max_parallel,
        )
        return Batch(submission, tasks, first, size)

    def _elements(
        self, submission: int, rule: str, tasks: list[Live], size: int
    ) -> list[tuple[Path, Path]]:
        """Return script and log of each element; several tasks share one in packed arrays."""
        if size == 1:
            return [(task.script, task.log) for task in tasks]
        elements = []
        for index, start in enumerate(range(0, len(tasks), size)):
            element = Number(submission, index)
            script = self.folder.element_script(element)
            pairs = [(str(t.script), str(t.log)) for t in tasks[start : start + size]]
            title = f"hpcctr element {element}: {len(pairs)} tasks of {rule}, one after another"
            text = render_series(pairs, title=title, library=str(self.folder.path))
            write_atomically(script, text)
            elements.append((script, self.folder.element_log(rule, element)))
        return elements

    def submit(self, batch: Batch) -> Answer:
        """Submit a batch.

        What is refused for now waits in a queue of ours, cut in halves where a limit on the
        number of tasks is the reason; so does a batch whose image is being made, and one that
        met an error which nobody foresaw: the caller repeats the attempt, or ends the run.

        Raises:
            ConfigError: The trace cannot be written; the tasks were submitted.
        """
        if self._stopped.is_set():
            return Answer(refused=[(batch, SubmitError("not submitted, because the run ends"))])
        found = [self.image_work(image.location) for image in images_of(batch.first)]
        works = [work for work in found if work is not None]
        if not all(work.done() for work in works):
            batch.due = 0.0
            self._waiting.append(batch)
            return Answer()
        for work in works:
            if (failure := work.exception()) is not None:
                return Answer(refused=[(batch, _as_image_error(failure))])
        try:
            elements = self.scheduler.submit(batch.submission)
        except SubmitError as error:
            return self._refused(batch, error)
        except Exception:
            self._waiting.append(batch)
            raise
        for index, task in enumerate(batch.tasks):
            task.element = elements[index // batch.size]
        if (
            self._stopped.is_set()
        ):  # meanwhile, by the other thread, which did not know the elements yet
            self.scheduler.cancel(elements)
        self.trace.submitted(
            self.folder.run_id,
            batch.submission.tag,
            [(str(task.number), live.element) for live in batch.tasks for task in live.tasks],
        )
        return Answer(accepted=[batch])

    def _refused(self, batch: Batch, error: SubmitError) -> Answer:
        if not error.transient:
            return Answer(refused=[(batch, error)])
        if error.too_many and len(batch.submission.scripts) > 1:
            try:
                first, second = self._halves(batch)
            except OSError:  # no scripts can be written now: it waits whole
                self._wait(batch, error)
                return Answer()
            self._wait(second, error)
            return self.submit(first)
        self._wait(batch, error)
        return Answer()

    def retry_due(self, now: float) -> Iterator[Answer]:
        """Try the waiting batches whose time has come; tell of each at once.

        So an error about one of them does not hide what became of those before it.
        """
        for _ in range(len(self._waiting)):
            batch = self._waiting.popleft()
            if batch.due > now and not self._stopped.is_set():
                self._waiting.append(batch)
            else:
                yield self.submit(batch)

    def stop(self) -> None:
        """Submit nothing any more: what waits is refused at its next turn."""
        self._stopped.set()

    @property
    def waiting(self) -> int:
        """How many tasks wait for the scheduler to take them."""
        return sum(len(batch.tasks) for batch in tuple(self._waiting))

    def images_awaited(self) -> bool:
        """Whether a batch waits for its image and for nothing else."""
        return any(batch.due == 0.0 for batch in tuple(self._waiting))  # another thread appends

    def _wait(self, batch: Batch, error: SubmitError) -> None:
        batch.due = time.monotonic() + batch.wait_s
        batch.wait_s = min(batch.wait_s * 2, RETRY_MAX_S)
        if batch.said != error.what:
            batch.said = error.what
            self.warn(f"{error.what}: {len(batch.tasks)} task(s) wait and are submitted again")
        self._waiting.append(batch)

    def _halves(self, batch: Batch) -> tuple[Batch, Batch]:
        middle = batch.size * (len(batch.submission.scripts) // 2)
        halves = []
        for tasks in (batch.tasks[:middle], batch.tasks[middle:]):
            half = self._batch(next(self._numbers), batch.first, tasks, batch.size)
            half.wait_s, half.said = batch.wait_s, batch.said
            halves.append(half)
        return halves[0], halves[1]


def _as_image_error(error: BaseException) -> HpcctrError:
    if isinstance(error, HpcctrError):
        return error
    return ImageError(f"the image could not be made: {type(error).__name__}: {error}")
