"""What a task names → a file that its engine can start, known before it is there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from snakemake_executor_plugin_hpcctr.config.suggest import did_you_mean
from snakemake_executor_plugin_hpcctr.errors import ConfigError, ImageError
from snakemake_executor_plugin_hpcctr.images import build, convert, files
from snakemake_executor_plugin_hpcctr.images.lock import (
    LOCK_FILE,
    Lock,
    changed,
    lock_name,
    not_locked,
    read_lock,
)
from snakemake_executor_plugin_hpcctr.images.oci import machine
from snakemake_executor_plugin_hpcctr.images.pull import Puller
from snakemake_executor_plugin_hpcctr.images.reference import parse
from snakemake_executor_plugin_hpcctr.images.sources import key_of_source, make_source
from snakemake_executor_plugin_hpcctr.images.store import Store, Tagged, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snakemake_executor_plugin_hpcctr.config.recipe import Recipe
    from snakemake_executor_plugin_hpcctr.images.reference import Reference
    from snakemake_executor_plugin_hpcctr.task import EngineName, Image, ImageFormat

MAGIC: tuple[tuple[bytes, int, ImageFormat], ...] = (
    (b"SIF_MAGIC", 32, "sif"),
    (b"hsqs", 0, "sqsh"),
)
#: In place of a key that only the registry knows.
UNKNOWN = "DIGEST"
#: Engines that start a squashfs and no SIF.
SQUASHFS_ONLY = ("enroot", "pyxis")


@dataclass(frozen=True)
class Provided:
    """An image for a task.

    Args:
        image: With the path that it has, or will have.
        key: Its folder in the store; "" for a file of the user's own.
        make: Puts it there; None if it is there.
        source: A reference of which another process would make the same.
    """

    image: Image
    key: str = ""
    make: Callable[[], object] | None = None
    source: str = ""


class Images(Protocol):
    """Whoever gives tasks their images."""

    def ready(self, image: Image, engine: EngineName) -> Image:
        """Return the image as a file that `engine` can start.

        Raises:
            ImageError: It cannot be had.
        """
        ...


@dataclass
class Provider:
    """Finds or plans the image of a task.

    Args:
        store: The image store.
        puller: Brings registry images into it.
        folder: Absolute folder from which relative paths count.
        lock: What hpcctr.lock says; its digests are used in place of tags.
        strict: Refuse what the lock does not name.
        recipes: Images that are built, by name.
    """

    store: Store
    puller: Puller
    folder: str
    lock: Lock = field(default_factory=Lock)
    strict: bool = False
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    def ready(self, image: Image, engine: EngineName) -> Image:
        """Return the file that `engine` can start for an image, made if it is not there.

        Raises:
            ImageError: It cannot be had.
        """
        provided = self.provide(image, engine)
        if provided.make is not None:
            provided.make()
        return provided.image

    def provide(self, image: Image, engine: EngineName) -> Provided:
        """Return the file that `engine` can start for an image.

        A reference to a registry is looked up, which may take a moment; what takes long is left
        to `make`.

        Raises:
            ImageError: A missing or damaged file, or a reference that cannot be looked up.
        """
        if image.format == "container":
            return Provided(image)
        if image.format != "registry":
            return self._file(check_file(image), engine)
        reference = parse(image.location, self.folder)
        if reference.kind == "registry":
            return self._from_registry(image, reference)
        if self.strict:
            raise not_locked(image.reference)
        key, make = self._made(reference)
        there = self.store.has(key, "sqsh")
        stored = self._stored(image, key, "sqsh", key, "")
        return Provided(stored, key, None if there else make, reference.location)

    def planned(self, image: Image, engine: EngineName) -> Image:
        """Return the file that `engine` would start, asking no registry.

        Raises:
            ImageError: A file that is missing or damaged.
        """
        if image.format == "registry" and self._asks(parse(image.location, self.folder)):
            return self._stored(image, UNKNOWN, "sqsh", "", "")
        return self.provide(image, engine).image

    def _asks(self, reference: Reference) -> bool:
        """Whether a registry must be asked what a reference, or a recipe's base, names."""
        if reference.kind == "recipe":
            recipe = self.recipes.get(reference.location.removeprefix("build://"))
            return recipe is not None and self._asks(parse(recipe.base, self.folder))
        known = reference.location in self.lock.images or self.store.tagged(reference.location)
        return reference.kind == "registry" and not known

    def _from_registry(self, image: Image, reference: Reference) -> Provided:
        tagged = self.resolve(reference)
        key = key_of(tagged.manifest)
        there = self.store.has(key, "sqsh")
        return Provided(
            self._stored(image, key, "sqsh", tagged.manifest, tagged.digest),
            key,
            None if there else partial(self.puller.pull, reference, tagged),
            reference.pinned(tagged.digest).location,
        )

    def _made(self, reference: Reference) -> tuple[str, Callable[[], object]]:
        """Return key and maker of an image that is neither a file nor in a registry."""
        if reference.kind == "definition":
            key = build.definition_key(reference)
            return key, partial(build.build_definition, self.store, reference, key)
        if reference.kind != "recipe":
            key = key_of_source(reference)
            return key, partial(make_source, self.store, reference, key)
        name = reference.location.removeprefix("build://")
        recipe = self.recipes.get(name)
        if recipe is None:
            raise ImageError(
                f"hpcctr.yaml does not say how image {name!r} is built",
                next_step=did_you_mean(name, self.recipes)
                or f"add it under `images:` as `{name}: {{from: docker://…, pip: […]}}`",
            )
        base = self.provide(parse(recipe.base, self.folder).image, "pyxis")
        key = build.recipe_key(recipe, base.image.identity)

        def make() -> None:
            if base.make is not None:
                base.make()
            build.build_recipe(self.store, name, recipe, Path(base.image.location), key)

        return key, make

    def resolve(self, reference: Reference) -> Tagged:
        """Return the digests of a registry reference: the locked ones, else what its tag names.

        Raises:
            ImageError: It cannot be looked up, or is not locked and must be.
        """
        locked = self.lock.images.get(reference.location)
        if locked is None:
            if self.strict and not reference.digest:
                raise not_locked(reference.text)
            return self.puller.resolve(reference)
        platform = locked.platforms.get(machine())
        if platform is None:
            return self.puller.resolve(reference.pinned(locked.digest))
        return Tagged(
            reference=reference.location, digest=locked.digest, manifest=platform.manifest
        )

    def _check_locked(self, image: Image) -> Image:
        """Return the image with its hash if the lock file names it."""
        name = lock_name(image.location, self.folder)
        locked = self.lock.images.get(name)
        if locked is None:
            if self.strict:
                raise not_locked(image.reference)
            return image
        if image.format == "directory":
            raise ImageError(f"{image.reference} is a folder, whose content cannot be locked")
        found = self.store.hash_of(Path(image.location))
        if found != locked.digest:
            error = changed(image.reference, locked.digest, found)
            if self.strict:
                raise error
            self.store.say(str(error))
        return image.model_copy(update={"digest": found})

    def _file(self, image: Image, engine: EngineName) -> Provided:
        image = self._check_locked(image)
        if image.format != "sif" or engine not in SQUASHFS_ONLY:
            return Provided(image)
        digest = hashlib.sha256(f"{image.location}\n{image.identity}".encode()).hexdigest()
        key = f"file-{digest}"
        make = partial(convert.sif_into_store, self.store, image, key)
        there = self.store.has(key, "sqsh")
        stored = self._stored(image, key, "sqsh", image.identity, image.digest)
        return Provided(stored, key, None if there else make, image.location)

    def _stored(
        self, image: Image, key: str, suffix: ImageFormat, identity: str, digest: str
    ) -> Image:
        return image.model_copy(
            update={
                "location": str(self.store.file(key, suffix)),
                "format": suffix,
                "identity": identity,
                "digest": digest,
            }
        )


@dataclass(frozen=True)
class PlannedImages:
    """Images under the path that they would have; nothing is looked up or made.

    Args:
        provider: Knows them.
    """

    provider: Provider

    def ready(self, image: Image, engine: EngineName) -> Image:
        """Return the image as it would be.

        Raises:
            ImageError: A file that is missing or damaged.
        """
        return self.provider.planned(image, engine)


def open_provider(
    path: Path,
    workdir: Path,
    say: Callable[[str], None],
    *,
    strict: bool = False,
    recipes: Mapping[str, Recipe] | None = None,
) -> Provider:
    """Return what gives the tasks of a working directory their images.

    Args:
        path: Absolute folder of the store.
        workdir: Absolute; its hpcctr.lock counts.
        say: Where progress goes.
        strict: Refuse what the lock does not name.
        recipes: Images of hpcctr.yaml that are built, by name.

    Raises:
        ConfigError: The lock file cannot be read.
    """
    store = Store(path, say)
    lock = read_lock(workdir / LOCK_FILE)
    if strict and lock is None:
        raise ConfigError(
            f"there is no hpcctr.lock in {workdir}", next_step="run `hpcctr images lock` first"
        )
    return Provider(store, Puller(store), str(workdir), lock or Lock(), strict, recipes or {})


def check_file(image: Image) -> Image:
    """Return the image with its identity, and its format corrected by what is in the file.

    Raises:
        ImageError: It is missing, unreadable, cut short, or neither a SIF nor a squashfs.
    """
    path = Path(image.location)
    if not os.path.exists(path):  # noqa: PTH110 (Path.exists raises in a folder closed to us)
        raise ImageError(
            f"image {image.reference} does not exist (looked for {path})",
            next_step="check the path and the permissions of its folders, or make the image; a "
            "relative path counts from the working directory of the workflow, and an image of a "
            "registry is written docker://…",
        )
    if path.is_dir():
        return image.model_copy(update={"format": "directory"})
    found = _magic(path)
    if found is None:
        raise ImageError(
            f"{image.reference} is neither a SIF nor a squashfs image",
            next_step=f"look at it with `file {path}`; a copy that was cut short or an error "
            "page saved under that name are common",
        )
    convert.check_whole(path, found)
    return image.model_copy(update={"format": found, "identity": files.identity_of(path)})


def _magic(path: Path) -> ImageFormat | None:
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise ImageError(
            f"image {path} cannot be read: {error.strerror}",
            next_step=f"ask its owner for read permission (`chmod a+r {path}`)",
        ) from error
    for magic, offset, image_format in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return image_format
    return None
