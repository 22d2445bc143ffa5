"""What the commands about images do: pull many, lock, verify, describe. Nothing is printed."""

from __future__ import annotations

import time
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.errors import HpcctrError, ImageError
from snakemake_executor_plugin_hpcctr.images import convert, files, oci, threads
from snakemake_executor_plugin_hpcctr.images.lock import Lock, Locked, Platform, changed, lock_name
from snakemake_executor_plugin_hpcctr.images.provide import check_file
from snakemake_executor_plugin_hpcctr.images.store import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from snakemake_executor_plugin_hpcctr.images.provide import Provided, Provider
    from snakemake_executor_plugin_hpcctr.images.reference import Reference
    from snakemake_executor_plugin_hpcctr.images.store import Entry, Store

_T = TypeVar("_T")
LOOK_UPS = 16
PULLS = 2


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        name: The image or file.
        problem: What is wrong, "" if nothing is.
        advice: What to do about it.
    """

    name: str
    problem: str = ""
    advice: str = ""


def provide_all(provider: Provider, references: Sequence[Reference]) -> list[Provided]:
    """Make several images ready for every engine: looked up side by side, two pulled at a time.

    Raises:
        ImageError: One of them cannot be had; the others are pulled all the same.
    """
    # Of the engines, pyxis is content with what every engine starts.
    found = _side_by_side(partial(provider.provide, r.image, "pyxis") for r in references)
    makes = threads.start_all((p.make for p in found if p.make is not None), PULLS)
    wait(makes)
    for job in makes:
        job.result()
    return found


def _side_by_side(look_ups: Iterable[Callable[[], _T]]) -> list[_T]:
    return [job.result() for job in threads.start_all(look_ups, LOOK_UPS)]


def lock_images(
    provider: Provider, references: Sequence[Reference], *, update: bool
) -> tuple[Lock, list[str]]:
    """Return the lock of these images, and a sentence about each that is new or changed.

    What is locked stays as it is unless `update` asks the registries again. The hash of a file
    is noted where the image is in the store.

    Raises:
        ImageError: An image cannot be looked up.
    """
    kept = {}
    lock, said = provider.lock, []
    found = _side_by_side(partial(_locked, provider, r, update=update) for r in references)
    for reference, (name, new) in zip(references, found, strict=True):
        old = provider.lock.images.get(name)
        lock = lock.with_image(name, new)
        kept[name] = lock.images[name]
        if old is None or old.digest != new.digest:
            said.append(f"{reference.text}: {old.digest if old else 'new'} → {new.digest}")
    return Lock(images=dict(sorted(kept.items()))), said


def _locked(provider: Provider, reference: Reference, *, update: bool) -> tuple[str, Locked]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if reference.kind == "file":
        image = check_file(reference.image)
        if image.format == "directory":
            raise ImageError(
                f"{reference.text} is a folder, whose content cannot be locked",
                next_step="make a file of it: `hpcctr images convert FOLDER NAME.sqsh`",
            )
        path = Path(image.location)
        digest = provider.store.hash_of(path)
        platform = Platform(manifest=digest, size=path.stat().st_size, files={image.format: digest})
        name = lock_name(image.location, provider.folder)
        return name, Locked(digest=digest, locked=now, platforms={oci.machine(): platform})
    if reference.kind != "registry":
        raise ImageError(
            f"{reference.text} has no digest that others could pull",
            next_step="push it to a registry, or lock the file that is made of it",
        )
    tagged = (
        provider.puller.resolve(reference, fresh=True) if update else provider.resolve(reference)
    )
    entry = provider.store.entry(key_of(tagged.manifest))
    size = entry.transferred if entry else provider.puller.manifest(reference, tagged).size
    hashes = {k: v.sha256 for k, v in entry.formats.items()} if entry else {}
    platform = Platform(manifest=tagged.manifest, size=size, files=hashes)
    platforms = {oci.machine(): platform}
    return reference.location, Locked(digest=tagged.digest, locked=now, platforms=platforms)


def refresh(provider: Provider, references: Sequence[Reference]) -> None:
    """Ask the registries again what the tags name, and note it.

    Raises:
        ImageError: One of them cannot be looked up.
    """
    wanted = [r for r in references if r.kind == "registry" and not r.digest]
    _side_by_side(partial(provider.puller.resolve, r, fresh=True) for r in wanted)


def add_sifs(store: Store, provided: Sequence[Provided]) -> None:
    """Make a SIF beside the squashfs of each image of the store.

    Raises:
        ImageError: No Apptainer, or it failed.
    """
    for item in provided:
        if item.key and not store.has(item.key, "sif"):
            convert.add_sif(store, item.key, item.image.reference)


def enroot_containers() -> list[str]:
    """Return the containers that `enroot list` shows on this machine."""
    done = proc.run(["enroot", "list"], timeout_s=10)
    return done.out.split() if done.ok else []


def verify(provider: Provider, references: Sequence[Reference], *, tags: bool) -> list[Checked]:
    """Check images: files of the store by their hash, a user's own against hpcctr.lock.

    Args:
        provider: Knows them.
        references: Which.
        tags: Also ask the registries.
    """
    keys, found = set(), []
    for reference in references:
        try:
            if reference.kind == "file":
                found.append(_verify_file(provider, reference))
                continue
            known = provider.planned(reference.image, "pyxis")
        except HpcctrError as error:
            found.append(Checked(reference.text, error.what, error.next_step))
            continue
        if Path(known.location).exists():
            keys.add(Path(known.location).parent.name)
        else:
            found.append(Checked(f"{reference.text} (not pulled yet)"))
    found += verify_store(provider.store, keys)
    return [*found, *(verify_tags(provider, references) if tags else ())]


def _verify_file(provider: Provider, reference: Reference) -> Checked:
    image = check_file(reference.image)
    locked = provider.lock.images.get(lock_name(image.location, provider.folder))
    if locked is None or image.format == "directory":
        return Checked(reference.text)
    digest = files.sha256_of(Path(image.location))
    if digest == locked.digest:
        return Checked(reference.text)
    error = changed(reference.text, locked.digest, digest)
    return Checked(reference.text, error.what, error.next_step)


def verify_store(store: Store, keys: Iterable[str] | None = None) -> Iterator[Checked]:
    """Read every file of the store and compare its hash with what was noted when it was made."""
    wanted = None if keys is None else set(keys)
    for entry in store.entries():
        if wanted is not None and entry.key not in wanted:
            continue
        for suffix, info in entry.formats.items():
            path = store.file(entry.key, suffix)
            name = f"{entry.reference} ({suffix})"
            again = f"remove it with `hpcctr images prune --key {entry.key} --yes` and pull it anew"
            if not path.exists():
                yield Checked(name, f"{path} is missing", again)
            elif (found := files.sha256_of(path)) != info.sha256:
                yield Checked(name, f"{path} has changed: {found} in place of {info.sha256}", again)
            else:
                yield Checked(name)


def verify_tags(provider: Provider, references: Sequence[Reference]) -> Iterator[Checked]:
    """Ask the registries whether the tags still name what was locked, or else pulled."""
    for reference in references:
        if reference.kind != "registry" or reference.digest:
            continue
        locked = provider.lock.images.get(reference.location)
        known = provider.store.tagged(reference.location)
        digest = locked.digest if locked else known.digest if known else ""
        place = "hpcctr.lock" if locked else "the store"
        try:
            now = provider.puller.registry(reference).document(reference).digest
        except HpcctrError as error:
            yield Checked(reference.text, error.what, error.next_step)
            continue
        if digest and now != digest:
            yield Checked(
                reference.text,
                f"the tag now names {now}, and {place} has {digest}",
                "runs go on with the old one; `hpcctr images lock --update` takes the new one"
                if locked
                else "`hpcctr images pull --update` takes the new one",
            )
        else:
            yield Checked(reference.text)


def describe(provider: Provider, reference: Reference) -> dict[str, Any]:
    """Return what is known of an image as plain values; a registry is asked if it must be.

    Raises:
        ImageError: It does not exist, or cannot be looked up.
    """
    if reference.kind == "file":
        return _describe_file(provider, reference)
    if reference.kind != "registry":
        return {"reference": reference.text, "kind": reference.kind, "location": reference.location}
    tagged = provider.resolve(reference)
    entry = provider.store.entry(key_of(tagged.manifest))
    config = entry.config if entry else provider.puller.config(reference, tagged)
    return {
        "reference": reference.text,
        "kind": "registry",
        "pinned": reference.model_copy(update={"tag": ""}).pinned(tagged.digest).location,
        "digest": tagged.digest,
        "manifest": tagged.manifest,
        "transferred": entry.transferred
        if entry
        else provider.puller.manifest(reference, tagged).size,
        **config.model_dump(),
        "files": _files(provider.store, entry) if entry else {},
    }


def _describe_file(provider: Provider, reference: Reference) -> dict[str, Any]:
    image = check_file(reference.image)
    path = Path(image.location)
    plain = image.format != "directory"
    return {
        "reference": reference.text,
        "kind": image.format,
        "location": image.location,
        "digest": provider.store.hash_of(path) if plain else "",
        "size": path.stat().st_size if plain else None,
    }


def _files(store: Store, entry: Entry) -> dict[str, dict[str, Any]]:
    return {
        suffix: {"path": str(store.file(entry.key, suffix)), **info.model_dump()}
        for suffix, info in entry.formats.items()
    }


def listing(store: Store) -> list[dict[str, Any]]:
    """Return the images of a store as plain values, the newest first."""
    names: dict[str, list[str]] = {}
    for tagged in store.all_tagged():
        names.setdefault(key_of(tagged.manifest), []).append(tagged.reference)
    return [
        {
            "references": names.get(entry.key) or [entry.reference],
            "digest": entry.digest,
            "key": entry.key,
            "size": sum(info.size for info in entry.formats.values()),
            "formats": sorted(entry.formats),
            "made": entry.made,
            "by": entry.by,
            "last_use": uses[0].last if (uses := store.uses(entry.key)) else None,
            "used_by": [use.workdir for use in uses],
            "files": _files(store, entry),
        }
        for entry in store.entries()
    ]
