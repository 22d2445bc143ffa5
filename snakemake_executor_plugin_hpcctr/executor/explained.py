"""A preview → plain values: each setting with the layer that set it, argv, script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.engines import launch
from snakemake_executor_plugin_hpcctr.executor.tasks import describe_request
from snakemake_executor_plugin_hpcctr.schedulers.slurm.request import request_options
from snakemake_executor_plugin_hpcctr.script.render import render_task
from snakemake_executor_plugin_hpcctr.trace.folder import Number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.config.layers import Resolved
    from snakemake_executor_plugin_hpcctr.executor.preview import Preview
    from snakemake_executor_plugin_hpcctr.task import Task

#: Who set a bind that nobody declared.
OWN_BIND = "hpcctr, for the job's own paths"
#: Its binds and variables add up over the layers: they are told one by one.
ITEMS = ("binds", "env", "pass_env")
FIRST = Number(1, 0)


def explain(preview: Preview) -> dict[str, Any]:
    """Return everything that is known of a job before it runs."""
    problem = preview.problem
    return {
        "title": preview.title,
        "others": preview.others,
        "group": preview.group,
        "by_snakemake": preview.by_snakemake,
        "engines_assumed": preview.assumed,
        "settings": settings_of(preview),
        "warnings": list(preview.resolved.warnings),
        "problem": None
        if problem is None
        else {"where": problem.where, "what": problem.what, "next_step": problem.next_step},
        "task": None if preview.task is None else _task(preview, preview.task),
    }


def settings_of(preview: Preview) -> list[dict[str, Any]]:
    """Return name, value and origin of each setting that is set, items of lists one by one."""
    resolved, layers = preview.resolved, preview.layers
    image = preview.task.image if preview.task else None
    origin = resolved.origin.get("image", "the Snakefile, container:")
    own = [] if image is None else [{"name": "image", "value": image.reference, "set_by": origin}]
    own += [
        {"name": name, "value": value, "set_by": origin} for name, value, origin in _own(resolved)
    ]
    general = [
        {"name": name, "value": _plain(getattr(layers.settings, name)), "set_by": origin}
        for name, origin in layers.settings.origin.items()
        if getattr(layers.settings, name) is not None
    ]
    return own + general


def _own(resolved: Resolved) -> Iterator[tuple[str, Any, str]]:
    origin = resolved.origin
    for name, value in sorted(resolved.values.items()):
        if name not in (*ITEMS, "image"):
            yield name, _plain(value), origin.get(name, "default")
    for bind in resolved.binds:
        yield "binds", str(bind), origin[f"binds[{bind.target}]"]
    for name, value in resolved.env.items():
        yield f"env {name}", value, origin[f"env[{name}]"]
    for name in resolved.pass_env:
        yield "pass_env", name, origin[f"pass_env[{name}]"]


def _task(preview: Preview, task: Task) -> dict[str, Any]:
    started = launch(task)
    folder = preview.folder
    library, marker = str(folder.path), str(folder.marker(FIRST))
    return {
        "engine": task.engine,
        "image": None if task.image is None else task.image.model_dump(),
        "binds": _binds(preview.resolved, task),
        "workdir": task.workdir,
        "tmpdir": task.tmpdir,
        "environment": task.env,
        "request": describe_request(task.resources),
        "sbatch": [*request_options(task.resources), *task.resources.extra],
        "argv": list(started.argv),
        "engine_environment": dict(started.env),
        "engine_files": dict(started.files),
        "interpreter": task.interpreter,
        "command": None if preview.by_snakemake else task.command,
        "script": None
        if preview.by_snakemake
        else render_task(task, started, number=str(FIRST), library=library, marker=marker),
    }


def _binds(resolved: Resolved, task: Task) -> list[dict[str, str]]:
    return [
        {"bind": str(bind), "set_by": resolved.origin.get(f"binds[{bind.target}]", OWN_BIND)}
        for bind in task.binds
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if isinstance(value, (bool, int, float)) or value is None else str(value)
