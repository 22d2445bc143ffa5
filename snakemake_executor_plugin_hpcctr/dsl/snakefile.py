"""Plan → Snakefile: one rule with a wildcard for each process call."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.dsl.model import Call, Plan
    from snakemake_executor_plugin_hpcctr.dsl.runtime.layout import Layout

HEAD = """\
# Made by hpcctr from {file}; every run makes it anew.
import sys
from snakemake_executor_plugin_hpcctr.dsl.rules import Planned

tasks = Planned({root!r}, globals())
hpcctr = sys.executable + " -m snakemake_executor_plugin_hpcctr.cli"


wildcard_constraints:
    key=r"[^/]+",
    segment=r"[^/]+",


rule all:
    default_target: True
    localrule: True
    input:
        tasks.wanted,
"""
SEGMENT = """

# Writes the part of the plan that depends on results of tasks.
checkpoint segment:
    localrule: True
    input:
        tasks.read_by_segment,
    output:
        "{root}/segments/{{segment}}.json",
    shell:
        hpcctr + " dsl segment --root {root} {{wildcards.segment}}"
"""
#: Directive → resource; those with units are converted.
PLAIN = {
    "accelerator": "gpu",
    "cpus": "threads",
    "engine": "engine",
    "gpu": "gpu",
    "gpu_model": "gpu_model",
    "queue": "slurm_partition",
}
RETRIES = 1


def render(plan: Plan) -> str:
    """Return the text of the Snakefile."""
    parts = [HEAD.format(file=plan.file, root=plan.root), _secrets(plan)]
    if plan.segments:
        parts.append(SEGMENT.format(root=plan.root))
    parts += [_rule(call, plan.root) for call in plan.calls]
    return "".join(parts)


def _secrets(plan: Plan) -> str:
    """Return the names of variables that tasks get from where Snakemake was started."""
    names = sorted({name for call in plan.calls for name in call.directives.get("secret", ())})
    lines = [f"    {json.dumps(name)}," for name in names]
    return "\n".join(["\nenvvars:", *lines, ""]) if names else ""


def _rule(call: Call, root: str) -> str:
    place = call.place
    lines = [f"\n\n# {call.name}, {place.file}:{place.line}", f"rule {call.rule}:"]
    if call.body.kind == "exec":
        lines.append("    localrule: True")
    lines += ["    input:", f"        tasks.needs({call.rule!r}),"]
    lines += ["    output:", f'        "{root}/{call.rule}/{{key}}.json",']
    container = call.directives.get("container")
    if container or "container" in _dynamic(call):
        lines += ["    container:", f"        {_container(call)}"]
    if call.directives.get("cpus", 1) != 1 or "cpus" in _dynamic(call):
        lines += ["    threads: " + _constant_or_lookup(call, "cpus", "threads")]
    retries = retries_of(call)
    if retries:
        lines.append(f"    retries: {retries}")
    resources = list(_resources(call))
    if resources:
        lines += ["    resources:", *(f"        {line}," for line in resources)]
    attempt = " --attempt {resources.attempt}" if retries else ""
    lines += [
        "    shell:",
        f'        hpcctr + " dsl task --root {root} {call.rule} {{wildcards.key}}{attempt}"',
    ]
    return "\n".join(lines) + "\n"


def _dynamic(call: Call) -> frozenset[str]:
    names: set[str] = set()
    for task in call.tasks.values():
        for attempt in task.directives:
            names |= attempt.keys()
        if not task.directives:
            break
    for attempt in call.attempts:
        names |= attempt.keys()
    return frozenset(names)


def _container(call: Call) -> str:
    if "container" in _dynamic(call):
        return f"tasks.container({call.rule!r})"
    return json.dumps(call.directives["container"])


def _constant_or_lookup(call: Call, name: str, resource: str) -> str:
    if name in _dynamic(call):
        return f"tasks.value({call.rule!r}, {resource!r})"
    return json.dumps(translate(name, call.directives[name])[resource])


def retries_of(call: Call) -> int:
    """Return how often Snakemake may try a task again."""
    strategy = call.directives.get("errorStrategy", "terminate")
    if strategy in {"retry", "dynamic"}:
        retries = call.directives.get("maxRetries", RETRIES)
        return int(retries) if isinstance(retries, int) else RETRIES
    return 0


def _resources(call: Call) -> Iterator[str]:
    dynamic = _dynamic(call)
    if retries_of(call):
        yield "attempt=lambda wildcards, attempt: attempt"
    for name, value in call.directives.items():
        if name in dynamic or name == "cpus":
            continue
        for resource, amount in translate(name, value).items():
            yield f"{resource}={json.dumps(amount)}"
    for name in sorted(dynamic - {"cpus", "container"}):
        for resource in translate(name, _sample(call, name)):
            yield f"{resource}=tasks.value({call.rule!r}, {resource!r})"
    if "maxForks" in call.directives:
        yield f"maxForks_{call.rule}=1"


def _sample(call: Call, name: str) -> Any:
    for attempt in call.attempts or next(iter(call.tasks.values())).directives:
        if name in attempt:
            return attempt[name]
    return None


def translate(name: str, value: Any) -> dict[str, Any]:
    """Return a directive as threads or resources of Snakemake; {} if it concerns neither."""
    if value is None:
        return {}
    if name in PLAIN:
        return {PLAIN[name]: value}
    match name:
        case "memory":
            return {"mem_mb": math.ceil(value / 1024**2)}  # Slurm counts in MiB
        case "time":
            return {"runtime": max(1, math.ceil(value / 60_000))}
        case "disk":
            return {"disk_mb": math.ceil(value / 1024**2)}
        case "clusterOptions":
            return {"slurm_extra": " ".join(value)}
        case "binds":
            return {"binds": ",".join(value)}
        case "containerOptions":
            return {f"{engine}_args": value for engine in ("apptainer", "enroot", "pyxis")}
        case _:
            return {}


def limits(plan: Plan) -> list[str]:
    """Return the words of `--resources` that keep the processes' maxForks."""
    return [
        f"maxForks_{call.rule}={call.directives['maxForks']}"
        for call in plan.calls
        if call.directives.get("maxForks")
    ]


def write(plan: Plan, layout: Layout) -> Path:
    """Write plan and Snakefile; return the Snakefile's path."""
    layout.root.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (layout.plan, plan.model_dump_json(exclude_defaults=True)),
        (layout.snakefile, render(plan)),
    ):
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return layout.snakefile
