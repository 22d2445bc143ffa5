"""Run one task on this machine, in its container: for executors other than hpcctr's own."""

from __future__ import annotations

import os
import posixpath
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.config.layers import default_layers, resolve
from snakemake_executor_plugin_hpcctr.dsl.runtime.task import Prepared, prepare
from snakemake_executor_plugin_hpcctr.dsl.snakefile import translate
from snakemake_executor_plugin_hpcctr.engines import ENGINES, launch
from snakemake_executor_plugin_hpcctr.errors import EngineMissing
from snakemake_executor_plugin_hpcctr.images.provide import open_provider
from snakemake_executor_plugin_hpcctr.images.reference import parse_reference
from snakemake_executor_plugin_hpcctr.script.marker import Marker, parse_marker
from snakemake_executor_plugin_hpcctr.script.render import LIBRARY, library_text, render_task
from snakemake_executor_plugin_hpcctr.task import Bind, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.config.layers import Layers, Resolved
    from snakemake_executor_plugin_hpcctr.dsl.runtime.making import Making
    from snakemake_executor_plugin_hpcctr.task import EngineName, Image


#: Where tasks' own folders are made.
SCRATCH = "/tmp"  # noqa: S108 (a unique folder of mode 700 is made in it)
#: The image store below the working directory, where no setting names another.
STORE = ".snakemake/hpcctr/images"


def run(making: Making, say: Callable[[str], None]) -> Marker | None:
    """Prepare and run a task; return how it ended, None if there was nothing to run.

    Raises:
        HpcctrError: It cannot be made or started.
    """
    prepared = prepare(making)
    if not prepared.command:
        return None
    task = task_of(making, prepared, say)
    script = making.folder / "run.sh"
    marker = making.folder / "exit"
    for name in LIBRARY:
        (making.folder / name).write_text(library_text(name), encoding="utf-8")
    script.write_text(
        render_task(
            task, launch(task), number="0.0", library=str(making.folder), marker=str(marker)
        ),
        encoding="utf-8",
    )
    code = proc.attach(["bash", script])
    found = sorted(making.folder.glob("exit*"))
    ended = parse_marker(found[0].read_text(encoding="utf-8")) if found else None
    return ended or Marker(exit_code=code or 1)


def task_of(making: Making, prepared: Prepared, say: Callable[[str], None]) -> Task:
    """Return a prepared task as the engines take it.

    Raises:
        HpcctrError: Its image, engine or settings cannot be used.
    """
    workdir = Path.cwd()
    layers = default_layers({}, None, workdir, os.environ)
    resources = {
        resource: value
        for name, given in making.directives.items()
        for resource, value in translate(name, given).items()
        if resource != "threads"
    }
    threads = making.directives.get("cpus", 1)
    resolved = resolve(making.rule, resources, threads, layers)
    image, engine = _image(making, resolved, layers, say)
    scratch = f"{SCRATCH}/hpcctr-{os.getuid()}-dsl-{secrets.token_hex(6)}"
    return Task(
        key=making.key,
        rule=making.rule,
        wildcards=(("key", making.key),),
        attempt=making.attempt,
        command=prepared.command,
        interpreter="/bin/bash",
        engine=engine,
        image=image,
        binds=binds(workdir, prepared, resolved) if image else (),
        workdir=str(workdir),
        env=resolved.env,
        pass_env=resolved.pass_env,
        clean_env=resolved.clean_env,
        scratch=scratch,
        tmpdir=resolved.tmpdir or posixpath.join(scratch, "tmp"),
        resources=resolved.resources,
        options=resolved.options,
    )


def binds(workdir: Path, prepared: Prepared, resolved: Resolved) -> tuple[Bind, ...]:
    """Return the binds of a contained task: the working directory and what its links point to."""
    found = [Bind(source=str(workdir), target=str(workdir))]
    declared = list(resolved.binds)
    for source in prepared.sources:
        for path in (source, os.path.realpath(source)):
            folder = path if os.path.isdir(path) else os.path.dirname(path)  # noqa: PTH112, PTH120 (text)
            covered = any(
                folder == b.target or folder.startswith(b.target.rstrip("/") + "/")
                for b in (*found, *declared)
            )
            if not covered and folder != "/":
                found.append(Bind(source=folder, target=folder))
    return (*found, *declared)


def _image(
    making: Making, resolved: Resolved, layers: Layers, say: Callable[[str], None]
) -> tuple[Image | None, EngineName]:
    workdir = Path.cwd()
    wanted = making.directives.get("container") or resolved.image
    if wanted is None or resolved.engines == ("host",):
        return None, "host"
    image = parse_reference(resolved.images.get(wanted, wanted), str(workdir))
    for engine in resolved.engines:
        if engine == "host":
            return None, "host"
        # pyxis is an option of srun: outside Slurm there is nothing to start it.
        able = image.format in ENGINES[engine].FORMATS or image.format == "registry"
        if engine != "pyxis" and able and proc.find_program(engine):
            store = Path(os.path.expandvars(layers.settings.image_dir or STORE)).expanduser()
            provider = open_provider(workdir / store, workdir, say, recipes=layers.recipes)
            return provider.ready(image, engine), engine
    raise EngineMissing(
        f"this machine cannot start {wanted} with {' or '.join(resolved.engines)}",
        where=f"process {making.call.name}",
        next_step="run with `--executor hpcctr` where the engine is, or name another `engine`",
    )
