"""Formats of an image: SIF → squashfs by copying the part of the file that is one, and back."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import files
from snakemake_executor_plugin_hpcctr.images.metadata import (
    ENVIRONMENT,
    RUNSCRIPT,
    files_for_enroot,
)
from snakemake_executor_plugin_hpcctr.images.reference import SUFFIXES
from snakemake_executor_plugin_hpcctr.images.sif import Partition, root_partition
from snakemake_executor_plugin_hpcctr.images.squashfs import (
    MAGIC,
    check_squashfs,
    pack,
    read_file,
    unpack,
)
from snakemake_executor_plugin_hpcctr.images.store import Entry, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from snakemake_executor_plugin_hpcctr.task import Image, ImageFormat

CHUNK = 1 << 24
TIMEOUT_S = 4 * 3600.0
OWN_ENVIRONMENT = ".singularity.d/env/90-environment.sh"
#: What Apptainer writes into an image that has no start script.
NO_RUNSCRIPT = "There is no runscript defined"
EXPORTED = re.compile(r"^\s*export\s+([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)


def check_whole(path: Path, image_format: ImageFormat) -> None:
    """Check that an image file was not cut short, by the lengths that stand in it.

    Raises:
        ImageError: It was.
    """
    if image_format == "sif":
        root_partition(path)
    else:
        check_squashfs(path)


def is_squashfs(path: Path) -> bool:
    """Whether a file begins as a squashfs does."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def extract_squashfs(sif: Path, target: Path) -> Partition:
    """Copy the root file system out of a SIF; nothing is compressed anew.

    Raises:
        ImageError: The SIF holds no squashfs, or is cut short.
    """
    partition = root_partition(sif)
    left = partition.size
    with sif.open("rb") as source, target.open("wb") as out:
        source.seek(partition.offset)
        while left and (chunk := source.read(min(CHUNK, left))):
            out.write(chunk)
            left -= len(chunk)
    check_squashfs(target)
    return partition


def sif_into_store(store: Store, image: Image, key: str) -> Entry:
    """Put the squashfs of a user's SIF into the store."""
    with store.making(key, image.reference) as folder:
        if (known := store.finished(key)) is not None:
            return known
        store.say(f"Converting {image.reference} to a squashfs")
        part = folder / "image.sqsh"
        extract_squashfs(Path(image.location), part)
        return store.add(Entry(key=key, reference=image.reference, digest=""), "sqsh", part)


def convert_file(image: Image, target: Path, say: Callable[[str], None]) -> None:
    """Write an image as a new file, of the format that its suffix names.

    From a SIF to a squashfs nothing is compressed anew, unless it has variables of its own: then
    what Enroot reads them from is added.

    Args:
        image: A file or folder that is there.
        target: Ends in .sif or .sqsh.
        say: Where a sentence about the work goes.

    Raises:
        ImageError: The target is there already, has another suffix, or cannot be written.
    """
    wanted = SUFFIXES.get(target.suffix.lower())
    if wanted is None:
        raise ImageError(
            f"{target} ends neither in .sif nor in .sqsh", next_step="name the format by the suffix"
        )
    if target.exists():
        raise ImageError(f"{target} exists already", next_step="remove it, or choose another name")
    source, target = Path(image.location), target.absolute()
    part = target.with_name(f".{secrets.token_hex(4)}.{target.name}")
    say(f"Writing {target} from {source}")
    try:
        with files.told_if_full(target.parent, f"cannot write {target}"):
            if wanted == "sif":
                build_sif(source, part)
            else:
                _write_squashfs(image, part)
            files.publish(part, target)
    finally:
        part.unlink(missing_ok=True)


def _write_squashfs(image: Image, part: Path) -> None:
    source = Path(image.location)
    if image.format == "directory":
        pack(source, part)
    elif image.format == "sqsh":
        shutil.copyfile(source, part)
    else:
        extract_squashfs(source, part)
        add_files_for_enroot(part)


def add_files_for_enroot(image: Path) -> None:
    """Give the squashfs of a SIF what Enroot reads: /etc/environment and /etc/rc.

    An image without variables and start script of its own stays as it is.

    Raises:
        ImageError: squashfs-tools failed.
    """
    scripts = [read_file(image, path) for path in (ENVIRONMENT, OWN_ENVIRONMENT)]
    env = parse_environment("\n".join(filter(None, scripts)))
    script = read_file(image, RUNSCRIPT)
    runs = script is not None and NO_RUNSCRIPT not in script
    if read_file(image, "etc/rc") is not None or not (env or runs):
        return
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".root-") as name:
        root = Path(name) / "root"
        unpack(image, root)
        for path, text in files_for_enroot(env, runs=runs).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).unlink(missing_ok=True)
            (root / path).write_text(text, encoding="utf-8", errors="surrogateescape")
        pack(root, image)


def parse_environment(script: str) -> dict[str, str]:
    """Return what the environment scripts of a SIF set, as a shell reads them.

    Names are taken from the text, values from `sh`, started without any variable but PATH.
    """
    names = dict.fromkeys(EXPORTED.findall(script))
    prints = "".join(f'printf "%s\\0" "${{{name}-}}"\n' for name in names)
    done = proc.run(["env", "-i", "PATH=/usr/bin:/bin", "sh"], stdin=f"{script}\n{prints}")
    return dict(zip(names, done.out.split("\0"), strict=False)) if done.ok else {}


def build_sif(source: Path, target: Path) -> None:
    """Write a SIF from a squashfs, SIF or folder.

    Raises:
        ImageError: No Apptainer, or it failed.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".apptainer-") as name:
        run_apptainer(["build", "--force", str(target), str(source)], Path(name), f"make {target}")


def apptainer() -> str | None:
    """Return the program apptainer or singularity, None if neither is on this machine."""
    return next((p for p in ("apptainer", "singularity") if proc.find_program(p)), None)


def run_apptainer(words: Sequence[str], folder: Path, what: str, cwd: Path | None = None) -> None:
    """Run Apptainer with its cache and temporary files in a folder of ours, not in the home.

    Raises:
        ImageError: It is not here, or failed.
    """
    program = apptainer()
    if program is None:
        raise ImageError(
            f"to {what}, apptainer is needed, which is not on this machine",
            next_step="load its module, or make the image where it is and name the file",
        )
    places = {"CACHEDIR": folder / "cache", "TMPDIR": folder / "tmp"}
    for path in places.values():
        path.mkdir(parents=True, exist_ok=True)
    own = {f"{p}_{k}": str(v) for p in ("APPTAINER", "SINGULARITY") for k, v in places.items()}
    done = proc.run(
        [program, "--quiet", *words], timeout_s=TIMEOUT_S, env={**os.environ, **own}, cwd=cwd
    )
    if not done.ok:
        raise ImageError(
            str(done.error(f"cannot {what}").what),
            next_step="the last lines say what is wrong: a misspelt name, no network, or no space "
            "are common",
        )


def add_sif(store: Store, key: str, what: str) -> Entry:
    """Make a SIF beside the squashfs of an image of the store.

    Raises:
        ImageError: No Apptainer, or it failed.
    """
    with store.making(key, what) as folder:
        entry = store.entry(key) or Entry(key=key, reference=what, digest="")
        part = folder / "image.sif"
        store.say(f"Making a SIF of {what}")
        build_sif(store.file(key, "sqsh"), part)
        return store.add(entry, "sif", part)
