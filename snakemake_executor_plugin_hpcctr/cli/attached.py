"""`hpcctr shell`, `exec` and `run`: inside a rule's container, or an image's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli.target import Target
from snakemake_executor_plugin_hpcctr.cli.workflow import (
    Directory,
    Given,
    More,
    Selected,
    Snakefile,
    pairs,
)
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.executor.preview import Preview
    from snakemake_executor_plugin_hpcctr.task import Task

Here = Annotated[
    bool, typer.Option("--here", help="On this machine, not as a job on a compute node.")
]
#: Options come before the first word: all that follows belongs to the command.
LITERAL = {"allow_interspersed_args": False, "ignore_unknown_options": True}
SEPARATOR = "--"


def shell(  # noqa: PLR0913 (one parameter per option)
    what: Annotated[
        str, typer.Argument(metavar="RULE|JOB|IMAGE", help="A rule, a Slurm job, or an image.")
    ],
    wildcards: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WILDCARD=VALUE]…", help="Which of the rule's jobs."),
    ] = None,
    *,
    here: Here = False,
    given: Given = None,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
) -> None:
    """Open a shell where a rule's command runs: its image, engine, binds, variables and request.

    The command is in the shell's history. Nothing of the workflow is changed. JOB is an id as
    `hpcctr status --json` and squeue show it; a job that still runs is joined in its allocation.
    """
    from snakemake_executor_plugin_hpcctr.executor.attached import shell_task  # noqa: PLC0415 (start-up time)

    asked = Target(
        what,
        pairs(wildcards or (), "wildcard"),
        Selected(snakefile, directory, more),
        pairs(given or (), "resource"),
    )
    _go(asked, here=here, change=lambda found, task: shell_task(task, found.title, found.to_make))


def execute(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RULE|JOB|IMAGE [WILDCARD=VALUE]… -- COMMAND…",
            help="Where, and the command with its words.",
        ),
    ],
    *,
    here: Here = False,
    given: Given = None,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
) -> None:
    """Run one command where a rule's command runs; the exit code is the command's.

    Options come before RULE, all words after `--` belong to the command.
    """
    from snakemake_executor_plugin_hpcctr.executor.attached import command_task  # noqa: PLC0415 (start-up time)

    if SEPARATOR not in words[1:-1]:
        raise ConfigError(
            "there is no command", next_step="write hpcctr exec RULE -- COMMAND, e.g. `-- env`"
        )
    cut = words.index(SEPARATOR)
    asked = Target(
        words[0],
        pairs(words[1:cut], "wildcard"),
        Selected(snakefile, directory, more),
        pairs(given or (), "resource"),
    )
    _go(asked, here=here, change=lambda _, task: command_task(task, words[cut + 1 :]))


def run(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image reference, or its name.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]…", help="For the image's command.")
    ] = None,
    *,
    here: Here = False,
    given: Given = None,
    directory: Directory = None,
) -> None:
    """Run an image's own default command; the exit code is the command's.

    Options come before IMAGE, all words after it belong to the command.
    """
    from snakemake_executor_plugin_hpcctr.executor.attached import default_task  # noqa: PLC0415 (start-up time)

    words = list(arguments or ())
    if words[:1] == [SEPARATOR]:
        del words[0]
    asked = Target(
        image, {}, Selected(None, directory), pairs(given or (), "resource"), is_image=True
    )
    _go(asked, here=here, change=lambda _, task: default_task(task, words))


def _go(target: Target, *, here: bool, change: Callable[[Preview, Task], Task]) -> None:
    """Start what was named with another command, and end with its exit code."""
    from snakemake_executor_plugin_hpcctr.executor.attached import Way, run_attached  # noqa: PLC0415 (start-up time)

    found, inside = target.find(here=here)
    if found.task is None:
        raise found.problem or ConfigError(f"{found.title} cannot be started")
    task = change(found, found.task)
    here = here or found.layers.settings.scheduler == "local"
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    way = Way(terminal=terminal, here=here, inside=inside)
    raise typer.Exit(run_attached(task, found.folder.path, way, os.environ))
