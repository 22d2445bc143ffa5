"""What runs submissions: the protocol that `slurm` and `local` fulfil."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from snakemake_executor_plugin_hpcctr.task import Resources


class ElementState(Enum):
    """Where one element of a submission stands, as the scheduler tells it."""

    PENDING = auto()
    RUNNING = auto()
    ENDED = auto()  # for whatever reason; `account` tells which


@dataclass(frozen=True)
class Queued:
    """One line of the scheduler's queue.

    Args:
        state: Where the element stands.
        reason: The scheduler's own word for why it waits, or "".
    """

    state: ElementState
    reason: str = ""


@dataclass(frozen=True)
class Account:
    """What the scheduler knows of an element that ended. None where it does not tell.

    Args:
        state: The scheduler's state, first word only (Slurm: `FAILED`, `OUT_OF_MEMORY` …).
        reason: Its reason, e.g. `NonZeroExitCode`, `TimeLimit`.
        exit_code: Exit code of the script; not to be trusted where a marker has one.
        signal: Number of the signal that ended it, 0 if none.
        node: Where it ran.
        elapsed_s: Wall time, seconds.
        peak_mb: Peak memory, MiB.
    """

    state: str
    reason: str = ""
    exit_code: int | None = None
    signal: int = 0
    node: str | None = None
    elapsed_s: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True)
class Submission:
    """One task, or an array of tasks that ask for the same.

    Args:
        name: What the queue shows: rule and wildcards, or the rule of an array.
        tag: Unique in the world; stored with the job, so that it can be found again.
        resources: The request, equal for all elements.
        scripts: Absolute paths of the task scripts, one per element, in order.
        logs: Absolute path of each element's log, in the order of `scripts`. For several
            elements these differ only in the element's index.
        workdir: The absolute folder in which the scripts start.
        batch_file: Where the scheduler may write the script that it submits.
        comment: Free text for the site's accounting.
        max_parallel: At most so many elements at once; None for no limit.
    """

    name: str
    tag: str
    resources: Resources
    scripts: tuple[str, ...]
    logs: tuple[str, ...]
    workdir: str
    batch_file: str
    comment: str = ""
    max_parallel: int | None = None


class Scheduler(Protocol):
    """Runs submissions. An element's id is opaque: Slurm's `123` or `123_4`."""

    name: str

    def identity(self) -> str:
        """Name the cluster, so that what was learnt of one is not believed of another."""
        ...

    def ask_node(self, resources: Resources, script: str, within_s: float) -> str | None:
        """Run a short POSIX shell script on a node that the request could get.

        Only partition, clusters, constraint, account, qos and reservation of the request
        count, and one GPU if it has any; the script needs one CPU for some seconds.

        Returns:
            What the script printed; None if no node was free within `within_s` seconds.

        Raises:
            SubmitError: The scheduler refuses such a request for good.
        """
        ...

    def max_elements(self) -> int:
        """Return how many tasks one submission may hold."""
        ...

    def parallel(self, resources: Resources) -> int | None:
        """Return how many tasks with this request can run at once if all nodes are free.

        None if that is not known or does not matter.
        """
        ...

    def check(self, resources: Resources) -> None:
        """Refuse a request that could never run (asked once per distinct request).

        Raises:
            SubmitError: Says which limit or name is at fault.
        """
        ...

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Hand a submission over; return the ids of its elements, in order.

        Raises:
            SubmitError: Refused; `transient` if the same submission may pass later.
        """
        ...

    def queue(self, elements: Collection[str]) -> Mapping[str, Queued] | None:
        """Tell where elements stand, in one question; None if no answer could be had.

        An element that the scheduler no longer knows is absent from the answer.
        """
        ...

    def account(self, elements: Collection[str]) -> Mapping[str, Account]:
        """Tell how elements ended; slow, so only for those that failed or vanished."""
        ...

    def cancel(self, elements: Collection[str]) -> None:
        """End elements, waiting ones included; unknown ones are ignored."""
        ...
