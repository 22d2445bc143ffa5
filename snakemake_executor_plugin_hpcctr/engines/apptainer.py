"""Engine `apptainer` (alias `singularity`): Apptainer ≥ 1.0 and SingularityCE ≥ 3.9.

Flags as in apptainer-exec(1). The task's environment does not travel by `--env`: Apptainer
evaluates its values in a shell. `script` delivers it byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines.base import Launch
from snakemake_executor_plugin_hpcctr.engines.paths import all_binds, need_image, refuse

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import Bind, EngineName, ImageFormat, Task

NAME: EngineName = "apptainer"
FORMATS: tuple[ImageFormat, ...] = ("sif", "sqsh", "directory", "registry")
PROBE: tuple[str, ...] = ("sh", "-c", "apptainer --version || singularity --version")


def launch(task: Task) -> Launch:
    """Return `apptainer exec` with the task's image, binds and GPU flag."""
    image = need_image(task, *FORMATS)
    options = task.options.apptainer
    argv = [options.program, "--quiet", "exec", "--pwd", task.workdir]
    argv += _gpu_flag(task)
    for name in ("cleanenv", "containall", "no_home", "fakeroot", "writable_tmpfs"):
        if getattr(options, name):
            argv.append("--" + name.replace("_", "-"))
    for overlay in options.overlay:
        argv += ["--overlay", overlay]
    for inside in options.scratch:
        argv += ["--scratch", inside]
    if options.scratch:
        argv += ["--workdir", f"{task.scratch}/apptainer"]
    for bind in all_binds(task):
        argv += _bind_flag(task, bind)
    substitute = "singularity" if options.program == "apptainer" else ""
    return Launch(argv=(*argv, *options.extra_args, image.location), substitute=substitute)


def _gpu_flag(task: Task) -> list[str]:
    gpu = task.resources.gpu
    if gpu is None:
        return []
    return ["--rocm"] if gpu.vendor == "amd" else ["--nv"]


def _bind_flag(task: Task, bind: Bind) -> list[str]:
    r"""`--bind` for ordinary paths; `--mount`, a line of CSV, for those with `,` `:` `"` or `\`."""
    for path in (bind.source, bind.target):
        refuse(task, path, "\n", "use a link to it that has a plain name")
    if not set(bind.source + bind.target) & set(',:"\\'):
        plain = f"{bind.source}:{bind.target}" + (":ro" if bind.read_only else "")
        return ["--bind", plain]
    fields = ["type=bind", _csv(f"src={bind.source}"), _csv(f"dst={bind.target}")]
    return ["--mount", ",".join([*fields, *(["ro"] if bind.read_only else [])])]


def _csv(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'
