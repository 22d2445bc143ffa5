"""The scheduler `slurm`: submissions, queue, accounting and cancelling by Slurm's own commands."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import SubmitError
from snakemake_executor_plugin_hpcctr.schedulers.base import Queued
from snakemake_executor_plugin_hpcctr.schedulers.slurm import parse
from snakemake_executor_plugin_hpcctr.schedulers.slurm.cancel import Cancel
from snakemake_executor_plugin_hpcctr.schedulers.slurm.cluster import Cluster
from snakemake_executor_plugin_hpcctr.schedulers.slurm.commands import Commands, with_cluster
from snakemake_executor_plugin_hpcctr.schedulers.slurm.environ import clean, for_submission
from snakemake_executor_plugin_hpcctr.schedulers.slurm.history import History
from snakemake_executor_plugin_hpcctr.schedulers.slurm.ids import (
    by_cluster,
    compress,
    join_cluster,
    split_cluster,
)
from snakemake_executor_plugin_hpcctr.schedulers.slurm.limits import impossible, places
from snakemake_executor_plugin_hpcctr.schedulers.slurm.probe import has_unknown_name, srun_argv
from snakemake_executor_plugin_hpcctr.schedulers.slurm.refusals import may_have_arrived, refusal
from snakemake_executor_plugin_hpcctr.schedulers.slurm.request import (
    indices,
    render_batch_file,
    sbatch_argv,
    tag_of,
)
from snakemake_executor_plugin_hpcctr.script.quote import words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from snakemake_executor_plugin_hpcctr.schedulers.base import Account, Submission
    from snakemake_executor_plugin_hpcctr.schedulers.slurm.parse import QueueLine
    from snakemake_executor_plugin_hpcctr.task import Resources

#: sbatch itself repeats a submission for up to two minutes when the queue is full.
SBATCH_S = 60.0
#: How much longer than asked an srun may take to start and end.
SRUN_SLACK_S = 15.0
#: Slurm's own default of MaxArraySize, for a controller that does not answer.
DEFAULT_ARRAY = 1001


class SlurmScheduler:
    """Runs submissions on a Slurm cluster.

    Args:
        environ: The environment of Slurm's commands and of the jobs; ours if None.
        warn: Takes a sentence that the user should see.
        grace_s: How long a running task may take for its own clean-up when it is cancelled.
    """

    name = "slurm"

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        warn: Callable[[str], None] | None = None,
        grace_s: float = 3.0,
    ) -> None:
        self._environ = clean(os.environ if environ is None else environ)
        self._warn = warn or logging.getLogger(__name__).warning
        self._grace_s = grace_s
        self._commands = Commands(self._environ)
        self._history = History(self._commands)
        self._clusters: dict[str, Cluster] = {}
        self._unsure: set[str] = set()
        self._strange: set[str] = set()

    def identity(self) -> str:
        """Return the cluster's name, with the clusters that the environment chooses."""
        chosen = self._environ.get("SBATCH_CLUSTERS") or self._environ.get("SLURM_CLUSTERS")
        name = self._cluster().config("ClusterName") or "unknown cluster"
        return f"slurm {name}" + (f" ({chosen})" if chosen else "")

    def max_elements(self) -> int:
        """Return MaxArraySize, which is the largest index plus one (slurm.conf(5))."""
        cluster = self._cluster()
        sizes = (cluster.number("MaxArraySize"), cluster.number("MaxJobCount"))
        return max(1, min((size for size in sizes if size is not None), default=DEFAULT_ARRAY))

    def check(self, resources: Resources) -> None:
        """Refuse a request that no partition named by it could ever run.

        The cluster's limits are read once in ten minutes; nothing is refused if it does not
        answer, or if the choice of a cluster is left to Slurm.

        Raises:
            SubmitError: Says which limit or name is at fault.
        """
        if "," in (clusters := self._clusters_of(resources)):
            return
        partition = resources.partition or self._environ.get("SBATCH_PARTITION")
        asked = resources.model_copy(update={"partition": partition})
        error = impossible(asked, self._cluster(clusters).partitions())
        if error is not None:
            raise error

    def parallel(self, resources: Resources) -> int | None:
        """Return how many such tasks all nodes of their partitions could run at once."""
        clusters = self._clusters_of(resources)
        if "," in clusters:
            return None
        partition = resources.partition or self._environ.get("SBATCH_PARTITION")
        asked = resources.model_copy(update={"partition": partition})
        return places(asked, self._cluster(clusters).partitions())

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Hand a submission over; return the ids of its elements, in order.

        Raises:
            SubmitError: Refused; `transient` if the same submission may pass later. It is then
                safe to submit it again: a job that did arrive is found by its tag.
        """
        if submission.tag in self._unsure and (job := self._find(submission)):
            return _elements(job, submission)
        argv = sbatch_argv(submission)
        self._write_batch_file(submission)
        environ = for_submission(self._environ, submission.resources)
        done = self._commands.run(
            argv, submission.resources.clusters or "", environ, timeout_s=SBATCH_S
        )
        if done.ok and (job := parse.parse_job_id(done.out)):
            return _elements(job, submission)
        if may_have_arrived(done):
            self._unsure.add(submission.tag)
        raise refusal(done, submission.resources)

    def ask_node(self, resources: Resources, script: str, within_s: float) -> str | None:
        """Run a short POSIX shell script on a node that the request could get, by srun.

        Returns:
            What the script printed; None if no node was free within `within_s` seconds.

        Raises:
            SubmitError: A name in the request (partition, account …) is not known.
        """
        done = self._commands.run(
            srun_argv(resources, script, within_s),
            resources.clusters or "",
            for_submission(self._environ, resources),
            timeout_s=within_s + SRUN_SLACK_S,
        )
        if done.ok:
            return done.out
        if has_unknown_name(done):
            raise refusal(done, resources)
        return None

    def queue(self, elements: Collection[str]) -> Mapping[str, Queued] | None:
        """Tell where elements stand, by one squeue for all jobs of this user (per cluster)."""
        answer: dict[str, Queued] = {}
        for cluster, plain in by_cluster(elements).items():
            lines = self._look(cluster)
            if lines is None:
                return None
            for one in plain:
                if line := lines.get(one):
                    answer[join_cluster(one, cluster)] = self._queued(line)
        return answer

    def account(self, elements: Collection[str]) -> Mapping[str, Account]:
        """Tell how elements ended, by the controller's memory and the accounting database."""
        return {
            join_cluster(one, cluster): account
            for cluster, plain in by_cluster(elements).items()
            for one, account in self._history.account(plain, cluster).items()
        }

    def cancel(self, elements: Collection[str]) -> None:
        """End elements; what stays is told to the user.

        Waiting ones end at once; the scripts of running ones get SIGTERM, and after the grace
        Slurm ends what is left.
        """
        for cluster, plain in by_cluster(elements).items():
            look = partial(self._look, cluster)
            staying = Cancel(self._commands, cluster, look, self._grace_s).run(plain)
            if staying is None:
                self._warn(
                    f"Slurm does not answer, so {len(plain)} task(s) were not cancelled; when "
                    f"`scontrol ping` says UP again: {_scancel_words(plain, cluster)}"
                )
            elif staying:
                self._warn(
                    f"{len(staying)} task(s) did not end when they were cancelled; try again: "
                    f"{_scancel_words(staying, cluster)}"
                )

    def _cluster(self, name: str = "") -> Cluster:
        return self._clusters.setdefault(name, Cluster(self._commands, name))

    def _clusters_of(self, resources: Resources) -> str:
        chosen = self._environ.get("SBATCH_CLUSTERS") or self._environ.get("SLURM_CLUSTERS")
        return resources.clusters or chosen or ""

    def _write_batch_file(self, submission: Submission) -> None:
        try:
            text = render_batch_file(submission)
            Path(submission.batch_file).write_text(text, "utf-8", "surrogateescape")
        except OSError as error:
            raise SubmitError(
                f"the batch file cannot be written: {error}",
                next_step="check the space (`df -h .`, `quota -s`) and that the folder is yours",
            ) from error

    def _find(self, submission: Submission) -> str | None:
        """Return the job of a submission whose sbatch did not come back, None if there is none.

        Raises:
            SubmitError: Slurm does not answer this either.
        """
        for cluster in self._clusters_of(submission.resources).split(","):
            argv = ["squeue", *parse.COMMENT_FORMAT, "-u", str(os.getuid())]
            done = self._commands.ask(argv, cluster=cluster)
            if not done.ok:
                raise refusal(done, submission.resources)
            for comment, job in parse.parse_comments(done.out).items():
                if tag_of(comment) == submission.tag:
                    return join_cluster(job, cluster)
        return None

    def _look(self, cluster: str) -> dict[str, QueueLine] | None:
        argv = ["squeue", *parse.QUEUE_FORMAT, "-u", str(os.getuid())]
        done = self._commands.ask(argv, cluster=cluster)
        return parse.parse_queue(done.out) if done.ok else None

    def _queued(self, line: QueueLine) -> Queued:
        if not parse.is_known(line.state) and line.state not in self._strange:
            self._strange.add(line.state)
            self._warn(
                f"Slurm reports a state that hpcctr does not know: {line.state}; "
                "its tasks count as running"
            )
        return Queued(parse.element_state(line.state), line.reason)


def _elements(job: str, submission: Submission) -> tuple[str, ...]:
    """Return the ids of a submission's elements, in the order of its scripts."""
    plain, cluster = split_cluster(job)
    numbers = indices(submission)
    return tuple(join_cluster(f"{plain}_{i}", cluster) for i in numbers) or (job,)


def _scancel_words(plain: list[str], cluster: str) -> str:
    """Return the command that ends elements, for people."""
    return f"`{words(with_cluster(['scancel', *compress(plain)], cluster))}`"
