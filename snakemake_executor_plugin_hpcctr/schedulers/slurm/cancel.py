"""End elements: those that wait at once, those that run after a word to their scripts."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import CommandError
from snakemake_executor_plugin_hpcctr.schedulers.base import ElementState
from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands, with_cluster
from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import chunks, compress, job_of
from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import element_state

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import QueueLine

    Look = Callable[[], Mapping[str, QueueLine] | None]

#: Elements per scancel, so that no command line and no request gets too long.
CHUNK = 500
LOOK_EVERY_S = 0.3
#: How long ended elements may still look alive.
VERIFY_S = 5.0
DOWN_TRIES = 4
DOWN_WAIT_S = 2.0


@dataclass(frozen=True)
class Cancel:
    """One cancelling.

    Args:
        commands: Runs scancel.
        cluster: On which cluster; "" for the one at hand.
        look: Asks for the queue of all our jobs.
        grace_s: How long a running task may take for its own clean-up, seconds.
    """

    commands: Commands
    cluster: str
    look: Look
    grace_s: float

    def run(self, elements: Collection[str]) -> list[str] | None:
        """End elements; return those that stay, None if Slurm does not answer."""
        queue = self._look_patiently()
        if queue is None:
            return None
        ours = set(elements)
        waiting, running = split(queue, ours)
        self._scancel(whole_arrays(waiting, queue))
        if running:
            self._warn_scripts(running)
            queue = self.look() or queue
            _, running = split(queue, ours)
            self._scancel(whole_arrays(running, queue))
        return self._staying(ours)

    def _look_patiently(self) -> Mapping[str, QueueLine] | None:
        for attempt in range(DOWN_TRIES):
            if attempt:
                time.sleep(DOWN_WAIT_S)
            if (queue := self.look()) is not None:
                return queue
        return None

    def _scancel(self, words: list[str]) -> None:
        for some in chunks(words, CHUNK):
            self.commands.ask(["scancel", "--quiet", *some], cluster=self.cluster)

    def _warn_scripts(self, running: list[str]) -> None:
        """Send TERM to the batch shells only, and wait until they have ended.

        The shell passes it on to the command alone, so that the process that mounts the image
        lives on. The scancel of such a signal goes on for 5 s after all were told, and would
        then tell them again (seen with 22.05, array elements): it is not waited for.
        """
        started = [self._start_warning(list(some)) for some in chunks(running, CHUNK)]
        until = time.monotonic() + self.grace_s
        while time.monotonic() < until:
            time.sleep(min(LOOK_EVERY_S, self.grace_s))
            queue = self.look()
            if queue is not None and not split(queue, set(running))[1]:
                break
        for process in started:
            if process is not None:
                process.kill()
                process.wait()

    def _start_warning(self, running: list[str]) -> proc.Process | None:
        words = ["scancel", "--batch", "--signal=TERM", "--quiet", *compress(running)]
        argv = with_cluster(words, self.cluster)
        with suppress(CommandError):
            return proc.start(argv, output=Path(os.devnull), env=self.commands.environ)
        return None

    def _staying(self, ours: set[str]) -> list[str]:
        until = time.monotonic() + VERIFY_S
        while True:
            queue = self.look()
            waiting, running = split(queue, ours) if queue is not None else ([], [])
            if queue is not None and not (waiting or running):
                return []
            if time.monotonic() > until:
                return waiting + running if queue is not None else sorted(ours)
            time.sleep(LOOK_EVERY_S)


def split(queue: Mapping[str, QueueLine], ours: set[str]) -> tuple[list[str], list[str]]:
    """Return our elements that wait, and those that run and were not told to end yet."""
    waiting, running = [], []
    for element, line in queue.items():
        if element not in ours or line.state == "COMPLETING":
            continue
        if element_state(line.state) is ElementState.PENDING:
            waiting.append(element)
        elif element_state(line.state) is ElementState.RUNNING:
            running.append(element)
    return waiting, running


def whole_arrays(elements: Collection[str], queue: Mapping[str, QueueLine]) -> list[str]:
    """Return words for scancel: an array's number if all that is left of it is to end."""
    ending = Counter(map(job_of, elements))
    alive = Counter(map(job_of, queue))
    whole = {job for job, count in ending.items() if count == alive[job]}
    return [*sorted(whole), *compress(e for e in elements if job_of(e) not in whole)]
