"""Containers that nobody would start, since Snakemake itself runs the job on its node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.bridge.place import has_block, why_snakemake
from snakemake_executor_plugin_hpcctr.errors import EngineError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.config.layers import Resolved

NOT_CONTAINED = (
    "its `run:` block runs in Snakemake's own Python, outside of the container, as with any "
    "executor; with `--sdm apptainer` its shell() calls run inside"
)


def lost_container(
    workflow: Any, job: Any, resolved: Resolved, reason: str = ""
) -> tuple[str, ...]:
    """Refuse a job whose container nobody would start; a `run:` block never runs in one.

    Args:
        workflow: Snakemake's workflow.
        job: Snakemake's job, no group.
        resolved: Its settings.
        reason: Why Snakemake itself runs it, if that is not a reason of its own.

    Returns:
        What the user should be warned of.

    Raises:
        EngineError: It names a container, which is not Snakemake's to start.
    """
    if not bridge.lost_image(job, resolved.image):
        return ()
    if has_block(job):
        return (NOT_CONTAINED,)
    if reason := why_snakemake(workflow, job) or reason:
        raise EngineError(
            f"Snakemake itself has to run it on its node, because {reason}, and there it "
            "starts no container without --sdm apptainer",
            where=f"rule {resolved.rule}",
            next_step="add `--sdm apptainer`, take the rule out of its group if it is in one, "
            "or share more with --shared-fs-usage",
        )
    return ()
