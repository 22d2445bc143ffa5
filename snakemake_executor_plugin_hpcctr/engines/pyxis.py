"""Engine `pyxis`: Slurm's container plugin (0.24), always as a step of the job (srun).

The options are those of the plugin's srun(1) help. Where Slurm has no such plugin, srun
refuses them; where only some nodes lack it, the command would run on the bare host, so the
script checks inside that it is in another root file system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines.base import Launch
from snakemake_executor_plugin_hpcctr.engines.paths import all_binds, need_image, refuse
from snakemake_executor_plugin_hpcctr.engines.step import is_srun, launcher_argv, step_argv
from snakemake_executor_plugin_hpcctr.errors import EngineError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import (
        Bind,
        EngineName,
        Image,
        ImageFormat,
        PyxisOptions,
        Task,
    )

NAME: EngineName = "pyxis"
FORMATS: tuple[ImageFormat, ...] = ("sqsh", "registry", "container")
PROBE: tuple[str, ...] = ("sh", "-c", "srun --help | grep -q -e --container-image")

LINK_ADVICE = (
    "pyxis has no way to write this character: bind a link that has a plain name, "
    "or use the engine apptainer"
)


def launch(task: Task) -> Launch:
    """Return `srun --container-…`: one step, of one process or of all that the task asks for."""
    image = need_image(task, *FORMATS)
    options = task.options.pyxis
    argv = [*_step(task), *_image_flags(image, options)]
    argv.append("--container-mounts=" + ",".join(_mount(task, b) for b in all_binds(task)))
    argv.append(_switch("mount-home", on=options.mount_home))
    argv.append(_switch("entrypoint", on=options.entrypoint))
    if options.remap_root is not None:
        argv.append(_switch("remap-root", on=options.remap_root))
    if options.writable is not None:
        argv.append("--container-writable" if options.writable else "--container-readonly")
    if options.entrypoint_log:
        argv.append("--container-entrypoint-log")
    if options.save:
        argv.append(f"--container-save={options.save}")
    for name, values in (("env", options.env), ("unshare", options.unshare)):
        if values:
            argv.append(f"--container-{name}=" + ",".join(values))
    return Launch(
        argv=(*argv, *options.extra_args),
        env={"ENROOT_LOGIN_SHELL": "no"},
        step=("--overlap",),
        terminal=("--pty",),
    )


def _step(task: Task) -> tuple[str, ...]:
    if task.launcher and not is_srun(task.launcher):
        raise EngineError(
            f"engine pyxis is a part of srun, and cannot be started by `{task.launcher[0]}`",
            where=f"rule {task.rule}",
            next_step='write `launch="srun"`, or use the engine apptainer or enroot',
        )
    return launcher_argv(task) or step_argv(task)


def _image_flags(image: Image, options: PyxisOptions) -> list[str]:
    """Name the image; a named container is reused as files only, in fresh namespaces."""
    if image.format == "container":
        return [f"--container-name={image.location}:no_exec"]
    flags = [f"--container-image={image.location}"]
    if options.name:
        mode = "" if ":" in options.name else ":no_exec"
        flags.append(f"--container-name={options.name}{mode}")
    return flags


def _switch(name: str, *, on: bool) -> str:
    return f"--container-{name}" if on else f"--no-container-{name}"


def _mount(task: Task, bind: Bind) -> str:
    """Return SRC:DST[:ro]; pyxis knows no escapes, and writes the paths into a script of Enroot's.

    There they stand in double quotes: a `$` or a backtick would be run on the node.
    """
    for path in (bind.source, bind.target):
        refuse(task, path, ',: \t\n\\"$`', LINK_ADVICE)
    return f"{bind.source}:{bind.target}" + (":ro" if bind.read_only else "")
