"""The scheduler `slurm` on a real Slurm."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.errors import SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.base import ElementState, Submission
from snakemake_executor_plugin_hpcctr.schedulers.slurm import SlurmScheduler
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snakemake_executor_plugin_hpcctr.lab import Lab
    from snakemake_executor_plugin_hpcctr.schedulers.base import Account

PATIENCE_S = 60.0
SLEEP = "sleep 600 & wait\n"
CLEANS_UP = "trap 'echo cleaned; kill $!; exit 143' TERM\necho ready\nsleep 600 & wait\n"
STUBBORN = "trap '' TERM\necho ready\nwhile :; do sleep 0.2; done\n"
ODD_FOLDERS = [
    "a b",
    "hash#tag",
    "50%off",
    "%j",
    "quo'te",
    'dou"ble',
    "$HOME",
    "é",
    "hetjob",
    "`x`",
]


class Bench:
    """A folder in which tests submit scripts, and the scheduler."""

    def __init__(self, folder: Path, scheduler: SlurmScheduler, said: list[str]) -> None:
        self.folder = folder
        self.scheduler = scheduler
        self.said = said
        self.count = 0
        self.elements: list[str] = []

    def submission(
        self, *scripts: str, first: int = 0, name: str = "task", **request: Any
    ) -> Submission:
        """Write scripts and return their submission."""
        self.count += 1
        self.folder.mkdir(exist_ok=True)
        paths = [f"{self.folder}/{self.count}.{first + i}" for i in range(len(scripts))]
        for path, text in zip(paths, scripts, strict=True):
            Path(f"{path}.sh").write_text(text)
        return Submission(
            name=name,
            tag=f"hpcctr:{self.folder.name}{os.getpid()}:{time.time_ns()}",
            resources=Resources(**request),
            scripts=tuple(f"{path}.sh" for path in paths),
            logs=tuple(f"{path}.log" for path in paths),
            workdir=str(self.folder),
            batch_file=f"{self.folder}/{self.count}.batch",
        )

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Submit; the elements are cancelled at the end of the test."""
        elements = self.scheduler.submit(submission)
        self.elements += elements
        return elements

    def states(self, elements: tuple[str, ...]) -> list[str]:
        """Return where elements stand, in order."""
        queue = self.scheduler.queue(elements)
        assert queue is not None
        return [queue[one].state.name if one in queue else "absent" for one in elements]

    def finish(self, elements: tuple[str, ...]) -> list[Account]:
        """Wait until elements have left the queue; return how they ended."""
        wait_for(lambda: set(self.states(elements)) == {"absent"})
        accounts = self.scheduler.account(elements)
        return [accounts[one] for one in elements]

    def run(self, *scripts: str, **request: Any) -> list[str]:
        """Run scripts to their end and return their logs."""
        submission = self.submission(*scripts, **request)
        self.finish(self.submit(submission))
        return [Path(log).read_text() for log in submission.logs]


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Iterator[Bench]:
    """Return a folder and a scheduler; nothing of it runs on afterwards."""
    said: list[str] = []
    environ = {**os.environ, **lab.environ}
    bench = Bench(tmp_path / "run", SlurmScheduler(environ, said.append), said)
    yield bench
    bench.scheduler.cancel(bench.elements)


@pytest.fixture
def slurm(lab: Lab) -> Callable[..., str]:
    """Return a function that runs one of Slurm's commands."""

    def run(*argv: str) -> str:
        environ = {**os.environ, **lab.environ}
        return subprocess.run(
            argv, env=environ, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    return run


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def wait_ready(submission: Submission, count: int) -> None:
    """Wait until so many scripts of a submission have begun."""
    logs = [Path(log) for log in submission.logs]
    wait_for(lambda: sum(log.exists() and "ready" in log.read_text() for log in logs) >= count)


def test_a_task_runs_and_its_true_exit_code_is_known(bench: Bench) -> None:
    """255 stays 255, and both output streams are in the log."""
    submission = bench.submission("echo out; echo err >&2; pwd; exit 255\n", runtime_min=1)
    (account,) = bench.finish(bench.submit(submission))
    assert f"out\nerr\n{bench.folder}\n" == Path(submission.logs[0]).read_text()
    assert ("FAILED", "NonZeroExitCode", 255, 0) == (
        account.state,
        account.reason,
        account.exit_code,
        account.signal,
    )


def test_an_array_runs_each_script_once(bench: Bench) -> None:
    """The elements' ids are in the scripts' order, each with its own log and end."""
    scripts = [f"echo this is {index}; exit {index}\n" for index in range(5)]
    submission = bench.submission(*scripts)
    elements = bench.submit(submission)
    accounts = bench.finish(elements)
    assert [0, 1, 2, 3, 4] == [account.exit_code for account in accounts]
    logs = [Path(log).read_text() for log in submission.logs]
    assert [f"this is {index}\n" for index in range(5)] == logs


def test_the_second_half_of_an_array_is_one_too(bench: Bench) -> None:
    """Scripts whose numbers begin at 500 are found by their array index."""
    submission = bench.submission("echo a\n", "echo b\n", first=500)
    elements = bench.submit(submission)
    assert ["500", "501"] == [element.partition("_")[2] for element in elements]
    bench.finish(elements)
    assert ["a\n", "b\n"] == [Path(log).read_text() for log in submission.logs]


@pytest.mark.parametrize("name", ODD_FOLDERS)
def test_odd_folders_work(bench: Bench, name: str) -> None:
    """Whatever the run's folder is called, scripts are found and logs are written."""
    bench.folder = bench.folder.parent / name
    assert ["0\n", "1\n"] == bench.run("echo 0\n", "echo 1\n")
    assert ["alone\n"] == bench.run("echo alone\n")


@pytest.mark.parametrize(
    "name", ["train (lr=0.1,seed=2)", "a#b", "'single' \"double\"", "$(id)", "--help", "é", "50%j"]
)
def test_any_name_arrives(bench: Bench, slurm: Callable[..., str], name: str) -> None:
    """The queue shows rule and wildcards exactly, and the tag in the comment."""
    submission = bench.submission(SLEEP, name=name)
    (element,) = bench.submit(submission)
    assert f"{name}|{submission.tag}\n" == slurm("squeue", "-h", "-j", element, "-o", "%j|%k")


def test_the_batch_file_can_be_submitted_by_hand(bench: Bench, slurm: Callable[..., str]) -> None:
    """Its directives are all that a plain submission needs."""
    submission = bench.submission("echo one\n", "echo two\n")
    bench.finish(bench.submit(submission))
    slurm("sbatch", "--wait", submission.batch_file)
    assert ["one\none\n", "two\ntwo\n"] == [Path(log).read_text() for log in submission.logs]


def test_the_request_arrives(bench: Bench, slurm: Callable[..., str]) -> None:
    """Slurm shows what was asked for."""
    request: dict[str, Any] = {"cpus_per_task": 2, "mem_mb": 300, "runtime_min": 7, "requeue": True}
    (element,) = bench.submit(bench.submission(SLEEP, **request))
    shown = slurm("scontrol", "-o", "show", "job", element).split()
    expected = {"CPUs/Task=2", "MinMemoryNode=300M", "TimeLimit=00:07:00", "Requeue=1"}
    assert expected == expected & set(shown)


def test_a_surrounding_job_does_not_show(bench: Bench, lab: Lab) -> None:
    """Started inside a job of its own, the head submits the same requests as outside."""
    inside = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_CPU": "7", "SLURM_NTASKS": "5", "SLURM_X": "1"}
    bench.scheduler = SlurmScheduler({**os.environ, **lab.environ, **inside})
    (log,) = bench.run(
        "echo ${SLURM_MEM_PER_CPU-unset} ${SLURM_X-unset} $SLURM_MEM_PER_NODE\n", mem_mb=99
    )
    assert "unset unset 99\n" == log


def test_the_queue_tells_who_waits_and_why(bench: Bench) -> None:
    """Elements of one array are told apart, and those that ended are absent."""
    submission = bench.submission(CLEANS_UP, "exit 0\n", CLEANS_UP)
    running = bench.submit(submission)
    wait_ready(submission, 2)
    waiting = bench.submit(bench.submission(SLEEP, extra=("--begin=now+1hour",)))
    wait_for(lambda: bench.states(running) == ["RUNNING", "absent", "RUNNING"])
    queue = bench.scheduler.queue([*waiting, "999999_1"])
    assert queue is not None
    assert {waiting[0]: (ElementState.PENDING, "BeginTime")} == {
        one: (queued.state, queued.reason) for one, queued in queue.items()
    }


def test_cancelling_lets_scripts_clean_up(bench: Bench) -> None:
    """Running scripts get TERM alone, waiting ones never start."""
    submission = bench.submission(*[CLEANS_UP] * 40)
    elements = bench.submit(submission)
    wait_ready(submission, 3)
    bench.scheduler.cancel(elements)
    assert {"absent"} == set(bench.states(elements))
    started = [Path(log).read_text() for log in submission.logs if Path(log).exists()]
    assert all("cleaned" in text for text in started if "ready" in text)
    assert 3 <= len(started) < 40
    assert [] == bench.said


def test_cancelling_ends_what_does_not_listen(bench: Bench) -> None:
    """After the grace, Slurm kills; other elements of the array go on."""
    submission = bench.submission(*[STUBBORN] * 3)
    elements = bench.submit(submission)
    wait_ready(submission, 3)
    bench.scheduler.cancel(elements[:2])
    assert "RUNNING" == bench.states(elements)[2]
    accounts = bench.finish(elements[:2])
    assert ["CANCELLED", "CANCELLED"] == [account.state for account in accounts]
    assert [] == bench.said


def test_cancelling_the_unknown_does_nothing(bench: Bench) -> None:
    """An id of another day is ignored."""
    bench.scheduler.cancel(["999999", "999998_3"])
    assert [] == bench.said


def test_the_gpus_of_a_task_are_on_one_node(bench: Bench) -> None:
    """With one GPU free on each of two nodes, a task for two waits."""
    for node in ("n1", "n2"):
        busy = bench.submission(CLEANS_UP, gpu=Gpu(count=1), extra=(f"--nodelist={node}",))
        bench.submit(busy)
        wait_ready(busy, 1)
    pair = bench.submit(bench.submission("echo $CUDA_VISIBLE_DEVICES\n", gpu=Gpu(count=2)))
    time.sleep(3)
    assert ["PENDING"] == bench.states(pair)
    bench.scheduler.cancel(bench.elements[:1])
    bench.finish(pair)
    assert "0,1\n" == (bench.folder / "3.0.log").read_text()


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"partition": "nope"}, "Slurm has no partition `nope`"),
        ({"mem_mb": 10**7}, "no node of the default partition has 10000000 MB of memory"),
        ({"gres": "nosuch:1"}, "knows no such GPU or other generic resource: nosuch:1"),
        ({"constraint": "nosuch"}, "feature that `constraint` asks for: nosuch"),
        ({"extra": ("--nosuch",)}, "does not understand an option"),
    ],
)
def test_refusals_are_explained(bench: Bench, request_: dict[str, Any], sentence: str) -> None:
    """What sbatch refuses is told in words of the request."""
    with pytest.raises(SubmitError) as refused:
        bench.submit(bench.submission("true\n", **request_))
    assert sentence in refused.value.what
    assert not refused.value.transient


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"partition": "gpuu"}, "there is no partition `gpuu`"),
        ({"cpus_per_task": 9}, "no node of partition `cpu` has 9 CPUs for one task"),
        ({"gpu": Gpu(count=3)}, "no node of partition `cpu` has 3 GPUs"),
    ],
)
def test_the_impossible_is_refused_before_it_waits(
    bench: Bench, request_: dict[str, Any], sentence: str
) -> None:
    """Slurm would take some of these, and never start them."""
    with pytest.raises(SubmitError) as refused:
        bench.scheduler.check(Resources(**request_))
    assert sentence in refused.value.what


def test_the_cluster_is_known(bench: Bench, slurm: Callable[..., str]) -> None:
    """Its name and the size of arrays come from its configuration."""
    config = slurm("scontrol", "show", "config")
    assert bench.scheduler.identity().removeprefix("slurm ") in config
    assert 20001 == bench.scheduler.max_elements()
    bench.scheduler.check(Resources(gpu=Gpu(count=2), mem_mb=1000))


def test_a_node_answers_a_question(bench: Bench) -> None:
    """The answer comes from a node, None if all are busy, an error for a wrong name."""
    ask = bench.scheduler.ask_node
    assert ask(Resources(partition="cpu"), "echo $SLURMD_NODENAME", 30.0) in {"n1\n", "n2\n"}
    busy = bench.submission(CLEANS_UP, CLEANS_UP, cpus_per_task=8)
    bench.submit(busy)
    wait_ready(busy, 2)
    assert ask(Resources(), "echo free", 1.0) is None
    with pytest.raises(SubmitError, match="Slurm has no partition `nope`"):
        ask(Resources(partition="nope"), "true", 1.0)


def test_a_controller_that_is_down_ends_nothing(bench: Bench, lab: Lab) -> None:
    """Questions have no answer, submissions may pass later, and only the first call is slow."""
    submission = bench.submission(CLEANS_UP)
    elements = bench.submit(submission)
    wait_ready(submission, 1)
    lab.stop_controller()
    try:
        assert bench.scheduler.queue(elements) is None
        began = time.monotonic()
        assert bench.scheduler.queue(elements) is None
        with pytest.raises(SubmitError) as refused:
            bench.scheduler.submit(bench.submission("true\n"))
        assert {} == bench.scheduler.account(elements)
        bench.scheduler.check(Resources(partition="unknown now"))
        assert time.monotonic() - began < 3
        assert refused.value.transient
        bench.scheduler.cancel(elements)
        assert "1 task(s) were not cancelled" in bench.said[0]
        assert f"`scancel {elements[0]}`" in bench.said[0]
    finally:
        lab.start_controller()
    wait_for(lambda: bench.scheduler.queue(elements) is not None)
    assert ["RUNNING"] == bench.states(elements)


def test_a_submission_whose_answer_was_lost_runs_once(
    bench: Bench, lab: Lab, slurm: Callable[..., str]
) -> None:
    """Slurm takes the job although sbatch gave up; submitting again finds it by its tag."""
    controller = lab.status().daemons["slurmctld"]
    assert controller is not None
    submission = bench.submission(SLEEP, SLEEP)
    os.kill(controller, signal.SIGSTOP)
    try:
        with pytest.raises(SubmitError) as lost:
            bench.submit(submission)
    finally:
        os.kill(controller, signal.SIGCONT)
    assert lost.value.transient
    wait_for(lambda: submission.tag in slurm("squeue", "-h", "-o", "%k"))
    elements = bench.submit(submission)
    assert 2 == len(elements)
    assert 2 == slurm("squeue", "-h", "-r", "-o", "%k").split().count(submission.tag)
