"""A registry: tags → digests, manifests, and layers that arrive whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
from concurrent.futures import FIRST_EXCEPTION, CancelledError, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from snakemake_executor_plugin_hpcctr.config.suggest import nearest
from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images import files, oci, threads
from snakemake_executor_plugin_hpcctr.images.http import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from snakemake_executor_plugin_hpcctr.images.http import Answer, Client
    from snakemake_executor_plugin_hpcctr.images.progress import Progress
    from snakemake_executor_plugin_hpcctr.images.reference import Reference

CHUNK = 1 << 20
PARALLEL = 4
#: Times that a broken transfer is taken up again.
TRIES = 5


@dataclass(frozen=True)
class Document:
    """A manifest or index as the registry has it."""

    digest: str
    text: bytes


@dataclass
class Registry:
    """Images of one registry.

    Args:
        client: The connection.
    """

    client: Client

    def document(self, reference: Reference, digest: str = "") -> Document:
        """Return what a reference's tag or digest names: a manifest, or an index of several.

        Raises:
            ImageError: No such image, wrong content, or the registry cannot be used.
        """
        wanted = digest or reference.digest or reference.tag
        path = f"{reference.repository}/manifests/{wanted}"
        accept = ", ".join((*oci.INDEXES, *oci.MANIFESTS))
        try:
            text = self.client.read(path, {"Accept": accept})
        except Missing:
            raise self._no_such_image(reference, wanted) from None
        found = "sha256:" + hashlib.sha256(text).hexdigest()
        if wanted.startswith("sha256:") and found != wanted:
            raise ImageError(
                f"registry {self.client.host} sent other content than {wanted}",
                next_step="a proxy or mirror between may be at fault; try again, or another host",
            )
        return Document(digest=found, text=text)

    def _no_such_image(self, reference: Reference, wanted: str) -> ImageError:
        name = f"{reference.host}/{reference.repository}"
        tags = self._tags(reference)
        if tags is None:
            return ImageError(
                f"there is no image {name}",
                next_step="check its spelling; a private image may need a login",
            )
        near = nearest(wanted, tags, close=0.5)
        if wanted.startswith("sha256:"):
            hint = "it may have been removed from the registry; choose a tag anew"
        else:
            hint = f"did you mean `{near}`? " if near else ""
            hint += f"it has {_some(tags)}"
        return ImageError(f"{name} has no {wanted}", next_step=hint)

    def _tags(self, reference: Reference) -> list[str] | None:
        import json  # noqa: PLC0415 (only after an error)

        path = f"{reference.repository}/tags/list?n=1000"
        with suppress(ImageError, ValueError):
            return [str(tag) for tag in json.loads(self.client.read(path)).get("tags") or []]
        return None

    def blob(self, repository: str, digest: str) -> bytes:
        """Return a small blob, e.g. an image's configuration.

        Raises:
            ImageError: It is not there, or its content is wrong.
        """
        content = self.client.read(f"{repository}/blobs/{digest}")
        if "sha256:" + hashlib.sha256(content).hexdigest() != digest:
            raise self._corrupt(digest)
        return content

    def _corrupt(self, digest: str) -> ImageError:
        return ImageError(
            f"registry {self.client.host} sent other content than {digest}",
            next_step="try again; if it stays so, the image is damaged there: push it anew",
        )

    def fetch_all(
        self,
        repository: str,
        blobs: Iterable[oci.Blob],
        path_of: Callable[[str], Path],
        progress: Progress,
    ) -> None:
        """Bring several blobs to files, a few at a time.

        Raises:
            ImageError: As for `fetch`; the other transfers end at their next chunk.
        """
        unique = {blob.digest: blob for blob in blobs}.values()
        fetches = (partial(self.fetch, repository, b, path_of(b.digest), progress) for b in unique)
        ended, others = wait(threads.start_all(fetches, PARALLEL), return_when=FIRST_EXCEPTION)
        progress.stopped = True
        wait(others)
        for job in ended:
            job.result()

    def fetch(self, repository: str, blob: oci.Blob, target: Path, progress: Progress) -> None:
        """Bring a blob to a file; takes up what an earlier transfer left as `FILE.part`.

        Raises:
            ImageError: It cannot be had, or its content is wrong twice.
        """
        if target.exists():
            progress.had(blob.size)
            return
        part = target.with_name(f"{target.name}.part")
        for attempt in range(TRIES):
            try:
                digest = self._resume(repository, blob, part, progress)
            except (OSError, http.client.HTTPException) as error:
                # What the file system says, not the connection.
                if isinstance(error, OSError) and (error.filename or error.errno in files.FULL):
                    raise
                if attempt == TRIES - 1:
                    raise ImageError(
                        f"registry {self.client.host} broke off {TRIES} times: {error}",
                        next_step="start it again: what has arrived is kept",
                    ) from error
                continue
            if digest == blob.digest:
                part.replace(target)
                return
            progress.add(-part.stat().st_size)
            part.unlink()
        raise self._corrupt(blob.digest)

    def _resume(self, repository: str, blob: oci.Blob, part: Path, progress: Progress) -> str:
        """Append what is missing to a part; return the digest of the whole."""
        have, checksum = _hash_part(part)
        path = f"{repository}/blobs/{blob.digest}"
        if have and have < blob.size:
            with self.client.get(path, {"Range": f"bytes={have}-"}) as answer:
                if answer.status == http.client.PARTIAL_CONTENT:
                    progress.had(have)
                    return _copy(answer, part, "ab", checksum, progress)
        elif have == blob.size:
            progress.had(have)
            return f"sha256:{checksum.hexdigest()}"
        with self.client.get(path) as answer:
            return _copy(answer, part, "wb", hashlib.sha256(), progress)


def _hash_part(part: Path) -> tuple[int, hashlib._Hash]:
    checksum, have = hashlib.sha256(), 0
    with suppress(FileNotFoundError), part.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum.update(chunk)
            have += len(chunk)
    return have, checksum


def _copy(
    answer: Answer, part: Path, mode: str, checksum: hashlib._Hash, progress: Progress
) -> str:
    with part.open(mode) as stream:
        while chunk := answer.read(CHUNK):
            if progress.stopped:
                raise CancelledError
            stream.write(chunk)
            checksum.update(chunk)
            progress.add(len(chunk))
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return f"sha256:{checksum.hexdigest()}"


def _some(tags: list[str]) -> str:
    shown = sorted(tags)[-8:]
    more = f" and {len(tags) - len(shown)} more" if len(tags) > len(shown) else ""
    return f"the tags {', '.join(shown)}{more}" if tags else "no tags"
