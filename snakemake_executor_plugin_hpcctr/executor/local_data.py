"""Inputs and outputs of a task on its node's own disk, under the paths that its command knows.

A copy of each input is bound over the original; an empty folder is bound over the folder of its
outputs, which are copied back when the command succeeded.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.task import Bind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snakemake_executor_plugin_hpcctr.task import Task

#: Paths that every engine can bind.
PLAIN = re.compile(r"/[A-Za-z0-9_@%+=./-]+")
#: Each input is a bind, and a command line has an end.
MOST_INPUTS = 100


def with_local_data(
    task: Task, inputs: Sequence[str], outputs: Sequence[str], others: Sequence[str]
) -> tuple[Task, tuple[str, ...]]:
    """Return the task with its data on the node's disk, and sentences on what stays in place.

    Args:
        task: In a container, with one process.
        inputs: Absolute paths.
        outputs: Absolute paths of the outputs that may be made elsewhere.
        others: Absolute paths that the command uses as well: logs, sources …
    """
    if task.engine == "host":
        return task, ("`stage: {data: true}` needs a container, so its data stay in place",)
    if task.shared or task.launcher or (task.resources.nodes or 1) > 1:
        return task, ("data of a group, or of several processes or nodes, stay in place",)
    copies, said = _copies(task, inputs)
    folders, more = _folders(task, inputs, outputs, others)
    binds = [Bind(source=copy, target=path, read_only=True) for path, copy in copies]
    binds += [Bind(source=local, target=folder) for folder, local in folders.items()]
    made = tuple(
        (f"{folders[folder]}/{posixpath.basename(path)}", path)
        for path in outputs
        if (folder := posixpath.dirname(path)) in folders
    )
    stage = task.stage.model_copy(update={"inputs": copies, "outputs": made})
    changed = task.model_copy(update={"binds": (*task.binds, *binds), "stage": stage})
    return changed, (*said, *more)


def _copies(
    task: Task, inputs: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    unique = dict.fromkeys(inputs)
    if len(unique) > MOST_INPUTS:  # before each is looked at
        return (), (f"more than {MOST_INPUTS} inputs are too many to copy: they stay in place",)
    usable = [path for path in unique if _is_plain(path)]
    usable = [path for path in usable if not _inside(path, (p for p in usable if p != path))]
    said = [f"the input {path} stays in place" for path in inputs if path not in usable]
    return tuple(
        (path, f"{task.scratch}/in/{index}/{posixpath.basename(path)}")
        for index, path in enumerate(usable)
    ), tuple(said)


def _folders(
    task: Task, inputs: Sequence[str], outputs: Sequence[str], others: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the folders of outputs that hold nothing else of the task, with their local ones."""
    wanted = list(dict.fromkeys(map(posixpath.dirname, outputs)))
    used = [*inputs, *others, task.workdir]
    folders: dict[str, str] = {}
    said = []
    for folder in wanted:
        rest = [one for one in wanted if one != folder]
        within = [*used, *rest, *(bind.target for bind in task.binds)]
        shared = folder in used or any(_inside(path, [folder]) for path in within)
        if _is_plain(folder) and not shared:
            folders[folder] = f"{task.scratch}/out/{len(folders)}"
        else:
            said.append(f"outputs in {folder} are made in place: the task uses that folder more")
    return folders, tuple(said)


def _inside(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _is_plain(path: str) -> bool:
    return PLAIN.fullmatch(path) is not None and os.path.realpath(path) == path
