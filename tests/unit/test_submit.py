from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import ConfigError, EngineError, SubmitError
from snakemake_executor_plugin_hpcctr.executor.submit import Answer, Batch, Submitter
from snakemake_executor_plugin_hpcctr.task import Bind, Image, Resources, Task
from snakemake_executor_plugin_hpcctr.trace.folder import new_run
from snakemake_executor_plugin_hpcctr.trace.store import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.schedulers.base import Scheduler, Submission

DOWN = SubmitError("the controller does not answer", transient=True)
LIMIT = SubmitError("too many jobs", transient=True, too_many=True)
WRONG = SubmitError("no such partition")
PACKED = {"tasks_per_element": 2}


@dataclass
class Cluster:
    """A scheduler that takes submissions, or refuses them as the test wants.

    Args:
        refuse: Says what is wrong with a submission; None takes it.
        places: How many tasks run at once.
        room: Longest time of an element, minutes.
    """

    refuse: Callable[[Submission], Exception | None] = lambda _: None
    places: int | None = None
    room: int = 10_000
    taken: list[Submission] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Take a submission and number its elements as Slurm does."""
        if (error := self.refuse(submission)) is not None:
            raise error
        self.taken.append(submission)
        job = str(100 + len(self.taken))
        several = len(submission.scripts) > 1
        return tuple(f"{job}_{i}" if several else job for i in range(len(submission.scripts)))

    def cancel(self, elements: Collection[str]) -> None:
        """Remember which elements were to be ended."""
        self.cancelled += elements

    def parallel(self, _: Resources) -> int | None:
        """Return how many tasks run at once."""
        return self.places

    def check(self, resources: Resources) -> None:
        """Refuse an element that asks for more time than there is."""
        if (resources.runtime_min or 0) > self.room:
            raise WRONG


@dataclass
class Run:
    """A submitter with all that it writes to."""

    submitter: Submitter
    cluster: Cluster
    said: list[str]

    def hand_over(self, *tasks: Task, largest: int = 1000) -> list[Batch]:
        """Plan, write and submit tasks; return the batches, whatever became of them."""
        jobs = [(SimpleNamespace(log=[], is_group=lambda: False), task) for task in tasks]
        batches = self.submitter.write(self.submitter.plan(jobs, largest))
        self.answers = [self.submitter.submit(batch) for batch in batches]
        return batches

    def retry(self, now: float) -> Answer:
        """Try what is due, and return all answers as one."""
        answers = list(self.submitter.retry_due(now))
        return Answer(
            [batch for answer in answers for batch in answer.accepted],
            [pair for answer in answers for pair in answer.refused],
        )

    def elements(self) -> dict[str, tuple[str, str]]:
        """Return what the trace knows: wildcards → element and tag."""
        return {row.wildcards: (row.element, row.tag) for row in self.submitter.trace.rows()}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Cluster], Run]]:
    """Return a function that starts a run on a cluster."""
    traces: list[Trace] = []

    def start(cluster: Cluster) -> Run:
        folder = new_run(tmp_path, None)
        folder.make()
        trace = Trace(tmp_path / f"{folder.run_id}.sqlite")
        traces.append(trace)
        said: list[str] = []
        scheduler = cast("Scheduler", cluster)
        return Run(Submitter(scheduler, folder, trace, str(tmp_path), said.append), cluster, said)

    yield start
    for trace in traces:
        trace.close()


def make_task(index: int = 0, **changes: Any) -> Task:
    """Return a task with a wildcard of its own."""
    values: dict[str, Any] = {
        "key": str(index),
        "rule": "train",
        "wildcards": (("i", str(index)),),
        "command": f"echo {index}",
        "workdir": "/project",
        "scratch": f"/tmp/x{index}",
        "tmpdir": f"/tmp/x{index}/tmp",
    }
    return Task(**values | changes)


def tasks(count: int, **changes: Any) -> list[Task]:
    """Return tasks that ask for the same."""
    return [make_task(index, **changes) for index in range(count)]


# --- what is put together ----------------------------------------------------------------


def test_equal_requests_are_one_array(start: Callable[[Cluster], Run]) -> None:
    """A wave of equal tasks is one submission, in the order in which they came."""
    run = start(Cluster())
    run.hand_over(*tasks(5))
    (submission,) = run.cluster.taken
    assert (len(submission.scripts), submission.name) == (5, "train")
    assert {f"i={i}": (f"101_{i}", submission.tag) for i in range(5)} == run.elements()


def test_a_task_alone_is_named_with_its_wildcards(start: Callable[[Cluster], Run]) -> None:
    """The queue shows which one it is."""
    run = start(Cluster())
    run.hand_over(make_task(7))
    assert run.cluster.taken[0].name == "train.7"
    assert run.elements()["i=7"][0] == "101"


def test_different_requests_are_apart(start: Callable[[Cluster], Run]) -> None:
    """Another rule or other resources are another submission, with a number and tag of its own."""
    run = start(Cluster())
    big = Resources(mem_mb=9000)
    run.hand_over(
        make_task(0), make_task(1, resources=big), make_task(2), make_task(3, rule="evaluate")
    )
    assert [2, 1, 1] == [len(submission.scripts) for submission in run.cluster.taken]
    assert len({submission.tag for submission in run.cluster.taken}) == 3
    assert len({submission.batch_file for submission in run.cluster.taken}) == 3


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 7))
def test_every_task_is_in_exactly_one_submission(kinds: list[int], largest: int) -> None:
    """However tasks are mixed, none is lost or doubled, and equal ones keep their order."""
    submitter = cast("Submitter", SimpleNamespace(_numbers=iter(range(1, 1000)), _size=_one))
    items = [(n, make_task(n, resources=Resources(mem_mb=kind))) for n, kind in enumerate(kinds)]
    bundles = Submitter.plan(submitter, items, largest)
    numbers = [bundle.number for bundle in bundles]
    assert sorted(set(numbers)) == sorted(numbers)
    assert sorted(n for bundle in bundles for n, _ in bundle.members) == list(range(len(kinds)))
    for bundle in bundles:
        order = [n for n, _ in bundle.members]
        assert 0 < len(order) <= largest
        assert sorted(order) == order
        assert len({task.resources for _, task in bundle.members}) == 1


def _one(*_: object) -> int:
    return 1


def test_arrays_are_cut_at_the_clusters_limit(start: Callable[[Cluster], Run]) -> None:
    """MaxArraySize is respected, and arrays that are off mean a submission per task."""
    run = start(Cluster())
    run.hand_over(*tasks(5), largest=2)
    run.hand_over(*tasks(2, rule="other"), largest=1)
    assert [2, 2, 1, 1, 1] == [len(submission.scripts) for submission in run.cluster.taken]


# --- what is written ---------------------------------------------------------------------


def test_scripts_and_logs_are_there_before_the_submission(start: Callable[[Cluster], Run]) -> None:
    """When the scheduler is asked, everything a node needs is on the disk."""
    seen: list[bool] = []

    def look(submission: Submission) -> None:
        seen.extend((run.submitter.folder.path / script).is_file() for script in submission.scripts)

    run = start(Cluster(refuse=look))
    (batch,) = run.hand_over(*tasks(2))
    assert all(seen)
    for task in batch.tasks:
        assert task.command in task.script.read_text(encoding="utf-8")
        assert task.log.parent.is_dir()
        assert not task.log.exists()


def test_a_task_is_recorded_before_it_is_submitted(start: Callable[[Cluster], Run]) -> None:
    """A head that dies in between leaves a trace of what it was about to do."""
    rows: list[str] = []

    def look(_: Submission) -> None:
        rows.extend(row.element for row in run.submitter.trace.rows())

    run = start(Cluster(refuse=look))
    run.hand_over(*tasks(2))
    assert rows == ["", ""]


def test_a_task_that_its_engine_cannot_express_is_an_error(start: Callable[[Cluster], Run]) -> None:
    """Nothing is recorded or submitted of a wave with such a task."""
    image = Image(reference="x.sqsh", location="/x.sqsh", format="sqsh")
    bad = make_task(engine="enroot", image=image, binds=(Bind(source="/a b", target="/c"),))
    run = start(Cluster())
    with pytest.raises(EngineError, match="a space"):
        run.hand_over(bad)
    assert (run.cluster.taken, run.elements()) == ([], {})


# --- several tasks in an element ---------------------------------------------------------


def test_a_folder_that_cannot_be_made_is_an_error(
    start: Callable[[Cluster], Run], tmp_path: Path
) -> None:
    """What cannot be written is told with its name, and nothing is submitted."""
    run = start(Cluster())
    (tmp_path / ".snakemake/hpcctr/logs/train").write_text("a file\n")
    with pytest.raises(ConfigError, match=r"cannot write to .*logs/train: File exists"):
        run.hand_over(make_task())
    assert run.cluster.taken == []


def test_short_tasks_share_elements(start: Callable[[Cluster], Run]) -> None:
    """Each element runs its tasks one after another, in a script of its own, for their time."""
    run = start(Cluster())
    resources = Resources(runtime_min=3)
    (batch,) = run.hand_over(*tasks(5, tasks_per_element=2, resources=resources))
    (submission,) = run.cluster.taken
    assert (len(submission.scripts), submission.resources.runtime_min) == (3, 6)
    assert ["101_0", "101_0", "101_1", "101_1", "101_2"] == [t.element for t in batch.tasks]
    text = (run.submitter.folder.path / submission.scripts[2]).read_text(encoding="utf-8")
    assert str(batch.tasks[4].script) in text
    assert str(batch.tasks[0].script) not in text


def test_few_tasks_need_no_more_time_than_they_have(start: Callable[[Cluster], Run]) -> None:
    """An element is never asked for longer than its own tasks can take."""
    run = start(Cluster())
    resources = Resources(runtime_min=3)
    run.hand_over(*tasks(2, tasks_per_element=50, resources=resources))
    assert [6] == [submission.resources.runtime_min for submission in run.cluster.taken]


def test_tasks_are_not_packed_where_the_partition_has_no_time(
    start: Callable[[Cluster], Run],
) -> None:
    """If the longer time limit would be refused, each task stays on its own."""
    resources = Resources(runtime_min=5)
    for room, elements in ((60, 4), (5, 40)):
        run = start(Cluster(places=1, room=room))
        run.hand_over(*tasks(40, resources=resources))
        assert [elements] == [len(submission.scripts) for submission in run.cluster.taken]


# --- what is refused ---------------------------------------------------------------------


def test_a_refusal_for_good_is_told(start: Callable[[Cluster], Run]) -> None:
    """The batch comes back with the reason, and does not wait."""
    run = start(Cluster(refuse=lambda _: WRONG))
    (batch,) = run.hand_over(*tasks(3))
    assert [(batch, WRONG)] == run.answers[0].refused
    assert (run.submitter.waiting, run.said) == (0, [])


def test_a_cluster_that_does_not_answer_is_asked_again(start: Callable[[Cluster], Run]) -> None:
    """The tasks wait in our own queue, longer each time, and the user is told once."""
    run = start(Cluster(refuse=lambda _: DOWN))
    (batch,) = run.hand_over(*tasks(3))
    now = time.monotonic()
    assert (run.submitter.waiting, run.answers[0].refused) == (3, [])
    assert 0 < batch.due - now <= 2
    assert run.retry(now).accepted == []
    run.retry(now + 3)
    assert 3 < batch.due - now <= 4.1
    for _ in range(8):
        run.retry(batch.due)
    assert 59 < batch.due - time.monotonic() <= 60
    assert run.said == [
        "the controller does not answer: 3 task(s) wait and are submitted again",
    ]
    run.cluster.refuse = lambda _: None
    assert [batch] == run.retry(batch.due).accepted
    assert run.submitter.waiting == 0
    assert run.elements()["i=2"][0] == "101_2"


def test_a_limit_on_jobs_halves_an_array(start: Callable[[Cluster], Run]) -> None:
    """As many tasks as the limit lets through are submitted now, the others later; none twice."""
    limit = 3
    run = start(Cluster(refuse=lambda s: LIMIT if len(s.scripts) > limit else None))
    run.hand_over(*tasks(10))
    assert [2] == [len(submission.scripts) for submission in run.cluster.taken]
    assert [2] == [len(batch.tasks) for batch in run.answers[0].accepted]
    assert run.submitter.waiting == 8
    while run.submitter.waiting:
        run.retry(time.monotonic() + 1000)
    scripts = [script for submission in run.cluster.taken for script in submission.scripts]
    assert (len(scripts), len(set(scripts))) == (10, 10)
    tags = {tag for _, tag in run.elements().values()}
    assert {submission.tag for submission in run.cluster.taken} == tags


def test_an_array_keeps_the_limit_of_its_tasks(start: Callable[[Cluster], Run]) -> None:
    """`max_parallel` of the tasks is that of their array."""
    (batch,) = start(Cluster()).hand_over(*tasks(3, max_parallel=2))
    assert 2 == batch.submission.max_parallel


def test_halves_keep_the_tasks_of_an_element_together(start: Callable[[Cluster], Run]) -> None:
    """A packed array is cut between elements, and every task has the element that runs it."""
    run = start(Cluster(refuse=lambda s: LIMIT if len(s.scripts) > 2 else None))
    run.hand_over(*tasks(7, tasks_per_element=2))
    while run.submitter.waiting:
        run.retry(time.monotonic() + 1000)
    scripts = {
        f"{100 + job}_{index}" if len(submission.scripts) > 1 else str(100 + job): script
        for job, submission in enumerate(run.cluster.taken, 1)
        for index, script in enumerate(submission.scripts)
    }
    for wildcards, (element, _) in run.elements().items():
        text = (run.submitter.folder.path / scripts[element]).read_text(encoding="utf-8")
        number = wildcards.removeprefix("i=")
        assert f"/tasks/1.{number}.sh" in text


def test_one_task_that_is_too_many_waits(start: Callable[[Cluster], Run]) -> None:
    """A limit that not even one task passes is waited for."""
    run = start(Cluster(refuse=lambda _: LIMIT))
    run.hand_over(make_task())
    assert (run.submitter.waiting, run.answers[0].refused) == (1, [])


def test_a_waiting_batch_may_be_refused_for_good(start: Callable[[Cluster], Run]) -> None:
    """What is wrong with a submission may show only later."""
    run = start(Cluster(refuse=lambda _: DOWN))
    (batch,) = run.hand_over(*tasks(2))
    run.cluster.refuse = lambda _: WRONG
    assert [(batch, WRONG)] == run.retry(batch.due).refused
    assert run.submitter.waiting == 0


# --- errors that nobody foresaw, and the end of a run ----------------------------------------


def test_an_unforeseen_error_hides_no_other_batch(start: Callable[[Cluster], Run]) -> None:
    """What became of the batches before it is told, and the batch itself is tried again."""
    run = start(Cluster(refuse=lambda _: DOWN))
    first, second = run.hand_over(make_task(0), make_task(1, rule="test"))
    run.cluster.refuse = lambda s: OSError("odd") if s.name == "test.1" else None
    answers = run.submitter.retry_due(second.due)
    assert [first] == next(answers).accepted
    with pytest.raises(OSError, match="odd"):
        next(answers)
    assert 1 == run.submitter.waiting
    run.cluster.refuse = lambda _: None
    assert [second] == run.retry(second.due).accepted
    assert run.submitter.waiting == 0


def test_halves_that_cannot_be_written_wait_whole(start: Callable[[Cluster], Run]) -> None:
    """A full disk while an array is cut loses no task."""
    run = start(Cluster(refuse=lambda s: LIMIT if len(s.scripts) > 1 else None))
    jobs = [(SimpleNamespace(log=[], is_group=lambda: False), t) for t in tasks(4, **PACKED)]
    (batch,) = run.submitter.write(run.submitter.plan(jobs, 1000))
    elements = run.submitter.folder.path / "elements"
    elements.rename(elements.with_name("gone"))
    assert Answer() == run.submitter.submit(batch)
    assert 4 == run.submitter.waiting
    elements.with_name("gone").rename(elements)
    assert 2 == sum(len(half.tasks) for half in run.retry(batch.due).accepted)


def test_nothing_is_submitted_when_the_run_ends(start: Callable[[Cluster], Run]) -> None:
    """What waits, whether due or not, is refused with the reason, and so is what comes later."""
    run = start(Cluster(refuse=lambda _: DOWN))
    (waiting,) = run.hand_over(*tasks(3))
    run.cluster.refuse = lambda _: None
    run.submitter.stop()
    answer = run.retry(0.0)
    assert [waiting] == [batch for batch, _ in answer.refused]
    assert "not submitted, because the run ends" == answer.refused[0][1].what
    run.hand_over(make_task(9))
    assert ([], 0) == (run.cluster.taken, run.submitter.waiting)


def test_a_submission_under_way_is_cancelled_when_the_run_ends(
    start: Callable[[Cluster], Run],
) -> None:
    """The end of the run may come while the scheduler takes a submission."""
    run = start(Cluster())

    def end_meanwhile(_: Submission) -> None:
        run.submitter.stop()

    run.cluster.refuse = end_meanwhile
    run.hand_over(*tasks(2))
    assert ["101_0", "101_1"] == run.cluster.cancelled
