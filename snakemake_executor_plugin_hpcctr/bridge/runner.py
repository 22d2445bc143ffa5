"""Jobs that need Snakemake's Python on their node: what the runner gets to do there.

A `run:` block is a function that Snakemake's parser makes of the Snakefile. The runner parses the
Snakefile and calls that function as the local executor would, with the arguments that were
evaluated here. Other jobs, for reasons that `place` tells, are run by a whole Snakemake.
"""

from __future__ import annotations

import inspect
import io
import os
import pickle
import shlex
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge.capture import Captured, Prepared
from snakemake_executor_plugin_hpcctr.bridge.groups import group_id, inputs_from_group
from snakemake_executor_plugin_hpcctr.bridge.place import has_shared, needs_runner, why_snakemake
from snakemake_executor_plugin_hpcctr.bridge.spec import Spec
from snakemake_executor_plugin_hpcctr.script.quote import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

MODULE = "snakemake_executor_plugin_hpcctr.runner"
#: Arguments of `run_wrapper` that the runner has of its own, from its parse of the Snakefile.
PARSED = ("job_rule", "linemaps")
#: As a run: job under the local executor; no executor's choice of scheduler matters.
BLOCK_FLAGS = (
    *("--force-use-threads", "--mode", "subprocess", "--scheduler", "greedy"),
    *("--quiet", "progress", "rules", "host"),
)
#: One job only: without it Snakemake waits a second at its end for its own rate limit.
NO_RATE = ("--max-jobs-per-timespan", "100000/0s")


#: Snakemake's own default of --local-storage-prefix.
DEFAULT_COPIES = ".snakemake/storage"


@dataclass
class Runner:
    """Turns jobs into commands that start the runner.

    Args:
        executor: Snakemake's view of us; knows the arguments that a spawned Snakemake gets.
        folder: Where the files for the runner are written: absolute, exists, ours alone.
        python: The nodes' Python: a path, or a name to be found there.
        log: Takes what is to be said; has `info` and `debug`.
    """

    executor: Any
    folder: Path
    python: str
    log: Any
    _serials: Iterator[int] = field(default_factory=count)
    _block_argv: tuple[str, ...] = ()
    _told: set[str] = field(default_factory=set)

    def captured(self, job: Any, around: AbstractContextManager[None]) -> Captured:
        """Return the command that runs the job with Snakemake's Python on its node.

        Args:
            job: Snakemake's job, no group.
            around: What holds while the job is prepared.

        Raises:
            WorkflowError: Whatever Snakemake has to say about the job.
        """
        self._tell(job)
        reason = why_snakemake(self.executor.workflow, job)
        if not reason:
            arguments = self._arguments(Prepared(job, around))
            if arguments is not None:
                return self._command(self._block(job, arguments))
        return self._command(self._whole(job))

    def captured_group(self, group: Any, cores: int) -> Captured:
        """Return the command that runs all jobs of a group by one Snakemake on their node.

        Args:
            group: Snakemake's group.
            cores: What it may use.
        """
        for job in group.jobs:
            if needs_runner(self.executor.workflow, job):
                self._tell(job)
        return self._command(self._whole(group, cores=cores))

    def _tell(self, job: Any) -> None:
        """Say once which rules are run by Python on their nodes, and why."""
        if job.name in self._told:
            return
        workflow = self.executor.workflow
        planned = (j for j in workflow.dag.needrun_jobs() if not j.is_local)
        jobs = [job, *(j for j in planned if needs_runner(workflow, j))]
        rules: dict[str, dict[str, None]] = {}
        for each in jobs:
            if each.name not in self._told:
                why = why_snakemake(workflow, each) or "run: blocks"
                rules.setdefault(why, {})[each.name] = None
        for why, names in rules.items():
            self._told |= names.keys()
            self.log.info(f"With Snakemake's Python on the nodes ({why}): {', '.join(names)}")

    def _arguments(self, job: Any) -> bytes | None:
        """Prepare a job and return its block's arguments; None if they cannot be sent."""
        from snakemake.executors.local import run_wrapper  # noqa: PLC0415 (start-up time)

        try:
            _pickled([job.params, job.wildcards, job.resources])
        except Exception as error:  # noqa: BLE001 (a value's own __reduce__ may raise anything)
            self.log.debug(f"rule {job.rule.name} needs all of Snakemake on its node: {error}")
            return None
        local = self.executor.workflow.scheduler._local_executor  # noqa: SLF001 (as in capture.py)
        names = list(inspect.signature(run_wrapper).parameters)
        arguments = dict(zip(names, local.job_args_and_prepare(job), strict=True))
        return _pickled({k: v for k, v in arguments.items() if k not in PARSED})

    def _block(self, job: Any, arguments: bytes) -> Spec:
        workflow = self.executor.workflow
        return self._spec(
            self._argv_of_blocks(),
            rule=job.rule.name,
            arguments=arguments,
            checkpoints=tuple(map(str, workflow.checkpoints.created_output)),
        )

    def _argv_of_blocks(self) -> tuple[str, ...]:
        """Return what any spawned Snakemake gets, without a word about the job."""
        if not self._block_argv:
            executor = self.executor
            prefix = str(executor.workflow.storage_settings.local_storage_prefix)
            self._block_argv = (
                *("--snakefile", str(executor.get_snakefile()), "--cores", str(executor.cores)),
                *_general_arguments(executor),
                *BLOCK_FLAGS,
                *("--local-storage-prefix", prefix),
            )
        return self._block_argv

    def _whole(self, job: Any, **named: int) -> Spec:
        from snakemake_interface_executor_plugins.executors.real import RealExecutor  # noqa: PLC0415 (start-up time)

        executor = self.executor
        argv = (
            *("--snakefile", str(executor.get_snakefile())),
            *shlex.split(RealExecutor.get_job_args(executor, job, **named)),
            *_wait_arguments(executor.workflow, job),
            *_general_arguments(executor),
            *("--mode", executor.get_exec_mode().item_to_choice()),
        )
        own_storage = _keeps_copies_apart(executor.workflow)
        group = None if job.is_group() else group_id(job)  # of a group that goes without saying
        member = () if group is None else ("--local-groupid", group)
        return self._spec((*argv, *member, *NO_RATE), own_storage=own_storage)

    def _spec(self, argv: tuple[str, ...], **more: Any) -> Spec:
        from snakemake.common import __version__  # noqa: PLC0415 (start-up time)

        environ = {k: v for k, v in self.executor.envvars().items() if os.environ.get(k) != v}
        return Spec(snakemake=__version__, argv=argv, environ=environ, **more)

    def _command(self, spec: Spec) -> Captured:
        path = self.folder / f"{next(self._serials)}.json"
        spec.write(path)
        workflow = self.executor.workflow
        before = workflow.spawned_job_args_factory.precommand(
            executor_common_settings=self.executor.common_settings
        )
        command = render_command(workflow.workdir_init, before, self.python, str(path))
        return Captured(command=command, interpreter="/bin/bash")


def render_command(workdir: str, before: str, python: str, spec: str) -> str:
    """Return the shell text that starts the runner.

    Args:
        workdir: Where Snakemake was started: `workdir:` of a Snakefile counts from there.
        before: The user's --precommand, "" for none.
        python: The node's Python.
        spec: Path of the runner's file.
    """
    program = quote(python)
    return (
        f"cd -- {quote(workdir)} || exit\n"
        + (f"{before} || exit\n" if before else "")
        + f"type -P {program} >/dev/null || {{\n"
        f"  echo hpcctr: runner: no Python on this node: {program} >&2\n  exit 127\n}}\n"
        f"exec {program} -m {MODULE} {quote(spec)}"
    )


def _keeps_copies_apart(workflow: Any) -> bool:
    """Whether each job needs a folder of its own for local copies of storage files.

    Snakemake's default is in the working directory, which is shared, whatever is said of copies:
    one job would remove there what another still reads.
    """
    prefix = workflow.storage_settings.remote_job_local_storage_prefix
    shared = has_shared(workflow, "storage-local-copies")
    return not shared and str(prefix) == DEFAULT_COPIES


def _wait_arguments(workflow: Any, job: Any) -> list[str]:
    """Return inputs to wait for on a slow file system, those that are made elsewhere.

    Snakemake's own list also names local copies of storage files that the node is yet to
    download, cached sources that it may not share, and a folder that is gone with the head
    (interface 9.4).
    """
    if not has_shared(workflow, "input-output"):
        return []
    files: dict[str, None] = {}
    for each in job.jobs if job.is_group() else (job,):
        inner = inputs_from_group(each)
        files.update((str(f), None) for f in each.local_input if str(f) not in inner)
    return ["--wait-for-files", *files] if files else []


def _general_arguments(executor: Any) -> list[str]:
    """Return what any spawned Snakemake gets; --directory, if given, as it was understood here.

    Snakemake leaves it out where all is shared: `workdir:` of the Snakefile would win then.
    """
    workflow = executor.workflow
    text = workflow.spawned_job_args_factory.general_args(
        executor_common_settings=executor.common_settings
    )
    given = workflow.overwrite_workdir is not None
    return [*shlex.split(text), *(("--directory", workflow.workdir_init) if given else ())]


class _Pickler(pickle.Pickler):
    """Writes a file of a rule, which refers to the whole workflow, as its path."""

    def reducer_override(self, value: Any) -> Any:
        from snakemake.io import _IOFile  # noqa: PLC0415 (start-up time)

        if isinstance(value, _IOFile) and not value.is_storage:
            return str, (str(value),)
        return NotImplemented


def _pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()
