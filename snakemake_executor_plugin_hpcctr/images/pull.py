"""Registry → store: a tag becomes a digest, its layers one squashfs that every engine starts."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import files, oci
from snakemake_executor_plugin_hpcctr.images.credentials import find_credentials
from snakemake_executor_plugin_hpcctr.images.http import Client
from snakemake_executor_plugin_hpcctr.images.layers import merge
from snakemake_executor_plugin_hpcctr.images.metadata import files_of, folders_of
from snakemake_executor_plugin_hpcctr.images.progress import Progress, duration, size
from snakemake_executor_plugin_hpcctr.images.registry import Registry
from snakemake_executor_plugin_hpcctr.images.squashfs import check_squashfs, write_squashfs
from snakemake_executor_plugin_hpcctr.images.store import Entry, Tagged, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.images.reference import Reference
    from snakemake_executor_plugin_hpcctr.images.store import Store


@dataclass
class Puller:
    """Brings images of registries into a store.

    Args:
        store: Where to.
        environ: Variables that may name a login.
        every_s: Seconds between two lines about progress.
    """

    store: Store
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    every_s: float = 10.0

    def registry(self, reference: Reference) -> Registry:
        """Return the registry of a reference, with the user's login for it."""
        login = find_credentials(reference.host, self.environ, reference.user)
        return Registry(Client(reference.host, login, self.store.say))

    def resolve(self, reference: Reference, *, fresh: bool = False) -> Tagged:
        """Return the digests that a reference names, for machines like this one.

        What the store knows of a tag is taken as it is, without asking the registry.

        Args:
            reference: A reference of kind `registry`.
            fresh: Ask the registry in any case.

        Raises:
            ImageError: No such image, or the registry cannot be used.
        """
        known = None if fresh else self.store.tagged(reference.location)
        if known is not None:
            return known
        registry = self.registry(reference)
        document = registry.document(reference)
        variants = oci.parse_index(document.text)
        manifest = document.digest
        if variants is not None:
            manifest = oci.choose_variant(reference.text, variants, oci.machine())
        tagged = Tagged(
            reference=reference.location,
            digest=document.digest,
            manifest=manifest,
            seen=time.time(),
        )
        with files.told_if_full(self.store.path, f"cannot note what {reference.text} is"):
            self.store.remember(tagged)
        return tagged

    def manifest(self, reference: Reference, tagged: Tagged) -> oci.Manifest:
        """Return the manifest of a reference's image.

        Raises:
            ImageError: It cannot be had.
        """
        document = self.registry(reference).document(reference, tagged.manifest)
        return oci.parse_manifest(document.text, tagged.manifest)

    def config(self, reference: Reference, tagged: Tagged) -> oci.Config:
        """Return what a reference's image says of itself, without pulling it.

        Raises:
            ImageError: It cannot be had.
        """
        blob = self.manifest(reference, tagged).config
        return oci.parse_config(self.registry(reference).blob(reference.repository, blob.digest))

    def pull(self, reference: Reference, tagged: Tagged) -> Entry:
        """Return the image of a reference as a squashfs of the store; pulled if it is not there.

        Raises:
            ImageError: It cannot be had; nothing half-made stays, layers that arrived are kept.
        """
        key = key_of(tagged.manifest)
        if (known := self.store.finished(key)) is not None:
            return known
        with self.store.making(key, reference.text) as folder:
            if (known := self.store.finished(key)) is not None:
                return known
            return self._pull(reference, tagged, folder)

    def _pull(self, reference: Reference, tagged: Tagged, folder: Path) -> Entry:
        registry = self.registry(reference)
        document = registry.document(reference, tagged.manifest)
        manifest = oci.parse_manifest(document.text, tagged.manifest)
        config = oci.parse_config(registry.blob(reference.repository, manifest.config.digest))
        oci.check_architecture(reference.text, config, oci.machine())
        key = key_of(manifest.digest)
        layers = self._transfer(registry, reference, manifest, self.store.blobs(key))
        entry = Entry(
            key=key,
            reference=reference.location,
            digest=manifest.digest,
            config=config,
            transferred=manifest.size,
        )
        started = time.monotonic()
        part = folder / "image.sqsh"
        merged = merge(layers, files_of(config), folders_of(config))
        write_squashfs(merged.write, part, merged.latest)
        check_squashfs(part)
        entry = self.store.add(entry, "sqsh", part)
        self.store.say(
            f"Pulled {reference.text}: {size(entry.formats['sqsh'].size)}, packed in "
            f"{duration(time.monotonic() - started)}, {tagged.digest}"
        )
        shutil.rmtree(self.store.blobs(key), ignore_errors=True)
        return entry

    def _transfer(
        self, registry: Registry, reference: Reference, manifest: oci.Manifest, folder: Path
    ) -> list[Path]:
        """Bring the layers to a folder, those that are not there yet; return all of them."""
        paths = {blob.digest: folder / key_of(blob.digest) for blob in manifest.layers}
        missing = [blob for blob in manifest.layers if not paths[blob.digest].exists()]
        needed = sum(blob.size for blob in missing)
        free = files.free_bytes(self.store.path)
        # The squashfs is about as large as the layers, which go when it is made.
        if needed + manifest.size > free:
            raise ImageError(
                f"{reference.text} needs {size(needed + manifest.size)} in {self.store.path}, "
                f"where {size(free)} are free",
                next_step="free some (`hpcctr images prune` shows what can go), or name another "
                "folder in `image_dir`",
            )
        self.store.say(
            f"Pulling {reference.text} into {self.store.path}: {len(manifest.layers)} layers, "
            f"{size(needed)} to transfer, {size(free)} free"
        )
        progress = Progress(f"Pulling {reference.text}", needed, self.store.say, self.every_s)
        files.make_folder(folder)
        registry.fetch_all(reference.repository, missing, paths.__getitem__, progress)
        return [paths[blob.digest] for blob in manifest.layers]
