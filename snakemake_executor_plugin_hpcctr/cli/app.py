"""The command line as a whole: one module per command, put together here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from snakemake_executor_plugin_hpcctr.cli import (
    attached,
    doctor,
    dsl,
    explain,
    images,
    images_build,
    init,
    lab,
    output,
    status,
    sweep,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="hpcctr",
    help="Run container pipelines on Slurm: Apptainer, Enroot and pyxis in one Snakefile.",
    no_args_is_help=True,
)
app.add_typer(images.app, name="images")
app.add_typer(lab.app, name="lab")
images.app.command()(images_build.build)
images.app.command(context_settings={"ignore_unknown_options": True})(images_build.edit)
app.add_typer(sweep.app, name="sweep")
app.command()(init.init)
app.command()(status.status)
app.add_typer(dsl.app, name="dsl")
app.command()(doctor.doctor)
app.command()(explain.explain)
app.command()(attached.shell)
app.command("exec", context_settings=attached.LITERAL)(attached.execute)
app.command(context_settings=attached.LITERAL)(attached.run)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        output.data(f"hpcctr {output.version()}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


def run(words: Sequence[str]) -> None:
    """Run one command line; ends with SystemExit, mistyped options included."""
    get_command(app).main(args=list(words), prog_name="hpcctr")
