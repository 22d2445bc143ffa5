"""All checks, in the order in which a person would repair things. Pure: facts → findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.doctor.checks_nodes import NODE_CHECKS
from snakemake_executor_plugin_hpcctr.doctor.checks_slurm import SLURM_CHECKS
from snakemake_executor_plugin_hpcctr.doctor.checks_storage import STORAGE_CHECKS
from snakemake_executor_plugin_hpcctr.doctor.finding import Level, error, of_trouble, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from snakemake_executor_plugin_hpcctr.doctor.facts import Facts
    from snakemake_executor_plugin_hpcctr.doctor.finding import Finding


def check_configuration(facts: Facts) -> Iterator[Finding]:
    """Tell whether the configuration files can be read."""
    if facts.configuration:
        yield of_trouble("configuration", facts.configuration)
    else:
        yield ok("configuration", "the configuration can be read")


def check_workflow(facts: Facts) -> Iterator[Finding]:
    """Tell whether the workflow can be loaded, and whether it has anything to run."""
    if facts.loading:
        yield of_trouble("workflow", facts.loading)
    elif facts.workflow and not facts.rules:
        yield error(
            "workflow",
            f"{facts.workflow} plans no job that would run as a task",
            "check its first rule: by default Snakemake makes what that one needs",
        )
    elif facts.workflow:
        yield ok("workflow", f"{facts.workflow} plans jobs of {len(facts.rules)} rule(s)")


CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    check_configuration,
    check_workflow,
    *SLURM_CHECKS,
    *NODE_CHECKS,
    *STORAGE_CHECKS,
)


def diagnose(facts: Facts) -> list[Finding]:
    """Return what all checks find."""
    return [finding for check in CHECKS for finding in check(facts)]


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of all findings."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)
