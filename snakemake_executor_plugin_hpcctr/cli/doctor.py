"""`hpcctr doctor`: what could keep a run from working, before anything is submitted."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.cli.workflow import More, Selected
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snakemake_executor_plugin_hpcctr.doctor.finding import Finding

SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
COLOURS = {"ok": "32", "warning": "33", "error": "31"}


def doctor(
    workflow: Annotated[
        Path | None,
        typer.Argument(
            metavar="[WORKFLOW]", help="A Snakefile, or the folder of one; else the current folder."
        ),
    ] = None,
    *,
    more: More = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Check engines, nodes, requests, binds, folders and registries before a run.

    One short job asks a node of each partition that the rules name. Exit code 1 if there is an
    error; warnings leave it 0.
    """
    from snakemake_executor_plugin_hpcctr.doctor.checks import diagnose, worst  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.doctor.finding import Level  # noqa: PLC0415 (as above)
    from snakemake_executor_plugin_hpcctr.doctor.gather import gather  # noqa: PLC0415 (as above)

    findings = diagnose(gather(_words(workflow, more), output.note))
    if as_json:
        output.as_json([asdict(finding) for finding in findings])
    else:
        output.data("\n".join(render(findings)))
    raise typer.Exit(1 if worst(findings) is Level.ERROR else 0)


def render(findings: list[Finding]) -> Iterator[str]:
    """Yield the lines for people, what to do below each problem."""
    wide = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = output.styled(f"{finding.level:7}", COLOURS[finding.level], sys.stdout)
        yield f"{level}  {finding.check:{wide}}  {finding.what}"
        if finding.next_step:
            yield f"{'':7}  {'':{wide}}  → {finding.next_step}"
    counts = Counter(finding.level.value for finding in findings)
    yield f"\n{counts['error']} error(s), {counts['warning']} warning(s), {counts['ok']} ok"


def _words(workflow: Path | None, more: str) -> list[str] | None:
    """Return Snakemake's command line for a workflow; None where there is none.

    Raises:
        ConfigError: The path that was given does not exist.
    """
    if workflow is not None and not os.path.exists(workflow):  # noqa: PTH110 (Path.exists may raise)
        raise ConfigError(f"{workflow} does not exist", next_step="name a Snakefile or its folder")
    if workflow is not None and workflow.is_dir():
        os.chdir(workflow)
        workflow = None
    if workflow is None and not any(Path(name).exists() for name in SNAKEFILES):
        return Selected(None, None, more).words() if more else None
    return Selected(workflow, None, more).words()
