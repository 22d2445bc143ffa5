"""The runner's side of Snakemake: as little of it as a job needs. Only ever on a node.

Checked against 9.17 and 9.27: a start of Snakemake there spends most of its time on plugins of
other executors, on reports and on the database of metadata, which no `run:` block uses.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from snakemake_executor_plugin_hpcctr.bridge.spec import Spec

#: Exit code of a program that SIGINT ended.
INTERRUPTED = 130
#: Modules whose classes `snakemake.workflow` names and only a plan of jobs uses.
PERSISTENCE = (
    "snakemake.persistence",
    "snakemake.persistence.file",
    "snakemake.persistence.db",
)


def version() -> str:
    """Return the version of the Snakemake that this Python has."""
    from snakemake.common import __version__  # noqa: PLC0415 (not before plugins are left out)

    return str(__version__)


def run_snakemake(spec: Spec) -> bool:
    """Let Snakemake run what the arguments say; return whether that succeeded."""
    _leave_out_plugins()
    from snakemake.api import Workflow  # noqa: PLC0415 (not before plugins are left out)

    whole, results = Workflow.execute, []

    def execute(workflow: Any, *words: Any, **named: Any) -> None:
        results.append(whole(workflow, *words, **named))

    Workflow.execute = execute  # its False, for inputs that never appeared, is lost (9.27)
    return _start(spec) and False not in results


def run_block(spec: Spec) -> bool:
    """Parse the workflow and call one rule's `run:` block; return whether that succeeded.

    Errors of the block are printed as Snakemake's local executor prints them.
    """
    _leave_out_plugins()
    _leave_out_persistence()
    from snakemake.api import Workflow  # noqa: PLC0415 (not before plugins are left out)

    def execute(workflow: Any, *_: Any, **__: Any) -> None:
        _call(workflow, spec)

    Workflow.execute = execute  # Snakemake has read everything and would now plan its jobs
    return _start(spec)


def _start(spec: Spec) -> bool:
    with tempfile.TemporaryDirectory(prefix="storage-") as folder:
        more = ("--local-storage-prefix", folder) if spec.own_storage else ()
        return _start_with([*spec.argv, *more])


def _start_with(argv: list[str]) -> bool:
    import snakemake  # noqa: PLC0415 (not before plugins are left out)
    from snakemake.cli import args_to_api, parse_args  # noqa: PLC0415 (as above)

    sys.argv = [f"{snakemake.__path__[0]}/__main__.py", *argv]
    parser, arguments = parse_args(argv)
    return bool(args_to_api(arguments, parser))


def _call(workflow: Any, spec: Spec) -> None:
    from snakemake.executors.local import run_wrapper  # noqa: PLC0415 (not before plugins are left out)
    from snakemake.shell import shell  # noqa: PLC0415 (as above)

    keep = workflow.deployment_settings.conda_not_block_search_path_envvars
    shell.conda_block_conflicting_envvars = not keep
    workflow.checkpoints.created_output.update(spec.checkpoints)
    # Classes of the Snakefile are found by name, now that it is parsed.
    arguments = pickle.loads(spec.arguments)  # noqa: S301 (written by the head, readable by us alone)
    rule = workflow.get_rule(spec.rule)
    _remove_outputs(workflow, rule, dict(arguments["wildcards"].items()))
    try:
        run_wrapper(job_rule=rule, linemaps=workflow.linemaps, **arguments)
    except SystemExit as ended:
        if ended.code:
            _say(f"rule {spec.rule}: the run: block called sys.exit({ended.code!r})")
        raise
    except KeyboardInterrupt:
        _say(f"rule {spec.rule}: the run: block was interrupted")
        sys.exit(INTERRUPTED)


def _remove_outputs(workflow: Any, rule: Any, wildcards: dict[str, str]) -> None:
    """Remove outputs that are there again: of a first run on the node, or made by the Snakefile.

    The head has removed them, but a Snakefile whose own lines make files makes them at each parse.
    """
    from snakemake.io import is_flagged  # noqa: PLC0415 (not before plugins are left out)

    outputs, _ = rule.expand_output(wildcards)
    for file in outputs:
        if os.path.lexists(file) and not file.is_storage and not is_flagged(file, "update"):
            workflow.async_run(file.remove(remove_non_empty_dir=False))


def _say(words: str) -> None:
    sys.stderr.write(f"hpcctr: {words}\n")


def _leave_out_plugins() -> None:
    """Keep Snakemake from importing plugins that cannot matter here, each with what it needs."""
    from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry  # noqa: PLC0415 (start-up time)
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry  # noqa: PLC0415 (as above)
    from snakemake_interface_report_plugins.registry import ReportPluginRegistry  # noqa: PLC0415 (as above)

    ExecutorPluginRegistry.collect_plugins = _collect_local
    for registry in (LoggerPluginRegistry, ReportPluginRegistry):
        registry.collect_plugins = _collect_none


def _collect_none(registry: Any) -> None:
    registry.plugins = {}


def _collect_local(registry: Any) -> None:
    from snakemake.executors import local  # noqa: PLC0415 (a circle of imports)

    registry.plugins = {}
    registry.register_plugin("local", local)


class _Absent(ModuleType):
    """Stands for a module; any class asked of it is an empty one."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 (a package to the import system)

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _leave_out_persistence() -> None:
    for name in PERSISTENCE:
        sys.modules[name] = _Absent(name)
