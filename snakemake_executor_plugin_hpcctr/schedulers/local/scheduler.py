"""The scheduler `local`: tasks run here as soon as cores, memory and GPUs are free."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError, SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.base import Account, ElementState, Queued
from snakemake_executor_plugin_hpcctr.schedulers.local import processes
from snakemake_executor_plugin_hpcctr.schedulers.local.machine import (
    VISIBLE,
    Amount,
    Machine,
    inspect_machine,
    needed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from snakemake_executor_plugin_hpcctr.schedulers.base import Submission
    from snakemake_executor_plugin_hpcctr.schedulers.local.processes import Process
    from snakemake_executor_plugin_hpcctr.task import Resources

#: In the environment of each task: its element's id, by which a later head process finds it.
ELEMENT = "HPCCTR_ELEMENT"
#: What a surrounding Slurm job says of itself, and tasks would take for their own.
NOT_OURS = frozenset({"SLURM_RESTART_COUNT", "GPU_DEVICE_ORDINAL", *VISIBLE.values()})
#: How long killed processes may take to disappear, seconds.
GONE_S = 5.0


@dataclass(eq=False)
class Element:
    """One task between submission and its end.

    Args:
        id: The element's id.
        script: What to run.
        log: Where its output goes.
        submission: The submission that it belongs to.
        need: What it takes of the machine.
        gpus: Ids of the GPUs that it has.
        process: Its script's process, once it runs.
        started: When, in seconds of a clock that never goes back.
        ending: `CANCELLED` or `TIMEOUT` from when it was told to end; else "".
    """

    id: str
    script: str
    log: str
    submission: Submission
    need: Amount
    gpus: tuple[str, ...] = ()
    process: proc.Process | None = None
    started: float = 0.0
    ending: str = ""


class LocalScheduler:
    """Runs submissions on this machine, first come first served; what fits may overtake.

    One thread per running task waits for its end. Memory is counted, not enforced.

    Args:
        environ: Environment of the tasks; ours if None.
        warn: Takes a sentence that the user should see.
        grace_s: How long a cancelled task may take for its own clean-up, seconds.
        time_grace_s: The same at its time limit (Slurm's KillWait), seconds.
        machine: What tasks may use; looked up if None.
    """

    name = "local"

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
        *,
        grace_s: float = 3.0,
        time_grace_s: float = 30.0,
        machine: Machine | None = None,
    ) -> None:
        given = os.environ if environ is None else environ
        self._environ = {name: value for name, value in given.items() if name not in NOT_OURS}
        self._warn = warn or logging.getLogger(__name__).warning
        self._cut: set[Resources] = set()
        self._grace_s = grace_s
        self._time_grace_s = time_grace_s
        self._machine = machine or inspect_machine(given)
        self._free = self._machine.amount
        self._free_gpus = list(self._machine.gpus)
        self._waiting: list[Element] = []
        self._running: dict[str, Element] = {}
        self._ended: dict[str, Account] = {}
        self._strangers: dict[str, Process | None] = {}
        self._change = threading.Condition(threading.RLock())

    def identity(self) -> str:
        """Name this machine."""
        return f"local {socket.gethostname()}"

    def ask_node(self, resources: Resources, script: str, within_s: float) -> str | None:  # noqa: ARG002 (the protocol's signature)
        """Run a short POSIX shell script here; None if it takes longer than `within_s` seconds."""
        done = proc.run(["/bin/sh", "-c", script], timeout_s=within_s, env=self._environ)
        return None if done.code == proc.TIMED_OUT else done.out

    def max_elements(self) -> int:
        """Return that there is no limit."""
        return sys.maxsize

    def parallel(self, resources: Resources) -> int | None:  # noqa: ARG002 (a start costs nothing here)
        """Return None: packing tasks would save nothing."""
        return None

    def check(self, resources: Resources) -> None:
        """Refuse a request that is more than this machine has; of CPU cores it gets what is there.

        Raises:
            SubmitError: Names what is missing, in numbers.
        """
        need, have = needed(resources), self._machine.amount
        lacking = [
            f"{asked} {one if asked == 1 else many} (this machine has {there})"
            for asked, there, one, many in (
                (resources.nodes or 1, 1, "node", "nodes"),
                (need.memory_mb, have.memory_mb, "MB of memory", "MB of memory"),
                (need.gpus, have.gpus, "GPU", "GPUs"),
            )
            if asked > there
        ]
        if need.cores > have.cores and resources not in self._cut:
            self._cut.add(resources)
            self._warn(
                f"a task asks for {need.cores} CPU cores, and this machine has {have.cores}: "
                f"it gets {have.cores}"
            )
        if lacking:
            raise SubmitError(
                f"the task asks for {', '.join(lacking)}",
                next_step="ask for less, or run it on a cluster: `--hpcctr-scheduler slurm`",
            )

    def _share(self, resources: Resources) -> Amount:
        """Return what a request takes of this machine: all cores if it asks for more."""
        need = needed(resources)
        return replace(need, cores=min(need.cores, self._machine.cores))

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Put a submission's tasks in line; return the ids of its elements, in order.

        Raises:
            SubmitError: The working directory does not exist.
        """
        if not Path(submission.workdir).is_dir():
            raise SubmitError(f"the working directory {submission.workdir} does not exist")
        need, alone = self._share(submission.resources), len(submission.scripts) == 1
        elements = [
            Element(submission.tag if alone else f"{submission.tag}_{i}", *paths, submission, need)
            for i, paths in enumerate(zip(submission.scripts, submission.logs, strict=True))
        ]
        with self._change:
            self._waiting += elements
            self._start_what_fits()
        return tuple(element.id for element in elements)

    def queue(self, elements: Collection[str]) -> Mapping[str, Queued] | None:
        """Tell where elements stand; those that an earlier head process started, too."""
        with self._change:
            known = {
                element.id: Queued(ElementState.PENDING, "Resources") for element in self._waiting
            }
            known |= dict.fromkeys(self._running, Queued(ElementState.RUNNING))
            known |= dict.fromkeys(self._ended, Queued(ElementState.ENDED))
        known |= dict.fromkeys(self._alive_strangers(elements), Queued(ElementState.RUNNING))
        return {one: known[one] for one in elements if one in known}

    def account(self, elements: Collection[str]) -> Mapping[str, Account]:
        """Tell how elements ended, or that they have not."""
        with self._change:
            known = {element.id: Account("PENDING") for element in self._waiting}
            known |= dict.fromkeys(self._running, Account("RUNNING"))
            known |= self._ended
        known |= dict.fromkeys(self._alive_strangers(elements), Account("RUNNING"))
        return {one: known[one] for one in elements if one in known}

    def cancel(self, elements: Collection[str]) -> None:
        """End elements: TERM for the script, and after the grace KILL for all of its processes."""
        ours = set(elements)
        with self._change:
            for element in [one for one in self._waiting if one.id in ours]:
                self._waiting.remove(element)
                self._ended[element.id] = Account("CANCELLED")
            running = [element for element in self._running.values() if element.id in ours]
            for element in running:
                element.ending = element.ending or "CANCELLED"
        leaders = [*self._leaders(running), *self._alive_strangers(elements).values()]
        if leaders:
            processes.end(leaders, self._grace_s)
        with self._change:
            self._change.wait_for(
                lambda: not any(element.id in self._running for element in running), GONE_S
            )

    def _start_what_fits(self) -> None:
        """Start tasks in the order of their submission; called with the lock held."""
        too_much: set[Amount] = set()
        position = 0
        while position < len(self._waiting) and self._free.cores > 0:
            element = self._waiting[position]
            if element.need in too_much or not element.need.fits(self._free):
                too_much.add(element.need)
                position += 1
            elif self._at_limit(element.submission):
                position += 1
            else:
                del self._waiting[position]
                self._start(element)

    def _at_limit(self, submission: Submission) -> bool:
        if submission.max_parallel is None:
            return False
        running = sum(one.submission is submission for one in self._running.values())
        return running >= submission.max_parallel

    def _start(self, element: Element) -> None:
        self._free -= element.need
        element.gpus = tuple(self._free_gpus[: element.need.gpus])
        del self._free_gpus[: element.need.gpus]
        element.started = time.monotonic()
        self._running[element.id] = element
        try:
            element.process = proc.start(
                ["/bin/bash", element.script],
                output=Path(element.log),
                env=self._environ_of(element),
                cwd=element.submission.workdir,
            )
        except (OSError, CommandError) as error:
            self._warn(f"task {element.id} could not be started: {error}")
            self._settle(element, Account("FAILED", reason="JobLaunchFailure"))
            return
        threading.Thread(
            target=self._watch, args=(element, element.process), name=element.id, daemon=True
        ).start()

    def _environ_of(self, element: Element) -> dict[str, str]:
        """Return the task's environment: of the GPUs it sees its own, or none."""
        gpu = element.submission.resources.gpu
        visible = dict.fromkeys(VISIBLE.values(), "") if self._machine.gpus else {}
        if element.gpus:
            visible = {VISIBLE[gpu.vendor if gpu else "nvidia"]: ",".join(element.gpus)}
        return {**self._environ, **visible, "HPCCTR_SCHEDULER": "local", ELEMENT: element.id}

    def _watch(self, element: Element, process: proc.Process) -> None:
        """Wait for a task's end, and bring it about at the time limit."""
        minutes = element.submission.resources.runtime_min
        try:
            process.wait(None if minutes is None else minutes * 60.0)
        except proc.StillRunning:
            with self._change:
                element.ending = element.ending or "TIMEOUT"
            processes.end(self._leaders([element]), self._time_grace_s)
        code = process.wait()
        with self._change:
            self._settle(element, _account(element, code))
            self._start_what_fits()

    def _settle(self, element: Element, account: Account) -> None:
        """Record a task's end and take back what it had; called with the lock held."""
        del self._running[element.id]
        self._ended[element.id] = account
        self._free += element.need
        self._free_gpus = sorted([*self._free_gpus, *element.gpus], key=self._machine.gpus.index)
        self._change.notify_all()

    def _leaders(self, elements: Iterable[Element]) -> list[Process]:
        """Return the processes of our own tasks' scripts."""
        pids = [element.process.pid for element in elements if element.process is not None]
        return [found for pid in pids if (found := processes.read_process(pid)) is not None]

    def _alive_strangers(self, elements: Collection[str]) -> dict[str, Process]:
        """Return the processes of tasks that another head process started, and that live."""
        with self._change:
            ours = {element.id for element in self._waiting} | {*self._running, *self._ended}
            others = [one for one in elements if one not in ours]
            if any(one not in self._strangers for one in others):
                found = processes.leaders(ELEMENT)
                self._strangers |= {one: found.get(one) for one in others}
            strangers = {one: self._strangers[one] for one in others}
        return {
            one: process
            for one, process in strangers.items()
            if process is not None and processes.is_alive(process)
        }


def _account(element: Element, code: int) -> Account:
    state = element.ending or ("COMPLETED" if code == 0 else "FAILED")
    reasons = {"TIMEOUT": "TimeLimit", "FAILED": "NonZeroExitCode" if code > 0 else ""}
    return Account(
        state=state,
        reason=reasons.get(state, ""),
        exit_code=code if code >= 0 else None,
        signal=max(0, -code),
        node=socket.gethostname(),
        elapsed_s=time.monotonic() - element.started,
    )
