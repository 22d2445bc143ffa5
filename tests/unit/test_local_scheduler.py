from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from snakemake_executor_plugin_hpcctr.errors import ConfigError, SubmitError
from snakemake_executor_plugin_hpcctr.schedulers import make
from snakemake_executor_plugin_hpcctr.schedulers.base import Account, Submission
from snakemake_executor_plugin_hpcctr.schedulers.local import LocalScheduler, processes
from snakemake_executor_plugin_hpcctr.schedulers.local.machine import (
    Amount,
    Machine,
    find_gpus,
    inspect_machine,
    needed,
)
from snakemake_executor_plugin_hpcctr.task import Gpu, Resources

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = Machine(cores=2, memory_mb=1000, gpus=("0", "1"))
#: Waits until a file appears, so that tests decide when a task ends.
UNTIL = "while [[ ! -e {} ]]; do sleep 0.02; done\n"
PATIENCE_S = 20.0


class Bench:
    """A folder in which tests submit scripts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0

    def submission(
        self, *scripts: str, max_parallel: int | None = None, **request: Any
    ) -> Submission:
        """Write scripts and return their submission."""
        self.count += 1
        paths = [self.folder / f"{self.count}.{i}" for i in range(len(scripts))]
        for path, text in zip(paths, scripts, strict=True):
            path.with_suffix(f"{path.suffix}.sh").write_text(text)
        return Submission(
            name="task",
            tag=f"hpcctr:{self.folder}:{self.count}",
            resources=Resources(**request),
            scripts=tuple(f"{path}.sh" for path in paths),
            logs=tuple(f"{path}.log" for path in paths),
            workdir=str(self.folder),
            batch_file=str(self.folder / "batch"),
            max_parallel=max_parallel,
        )

    def log(self, submission: Submission, index: int = 0) -> str:
        """Return a task's output."""
        return Path(submission.logs[index]).read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a folder for scripts."""
    return Bench(tmp_path)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def states(scheduler: LocalScheduler, elements: tuple[str, ...]) -> list[str]:
    """Return where elements stand, in order."""
    queue = scheduler.queue(elements)
    assert queue is not None
    return [queue[one].state.name if one in queue else "absent" for one in elements]


def finish(scheduler: LocalScheduler, elements: tuple[str, ...]) -> list[Account]:
    """Wait for the end of elements and return how they ended."""
    wait_for(lambda: set(states(scheduler, elements)) == {"ENDED"})
    accounts = scheduler.account(elements)
    return [accounts[one] for one in elements]


def test_a_task_runs_and_its_exit_code_is_known(bench: Bench) -> None:
    """The script's output is appended to its log, and its code is told."""
    scheduler = LocalScheduler(machine=ROOM)
    one = bench.submission("echo out; echo err >&2; pwd; exit 7\n")
    Path(one.logs[0]).write_text("before\n")
    (account,) = finish(scheduler, scheduler.submit(one))
    assert f"before\nout\nerr\n{bench.folder}\n" == bench.log(one)
    assert ("FAILED", "NonZeroExitCode", 7, 0) == (
        account.state,
        account.reason,
        account.exit_code,
        account.signal,
    )


def test_a_signal_is_told_apart_from_a_code(bench: Bench) -> None:
    """A script that is killed has no exit code."""
    scheduler = LocalScheduler(machine=ROOM)
    (account,) = finish(scheduler, scheduler.submit(bench.submission("kill -9 $$\n")))
    assert ("FAILED", None, 9) == (account.state, account.exit_code, account.signal)


def test_cores_bound_what_runs_at_once(bench: Bench) -> None:
    """Tasks wait in line until cores are free, and start by themselves."""
    scheduler = LocalScheduler(machine=ROOM)
    go = bench.folder / "go"
    elements = scheduler.submit(bench.submission(*[UNTIL.format(go)] * 5))
    assert ["RUNNING"] * 2 + ["PENDING"] * 3 == states(scheduler, elements)
    go.touch()
    assert ["COMPLETED"] * 5 == [account.state for account in finish(scheduler, elements)]


def test_what_fits_overtakes(bench: Bench) -> None:
    """A small task uses what a large one cannot have yet."""
    scheduler = LocalScheduler(machine=ROOM)
    go = bench.folder / "go"
    first = scheduler.submit(bench.submission(UNTIL.format(go)))
    large = scheduler.submit(bench.submission("true\n", cpus_per_task=2))
    small = scheduler.submit(bench.submission("true\n", mem_mb=100))
    assert ["COMPLETED"] == [account.state for account in finish(scheduler, small)]
    assert ["RUNNING", "PENDING"] == states(scheduler, (*first, *large))
    go.touch()
    finish(scheduler, large)


def test_memory_bounds_what_runs_at_once(bench: Bench) -> None:
    """Two tasks of more than half the memory each run one after the other."""
    scheduler = LocalScheduler(machine=ROOM)
    go = bench.folder / "go"
    elements = scheduler.submit(bench.submission(*[UNTIL.format(go)] * 2, mem_mb=600))
    assert ["RUNNING", "PENDING"] == states(scheduler, elements)
    go.touch()
    finish(scheduler, elements)


def test_each_task_has_its_own_gpus(bench: Bench) -> None:
    """Two tasks side by side see different GPUs, a task without a request sees none."""
    scheduler = LocalScheduler(machine=Machine(cores=3, memory_mb=1000, gpus=("4", "7")))
    go = bench.folder / "go"
    script = "echo gpus=$CUDA_VISIBLE_DEVICES $HPCCTR_SCHEDULER\n" + UNTIL.format(go)
    with_gpu = bench.submission(script, script, gpu=Gpu(count=1))
    without = bench.submission(script)
    elements = (*scheduler.submit(with_gpu), *scheduler.submit(without))
    assert ["RUNNING"] * 3 == states(scheduler, elements)
    go.touch()
    finish(scheduler, elements)
    seen = {bench.log(with_gpu, 0), bench.log(with_gpu, 1)}
    assert {"gpus=4 local\n", "gpus=7 local\n"} == seen
    assert "gpus= local\n" == bench.log(without)


def test_a_gpu_is_given_again_when_its_task_has_ended(bench: Bench) -> None:
    """All tasks get a GPU in turn."""
    scheduler = LocalScheduler(machine=Machine(cores=8, memory_mb=1000, gpus=("0",)))
    one = bench.submission(*["echo $CUDA_VISIBLE_DEVICES\n"] * 4, gpu=Gpu(count=1))
    finish(scheduler, scheduler.submit(one))
    assert ["0\n"] * 4 == [bench.log(one, index) for index in range(4)]


def test_amd_gpus_have_their_own_variable(bench: Bench) -> None:
    """Indices in both variables would be applied one after the other."""
    scheduler = LocalScheduler({**os.environ, "CUDA_VISIBLE_DEVICES": "9"}, machine=ROOM)
    script = "echo ${ROCR_VISIBLE_DEVICES-unset} ${CUDA_VISIBLE_DEVICES-unset}\n"
    one = bench.submission(script, gpu=Gpu(count=2, vendor="amd"))
    finish(scheduler, scheduler.submit(one))
    assert "0,1 unset\n" == bench.log(one)


def test_no_more_than_the_limit_of_a_submission_run_at_once(bench: Bench) -> None:
    """`max_parallel` counts the tasks of one submission, others go on."""
    scheduler = LocalScheduler(machine=ROOM)
    go = bench.folder / "go"
    limited = scheduler.submit(bench.submission(*[UNTIL.format(go)] * 3, max_parallel=1))
    other = scheduler.submit(bench.submission(UNTIL.format(go)))
    assert ["RUNNING", "PENDING", "PENDING", "RUNNING"] == states(scheduler, (*limited, *other))
    go.touch()
    finish(scheduler, limited)


def test_the_time_limit_ends_a_task(bench: Bench) -> None:
    """The script may clean up; what is left after the grace is killed."""
    scheduler = LocalScheduler(machine=ROOM, time_grace_s=0.3)
    script = "trap 'echo cleaned; exit 3' TERM\nsleep 60 & wait\n"
    polite = bench.submission(script)
    stubborn = bench.submission("trap '' TERM\nwhile :; do sleep 1; done\n")
    limit: dict[str, Any] = {"runtime_min": 0.3 / 60}
    limited = [replace(x, resources=Resources.model_construct(**limit)) for x in (polite, stubborn)]
    accounts = finish(scheduler, tuple(e for one in limited for e in scheduler.submit(one)))
    assert [("TIMEOUT", "TimeLimit", 3, 0), ("TIMEOUT", "TimeLimit", None, 9)] == [
        (account.state, account.reason, account.exit_code, account.signal) for account in accounts
    ]
    assert "cleaned\n" == bench.log(polite)


def test_cancelling_ends_waiting_and_running_tasks(bench: Bench) -> None:
    """The script gets its chance to clean up; its children are killed in any case."""
    scheduler = LocalScheduler(machine=ROOM, grace_s=0.5)
    ready = bench.folder / "ready"
    script = (
        "trap 'echo cleaned; exit 0' TERM\nsetsid sleep 600 & echo $! >child\n"
        f"touch {ready}\nsleep 600 & wait\n"
    )
    one = bench.submission(script, cpus_per_task=2)
    waiting = bench.submission("true\n")
    elements = (*scheduler.submit(one), *scheduler.submit(waiting))
    wait_for(ready.exists)
    child = int((bench.folder / "child").read_text())
    scheduler.cancel(elements)
    assert ["CANCELLED", "CANCELLED"] == [a.state for a in finish(scheduler, elements)]
    assert "cleaned\n" == bench.log(one)
    assert not Path(waiting.logs[0]).exists()
    wait_for(lambda: processes.read_process(child) is None)


def test_cancelling_kills_what_does_not_listen(bench: Bench) -> None:
    """After the grace, nothing is left, and the cores are free again."""
    scheduler = LocalScheduler(machine=ROOM, grace_s=0.2)
    ready = bench.folder / "ready"
    script = f"trap '' TERM\ntouch {ready}\nwhile :; do sleep 1; done\n"
    elements = scheduler.submit(bench.submission(script, cpus_per_task=2))
    wait_for(ready.exists)
    scheduler.cancel(elements)
    (account,) = finish(scheduler, elements)
    assert ("CANCELLED", 9) == (account.state, account.signal)
    finish(scheduler, scheduler.submit(bench.submission("true\n", cpus_per_task=2)))


def test_cancelling_unknown_elements_does_nothing(bench: Bench) -> None:
    """An id of another day is ignored."""
    scheduler = LocalScheduler(machine=ROOM)
    scheduler.cancel([f"hpcctr:{bench.folder}:99"])
    assert {} == scheduler.queue(["hpcctr:nobody:1"])
    assert {} == scheduler.account(["hpcctr:nobody:1"])


HEAD = """
import sys
from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
from snakemake_executor_plugin_hpcctr.schedulers.local import LocalScheduler
from snakemake_executor_plugin_hpcctr.task import Resources

folder = sys.argv[1]
one = Submission("x", folder, Resources(), (folder + "/s.sh",), (folder + "/l.log",), folder, "")
print(LocalScheduler().submit(one)[0], flush=True)
sys.stdin.read()
"""


def test_tasks_of_a_head_that_died_are_found_again(bench: Bench) -> None:
    """A new head process sees them run, and can end them."""
    ready = bench.folder / "ready"
    (bench.folder / "s.sh").write_text(f"touch {ready}\nsleep 600 & wait\n")
    argv = [sys.executable, "-c", HEAD, str(bench.folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdout is not None
        element = head.stdout.readline().strip()
        wait_for(ready.exists)
        head.kill()
    scheduler = LocalScheduler(machine=ROOM, grace_s=0.5)
    assert ["RUNNING"] == states(scheduler, (element,))
    assert {element: Account("RUNNING")} == scheduler.account([element])
    scheduler.cancel([element])
    assert ["absent"] == states(scheduler, (element,))


def test_a_task_that_cannot_start_has_failed(bench: Bench) -> None:
    """A log that cannot be written ends the task with a sentence, and the next one runs."""
    said: list[str] = []
    scheduler = LocalScheduler(warn=said.append, machine=ROOM)
    one = bench.submission("true\n", cpus_per_task=2)
    Path(one.logs[0]).mkdir()
    (account,) = finish(scheduler, scheduler.submit(one))
    assert ("FAILED", "JobLaunchFailure") == (account.state, account.reason)
    assert one.logs[0] in said[0]
    finish(scheduler, scheduler.submit(bench.submission("true\n", cpus_per_task=2)))


def test_a_missing_working_directory_is_refused(bench: Bench) -> None:
    """Nothing could run there."""
    one = replace(bench.submission("true\n"), workdir="/no/such/folder")
    with pytest.raises(SubmitError, match="/no/such/folder does not exist"):
        LocalScheduler(machine=ROOM).submit(one)


def test_threads_may_submit_and_ask_at_the_same_time(bench: Bench) -> None:
    """Every task runs once, whoever asks meanwhile."""
    scheduler = LocalScheduler(machine=Machine(cores=8, memory_mb=1000))
    elements: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            scheduler.queue(list(elements))

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(5):
        elements += scheduler.submit(bench.submission(*["true\n"] * 10))
    accounts = finish(scheduler, tuple(elements))
    done.set()
    asking.join()
    assert ["COMPLETED"] * 50 == [account.state for account in accounts]
    assert 50 == len(set(elements))


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"mem_mb": 1001}, "the task asks for 1001 MB of memory (this machine has 1000)"),
        ({"mem_mb_per_cpu": 600, "cpus_per_task": 2}, "1200 MB of memory"),
        ({"gpu": Gpu(count=3)}, "3 GPUs (this machine has 2)"),
        ({"gres": "gpu:3"}, "3 GPUs (this machine has 2)"),
        ({"nodes": 2}, "2 nodes (this machine has 1)"),
    ],
)
def test_the_impossible_is_refused_in_numbers(request_: dict[str, Any], sentence: str) -> None:
    """A task that could never start is refused before it waits."""
    with pytest.raises(SubmitError) as refused:
        LocalScheduler(machine=ROOM).check(Resources(**request_))
    assert sentence in refused.value.what


def test_more_cores_than_the_machine_has_are_cut(bench: Bench) -> None:
    """Threads beyond the machine's cores are cut with a word, as Snakemake cuts them."""
    said: list[str] = []
    scheduler = LocalScheduler(warn=said.append, machine=ROOM)
    for _ in range(2):
        scheduler.check(Resources(cpus_per_task=3))
    assert ["a task asks for 3 CPU cores, and this machine has 2: it gets 2"] == said
    elements = scheduler.submit(bench.submission("true\n", cpus_per_task=3))
    assert ["COMPLETED"] == [account.state for account in finish(scheduler, elements)]


def test_what_fits_the_machine_passes() -> None:
    """All of the machine may be asked for; names of a cluster's parts do not matter here."""
    everything = Resources(cpus_per_task=2, mem_mb=1000, gpu=Gpu(count=2), partition="gpu")
    LocalScheduler(machine=ROOM).check(everything)


def test_a_request_is_counted_over_its_tasks() -> None:
    """Cores and memory per core count for each of them."""
    request = Resources(tasks=3, cpus_per_task=2, mem_mb_per_cpu=10, gres="gpu:a100:1,nvme:4")
    assert Amount(cores=6, memory_mb=60, gpus=1) == needed(request)


@pytest.mark.parametrize(
    ("environ", "gpus"),
    [
        ({"HPCCTR_LOCAL_GPUS": "2"}, ("0", "1")),
        ({"HPCCTR_LOCAL_GPUS": "0"}, ()),
        ({"HPCCTR_LOCAL_GPUS": "3,"}, ("3",)),
        ({"HPCCTR_LOCAL_GPUS": "0,2", "CUDA_VISIBLE_DEVICES": "1"}, ("0", "2")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, ("GPU-1a", "GPU-2b")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ()),
        ({"ROCR_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
    ],
)
def test_gpus_are_those_that_we_may_use(environ: dict[str, str], gpus: tuple[str, ...]) -> None:
    """The user's word counts, then what a surrounding job allows."""
    assert gpus == find_gpus(environ)


def test_the_machine_is_measured() -> None:
    """Cores and memory are those that this process may use."""
    machine = inspect_machine(dict(os.environ))
    assert len(os.sched_getaffinity(0)) >= machine.cores >= 1
    assert 64 < machine.memory_mb < 1 << 30


def test_inside_a_job_its_share_counts() -> None:
    """An allocation of one core and 500 MB is not the whole node."""
    inside = {"SLURM_JOB_ID": "5", "SLURM_CPUS_ON_NODE": "1", "SLURM_MEM_PER_NODE": "500"}
    machine = inspect_machine(inside)
    assert (1, 500) == (machine.cores, machine.memory_mb)


def test_a_question_is_answered_here(bench: Bench) -> None:
    """The node that is asked is this machine."""
    scheduler = LocalScheduler(machine=ROOM)
    assert "apptainer\n" == scheduler.ask_node(Resources(), "echo apptainer", 5.0)
    assert scheduler.ask_node(Resources(), "sleep 5", 0.1) is None
    assert scheduler.identity().startswith("local ")
    assert scheduler.max_elements() > 10**6
    assert bench.folder.is_dir()


def test_a_process_is_not_mistaken_for_another_of_its_number() -> None:
    """Only the process that was meant is killed, though its number may have been given again."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as sleep:
        (member,) = processes.family(sleep.pid)
        processes.kill([processes.Process(member.pid, member.start - 1, 1, 1)])
        assert processes.is_alive(member)
        processes.kill([member])
        assert -signal.SIGKILL == sleep.wait(PATIENCE_S)


def test_schedulers_are_made_by_name() -> None:
    """A name that does not exist is answered with the nearest one."""
    assert ["slurm", "local"] == [make(name).name for name in ("slurm", "local")]
    with pytest.raises(ConfigError, match="there is no scheduler 'slrm'") as refused:
        make("slrm")
    assert "did you mean `slurm`?" in refused.value.next_step
