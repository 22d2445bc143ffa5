"""The images of a workflow: which references its rules name, for commands about images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.bridge import jobs as bridge
from snakemake_executor_plugin_hpcctr.config.layers import Layers, default_layers, resolve
from snakemake_executor_plugin_hpcctr.executor.image_work import image_folder
from snakemake_executor_plugin_hpcctr.executor.session import command_line
from snakemake_executor_plugin_hpcctr.images.provide import Provider, open_provider
from snakemake_executor_plugin_hpcctr.images.reference import Reference, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snakemake_executor_plugin_hpcctr.bridge.load import Loaded


@dataclass(frozen=True)
class Chosen:
    """The images that a command is about, and the store in which they are.

    Args:
        provider: Gives them.
        layers: The settings of the working directory.
        references: Each image once.
        rules: Reference's location → rules that run with it; empty if no workflow was read.
    """

    provider: Provider
    layers: Layers
    references: tuple[Reference, ...]
    rules: dict[str, tuple[str, ...]]


def images_of_workflow(
    loaded: Loaded, image_dir: Path | None, say: Callable[[str], None]
) -> Chosen:
    """Return the images of all jobs that the workflow plans, finished ones included.

    Call it while the process is in the workflow's working directory.

    Raises:
        HpcctrError: A configuration, resource or reference cannot be used.
    """
    settings = loaded.settings
    layers = default_layers(command_line(settings), settings.config, Path.cwd(), os.environ)
    found: dict[str, Reference] = {}
    rules: dict[str, set[str]] = {}
    for job in loaded.workflow.dag.jobs:
        name = bridge.name_of(job)
        resolved = resolve(name, bridge.resources_of(job), job.threads, layers)
        wanted = bridge.image_of(job, pulled=False) or resolved.image
        if wanted is not None and "host" not in resolved.engines[:1]:
            reference = parse(layers.images.get(wanted, wanted), str(Path.cwd()))
            found.setdefault(reference.location, reference)
            rules.setdefault(reference.location, set()).add(name)
    return Chosen(
        provider=_provider(layers, image_dir, say),
        layers=layers,
        references=tuple(found[location] for location in sorted(found)),
        rules={location: tuple(sorted(names)) for location, names in rules.items()},
    )


def images_by_name(
    texts: Iterable[str], image_dir: Path | None, say: Callable[[str], None]
) -> Chosen:
    """Return images that the user names: references, or names from hpcctr.yaml.

    Raises:
        HpcctrError: A configuration or reference cannot be used.
    """
    layers = default_layers({}, None, Path.cwd(), os.environ)
    references = [parse(layers.images.get(text, text), str(Path.cwd())) for text in texts]
    unique = {reference.location: reference for reference in references}
    return Chosen(_provider(layers, image_dir, say), layers, tuple(unique.values()), {})


def _provider(layers: Layers, image_dir: Path | None, say: Callable[[str], None]) -> Provider:
    workdir = Path.cwd()
    path = image_dir.absolute() if image_dir else image_folder(layers.settings, workdir)
    return open_provider(path, workdir, say, recipes=layers.recipes)
