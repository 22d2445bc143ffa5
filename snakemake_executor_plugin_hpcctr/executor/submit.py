"""Tasks → scripts → submissions; what the scheduler will not take now waits its turn."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.errors import HpcctrError, SubmitError
from snakemake_executor_plugin_hpcctr.executor.live import Live
from snakemake_executor_plugin_hpcctr.executor.tasks import base_evidence, job_name, same_request
from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
from snakemake_executor_plugin_hpcctr.script.render import render_task
from snakemake_executor_plugin_hpcctr.trace.folder import Number, write_atomically
from snakemake_executor_plugin_hpcctr.trace.store import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler
    from snakemake_executor_plugin_hpcctr.task import Resources, Task
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
        tag = f"hpcctr:{self.folder.run_id}:{number}"
        tasks = [self._write_task(item, tag) for item in planned]
        alone = len(planned) == 1
        submission = Submission(
            name=job_name(first.rule, first.wildcards if alone else ()),
            tag=tag,
            resources=first.resources,
            scripts=tuple(str(task.script) for task in tasks),
            logs=tuple(str(task.log) for task in tasks),
            workdir=self.workdir,
            batch_file=str(self.folder.batch_file(number)),
            comment=tag,
        )
        return Batch(submission, tasks)

    def _write_task(self, item: Planned, tag: str) -> Live:
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
                element="",
                tag=tag,
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
            if error.too_many and len(batch.tasks) > 1:
                first, second = self._halves(batch)
                accepted = self.submit(first)
                self._wait(second, error)
                return accepted
            self._wait(batch, error)
            return []
        for task, element in zip(batch.tasks, elements, strict=True):
            task.element = element
        self.trace.submitted(
            self.folder.run_id, [(str(task.number), task.element) for task in batch.tasks]
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
        middle = len(batch.tasks) // 2
        parts = []
        for tasks in (batch.tasks[:middle], batch.tasks[middle:]):
            number = self.next_submission()
            submission = replace(
                batch.submission,
                tag=f"hpcctr:{self.folder.run_id}:{number}",
                comment=f"hpcctr:{self.folder.run_id}:{number}",
                scripts=tuple(str(task.script) for task in tasks),
                logs=tuple(str(task.log) for task in tasks),
                batch_file=str(self.folder.batch_file(number)),
            )
            parts.append(Batch(submission, tasks, wait_s=batch.wait_s, said=batch.said))
        return parts[0], parts[1]


def plan(
    items: Iterable[tuple[Any, Task]], largest: int, next_submission: Callable[[], int]
) -> list[Planned]:
    """Number the tasks: those with equal requests share a submission, up to `largest` of them.

    Their order is kept.
    """
    groups: dict[tuple[str, Resources], list[tuple[Any, Task]]] = {}
    for job, task in items:
        groups.setdefault(same_request(task), []).append((job, task))
    planned = []
    for members in groups.values():
        for start in range(0, len(members), largest):
            submission = next_submission()
            planned += [
                Planned(job, Number(submission, index), task)
                for index, (job, task) in enumerate(members[start : start + largest])
            ]
    return planned
