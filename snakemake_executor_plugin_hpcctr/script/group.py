"""Group → the text of its job script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.script.quote import quote, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakemake_executor_plugin_hpcctr.task import Member, NodeWork, Resources, TaskGroup


def render_group(
    group: TaskGroup,
    places: Sequence[tuple[str, str, str]],
    *,
    number: str,
    library: str,
    marker: str,
) -> str:
    """Return the script of a group; `bash SCRIPT` runs it by hand, too.

    Args:
        group: What to run.
        places: Absolute paths of each member's script, log and marker.
        number: The group's number within its run, `SUBMISSION.INDEX`.
        library: Absolute folder that holds the static parts on the node.
        marker: Absolute path of the group's own exit marker, without the restart count.
    """
    variables = {
        "hpcctr_marker": marker,
        "hpcctr_workdir": group.workdir,
        "group_cores": str(group.resources.cpus_per_task),
        "group_memory": str(group.resources.mem_mb or 0),
        "group_gpus": str(group.resources.gpu.count if group.resources.gpu else 0),
        "group_patience": str(group.patience_s),
    }
    title = " ".join(f"hpcctr {number}: {group.title}, attempt {group.attempt}".split())
    members = enumerate(zip(group.members, places, strict=True))
    return "".join(
        [
            f"#!/bin/bash\n# {title}\n",
            f"source {quote(library + '/hpcctr.sh')}\n",
            f"source {quote(library + '/group.sh')}\n\n",
            *(f"{name}={quote(value)}\n" for name, value in variables.items()),
            "\n",
            *(_member(index, member, place) for index, (member, place) in members),
            *(_temporary(path, after) for path, after in group.temporary),
            "\ngroup_run\n",
        ]
    )


def memory_of(resources: Resources) -> int:
    """Return the MiB that a request comes to on one node; 0 if it says nothing of memory."""
    per_cpu = (resources.mem_mb_per_cpu or 0) * resources.cpus_per_task
    return resources.mem_mb or per_cpu


def _member(index: int, member: Member, place: tuple[str, str, str]) -> str:
    resources = member.task.resources
    call = (
        "group_member",
        str(member.unit),
        "\n".join(member.serves),
        str(resources.cpus_per_task),
        str(memory_of(resources)),
        str(resources.gpu.count if resources.gpu else 0),
        *place,
        member.task.title,
        " ".join(map(str, member.after)),
        *member.waits_for,
    )
    return words(call) + "\n" + _functions(index, member.work)


def _temporary(path: str, after: tuple[int, ...]) -> str:
    return words(("group_temporary", path, *map(str, after))) + "\n"


def _functions(index: int, work: NodeWork) -> str:
    before, after = _before(work), _after(work)
    return "".join(
        f"group_{name}_{index}() {{\n" + " &&\n".join(f"  {words(c)}" for c in calls) + "\n}\n"
        for name, calls in (("before", before), ("after", after))
        if calls
    )


def _before(work: NodeWork) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []
    if work.local:
        calls.append(("group_make_room", *work.local))
    if work.shadow:
        calls.append(("group_renew_shadow", work.shadow_kind, work.shadow, *work.shadow_inputs))
    return calls


def _after(work: NodeWork) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []
    if work.touches:
        calls.append(("group_touch", *work.touches))
    if work.shadow:
        calls.append(("group_unshadow", work.shadow, *work.products))
    if work.taken:
        calls.append(("group_check_made", *work.taken))
    return calls
