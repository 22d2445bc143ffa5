"""Tasks → scripts → submissions; what the scheduler will not take now waits its turn."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.errors import HpcctrError, SubmitError
from snakemake_executor_plugin_hpcctr.executor.live import Live
from snakemake_executor_plugin_hpcctr.executor.tasks import (
    base_evidence,
    element_resources,
    job_name,
    same_request,
)
from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
from snakemake_executor_plugin_hpcctr.script.render import render_series, render_task
from snakemake_executor_plugin_hpcctr.trace.folder import Number, write_atomically
from snakemake_executor_plugin_hpcctr.trace.store import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import Task
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder
    from snakemake_executor_plugin_hpcctr.trace.store import Trace

RETRY_FIRST_S = 2.0
RETRY_MAX_S = 60.0


@dataclass(frozen=True)
class Planned:
    """A task that is ready to be written and submitted.

    Args:
        job: Snakemake's job.
        number: The task's number.
        task: What to run.
    """

    job: Any
    number: Number
    task: Task


@dataclass
class Batch:
    """One submission with its tasks, and when to try it (again)."""

    submission: Submission
    tasks: list[Live]
    first: Task
    due: float = 0.0
    wait_s: float = RETRY_FIRST_S
    said: str = ""


@dataclass
class Submitter:
    """Writes scripts and submits them.

    Args:
        scheduler: Where to.
        folder: Paths of the run.
        trace: Where every task is recorded before it is submitted.
        workdir: Where the scripts start, absolute.
        warn: Takes a sentence that the user should see.
    """

    scheduler: Scheduler
    folder: RunFolder
    trace: Trace
    workdir: str
    warn: Callable[[str], None]
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _waiting: deque[Batch] = field(default_factory=deque)

    def next_submission(self) -> int:
        """Return a fresh number for a submission."""
        return next(self._numbers)

    def write(self, planned: Iterable[Planned]) -> list[Batch]:
        """Write the scripts of tasks and record them; one batch per submission number.

        The caller has given equal submission numbers to tasks with equal requests only.
        """
        batches = []
        for number, group in groupby(planned, key=lambda item: item.number.submission):
            batches.append(self._write_batch(number, list(group)))
        self.trace.add(task.row for batch in batches for task in batch.tasks)
        return batches

    def _write_batch(self, number: int, planned: list[Planned]) -> Batch:
        first = planned[0].task
        self.folder.make_log_folder(first.rule)
        tasks = [self._write_task(item) for item in planned]
        return self._batch(number, first, tasks)

    def _batch(self, number: int, first: Task, tasks: list[Live]) -> Batch:
        """Make a submission of tasks whose scripts are written."""
        size = first.tasks_per_element
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
        )
        return Batch(submission, tasks, first)

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

    def _write_task(self, item: Planned) -> Live:
        task, number = item.task, item.number
        script = self.folder.script(number)
        text = render_task(
            task,
            launch(task),
            number=str(number),
            library=str(self.folder.path),
            marker=str(self.folder.marker(number)),
        )
        write_atomically(script, text)
        log = self.folder.log(task.rule, number)
        return Live(
            job=item.job,
            number=number,
            title=task.title,
            command=task.command,
            script=script,
            log=log,
            rule_logs=bridge.logs_of(item.job),
            evidence=base_evidence(task),
            requeue=task.resources.requeue,
            row=Row(
                run=self.folder.run_id,
                number=str(number),
                key=task.key,
                rule=task.rule,
                wildcards=",".join(f"{k}={v}" for k, v in task.wildcards),
                attempt=task.attempt,
                engine=task.engine,
                image=task.image.reference if task.image else "",
                log=str(log),
                submitted=time.time(),
            ),
        )

    def submit(self, batch: Batch) -> list[Batch]:
        """Submit a batch; return what was accepted.

        What is refused for now waits in a queue of ours, cut in halves where a limit on the
        number of tasks is the reason.

        Raises:
            SubmitError: Refused for good.
        """
        try:
            elements = self.scheduler.submit(batch.submission)
        except SubmitError as error:
            if not error.transient:
                raise
            if error.too_many and len(batch.submission.scripts) > 1:
                first, second = self._halves(batch)
                accepted = self.submit(first)
                self._wait(second, error)
                return accepted
            self._wait(batch, error)
            return []
        for index, task in enumerate(batch.tasks):
            task.element = elements[index // batch.first.tasks_per_element]
        self.trace.submitted(
            self.folder.run_id,
            batch.submission.tag,
            [(str(task.number), task.element) for task in batch.tasks],
        )
        return [batch]

    def retry_due(self, now: float) -> tuple[list[Batch], list[tuple[Batch, HpcctrError]]]:
        """Try the waiting batches whose time has come; return those accepted, those refused."""
        accepted: list[Batch] = []
        refused: list[tuple[Batch, HpcctrError]] = []
        for _ in range(len(self._waiting)):
            batch = self._waiting.popleft()
            if batch.due > now:
                self._waiting.append(batch)
                continue
            try:
                accepted += self.submit(batch)
            except SubmitError as error:
                refused.append((batch, error))
        return accepted, refused

    @property
    def waiting(self) -> int:
        """How many tasks wait for the scheduler to take them."""
        return sum(len(batch.tasks) for batch in self._waiting)

    def _wait(self, batch: Batch, error: SubmitError) -> None:
        batch.due = time.monotonic() + batch.wait_s
        batch.wait_s = min(batch.wait_s * 2, RETRY_MAX_S)
        if batch.said != error.what:
            batch.said = error.what
            self.warn(f"{error.what}: {len(batch.tasks)} task(s) wait and are submitted again")
        self._waiting.append(batch)

    def _halves(self, batch: Batch) -> tuple[Batch, Batch]:
        size = batch.first.tasks_per_element
        middle = size * (len(batch.submission.scripts) // 2)
        halves = []
        for tasks in (batch.tasks[:middle], batch.tasks[middle:]):
            half = self._batch(self.next_submission(), batch.first, tasks)
            half.wait_s, half.said = batch.wait_s, batch.said
            halves.append(half)
        return halves[0], halves[1]


def plan(
    items: Iterable[tuple[Any, Task]], largest: int, next_submission: Callable[[], int]
) -> list[Planned]:
    """Number the tasks: those with equal requests share a submission of `largest` elements.

    Their order is kept.
    """
    groups: dict[Hashable, list[tuple[Any, Task]]] = {}
    for job, task in items:
        groups.setdefault(same_request(task), []).append((job, task))
    planned = []
    for members in groups.values():
        most = largest * members[0][1].tasks_per_element
        for start in range(0, len(members), most):
            submission = next_submission()
            planned += [
                Planned(job, Number(submission, index), task)
                for index, (job, task) in enumerate(members[start : start + most])
            ]
    return planned
