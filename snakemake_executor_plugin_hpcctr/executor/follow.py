"""One poll: exit markers and the scheduler's states → tasks that ended.

Markers decide, the scheduler is the witness: it is asked rarely, and for details only when a
task failed or is no longer known to it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.schedulers.base import ElementState

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
    from snakemake_executor_plugin_hpcctr.executor.live import Live, Registry
    from snakemake_executor_plugin_hpcctr.schedulers.base import Account, Queued, Scheduler
    from snakemake_executor_plugin_hpcctr.script.marker import Marker
    from snakemake_executor_plugin_hpcctr.trace.folder import RunFolder

#: Seconds for the scheduler to agree that a task ended which its marker reports as failed.
WITNESS_S = 5.0
#: Seconds for a marker to appear after the scheduler reported a failure.
MARKER_S = 2.0
#: Seconds between two questions about the same suspects.
ACCOUNT_PERIOD_S = 0.5
#: States in which an element is not at its end; COMPLETING lasts until its node is free again.
NOT_ENDED = {"PENDING", "RUNNING", "CONFIGURING", "SUSPENDED", "REQUEUED", "COMPLETING"}
LOG_TAIL_BYTES = 8000


@dataclass(frozen=True)
class Ended:
    """A task at its end.

    Args:
        task: Which one.
        marker: What its script left; None if it left nothing.
        account: The scheduler's side, asked for only if it failed.
        evidence: All that is known of a failure; None for a success.
    """

    task: Live
    marker: Marker | None = None
    account: Account | None = None
    evidence: Evidence | None = None


@dataclass
class Follower:
    """Follows the live tasks of a run.

    Args:
        scheduler: Whom to ask.
        folder: Where the markers are.
        live: The tasks.
        queue_min_s: Shortest time between two questions about the queue.
        queue_max_s: Longest.
        late_s: How long an output or marker may take to become visible (latency wait).
    """

    scheduler: Scheduler
    folder: RunFolder
    live: Registry
    queue_min_s: float
    queue_max_s: float
    late_s: float
    waiting: Counter[str] = field(default_factory=Counter)
    _seen: set[str] = field(default_factory=set)
    _ended: list[Ended] = field(default_factory=list)
    _queue_period_s: float = 0.0
    _next_queue: float = 0.0
    _last_queue: float = 0.0
    _next_account: float = 0.0

    def poll(self, now: float) -> list[Ended]:
        """Return the tasks that ended since the last call; they are followed no longer.

        If the scheduler's answer is an error, the next call tells what was read before it.

        Args:
            now: A clock in seconds that never goes back.
        """
        self._end(self._read_markers(now))
        if self._queue_is_due(now):
            self._ask_queue(now)
        if now >= self._next_account:
            self._end(self._judge_suspects(now))
        ended, self._ended = self._ended, []
        return ended

    def _end(self, ended: list[Ended]) -> None:
        self._ended += ended
        for one in ended:
            self.live.remove(one.task)

    def _read_markers(self, now: float) -> list[Ended]:
        ended = []
        found = self.folder.finished(self._seen)
        # In this order a first run comes before its restart.
        for name in sorted(found, key=lambda name: (len(name), name)):
            number, marker = found[name]
            self._seen.add(name)
            task = self.live.get(number)
            if task is None:
                continue
            if marker.success:
                task.failed = task.suspect_since = None
                ended.append(Ended(task, marker))
            else:
                task.failed, task.suspect_since = marker, now
        if ended:
            self._queue_period_s = 0.0
        return ended

    def _queue_is_due(self, now: float) -> bool:
        """Ask seldom while nothing changes; a task that ends well needs no question at all.

        Tasks that vanish while others end well are looked for all the same, if not so soon.
        """
        self._last_queue = self._last_queue or now
        if self._queue_period_s == 0.0:
            self._queue_period_s = self.queue_min_s
            self._next_queue = min(now + self.queue_min_s, self._last_queue + self.queue_max_s)
        return now >= self._next_queue

    def _ask_queue(self, now: float) -> None:
        self._queue_period_s = min(self._queue_period_s * 1.5, self.queue_max_s)
        self._next_queue, self._last_queue = now + self._queue_period_s, now
        asked = [task for task in self.live.all() if task.element and task.failed is None]
        answer = self.scheduler.queue([task.element for task in asked]) if asked else {}
        if answer is None:
            return
        self.waiting = Counter(
            queued.reason for queued in answer.values() if queued.state is ElementState.PENDING
        )
        for task in asked:
            if _still_there(answer.get(task.element)):
                task.suspect_since = None
            elif task.suspect_since is None:
                task.suspect_since = now

    def _judge_suspects(self, now: float) -> list[Ended]:
        suspects = [task for task in self.live.all() if task.suspect_since is not None]
        if not suspects:
            return []
        self._next_account = now + ACCOUNT_PERIOD_S
        accounts = self.scheduler.account([task.element for task in suspects])
        ended = []
        for task in suspects:
            account = accounts.get(task.element)
            if self._may_run_again(task, account):
                task.failed = task.suspect_since = None
            elif now - (task.suspect_since or now) >= self._patience_s(task, account):
                evidence = gather(task, task.failed, account)
                ended.append(Ended(task, task.failed, account, evidence))
        return ended

    def _may_run_again(self, task: Live, account: Account | None) -> bool:
        """Whether the scheduler has put the task back into its queue.

        With requeueing allowed, the same id runs again; what the first run left does not count.
        Without, a state that says so is older than the marker.
        """
        state = account.state if account else ""
        if task.failed is None:
            return state in {"PENDING", "REQUEUED", "RUNNING"}
        return task.requeue and state in {"PENDING", "REQUEUED"}

    def _patience_s(self, task: Live, account: Account | None) -> float:
        """How long to wait for the other witness before the task counts as failed."""
        ended = account is not None and account.state not in NOT_ENDED
        if task.failed is not None:
            return 0.0 if ended else WITNESS_S
        return MARKER_S if ended and account and account.state != "COMPLETED" else self.late_s


def _still_there(queued: Queued | None) -> bool:
    return queued is not None and queued.state is not ElementState.ENDED


def gather(task: Live, marker: Marker | None, account: Account | None) -> Evidence:
    """Put together all that is known of a failed task."""
    said = "".join(map(read_tail, (task.log, *map(Path, task.rule_logs))))
    evidence = replace(task.evidence, has_marker=marker is not None, log_tail=said)
    if marker is not None:
        evidence = replace(
            evidence,
            exit_code=marker.exit_code,
            setup_failure=marker.setup,
            setup_detail=marker.detail,
            oom_kills=marker.oom_kills,
            peak_mb=marker.peak_mb,
            node=marker.host,
            elapsed_s=marker.ended - marker.started,
        )
    if account is None:
        return evidence
    return replace(
        evidence,
        state=account.state,
        reason=account.reason,
        scheduler_exit=account.exit_code,
        scheduler_signal=account.signal,
        node=evidence.node or account.node or "",
        elapsed_s=evidence.elapsed_s if evidence.elapsed_s is not None else account.elapsed_s,
        peak_mb=evidence.peak_mb if evidence.peak_mb is not None else account.peak_mb,
    )


def read_tail(path: Path) -> str:
    """Return the end of a log, "" if it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - LOG_TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
