"""The executor that Snakemake drives: callbacks of a few lines each."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.errors import HpcctrError
    from snakemake_executor_plugin_hpcctr.executor.follow import Ended
    from snakemake_executor_plugin_hpcctr.executor.outcome import Verdict
    from snakemake_executor_plugin_hpcctr.executor.session import Session
    from snakemake_executor_plugin_hpcctr.executor.submit import Answer, Batch
    from snakemake_executor_plugin_hpcctr.task import Task, TaskGroup

#: How much longer each quiet poll is than the one before.
SLOWER = 1.3
#: A poll may cost at most this share of the head's time.
LARGEST_SHARE = 0.05
#: Reasons for waiting in squeue(1) that need no word: the task's turn will come.
ORDINARY_REASONS = {"", "None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit"}
#: Longest time between two looks while an image is made that tasks wait for.
IMAGE_LOOK_S = 1.0
#: Polls that may fail in a row before the run is given up.
PATIENCE = 20


class Executor(RemoteExecutor):
    """Runs jobs as finished shell scripts on a scheduler; no Snakemake on the nodes.

    Snakemake constructs it even when there is nothing to do, and starts the polling thread
    before `__post_init__`: everything else waits for the first wave of jobs.
    """

    _session: Session | None = None
    _failed_polls = 0
    _period_s = 0.2
    _said: set[str]

    def __post_init__(self) -> None:
        from snakemake_executor_plugin_hpcctr.bridge import log, pace  # noqa: PLC0415 (start-up time)

        if self.workflow.remote_execution_settings.immediate_submit:
            raise WorkflowError(
                "--immediate-submit hands dependencies over to the scheduler, which hpcctr does "
                "not do: leave the flag out, Snakemake submits each job when its input is there."
            )
        self._period_s = self.executor_settings.poll_min
        self._said = set()
        pace.lift_job_rate(self.workflow)
        pace.give_handover_cores(self.workflow)
        log.correct_container_line()

    # --- submitting, in Snakemake's main thread ------------------------------

    def run_jobs(self, jobs: list[Any]) -> None:
        """Turn one wave of ready jobs into as few submissions as their requests allow."""
        from snakemake_executor_plugin_hpcctr.bridge.jobs import stop_run  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.errors import HpcctrError  # noqa: PLC0415 (start-up time)

        try:
            session = self._open()
            tasks = [(job, self._task_of(session, job)) for job in sorted(jobs, key=_order)]
            ready = [(job, task) for job, task in tasks if task is not None]
            submitter = session.submitter
            for batch in submitter.write(submitter.plan(ready, session.largest)):
                self._follow(session, batch)
                self._tell(session, submitter.submit(batch))
        except HpcctrError as error:
            self.cancel_jobs([])
            stop_run(self.workflow, str(error))
            return
        self._period_s = self.executor_settings.poll_min

    def run_job(self, job: Any) -> None:
        """Run a wave of one job."""
        self.run_jobs([job])

    def _open(self) -> Session:
        from snakemake_executor_plugin_hpcctr.bridge import pace  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.executor import session  # noqa: PLC0415 (start-up time)

        if self._session is None:
            pace.drop_job_rate(self.workflow)
            self._session = session.open_session(self)
        return self._session

    def _task_of(self, session: Session, job: Any) -> Task | TaskGroup | None:
        """Return the job's task; None if that failed, which is reported as the job's error."""
        from snakemake_executor_plugin_hpcctr.bridge import jobs  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.errors import EngineMissing, HpcctrError  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.executor.planned import NothingToRun  # noqa: PLC0415 (start-up time)

        try:
            if jobs.is_group(job):
                return self._group_of(session, job)
            settled = session.settle(job)
            self.run_job_pre(job)
            if session.fetched(job, settled):
                self.report_job_success(SubmittedJobInfo(job))
                return None
            return session.task_of(job, settled)
        except NothingToRun:
            self.report_job_success(SubmittedJobInfo(job))
        except EngineMissing:
            raise
        except HpcctrError as error:
            self._say(str(error.at(f"rule {jobs.name_of(job)}")))
            self.print_job_error(SubmittedJobInfo(job), error.what)
            jobs.fail_unstarted(self.workflow, job)
        except Exception as error:  # noqa: BLE001 (Snakemake's own errors about one job end that job)
            jobs.report_failure(job, error)
            self.workflow.scheduler.error_callback(job)
        return None

    def _group_of(self, session: Session, group: Any) -> Task | TaskGroup | None:
        from snakemake_executor_plugin_hpcctr.executor import groups  # noqa: PLC0415 (start-up time)

        settled = groups.settle(session, group)
        self.run_job_pre(group)
        task = groups.task_of(session, group, settled)
        if task is None:
            self.report_job_success(SubmittedJobInfo(group))
        return task

    def _say(self, words: str) -> None:
        """Log an error once: a mistake in a rule concerns each of its jobs."""
        if words not in self._said:
            self._said.add(words)
            self.logger.error(words)

    def _follow(self, session: Session, batch: Batch) -> None:
        """Register a batch with Snakemake before it is submitted: a task may end at once."""
        for task in batch.tasks:
            task.info = SubmittedJobInfo(task.job)
            session.live.add(task)
            self.report_job_submission(task.info)

    def _tell(self, session: Session, answer: Answer) -> None:
        for batch in answer.accepted:
            self._announce(batch)
        for batch, error in answer.refused:
            self._refuse(session, batch, error)

    def _announce(self, batch: Batch) -> None:
        from snakemake_executor_plugin_hpcctr.executor.tasks import describe_request  # noqa: PLC0415 (start-up time)

        first = batch.tasks[0]
        for task in batch.tasks:
            task.info.external_jobid = task.element
        request = describe_request(batch.submission.resources)
        if len(batch.tasks) == 1:
            what, where = f"{first.title} as {first.element}", f"log: {first.log}"
        else:
            array = first.element.partition("_")[0]
            what = f"{len(batch.tasks)} tasks of {first.row.rule} as array {array}"
            where = f"logs: {first.log.parent}"
        self.logger.info(f"Submitted {what} ({request}), {where}")

    def _refuse(self, session: Session, batch: Batch, error: HpcctrError) -> None:
        for task in batch.tasks:
            session.live.remove(task)
            task.info.aux = {"ended": True}
            self._fail(task.info, str(error.at(f"rule {task.row.rule}")))

    # --- following, in the polling thread ------------------------------------

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Poll once and report what ended; yield what has not."""
        ended: set[int] = set()
        if self._session is not None:
            try:
                ended = await self._poll(self._session, time.monotonic())
            except Exception:
                self.cancel_jobs([])  # Snakemake ends the run now, and would leave them
                raise
        for info in active_jobs:
            if id(info) not in ended and self._is_live(info):
                yield info

    def _is_live(self, info: SubmittedJobInfo) -> bool:
        return self._session is None or info.aux is None

    async def _poll(self, session: Session, now: float) -> set[int]:
        try:
            for answer in session.submitter.retry_due(now):
                self._tell(session, answer)
            ended = session.follower.poll(now)
        except Exception as error:
            self._failed_polls += 1
            self.logger.warning(f"A look at the running tasks failed and is repeated: {error}")
            if self._failed_polls < PATIENCE:
                return set()
            raise
        self._failed_polls = 0
        self._pace(busy=bool(ended), cost_s=time.monotonic() - now)
        self._tell_of_waiting(session)
        await self._report(session, ended)
        return {id(item.task.info) for item in ended}

    def _tell_of_waiting(self, session: Session) -> None:
        """Say once why the scheduler holds tasks back, unless they only wait for their turn."""
        for reason, tasks in session.follower.waiting.items():
            words = f"{tasks} task(s) wait, and the scheduler's reason is {reason}"
            if reason not in ORDINARY_REASONS and reason not in self._said:
                self._said.add(reason)
                self.logger.warning(words)

    async def _report(self, session: Session, ended: list[Ended]) -> None:
        from snakemake_executor_plugin_hpcctr.bridge import pace  # noqa: PLC0415 (start-up time)
        from snakemake_executor_plugin_hpcctr.executor import outcome  # noqa: PLC0415 (start-up time)

        if not ended:
            return
        judged = [session.planned.judge(outcome.judge(i, session.folder)) for i in ended]
        verdicts = [verdict for verdict, _ in judged]
        session.trace.ended(row for verdict in verdicts for row in verdict.rows())
        for verdict in verdicts:
            task = verdict.whole.task
            task.info.aux = {"ended": True}
            if verdict.success:
                await self._succeed(verdict, session.layers.settings.keep_logs)
            else:
                outcome.after_failure(verdict)
                self._fail(task.info, verdict.words(), verdict.sentence, verdict.logs)
        if any(fatal for _, fatal in judged) and not self.workflow.execution_settings.keep_going:
            self.cancel_jobs([])
        pace.wake_once(self.workflow)

    async def _succeed(self, verdict: Verdict, keep_logs: str) -> None:
        """Report a success, unless its benchmark or its place in the cache cannot be written."""
        from snakemake_executor_plugin_hpcctr.executor import outcome  # noqa: PLC0415 (start-up time)

        task = verdict.whole.task
        try:
            await outcome.after_success(self.workflow, verdict)
        except Exception as error:  # noqa: BLE001 (as in _task_of: it ends this job only)
            self._fail(task.info, f"{task.title} ended well, but what follows failed: {error}")
            return
        outcome.keep_or_remove_logs(task, keep_logs)
        self.report_job_success(task.info)

    def _fail(
        self, info: SubmittedJobInfo, words: str, sentence: str = "", logs: Sequence[Path] = ()
    ) -> None:
        """End a job with an error: in full as a line of our own, which passes `--quiet`.

        Snakemake's block about the job gets the sentence, and the log for --show-failed-logs.
        """
        self._say(words)
        found = [str(log) for log in logs if log.exists()]
        self.report_job_error(info, msg=sentence or words.partition("\n")[0], aux_logs=found)

    def print_job_error(self, job_info: SubmittedJobInfo, msg: str = "", **kwargs: Any) -> None:
        """Print Snakemake's block about a failed job, without its hint at a cluster log."""
        if job_info.external_jobid:
            kwargs["external_jobid"] = job_info.external_jobid
        job_info.job.log_error(msg, **kwargs)

    def _pace(self, *, busy: bool, cost_s: float) -> None:
        """Look again soon after something ended, later and later while nothing does.

        What a look costs counts, without the reports that follow it: those wait for Snakemake.
        """
        settings = self.executor_settings
        slower = settings.poll_min if busy else self._period_s * SLOWER
        wanted = max(slower, settings.poll_min, cost_s / LARGEST_SHARE)
        awaited = self._session is not None and self._session.submitter.images_awaited()
        self._period_s = min(wanted, IMAGE_LOOK_S if awaited else settings.poll_max)

    async def sleep(self) -> None:
        """Wait for the next poll, or for the end of the run."""
        until = time.monotonic() + self._period_s
        while self.wait and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 (set from another thread)
            await asyncio.sleep(min(left, 0.1))

    # --- ending ---------------------------------------------------------------

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002 (empty while a poll is under way)
        """End all our tasks, from our own list; nothing is submitted after that."""
        if self._session is None:
            return
        self._session.submitter.stop()
        elements = [task.element for task in self._session.live.all() if task.element]
        if elements:
            self.logger.info(f"Cancelling {len(elements)} task(s)")
            self._session.scheduler.cancel(elements)

    def shutdown(self) -> None:
        """Stop polling and close the run."""
        super().shutdown()
        if self._session is not None:
            self._session.close(keep_scripts=self.executor_settings.keep_scripts)
            self._session = None


def _order(job: Any) -> tuple[str, str]:
    """Sort jobs by rule and wildcards: Snakemake hands them over in the order of a set."""
    from snakemake_executor_plugin_hpcctr.bridge import jobs  # noqa: PLC0415 (start-up time)

    return jobs.name_of(job), str(jobs.wildcards_of(job))
