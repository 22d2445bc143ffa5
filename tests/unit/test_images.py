from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import ConfigError, ImageError
from snakemake_executor_plugin_hpcctr.images.background import Background
from snakemake_executor_plugin_hpcctr.images.lock import (
    Lock,
    Locked,
    Platform,
    read_lock,
    render_lock,
)
from snakemake_executor_plugin_hpcctr.images.oci import (
    Config,
    machine,
    parse_config,
    parse_index,
    parse_manifest,
)
from snakemake_executor_plugin_hpcctr.images.provide import Provider, check_file
from snakemake_executor_plugin_hpcctr.images.pull import Puller
from snakemake_executor_plugin_hpcctr.images.reference import parse_reference
from snakemake_executor_plugin_hpcctr.images.squashfs import read_file
from snakemake_executor_plugin_hpcctr.images.store import Entry, Store, Tagged, file_stem, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snakemake_executor_plugin_hpcctr.task import Image

SQSH = b"hsqs" + bytes(36) + struct.pack("<Q", 200) + bytes(152)
PYTORCH = "docker://nvcr.io/nvidia/pytorch:23.12-py3"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def sif(content: bytes = SQSH, *, kind: int = 1, role: int = 2, used: bool = True) -> bytes:
    """Return a SIF with one partition."""
    offset = 128 + 585
    head = struct.pack(
        "<32s10s3s3s16s8q",
        b"#!/usr/bin/env run-singularity\n\0",
        b"SIF_MAGIC\0",
        b"01\0",
        b"02\0",
        bytes(16),
        *(0, 0, 47, 1, 128, 585, offset, len(content)),
    )
    extra = struct.pack("<ii3s", kind, role, b"02\0").ljust(384, b"\0")
    entry = struct.pack(
        "<i?IIIqqqqqqq128s384s",
        *(0x4004, used, 1, 1, 0, offset, len(content), len(content), 0, 0, 0, 0),
        b"FS",
        extra,
    )
    return head + entry + content


def file(path: Path, content: bytes, **changes: str) -> Image:
    """Write a file and return the image that it is taken for."""
    path.write_bytes(content)
    return parse_reference(str(path), "/").model_copy(update=changes)


def provider(folder: Path, lock: Lock | None = None, *, strict: bool = False) -> Provider:
    """Return a provider with a store of its own."""
    store = Store(folder / "store", lambda _: None)
    return Provider(store, Puller(store, {}), str(folder), lock or Lock(), strict)


@pytest.mark.parametrize("name", ["x.sif", "x.sqsh", "x"])
@pytest.mark.parametrize(("content", "image_format"), [(sif(), "sif"), (SQSH, "sqsh")])
def test_the_format_is_that_of_the_content(
    tmp_path: Path, name: str, content: bytes, image_format: str
) -> None:
    """A file with another suffix, or none, is started as what it is."""
    checked = check_file(file(tmp_path / name, content))
    assert image_format == checked.format
    assert checked.identity


def test_the_identity_changes_with_the_file(tmp_path: Path) -> None:
    """Another size or time is another image; the same file is the same one."""
    image = file(tmp_path / "x.sqsh", SQSH)
    first, again = check_file(image).identity, check_file(image).identity
    os.utime(tmp_path / "x.sqsh", ns=(1, 1))
    assert first == again != check_file(image).identity


def test_a_folder_is_an_image(tmp_path: Path) -> None:
    """An unpacked root is started as a directory, whatever its name."""
    (tmp_path / "root.sif").mkdir()
    image = parse_reference("root.sif", str(tmp_path))
    assert check_file(image).format == "directory"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\0" * 64, sif()[:20]])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    """An error page saved as .sif, or an empty file, is an error before anything is submitted."""
    with pytest.raises(ImageError, match="neither a SIF nor a squashfs"):
        check_file(file(tmp_path / "x.sif", content))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.sqsh", SQSH[:150], "cut short: 150 of 200 bytes"),
        ("x.sif", sif()[:-50], "cut short: 150 of 200 bytes"),
        ("x.sif", sif()[:300], "names no root file system"),
        ("x.sif", sif(used=False), "names no root file system"),
        ("x.sif", sif(kind=4), "no plain squashfs"),
        ("x.sif", sif(b"\0" * 200), "holds no squashfs"),
    ],
)
def test_a_damaged_image_is_named_before_anything_runs(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """A truncated file is told from the lengths that stand in it, without reading all of it."""
    with pytest.raises(ImageError, match=words) as raised:
        check_file(file(tmp_path / name, content))
    assert name in raised.value.what
    assert raised.value.next_step


@pytest.mark.parametrize("name", ["nowhere.sif", "no/such/folder.sqsh", f"{'x' * 300}.sif"])
def test_a_missing_image_is_named_with_its_path(tmp_path: Path, name: str) -> None:
    """The error has what the user wrote, and where it was looked for."""
    with pytest.raises(ImageError, match="does not exist") as raised:
        check_file(parse_reference(name, str(tmp_path)))
    assert str(tmp_path / name) in raised.value.what


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    """What the system says about a file that cannot be opened is passed on."""
    (tmp_path / "loop.sif").symlink_to(tmp_path / "file" / "..")
    with pytest.raises(ImageError):
        check_file(parse_reference("loop.sif", str(tmp_path)))


def test_files_and_containers_stay_where_they_are(tmp_path: Path) -> None:
    """A file that the engine starts as it is, and a container of Enroot, need no store."""
    here = file(tmp_path / "x.sqsh", SQSH)
    container = parse_reference("enroot://science", "/")
    assert here.location == provider(tmp_path).provide(here, "enroot").image.location
    assert container == provider(tmp_path).provide(container, "enroot").image
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("engine", ["enroot", "pyxis"])
def test_a_sif_is_converted_for_engines_that_cannot_start_it(tmp_path: Path, engine: str) -> None:
    """Its squashfs is copied into the store once, under a name that changes with the file."""
    image = file(tmp_path / "x.sif", sif())
    provided = provider(tmp_path).provide(image, engine)  # type: ignore[arg-type]
    assert provided.make is not None
    provided.make()
    assert SQSH == Path(provided.image.location).read_bytes()
    again = provider(tmp_path).provide(image, engine)  # type: ignore[arg-type]
    assert again.make is None
    assert provided.image == again.image


def test_names_of_references_are_readable_and_differ() -> None:
    """A file name shows its reference; references that differ have files that differ."""
    stems = {file_stem(ref) for ref in (PYTORCH, PYTORCH.replace("/", "_"), PYTORCH + "x")}
    assert len(stems) == 3
    assert file_stem(PYTORCH).startswith("nvcr.io+nvidia+pytorch+23.12-py3-")
    assert all("/" not in stem for stem in stems)


def locked(digest: str = DIGEST) -> Locked:
    """Return a locked image for this machine."""
    platform = Platform(manifest=digest, size=3, files={"sqsh": digest})
    return Locked(digest=digest, locked="2026-01-01T00:00:00Z", platforms={machine(): platform})


def test_a_lock_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The file has the same content after it was rendered and read."""
    lock = Lock().with_image(PYTORCH, locked())
    (tmp_path / "hpcctr.lock").write_text(render_lock(lock))
    assert lock == read_lock(tmp_path / "hpcctr.lock")
    assert read_lock(tmp_path / "no.lock") is None


def test_another_architecture_is_added_to_the_same_digest() -> None:
    """Two machines that lock the same digest each keep their line and the first time."""
    other = Locked(digest=DIGEST, locked="later", platforms={"other": Platform(manifest=DIGEST)})
    merged = Lock().with_image("x", locked()).with_image("x", other).images["x"]
    assert {machine(), "other"} == set(merged.platforms)
    assert "2026-01-01T00:00:00Z" == merged.locked


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n{}", "[]", '{"version": 2}', '{"x": 1}'])
def test_a_damaged_lock_is_named(tmp_path: Path, text: str) -> None:
    """A lock file with a merge conflict is an error that says what to do."""
    (tmp_path / "hpcctr.lock").write_text(text)
    with pytest.raises(ConfigError, match="no lock file of hpcctr") as raised:
        read_lock(tmp_path / "hpcctr.lock")
    assert "hpcctr images lock" in raised.value.next_step


def test_a_locked_reference_needs_no_registry(tmp_path: Path) -> None:
    """The digest comes from the lock file, the tag is not looked up."""
    image = parse_reference(PYTORCH, "/")
    found = provider(tmp_path, Lock().with_image(PYTORCH, locked())).provide(image, "pyxis")
    assert DIGEST == found.image.digest
    assert key_of(DIGEST) == found.key


def test_what_is_not_locked_is_refused_if_it_must_be(tmp_path: Path) -> None:
    """With --hpcctr-locked an image that the lock does not name is an error."""
    for image in (parse_reference(PYTORCH, "/"), file(tmp_path / "x.sqsh", SQSH)):
        with pytest.raises(ImageError, match=r"is not in hpcctr\.lock") as raised:
            provider(tmp_path, strict=True).provide(image, "pyxis")
        assert "hpcctr images lock" in raised.value.next_step


def test_a_file_that_changed_since_it_was_locked_is_refused(tmp_path: Path) -> None:
    """Its hash is compared, and both are named."""
    image = file(tmp_path / "x.sqsh", SQSH)
    lock = Lock().with_image("x.sqsh", locked())
    with pytest.raises(ImageError, match=f"hpcctr.lock has {DIGEST}"):
        provider(tmp_path, lock, strict=True).provide(image, "pyxis")
    assert provider(tmp_path, lock).provide(image, "pyxis").image.digest != DIGEST


def test_the_store_finds_what_it_was_given(tmp_path: Path) -> None:
    """An image is published with the note of it, and found by its key; uses are noted."""
    store = Store(tmp_path / "store", lambda _: None)
    with store.making("k", "x") as folder:
        (folder / "part").write_bytes(SQSH)
        entry = store.add(Entry(key="k", reference=PYTORCH, digest=""), "sqsh", folder / "part")
    assert [entry] == store.entries()
    assert entry.digest == entry.formats["sqsh"].sha256
    store.used("k", "/project")
    assert ["/project"] == [use.workdir for use in store.uses("k")]
    store.remove("k")
    assert [] == store.entries()


def test_files_of_a_shared_store_can_be_written_by_its_group(tmp_path: Path) -> None:
    """In a folder with `chmod g+rwxs`, folders and files are the group's, too."""
    shared = tmp_path / "store"
    shared.mkdir()
    shared.chmod(0o2775)
    store = Store(shared, lambda _: None)
    store.remember(Tagged(reference=PYTORCH, digest=DIGEST, manifest=DIGEST))
    with store.making("k", "x") as folder:
        (folder / "part").write_bytes(SQSH)
        store.add(
            Entry(key="k", reference=PYTORCH, digest="", config=Config()), "sqsh", folder / "part"
        )
    for path in shared.rglob("*"):
        assert path.stat().st_mode & 0o060 == 0o060, path


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A store that is no folder is an error about permissions, not a traceback."""
    (tmp_path / "store").write_text("")
    store = Store(tmp_path / "store", lambda _: None)
    with pytest.raises(ImageError, match="cannot make x") as raised, store.making("k", "x"):
        pass
    assert "images where" in raised.value.next_step


BLOB = {"digest": DIGEST, "size": 1}
OUTSIDE = {"digest": "sha256:../../../home", "size": 1}


@pytest.mark.parametrize(
    ("read", "content"),
    [
        (parse_index, {"manifests": [OUTSIDE]}),
        (parse_index, {"manifests": [{"digest": "latest/../.."}]}),
        (parse_index, {"manifests": [{"size": 1}]}),
        (lambda text: parse_manifest(text, DIGEST), {"config": BLOB, "layers": [OUTSIDE]}),
        (lambda text: parse_manifest(text, DIGEST), {"config": OUTSIDE, "layers": []}),
        (lambda text: parse_manifest(text, DIGEST), {"config": BLOB, "layers": [{}]}),
        (parse_config, {"config": "sh"}),
        (parse_config, {"config": {"Env": 7}}),
    ],
)
def test_a_registry_s_document_cannot_name_what_is_outside_the_store(
    read: Callable[[bytes], object], content: dict[str, object]
) -> None:
    """What is no digest is refused before a file or folder is named by it; so is nonsense."""
    with pytest.raises(ImageError, match="manifest or configuration is not as specified"):
        read(json.dumps(content).encode())


@pytest.mark.parametrize("place", ["digest", "manifest"])
def test_a_lock_file_cannot_name_what_is_outside_the_store(tmp_path: Path, place: str) -> None:
    """A digest in it that is none is an error with its place."""
    lock = {"digest": DIGEST, "locked": "", "platforms": {"amd64": {"manifest": DIGEST}}}
    text = json.dumps({"images": {"docker://x:1": lock}})
    bad = text.replace(f'"{place}": "{DIGEST}"', f'"{place}": "sha256:../../../home"')
    (tmp_path / "hpcctr.lock").write_text(bad)
    with pytest.raises(ConfigError, match=f"{place}: String should match pattern"):
        read_lock(tmp_path / "hpcctr.lock")


def test_a_note_of_another_image_is_not_taken_for_one(tmp_path: Path) -> None:
    """The key in a note is that of its folder, or the folder is none of the store's images."""
    store = Store(tmp_path, lambda _: None)
    for name, key in (("a", "a"), ("b", "../../outside")):
        (tmp_path / "images" / name).mkdir(parents=True)
        note = Entry(key=key, reference=name, digest="").model_dump_json()
        (tmp_path / "images" / name / "image.json").write_text(note)
    assert ["a"] == [entry.key for entry in store.entries()]


@pytest.fixture
def defined(tmp_path: Path) -> tuple[Provider, Image]:
    """Return a definition file whose image is in the store."""
    (tmp_path / "env.def").write_text("Bootstrap: localimage\n")
    found = provider(tmp_path)
    image = parse_reference("env.def", str(tmp_path))
    made = found.store.file(found.provide(image, "pyxis").key, "sqsh")
    made.parent.mkdir(parents=True)
    made.touch()
    return found, image


def test_a_built_image_is_found_without_building(defined: tuple[Provider, Image]) -> None:
    """Where it will be is known beforehand: no registry has a say in it."""
    found, image = defined
    assert Path(found.planned(image, "pyxis").location).exists()


def test_a_run_looks_a_reference_up_once(defined: tuple[Provider, Image]) -> None:
    """What it means is not worked out again for each job."""
    images, image = Background(defined[0]), defined[1]
    first = images.ready(image, "pyxis")
    Path(image.location).unlink()
    assert first == images.ready(image, "pyxis")


def test_an_image_is_not_looked_into_without_squashfs_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is an error, not an image without variables."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="`unsquashfs` is not installed"):
        read_file(tmp_path / "image.sqsh", "etc/environment")
