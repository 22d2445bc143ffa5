from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Evidence
from snakemake_executor_plugin_hpcctr.executor.follow import (
    LOG_TAIL_BYTES,
    MARKER_S,
    WITNESS_S,
    Ended,
    Follower,
    gather,
    read_tail,
)
from snakemake_executor_plugin_hpcctr.executor.live import Live, Registry
from snakemake_executor_plugin_hpcctr.schedulers.base import Account, ElementState, Queued
from snakemake_executor_plugin_hpcctr.script.marker import Marker
from snakemake_executor_plugin_hpcctr.trace.folder import Number, RunFolder, new_run
from snakemake_executor_plugin_hpcctr.trace.store import Row

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler

QUEUE_MIN_S, QUEUE_MAX_S, LATE_S = 2.0, 30.0, 8.0
START = 1000.0
RUNNING = Queued(ElementState.RUNNING)
OVER = Queued(ElementState.ENDED)


@dataclass
class Cluster:
    """A scheduler that tells what the test lets it know.

    Args:
        standing: Element → its line of the queue; None if the queue cannot be had.
        accounts: Element → how it ended.
    """

    standing: dict[str, Queued] | None = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    asked_queue: list[list[str]] = field(default_factory=list)
    asked_accounts: list[list[str]] = field(default_factory=list)

    def queue(self, elements: Collection[str]) -> Mapping[str, Queued] | None:
        """Tell where the elements stand."""
        self.asked_queue.append(sorted(elements))
        if self.standing is None:
            return None
        return {e: q for e, q in self.standing.items() if e in elements}

    def account(self, elements: Collection[str]) -> Mapping[str, Account]:
        """Tell how they ended."""
        self.asked_accounts.append(sorted(elements))
        return {e: a for e, a in self.accounts.items() if e in elements}


@dataclass
class Run:
    """A run with its tasks, followed with a clock of the test's own."""

    folder: RunFolder
    cluster: Cluster = field(default_factory=Cluster)
    live: Registry = field(default_factory=Registry)
    now: float = START

    def __post_init__(self) -> None:
        self.follower = Follower(
            cast("Scheduler", self.cluster),
            self.folder,
            self.live,
            queue_min_s=QUEUE_MIN_S,
            queue_max_s=QUEUE_MAX_S,
            late_s=LATE_S,
        )

    def add(self, index: int = 0, **changes: Any) -> Live:
        """Follow a task that the cluster runs as element `17_INDEX`."""
        number = Number(1, index)
        element = f"17_{index}"
        values: dict[str, Any] = {
            "job": None,
            "number": number,
            "title": "train",
            "command": "true",
            "script": self.folder.script(number),
            "log": self.folder.log("train", number),
            "rule_logs": (),
            "evidence": Evidence(engine="host"),
            "row": Row("run", str(number), "k", "train", "", 1, "host", "", "", START),
            "element": element,
        }
        task = Live(**values | changes)
        self.live.add(task)
        if self.cluster.standing is not None:
            self.cluster.standing[element] = RUNNING
        return task

    def mark(self, index: int = 0, restart: int = 0, **changes: object) -> None:
        """Write a task's marker."""
        fields = {
            "exit": 0,
            "setup": "",
            "started": START,
            "ended": START + 1,
            "host": "n1",
            "job": 17,
            "user": "",
            "system": "",
            "peak": "",
            "oom": 0,
            "signal": "",
            "detail": "",
            **changes,
        }
        text = "".join(f"{name}={value}\n" for name, value in fields.items())
        (self.folder.markers / f"1.{index}.{restart}").write_text(text, encoding="utf-8")

    def poll(self, after_s: float = 0.0) -> list[Ended]:
        """Look once, some time later."""
        self.now += after_s
        return self.follower.poll(self.now)

    def until_ended(self, at_most_s: float = 60.0) -> tuple[Ended, float]:
        """Look every half second until one task ended; return it and how long that took."""
        began = self.now
        while self.now - began <= at_most_s:
            ended = self.poll(0.5)
            if ended:
                (item,) = ended
                return item, self.now - began
        pytest.fail("nothing ended")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run without tasks."""
    folder = new_run(tmp_path, None)
    folder.make()
    return Run(folder)


# --- success -----------------------------------------------------------------------------


def test_a_marker_of_success_ends_a_task_at_once(run: Run) -> None:
    """No question to the scheduler is needed for a task that ends well."""
    task = run.add()
    assert run.poll() == []
    run.mark()
    (ended,) = run.poll(0.2)
    assert ended.task is task
    assert ended.marker is not None
    assert (ended.marker.exit_code, ended.account, ended.evidence) == (0, None, None)
    assert (run.cluster.asked_queue, run.cluster.asked_accounts) == ([], [])


def test_a_marker_counts_once(run: Run) -> None:
    """A task is reported once, and a marker of nobody's task is passed over."""
    run.add()
    run.mark()
    run.mark(5)
    assert len(run.poll()) == 1
    assert run.poll(0.2) == []


def test_many_tasks_end_in_one_look(run: Run) -> None:
    """One scan of the folder serves them all."""
    for index in range(20):
        run.add(index)
        run.mark(index)
    assert len(run.poll()) == 20


def test_a_marker_that_comes_late_is_a_success(run: Run) -> None:
    """A task that left the queue has time to show its marker, on NFS that may be seconds."""
    task = run.add()
    run.cluster.standing = {}
    run.cluster.accounts = {"17_0": Account("COMPLETED", exit_code=0)}
    for _ in range(int(LATE_S) - 1):
        assert run.poll(1) == []
    assert task.suspect_since is not None
    run.mark()
    (ended,) = run.poll(LATE_S)
    assert ended.evidence is None


# --- failure -----------------------------------------------------------------------------


def test_a_failed_task_is_told_with_both_witnesses(run: Run) -> None:
    """A marker of failure waits for the scheduler's side, and no longer than it takes."""
    run.add()
    run.mark(exit=7)
    run.cluster.accounts = {"17_0": Account("FAILED", reason="NonZeroExitCode", node="n1")}
    (ended,) = run.poll()
    assert ended.evidence is not None
    assert (ended.evidence.exit_code, ended.evidence.state) == (7, "FAILED")
    assert run.cluster.asked_accounts == [["17_0"]]


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", None])
def test_a_scheduler_that_lags_behind_is_not_waited_for_long(run: Run, state: str | None) -> None:
    """After some seconds the marker alone is believed."""
    run.add()
    run.mark(exit=7)
    run.cluster.accounts = {} if state is None else {"17_0": Account(state)}
    ended, took_s = run.until_ended()
    assert ended.marker is not None
    assert ended.marker.exit_code == 7
    assert WITNESS_S <= took_s <= WITNESS_S + 1


def test_an_old_state_does_not_hide_a_failure(run: Run) -> None:
    """Accounting that still says PENDING is older than the marker, if nothing may be requeued."""
    run.add()
    run.mark(exit=7)
    run.cluster.accounts = {"17_0": Account("PENDING")}
    ended, took_s = run.until_ended()
    assert ended.marker is not None
    assert took_s <= WITNESS_S + 1


def test_a_task_killed_for_memory_has_failed(run: Run) -> None:
    """Exit code 0 is no success where a process of the task was killed for memory."""
    run.add()
    run.mark(oom=1)
    run.cluster.accounts = {"17_0": Account("OUT_OF_MEMORY")}
    (ended,) = run.poll()
    assert ended.evidence is not None
    assert ended.evidence.oom_kills == 1


@pytest.mark.parametrize("state", ["FAILED", "NODE_FAIL", "TIMEOUT", "CANCELLED", "PREEMPTED"])
def test_a_task_without_a_marker_is_found_by_the_queue(run: Run, state: str) -> None:
    """A killed task leaves no marker: it is missed in the queue, then accounted for."""
    run.add()
    run.poll()
    run.cluster.standing = {}
    run.cluster.accounts = {"17_0": Account(state, signal=9, node="n2", elapsed_s=5.0)}
    ended, took_s = run.until_ended()
    assert ended.evidence is not None
    assert (ended.marker, ended.evidence.has_marker) == (None, False)
    assert (ended.evidence.state, ended.evidence.node) == (state, "n2")
    assert took_s <= QUEUE_MIN_S + MARKER_S + 1


def test_a_task_that_nobody_knows_is_lost_in_the_end(run: Run) -> None:
    """No marker, no queue, no accounting: after the latency wait the task has failed."""
    run.add()
    run.cluster.standing = {}
    ended, took_s = run.until_ended()
    assert ended.evidence is not None
    assert (ended.account, ended.evidence.has_marker, ended.evidence.state) == (None, False, "")
    assert took_s >= LATE_S


def test_a_success_is_never_told_as_a_failure_too(run: Run) -> None:
    """A marker that appears in the very poll in which patience ends is what counts."""
    run.add()
    run.cluster.standing = {}
    run.cluster.accounts = {"17_0": Account("FAILED")}
    run.poll()
    run.poll(QUEUE_MIN_S)
    run.mark()
    ended = run.poll(100)
    assert [None] == [item.evidence for item in ended]


# --- restarts ----------------------------------------------------------------------------


def test_a_requeued_task_is_followed_on(run: Run) -> None:
    """What the first run left does not count if the scheduler starts the same job again."""
    task = run.add(requeue=True)
    run.mark(exit=143)
    run.cluster.accounts = {"17_0": Account("PENDING", reason="BeginTime")}
    run.cluster.standing = {"17_0": Queued(ElementState.PENDING, "BeginTime")}
    assert run.poll() == []
    assert (task.failed, task.suspect_since) == (None, None)
    run.cluster.standing = {"17_0": RUNNING}
    assert run.poll(100) == []
    run.mark(restart=1)
    (ended,) = run.poll(1)
    assert ended.evidence is None


@pytest.mark.parametrize(("codes", "success"), [((143, 0), True), ((143, 7), False)])
def test_the_last_run_counts(run: Run, codes: tuple[int, int], *, success: bool) -> None:
    """A head that slept meanwhile finds both markers at once."""
    run.add()
    for restart, code in reversed(list(enumerate(codes))):
        run.mark(restart=restart, exit=code)
    run.cluster.accounts = {"17_0": Account("FAILED")}
    (ended,) = run.poll()
    assert ended.marker is not None
    assert (codes[1], success) == (ended.marker.exit_code, ended.evidence is None)


def test_the_tenth_restart_comes_after_the_ninth(run: Run) -> None:
    """Restarts are counted, not spelled."""
    run.add()
    for restart in range(11):
        run.mark(restart=restart, exit=0 if restart == 10 else 143)
    (ended,) = run.poll()
    assert ended.evidence is None


def test_a_suspect_that_still_runs_is_cleared(run: Run) -> None:
    """A gap in the queue's answer is not the end of a task."""
    task = run.add()
    run.cluster.standing = {}
    run.cluster.accounts = {"17_0": Account("RUNNING")}
    run.poll()
    run.poll(QUEUE_MIN_S)
    assert task.suspect_since is None
    run.cluster.standing = {"17_0": RUNNING}
    assert run.poll(100) == []


# --- how often the scheduler is asked ----------------------------------------------------


def test_the_queue_is_asked_less_and_less(run: Run) -> None:
    """While nothing happens the questions become rare, up to the longest period."""
    run.add()
    asked_at = []
    for _ in range(2000):
        before = len(run.cluster.asked_queue)
        run.poll(0.2)
        if len(run.cluster.asked_queue) > before:
            asked_at.append(run.now)
    gaps = [after - before for before, after in pairwise(asked_at)]
    assert QUEUE_MIN_S <= asked_at[0] - START < QUEUE_MIN_S + 0.5
    assert sorted(gaps[:6]) == gaps[:6]
    assert all(QUEUE_MAX_S <= gap < QUEUE_MAX_S + 0.5 for gap in gaps[8:])


def test_tasks_that_end_well_need_no_question(run: Run) -> None:
    """A stream of successes is followed without the scheduler, for a while."""
    run.add(0)
    for index in range(1, 50):
        run.add(index)
        run.mark(index)
        run.poll(0.5)
    assert run.cluster.asked_queue == []


def test_a_task_that_vanishes_among_many_that_end_well_is_found(run: Run) -> None:
    """However busy a run is, the queue is asked within the longest period."""
    lost = run.add(0)
    run.cluster.standing = {}
    ended: list[Ended] = []
    for index in range(1, 200):
        run.add(index)
        run.mark(index)
        ended += run.poll(0.5)
    assert lost in [item.task for item in ended]
    assert len(run.cluster.asked_queue) <= 200 * 0.5 / QUEUE_MAX_S + 1


def test_a_queue_that_cannot_be_had_proves_nothing(run: Run) -> None:
    """A controller that does not answer loses no task."""
    task = run.add()
    run.cluster.standing = None
    for _ in range(20):
        assert run.poll(30) == []
    assert task.suspect_since is None


def test_tasks_that_wait_for_the_scheduler_are_not_asked_for(run: Run) -> None:
    """A task without an element is in our own queue, not in the scheduler's."""
    run.add(0, element="")
    for _ in range(5):
        run.poll(30)
    assert run.cluster.asked_queue == []
    assert run.cluster.asked_accounts == []


def test_suspects_are_asked_for_together_and_not_at_every_poll(run: Run) -> None:
    """One question per half second covers all failed tasks."""
    for index in range(5):
        run.add(index)
        run.mark(index, exit=1)
    for _ in range(10):
        run.poll(0.1)
    assert len(run.cluster.asked_accounts) <= 3
    assert {5} == {len(elements) for elements in run.cluster.asked_accounts}


def test_the_reasons_of_waiting_tasks_are_counted(run: Run) -> None:
    """What the queue says can be told to the user."""
    for index in range(3):
        run.add(index)
    pending = Queued(ElementState.PENDING, "Resources")
    run.cluster.standing = {"17_0": pending, "17_1": pending, "17_2": RUNNING}
    run.poll()
    run.poll(QUEUE_MIN_S)
    assert dict(run.follower.waiting) == {"Resources": 2}


def test_an_error_of_the_scheduler_hides_no_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success that was read before is told by the next look, once."""
    task, other = run.add(0), run.add(1)
    run.mark(0)
    run.mark(1, exit=3)
    with monkeypatch.context() as patch:
        patch.setattr(run.cluster, "account", _odd)
        with pytest.raises(OSError, match="odd"):
            run.poll()
    run.cluster.accounts = {"17_1": Account("FAILED")}
    first, second = run.poll(LATE_S)
    assert (task, None) == (first.task, first.evidence)
    assert (other, 3) == (second.task, second.evidence and second.evidence.exit_code)
    assert ([], 0) == (run.poll(LATE_S), len(run.live))


def _odd(_: object) -> None:
    raise OSError("odd")


# --- evidence ----------------------------------------------------------------------------


def test_evidence_is_put_together_from_both(run: Run) -> None:
    """The marker's numbers come first, the scheduler fills the gaps."""
    task = run.add(evidence=Evidence(engine="enroot", mem_mb=100))
    task.log.parent.mkdir(parents=True)
    task.log.write_text("Killed\n", encoding="utf-8")
    marker = Marker(exit_code=137, started=1.0, ended=3.0, host="n1", oom_kills=2)
    account = Account("FAILED", "x", exit_code=9, signal=9, node="n9", elapsed_s=7.0, peak_mb=99.0)
    assert gather(task, marker, account) == Evidence(
        engine="enroot",
        mem_mb=100,
        exit_code=137,
        oom_kills=2,
        peak_mb=99.0,
        state="FAILED",
        reason="x",
        scheduler_exit=9,
        scheduler_signal=9,
        node="n1",
        elapsed_s=2.0,
        log_tail="Killed\n",
    )


def test_the_rules_own_logs_are_evidence(run: Run, tmp_path: Path) -> None:
    """Many commands send all that they say into the file of `log:`."""
    (tmp_path / "own.log").write_text("MemoryError\n", encoding="utf-8")
    task = run.add(rule_logs=(str(tmp_path / "own.log"), str(tmp_path / "none.log")))
    assert gather(task, None, None).log_tail == "MemoryError\n"


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    """Logs may be huge and hold anything; one that is missing says nothing."""
    log = tmp_path / "log"
    log.write_bytes(b"x" * 10_000_000 + b"\xff the end\n")
    assert read_tail(log).endswith("x\ufffd the end\n")
    assert len(read_tail(log)) == LOG_TAIL_BYTES
    assert (read_tail(tmp_path / "none"), read_tail(tmp_path)) == ("", "")


# --- the registry ------------------------------------------------------------------------


def test_the_registry_keeps_the_order_of_submission(run: Run) -> None:
    """Tasks are found by number, and one that is gone is no error."""
    tasks = [run.add(index) for index in (2, 0, 1)]
    assert [task.number for task in tasks] == [task.number for task in run.live.all()]
    assert tasks[1] is run.live.get(Number(1, 0))
    run.live.remove(tasks[1])
    run.live.remove(tasks[1])
    assert (run.live.get(Number(1, 0)), len(run.live)) == (None, 2)
