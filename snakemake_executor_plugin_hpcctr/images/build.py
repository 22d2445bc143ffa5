"""Images of one's own: from a definition file, or another image with packages and files added.

Apptainer builds where it is, else Enroot (create, start --root --rw, export): neither needs root.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import convert, files, squashfs
from snakemake_executor_plugin_hpcctr.images.sif import root_partition
from snakemake_executor_plugin_hpcctr.images.store import Entry
from snakemake_executor_plugin_hpcctr.script.quote import words
from snakemake_executor_plugin_hpcctr.task import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from snakemake_executor_plugin_hpcctr.config.recipe import Recipe
    from snakemake_executor_plugin_hpcctr.images.reference import Reference
    from snakemake_executor_plugin_hpcctr.images.store import Store

TIMEOUT_S = 4 * 3600.0


def render_script(recipe: Recipe) -> str:
    """Return the shell script that adds a recipe's packages, run as root inside the image."""
    lines: list[str] = []
    if recipe.apt:
        lines += [
            "export DEBIAN_FRONTEND=noninteractive",
            "apt-get update",
            "apt-get install --yes --no-install-recommends " + words(recipe.apt),
            "rm -rf /var/lib/apt/lists/*",
        ]
    if recipe.conda:
        lines += [
            "conda=$(command -v mamba || command -v micromamba || command -v conda || true)",
            'test "$conda" || { echo "the image has no conda" >&2; exit 1; }',
            f'"$conda" install --yes --name base --channel conda-forge {words(recipe.conda)}',
        ]
    if recipe.pip:
        lines += [
            "pip=$(command -v pip || command -v pip3 || true)",
            'test "$pip" || { echo "the image has no pip" >&2; exit 1; }',
            f'"$pip" install --no-cache-dir {words(recipe.pip)}',
        ]
    return "".join(f"{line}\n" for line in [*lines, "true"])


def recipe_key(recipe: Recipe, base: str) -> str:
    """Return the store's key: it changes with the base image, the packages and the files.

    Raises:
        ImageError: A file is missing.
    """
    seen = [base, recipe.model_dump_json()]
    for source in recipe.files:
        seen += [f"{path}:{files.identity_of(path)}" for path in _below(Path(source))]
    return f"recipe-{hashlib.sha256(chr(0).join(seen).encode()).hexdigest()}"


def _below(path: Path) -> list[Path]:
    if not path.exists():
        raise ImageError(
            f"{path}, to be added to an image, does not exist",
            next_step="paths under `files:` count from the folder of hpcctr.yaml",
        )
    return sorted(path.rglob("*")) if path.is_dir() else [path]


def definition_key(reference: Reference) -> str:
    """Return the store's key of a definition file: the hash of its text.

    Raises:
        ImageError: It cannot be read.
    """
    try:
        text = Path(reference.location).read_bytes()
    except OSError as error:
        raise ImageError(
            f"{reference.text} cannot be read: {error.strerror}",
            next_step="check the path; a relative one counts from the workflow's folder",
        ) from error
    return f"definition-{hashlib.sha256(text).hexdigest()}"


def build_definition(store: Store, reference: Reference, key: str) -> Entry:
    """Build a definition file into the store, unless that was done.

    Raises:
        ImageError: No Apptainer, or the build failed; has its last words.
    """
    with store.making(key, reference.text) as folder:
        if (known := store.finished(key)) is not None:
            return known
        store.say(f"Building {reference.text}")
        _build_sif(Path(reference.location), folder, reference.text)
        return _add(store, folder, Entry(key=key, reference=reference.location, digest=""))


def build_recipe(store: Store, name: str, recipe: Recipe, base: Path, key: str) -> Entry:
    """Build an image of hpcctr.yaml into the store, unless that was done.

    Args:
        store: Where to.
        name: Its name there.
        recipe: What it is made of.
        base: The image that it begins with, a file.
        key: Its key in the store.

    Raises:
        ImageError: Neither Apptainer nor Enroot is here, or the build failed.
    """
    with store.making(key, f"image {name}") as folder:
        if (known := store.finished(key)) is not None:
            return known
        store.say(f"Building image {name} from {recipe.base}")
        entry = Entry(key=key, reference=f"build://{name}", digest="")
        with writable(base, folder) as copy:
            copy_in(copy.root, recipe.files)
            copy.run(["/bin/sh", "-ec", render_script(recipe)])
            copy.save(folder / "image.sqsh")
        return store.add(entry, "sqsh", folder / "image.sqsh")


def _build_sif(definition: Path, folder: Path, what: str) -> None:
    argv = ["build", *_as_root(), str(folder / "image.sif"), str(definition)]
    convert.run_apptainer(argv, folder, f"build {what}", cwd=definition.parent)


def _add(store: Store, folder: Path, entry: Entry) -> Entry:
    part = folder / "image.sqsh"
    convert.extract_squashfs(folder / "image.sif", part)
    convert.add_files_for_enroot(part)
    return store.add(entry, "sqsh", part)


@dataclass(frozen=True)
class Copy:
    """A writable copy of an image.

    Args:
        root: Its root folder on this machine.
        words: The engine's command line, before the command.
        environ: Environment of the engine.
    """

    root: Path
    words: tuple[str, ...]
    environ: dict[str, str]

    def run(self, command: Sequence[str]) -> None:
        """Run a command in it.

        Raises:
            ImageError: It failed; has its last words.
        """
        done = proc.run([*self.words, *command], timeout_s=TIMEOUT_S, env=self.environ)
        if not done.ok:
            said = (done.err.strip() or done.out.strip())[-2000:]
            raise ImageError(
                f"the build ended with exit code {done.code}:\n{said}",
                next_step="`hpcctr images edit` opens the image in which it failed, to try by hand",
            )

    def attach(self, command: Sequence[str]) -> int:
        """Run a command in it on the user's terminal; return its exit code."""
        return proc.attach([*self.words, *command], env=self.environ)

    def save(self, target: Path) -> None:
        """Write it as a squashfs.

        Raises:
            ImageError: It cannot be written.
        """
        squashfs.pack(self.root, target)


@contextmanager
def writable(base: Path, folder: Path) -> Iterator[Copy]:
    """Make a writable copy of an image: a folder for Apptainer, else a container of Enroot.

    Args:
        base: The image, a squashfs or SIF.
        folder: On a file system with room for the unpacked image.

    Raises:
        ImageError: Neither of them is on this machine, or one failed.
    """
    program = convert.apptainer()
    if program is not None:
        root = folder / "root"
        offset = 0 if convert.is_squashfs(base) else root_partition(base).offset
        squashfs.unpack(base, root, offset=offset)
        flags = ("--writable", "--cleanenv", "--no-home", *_as_root())
        words = (program, "--quiet", "exec", *flags, str(root))
        yield Copy(root, words, dict(os.environ))
    elif proc.find_program("enroot"):
        with _enroot_container(base, folder) as copy:
            yield copy
    else:
        raise ImageError(
            "to change an image, apptainer or enroot is needed, and neither is on this machine",
            next_step="load the module of one of them, or do it on a node that has it",
        )


def _as_root() -> list[str]:
    return ["--fakeroot"] if os.getuid() else []


@contextmanager
def _enroot_container(base: Path, folder: Path) -> Iterator[Copy]:
    environ = {**os.environ, "ENROOT_DATA_PATH": str(folder)}
    name = f"hpcctr-{secrets.token_hex(4)}"
    argv: list[str | Path] = ["enroot", "create", "--name", name, base]
    done = proc.run(argv, timeout_s=TIMEOUT_S, env=environ)
    if not done.ok:
        raise ImageError(str(done.error(f"cannot make a container of {base}").what))
    try:
        # --rc: the image's own entry point is not in the way.
        start = folder / "start.rc"
        start.write_text('exec "$@"\n')
        words = ("enroot", "start", "--root", "--rw", "--rc", str(start), name)
        yield Copy(folder / name, words, environ)
    finally:
        proc.run(["enroot", "remove", "--force", name], env=environ, timeout_s=600)


def copy_in(root: Path, added: Mapping[str, str]) -> None:
    """Copy files and folders of this machine to absolute paths in an unpacked image.

    Raises:
        ImageError: A path leads out of the image, through a link.
    """
    for source, inside in added.items():
        target = root / inside.lstrip("/")
        if not target.resolve().is_relative_to(root.resolve()):
            raise ImageError(
                f"{inside} in the image is behind a link that leads out of it",
                next_step="name the path to which the link points",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def edit(base: Path, folder: Path, command: Sequence[str], target: Path) -> int:
    """Open a writable copy of an image on the user's terminal, then write it as a squashfs.

    Args:
        base: The image, a squashfs or SIF.
        folder: Empty, on a file system with room for the unpacked image.
        command: What runs in it; a shell if it is empty.
        target: The new squashfs.

    Returns:
        Exit code of the command; what it changed is written whatever it is.

    Raises:
        ImageError: Neither Apptainer nor Enroot is here, or one of them failed.
    """
    shell = ("/bin/sh", "-c", "exec $(command -v bash || echo sh)")
    with writable(base, folder) as copy:
        code = copy.attach(command or shell)
        copy.save(target)
    return code


def snapshot(changed: Path, name: Path, say: Callable[[str], None]) -> list[Path]:
    """Write an image as NAME.sqsh, and as NAME.sif where Apptainer is.

    Raises:
        ImageError: One of them exists already, or cannot be written.
    """
    image = Image(reference=str(name), location=str(changed), format="sqsh")
    suffixes = (".sqsh", ".sif") if convert.apptainer() else (".sqsh",)
    stem = name.with_suffix("") if name.suffix in {".sqsh", ".sif"} else name
    targets = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    for target in targets:
        convert.convert_file(image, target, say)
    return targets
