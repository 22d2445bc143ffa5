"""Rows about Snakemake's Python on a node: it did not start, or a rule's `run:` block failed."""

from __future__ import annotations

from snakemake_executor_plugin_hpcctr.diagnosis.evidence import Cause
from snakemake_executor_plugin_hpcctr.diagnosis.match import both, exit_code, holds, log
from snakemake_executor_plugin_hpcctr.diagnosis.row import Row

_SETTING = "name it with `python:` in hpcctr.yaml, or --hpcctr-python"

RUNNER: tuple[Row, ...] = (
    Row(
        Cause.RUNNER,
        log(r"^hpcctr: runner: no Python on this node: (?P<what>.+)"),
        "This job needs Snakemake on its node, and {node} has no Python {what}",
        f"choose one that all nodes have, with Snakemake and hpcctr in it, and {_SETTING}",
    ),
    Row(
        Cause.RUNNER,
        log(
            r"^(?P<what>\S+): (?=.*No module named '?snakemake_executor_plugin_hpcctr)",
            r"^hpcctr: runner: (?P<what>\S+) has no Snakemake",
        ),
        "This job needs Snakemake on its node, and {what} on {node} does not have it, or lacks "
        "hpcctr",
        f"install both there, or choose another Python: {_SETTING}",
    ),
    Row(
        Cause.RUNNER,
        log(r"^hpcctr: runner: (?P<what>\S+ has Snakemake .+)"),
        "The node's Snakemake is not the one that you started: {what}",
        f"install the same version there, or choose another Python: {_SETTING}",
    ),
    Row(
        Cause.NO_SHARED_FOLDER,
        log(r"^hpcctr: runner: (?P<what>the job's file cannot be read.+)"),
        "The task could not start on {node}: {what}",
        "run the workflow on a file system that this machine and all nodes share",
    ),
)

#: After the rows about memory, modules and GPUs, which tell more.
BLOCK: tuple[Row, ...] = (
    Row(
        Cause.EXIT_CODE,
        log(r"^hpcctr: rule \S+: the run: block called (?P<what>sys\.exit\(.*\))"),
        "The `run:` block ended itself: {what}",
        "what it printed before stands in the log; any code but 0 is a failure",
    ),
    Row(
        Cause.EXIT_CODE,
        both(
            holds(lambda e: exit_code(e) == 1),
            log(r'^(?P<what>\w+ in file ".+", line \d+)', last=True),
        ),
        "The rule's own code failed: {what}",
        "the lines below that one in the log tell what was wrong",
    ),
)
