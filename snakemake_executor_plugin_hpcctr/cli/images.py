"""`hpcctr images …`: the images of a workflow, or of one reference."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snakemake_executor_plugin_hpcctr.cli import images_show, output
from snakemake_executor_plugin_hpcctr.cli.workflow import Directory, More, Selected, Snakefile
from snakemake_executor_plugin_hpcctr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snakemake_executor_plugin_hpcctr.executor.references import Chosen

app = typer.Typer(
    help="Images of a workflow: pull, look into, lock, convert, remove. Without IMAGE, a command "
    "is about the images of the workflow here.",
    no_args_is_help=True,
)
Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGE]…",
        help="References, or names from hpcctr.yaml; without any, those of the workflow.",
    ),
]
Image = Annotated[
    str, typer.Argument(metavar="IMAGE", help="A reference, or a name from hpcctr.yaml.")
]
Store = Annotated[
    Path | None, typer.Option("--image-dir", help="The image store, in place of the configured.")
]
Json = Annotated[bool, typer.Option("--json", help="Print it for programs.")]


def choose(texts: Sequence[str], workflow: Selected, store: Path | None) -> Chosen:
    """Return the images that a command is about.

    Raises:
        HpcctrError: A reference is wrong, or the workflow cannot be loaded.
    """
    from snakemake_executor_plugin_hpcctr.executor import (  # noqa: PLC0415 (start-up time)
        references,
    )

    if texts:
        return references.images_by_name(texts, store, output.note)
    from snakemake_executor_plugin_hpcctr.bridge.load import (  # noqa: PLC0415 (start-up time)
        with_workflow,
    )

    return with_workflow(
        workflow.words(), lambda loaded: references.images_of_workflow(loaded, store, output.note)
    )


@app.command(name="list")
def list_images(*, store: Store = None, as_json: Json = False) -> None:
    """Show the images of the store: size, formats, last use, who uses them; Enroot's, too."""
    from snakemake_executor_plugin_hpcctr.images.manage import (  # noqa: PLC0415 (start-up time)
        enroot_containers,
        listing,
    )

    found = listing(choose(["."], Selected(), store).provider.store)
    containers = enroot_containers()
    if as_json:
        output.as_json({"images": found, "enroot_containers": containers})
        return
    output.data(images_show.render_list(found, time.time()))
    if containers:
        output.data(f"\nEnroot containers on this machine: {', '.join(containers)}")


@app.command()
def where(
    image: Annotated[str | None, typer.Argument(metavar="[IMAGE]", help="A reference.")] = None,
    *,
    store: Store = None,
) -> None:
    """Print the folder of the store, or the file of an image; exit code 1 if it is not there."""
    chosen = choose([image or "."], Selected(), store)
    if image is None:
        output.data(str(chosen.provider.store.path))
        return
    path = Path(chosen.provider.planned(chosen.references[0].image, "pyxis").location)
    output.data(str(path))
    raise typer.Exit(0 if path.exists() else 1)


@app.command()
def pull(  # noqa: PLR0913 (one parameter per option)
    images: Images = None,
    *,
    update: Annotated[
        bool, typer.Option("--update", help="Ask the registries again what the tags name.")
    ] = False,
    sif: Annotated[bool, typer.Option("--sif", help="Make a .sif beside the .sqsh.")] = False,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Bring images into the store, so that a run finds them there."""
    from snakemake_executor_plugin_hpcctr.images import manage  # noqa: PLC0415 (start-up time)

    chosen = choose(images or (), Selected(snakefile, directory, more), store)
    if update:
        manage.refresh(chosen.provider, chosen.references)
    provided = manage.provide_all(chosen.provider, chosen.references)
    if sif:
        manage.add_sifs(chosen.provider.store, provided)
    if as_json:
        output.as_json([item.image.model_dump() for item in provided])
        return
    rows = [(item.image.reference, item.image.location) for item in provided]
    output.data(output.table([("image", "file"), *rows]))


@app.command()
def inspect(image: Image, *, store: Store = None, as_json: Json = False) -> None:
    """Show digest, variables, entry point and labels of an image, pulled or not."""
    from snakemake_executor_plugin_hpcctr.images.manage import (  # noqa: PLC0415 (start-up time)
        describe,
    )

    chosen = choose([image], Selected(), store)
    found = describe(chosen.provider, chosen.references[0])
    if as_json:
        output.as_json(found)
    else:
        output.data(images_show.render_description(found))


@app.command()
def lock(
    images: Images = None,
    *,
    update: Annotated[bool, typer.Option("--update", help="Take what the tags name now.")] = False,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
    store: Store = None,
) -> None:
    """Write hpcctr.lock: the digest of each image, so that runs take just that. Commit it."""
    from snakemake_executor_plugin_hpcctr.images import manage  # noqa: PLC0415 (start-up time)
    from snakemake_executor_plugin_hpcctr.images.files import (  # noqa: PLC0415 (start-up time)
        write_text,
    )
    from snakemake_executor_plugin_hpcctr.images.lock import (  # noqa: PLC0415 (start-up time)
        LOCK_FILE,
        Lock,
        render_lock,
    )

    chosen = choose(images or (), Selected(snakefile, directory, more), store)
    found, said = manage.lock_images(chosen.provider, chosen.references, update=update)
    if images:
        found = Lock(images=dict(sorted({**chosen.provider.lock.images, **found.images}.items())))
    file = Path(chosen.provider.folder) / LOCK_FILE
    write_text(file, render_lock(found))
    for sentence in said:
        output.note(sentence)
    output.data(f"{file}: {len(found.images)} image(s)")


@app.command()
def verify(  # noqa: PLR0913 (one parameter per option)
    images: Images = None,
    *,
    tags: Annotated[
        bool, typer.Option("--tags", help="Also ask the registries whether the tags have moved.")
    ] = False,
    snakefile: Snakefile = None,
    directory: Directory = None,
    more: More = "",
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Read the images and compare them with their hashes and with hpcctr.lock.

    Exit code 1 if something is wrong.
    """
    from snakemake_executor_plugin_hpcctr.images import manage  # noqa: PLC0415 (start-up time)

    chosen = choose(images or (), Selected(snakefile, directory, more), store)
    found = manage.verify(chosen.provider, chosen.references, tags=tags)
    if as_json:
        output.as_json([vars(item) for item in found])
    else:
        output.data("\n".join(images_show.render_check(item) for item in found))
    raise typer.Exit(1 if any(item.problem for item in found) else 0)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A reference, file or folder.")],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="A new file that ends in .sif or .sqsh.")
    ],
    *,
    store: Store = None,
) -> None:
    """Make a .sif or .sqsh of an image: SIF, squashfs, folder, or whatever can be pulled."""
    from snakemake_executor_plugin_hpcctr.images.convert import (  # noqa: PLC0415 (start-up time)
        convert_file,
    )

    chosen = choose([source], Selected(), store)
    ready = chosen.provider.ready(chosen.references[0].image, "apptainer")
    convert_file(ready, target, output.note)
    output.data(str(target))


@app.command()
def prune(  # noqa: PLR0913 (one parameter per option)
    *,
    days: Annotated[
        float | None, typer.Option(help="Only images that were not used for so many days.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Only as many as must go to stay below it: 100GB."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Only the image with this key."),
    ] = None,
    locked_by: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Also keep what the hpcctr.lock of this folder names."),
    ] = None,
    locked_too: Annotated[
        bool, typer.Option("--locked-too", help="Also remove what a lock file names.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else they are shown.")] = False,
    store: Store = None,
) -> None:
    """Show which images can go, and remove them with --yes.

    What a hpcctr.lock names stays: that of this folder, and of each workflow that used it.
    """
    from snakemake_executor_plugin_hpcctr.images import prune as rules  # noqa: PLC0415 (start-up)

    images = choose(["."], Selected(), store).provider.store
    folders = [*(locked_by or ()), *([Path()] if Path("hpcctr.lock").exists() else [])]
    candidates = rules.candidates_of(images, folders)
    wanted = rules.Rules(days, _bytes(keep), tuple(key or ()), locked_too)
    chosen = rules.choose(candidates, wanted, time.time())
    left = rules.leftovers(images)
    output.data(images_show.render_prune(candidates, chosen, left, time.time()))
    if not yes:
        output.note("Nothing was removed: add --yes to remove them")
        return
    for candidate in chosen:
        images.remove(candidate.key)
    for path in left:
        rules.remove(path)


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    from snakemake_executor_plugin_hpcctr.config.units import (  # noqa: PLC0415 (start-up time)
        parse_memory,
    )

    try:
        return parse_memory(text) * 1_000_000
    except ConfigError as error:
        raise error.at("--keep") from None
