"""`hpcctr explain`: every value of a rule, who set it, and the exact script."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.cli.workflow import (
    Directory,
    Given,
    More,
    Selected,
    Snakefile,
    pairs,
    preview,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

INDENT = "  "


def explain(  # noqa: PLR0913 (one parameter per option)
    rule: Annotated[str, typer.Argument(metavar="RULE", help="A rule of the workflow.")],
    wildcards: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WILDCARD=VALUE]…", help="Which of its jobs; else the first."),
    ] = None,
    *,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
    given: Given = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Show how a rule would run: each value with what set it, the engine's command, the script.

    Nothing is run, pulled or changed. Exit code 1 if a run would refuse the job.
    """
    from snakemake_executor_plugin_hpcctr.executor.explained import (  # noqa: PLC0415 (start-up time)
        explain as explained,
    )
    from snakemake_executor_plugin_hpcctr.executor.preview import Purpose  # noqa: PLC0415 (as above)

    workflow = Selected(snakefile, directory, more)
    found = explained(
        preview(
            rule,
            pairs(wildcards or (), "wildcard"),
            workflow,
            pairs(given or (), "resource"),
            Purpose(output.note),
        )
    )
    if as_json:
        output.as_json(found)
    else:
        output.data("\n".join(render(found)))
    raise typer.Exit(0 if found["problem"] is None else 1)


def render(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines for people."""
    yield f"rule {found['title']}" + _among(found["others"])
    if found["group"]:
        yield f"{INDENT}part of the group {found['group']}, which is submitted as one"
    yield from (f"{INDENT}warning: {sentence}" for sentence in found["warnings"])
    if problem := found["problem"]:
        yield f"{INDENT}a run would refuse it: {problem['what']}"
        yield f"{INDENT}hint: {problem['next_step']}"
    task = found["task"]
    if task:
        yield from _head(task, assumed=found["engines_assumed"])
    yield "\nSettings"
    rows = [(s["name"], _shown(s["value"]), s["set_by"]) for s in found["settings"]]
    yield textwrap.indent(output.table([("name", "value", "set by"), *rows]), INDENT)
    if task:
        yield from _task(task)


def _among(others: int) -> str:
    return f", the first of {others + 1} jobs that fit" if others else ""


def _head(task: dict[str, Any], *, assumed: bool) -> Iterator[str]:
    image = task["image"]
    guess = " (the nodes were not asked which engines they have)" if assumed else ""
    yield f"{INDENT}engine   {task['engine']}{guess}"
    if image:
        location = image["location"]
        at = "" if location == image["reference"] else f", {location}"
        yield f"{INDENT}image    {image['reference']}{at}"
    yield f"{INDENT}request  {task['request']}"


def _task(task: dict[str, Any]) -> Iterator[str]:
    if task["binds"]:
        yield "\nBinds"
        rows = [(bind["bind"], bind["set_by"]) for bind in task["binds"]]
        yield textwrap.indent(output.table([("bind", "set by"), *rows]), INDENT)
    yield "\nOptions for sbatch"
    yield INDENT + shlex.join(task["sbatch"])
    if task["argv"]:
        yield "\nThe engine's command, before the program that runs inside"
        yield INDENT + _joined(task["argv"])
    for name, text in task["engine_files"].items():
        yield f"\nIts file {name}"
        yield textwrap.indent(text.rstrip("\n"), INDENT)
    if task["script"] is None:
        yield "\nSnakemake itself runs this job on the node: there is no command to show before"
        return
    yield "\nThe command"
    yield textwrap.indent(task["command"].strip("\n"), INDENT)
    yield "\nThe script"
    yield task["script"].rstrip("\n")


def _joined(argv: list[str]) -> str:
    r"""Return a command line with a `\` where it is broken before an option."""
    lines: list[str] = []
    current = previous = ""
    for word in map(shlex.quote, argv):
        ends = word.startswith("-") or (previous.startswith("-") and "=" in previous)
        if current and (ends or not previous.startswith("-")):
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
        previous = word
    return f" \\\n{INDENT}{INDENT}".join([*lines, current])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
