"""Engine `enroot`: NVIDIA Enroot ≥ 3.4.

Mounts travel in a `--conf` file, whose `mounts()` prints lines of fstab(5): `--mount` cannot
write a colon. `--rc` replaces the image's own start script, which would run its entry point
and change the folder. The login shell is off, or the image's PATH would be lost.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.engines.base import Launch, OncePerNode
from snakemake_executor_plugin_hpcctr.engines.paths import all_binds, need_image, refuse
from snakemake_executor_plugin_hpcctr.errors import ImageError

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import Bind, EngineName, Image, ImageFormat, Task

NAME: EngineName = "enroot"
FORMATS: tuple[ImageFormat, ...] = ("sqsh", "registry", "container")
PROBE: tuple[str, ...] = ("enroot", "version")

START_SCRIPT = 'exec "$@"\n'
LINK_ADVICE = (
    "Enroot reads its mounts as lines of words: bind a link that has a plain name, "
    "or use the engine apptainer"
)


def launch(task: Task) -> Launch:
    """Return `enroot start` on the image itself, or on a container made of it once per node."""
    image = need_image(task, "sqsh", "container")
    options = task.options.enroot
    folder = task.scratch
    argv = ["enroot", "start", "--conf", f"{folder}/enroot.conf", "--rc", f"{folder}/enroot.rc"]
    argv += ["--root"] if options.root else []
    argv += ["--rw"] if options.rw else []
    argv += options.extra_args
    env = {
        "ENROOT_LOGIN_SHELL": "no",
        "ENROOT_MOUNT_HOME": "yes" if options.mount_home else "no",
        **options.paths,
    }
    files = {"enroot.conf": _conf(task), "enroot.rc": START_SCRIPT}
    if image.format == "container" or not options.create:
        _refuse_quote(task, image)
        return Launch(argv=(*argv, image.location), env=env, files=files)
    name = _container_name(image, task)
    return Launch(
        argv=(*argv, name),
        env=env,
        files=files,
        before=OncePerNode(
            # One lock per node and user for a container that stays, else one of the task alone.
            lock=f"/tmp/{name}.lock" if options.keep else f"{folder}/enroot.lock",  # noqa: S108 (as said)
            check=("sh", "-c", 'enroot list | grep -Fqx -- "$1"', "sh", name),
            do=("enroot", "create", "--force", "--name", name, image.location),
        ),
        after=() if options.keep else (("enroot", "remove", "--force", name),),
    )


def _refuse_quote(task: Task, image: Image) -> None:
    """Refuse an image path that Enroot (4.1.2) would paste into a script, within single quotes."""
    if "'" in image.location:
        raise ImageError(
            f"engine {task.engine} cannot mount an image with a ' in its path: {image.location}",
            where=f"rule {task.rule}",
            next_step="move it to a plain path, set `enroot: {create: true}`, or use the engine "
            "apptainer",
        )


def _container_name(image: Image, task: Task) -> str:
    """Name a container by what is in it; by the task too if the task removes it."""
    identity = f"{image.location}\n{image.identity}"
    if not task.options.enroot.keep:
        identity += f"\n{task.scratch}"
    return "hpcctr-" + hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16]


def _conf(task: Task) -> str:
    """Return a bash file whose `mounts()` prints lines of fstab(5); each begins with a `/`."""
    lines = "".join(f"{_fstab_line(task, bind)}\n" for bind in all_binds(task))
    return f"mounts() {{\n  cat <<'END_OF_MOUNTS'\n{lines}END_OF_MOUNTS\n}}\n"


def _fstab_line(task: Task, bind: Bind) -> str:
    r"""Return one mount as Enroot reads it: fields of fstab(5), `x-create` makes the target.

    White space and backslashes are refused: fstab's `\040` is understood by an Enroot built
    with glibc and taken literally by one built with musl, as NVIDIA's packages are (4.1.2).
    """
    for path in (bind.source, bind.target):
        refuse(task, path, " \t\n\\", LINK_ADVICE)
    options = "x-create=auto,rbind" + (",ro" if bind.read_only else "")
    return f"{bind.source} {bind.target} none {options}"
