"""A workflow as the executor would get it, without running anything.

Snakemake reads its own command line, profiles and the Snakefile, and builds its plan of jobs;
where it would start to run them, we look at them instead. Nothing is locked, pulled or removed.
"""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A workflow with its plan of jobs.

    Args:
        workflow: Snakemake's workflow.
        settings: ExecutorSettings, from command line, profile and environment.
        envvars: Variables that the workflow declares with `envvars:`.
    """

    workflow: Any
    settings: Any
    envvars: Mapping[str, str]


def with_workflow(words: Sequence[str], use: Callable[[Loaded], T]) -> T:
    """Load a workflow and return what `use` makes of it.

    While `use` runs, the process is in the workflow's working directory.

    Args:
        words: Words for Snakemake's command line.
        use: Looks at the workflow.

    Raises:
        ConfigError: Snakemake cannot load it; its own words were logged.
        HpcctrError: What `use` raises.
    """
    from snakemake.cli import args_to_api  # noqa: PLC0415 (start-up time)

    parser, args = _parse(words)
    found: list[T] = []
    raised: list[Exception] = []

    def look(workflow: Any, executor_settings: Any) -> None:
        try:
            with in_our_words():
                found.append(use(_loaded(workflow, executor_settings)))
        except Exception as error:  # noqa: BLE001 (raised again below: Snakemake would print it)
            raised.append(error)

    with _standing_in(look):
        try:
            args_to_api(args, parser)
        except Exception as error:  # some errors in a Snakefile break Snakemake's own words on them
            first = error.__context__ or error
            raise _not_loaded(f": {type(first).__name__}: {first}") from error
    if raised:
        raise raised[0]
    if not found:
        raise _not_loaded("; what it says stands above")
    return found[0]


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turn what Snakemake says of a job, or of a function of the Snakefile, into our error.

    Raises:
        ConfigError: In place of an exception of Snakemake's own.
    """
    from snakemake.exceptions import RuleException, WorkflowError  # noqa: PLC0415 (start-up time)

    try:
        yield
    except (RuleException, WorkflowError) as error:
        said = str(error).strip().removeprefix("Error:").strip()
        raise ConfigError(
            f"Snakemake refuses the job: {said}",
            next_step="`snakemake -np` with the same options shows each command that it makes; "
            "correct the Snakefile at the line that is named",
        ) from error


def _parse(words: Sequence[str]) -> tuple[Any, Any]:
    """Read Snakemake's command line, profiles included, without its page of usage on a mistake."""
    from snakemake.cli import parse_args  # noqa: PLC0415 (start-up time)

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parser, args = parse_args([*words, "--executor", "hpcctr"])
    except SystemExit:
        last = said.getvalue().strip().rpartition("\n")[2].partition("error: ")[2]
        raise ConfigError(
            f"Snakemake does not take these words: {last}", where=" ".join(words)
        ) from None
    args.jobs = args.jobs or 1
    args.nolock = True
    return parser, args


def _not_loaded(words: str) -> ConfigError:
    return ConfigError(
        f"Snakemake cannot load the workflow{words}",
        next_step="`snakemake -n` with the same options says the same: repair that first",
    )


def _loaded(workflow: Any, settings: Any) -> Loaded:
    from snakemake.logging import logger  # noqa: PLC0415 (start-up time)
    from snakemake_interface_executor_plugins.registry import (  # noqa: PLC0415 (start-up time)
        ExecutorPluginRegistry,
    )

    local = ExecutorPluginRegistry().get_plugin("local").executor(workflow, logger)
    workflow.scheduler = SimpleNamespace(_local_executor=local)
    return Loaded(workflow, settings, workflow.spawned_job_args_factory.envvars())


@contextmanager
def _standing_in(look: Callable[[Any, Any], None]) -> Iterator[None]:
    """Let Snakemake look at its jobs where it would run them, and keep its log quiet."""
    from snakemake.logging import LoggerManager, logger  # noqa: PLC0415 (start-up time)
    from snakemake.workflow import Workflow  # noqa: PLC0415 (start-up time)

    def execute(workflow: Any, *, executor_plugin: Any, executor_settings: Any, **_: Any) -> None:
        workflow._executor_plugin = executor_plugin  # noqa: SLF001 (as Workflow.execute does)
        workflow.executor_settings = executor_settings
        workflow._prepare_dag(  # noqa: SLF001 (as above)
            forceall=workflow.dag_settings.forceall,
            ignore_incomplete=True,
            lock_warn_only=True,
            nolock=True,
            shadow_prefix=workflow.execution_settings.shadow_prefix,
        )
        workflow._build_dag()  # noqa: SLF001 (as above)
        look(workflow, executor_settings)

    real = Workflow.execute, LoggerManager.setup_logfile
    Workflow.execute, LoggerManager.setup_logfile = execute, lambda *_, **__: None
    logger.addFilter(_only_problems)
    try:
        yield
    finally:
        logger.removeFilter(_only_problems)
        Workflow.execute, LoggerManager.setup_logfile = real


def _only_problems(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def jobs_of(workflow: Any, rule: str, wildcards: Mapping[str, str]) -> list[Any]:
    """Return the planned jobs of a rule with these wildcard values, in the order of all values."""
    fitting = [
        job
        for job in workflow.dag.jobs
        if job.rule.name == rule
        and wildcards.items() <= {k: str(v) for k, v in (job.wildcards_dict or {}).items()}.items()
    ]
    return sorted(fitting, key=lambda job: sorted((job.wildcards_dict or {}).items()))


def one_job_per_rule(workflow: Any) -> list[Any]:
    """Return the first planned job of each rule that is not run by Snakemake itself."""
    first: dict[str, Any] = {}
    for job in sorted(workflow.dag.jobs, key=lambda job: str(job.wildcards_dict)):
        if not job.is_local and not job.is_norun:
            first.setdefault(job.rule.name, job)
    return list(first.values())


def rules_of(workflow: Any) -> dict[str, tuple[str, ...]]:
    """Return all rules of the workflow with the names of their wildcards."""
    return {rule.name: tuple(sorted(rule.wildcard_names)) for rule in workflow.rules}
