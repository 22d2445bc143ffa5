"""`hpcctr images build` and `edit`: images of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import output
from snakemake_executor_plugin_hpcctr.cli.images import Store, choose
from snakemake_executor_plugin_hpcctr.cli.workflow import Selected
from snakemake_executor_plugin_hpcctr.errors import ConfigError


def build(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="A .def file, or a name whose `from:` stands in hpcctr.yaml."
        ),
    ],
    target: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]…", help="Also write it here: files in .sif or .sqsh."),
    ] = None,
    *,
    store: Store = None,
) -> None:
    """Build an image from a definition file, or from another image with packages and files."""
    from snakemake_executor_plugin_hpcctr.images.convert import (  # noqa: PLC0415 (start-up time)
        convert_file,
    )

    chosen = choose([image], Selected(), store)
    reference = chosen.references[0]
    if reference.kind not in {"definition", "recipe"}:
        raise ConfigError(
            f"{image} is nothing that is built",
            next_step="name a .def file, or an image under `images:` in hpcctr.yaml as "
            "`NAME: {from: docker://…, pip: […]}`",
        )
    ready = chosen.provider.ready(reference.image, "pyxis")
    for file in target or ():
        convert_file(ready, file, output.note)
    output.data("\n".join([ready.location, *map(str, target or ())]))


def edit(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image to begin with.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND]…", help="Run this in it, in place of a shell."),
    ] = None,
    *,
    save: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Save as NAME.sqsh and NAME.sif; else it is asked."),
    ] = None,
    store: Store = None,
) -> None:
    """Open a writable copy of an image, as root inside; save what was changed as a new image.

    The image itself stays as it is. An empty name throws the changes away.
    """
    from snakemake_executor_plugin_hpcctr.images import build as building  # noqa: PLC0415 (start-up)

    chosen = choose([image], Selected(), store)
    ready = chosen.provider.ready(chosen.references[0].image, "pyxis")
    with chosen.provider.store.working("edit") as folder:
        changed = folder / "changed.sqsh"
        if not command:
            output.note("Change what you like; leave with `exit`. You are asked for a name then.")
        code = building.edit(Path(ready.location), folder, command or (), changed)
        name = save if save is not None else typer.prompt("Save as", default="", err=True)
        if name:
            for path in building.snapshot(changed, Path(name), output.note):
                output.data(str(path))
    raise typer.Exit(code)
