from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.reference import parse_reference
from snakemake_executor_plugin_hpcctr.images.store import (
    ImageFolder,
    check_file,
    file_stem,
    pull_argv,
)

if TYPE_CHECKING:
    from snakemake_executor_plugin_hpcctr.task import EngineName, Image, ImageFormat

SIF = b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0" + bytes(100)
SQSH = b"hsqs" + bytes(100)
PYTORCH = "docker://nvcr.io/nvidia/pytorch:23.12-py3"


@pytest.mark.parametrize(
    ("text", "location", "image_format"),
    [
        ("science.sif", "/project/science.sif", "sif"),
        ("images/../science.SIF", "/project/science.SIF", "sif"),
        ("/images/old.simg", "/images/old.simg", "sif"),
        ("/images/old.img", "/images/old.img", "sif"),
        ("x.sqsh", "/project/x.sqsh", "sqsh"),
        ("x.squashfs", "/project/x.squashfs", "sqsh"),
        ("  x.sqsh\n", "/project/x.sqsh", "sqsh"),
        ("/images/root", "/images/root", "directory"),
        ("file:///images/a.sif", "/images/a.sif", "sif"),
        ("with space, and:colon.sif", "/project/with space, and:colon.sif", "sif"),
        (PYTORCH, PYTORCH, "registry"),
        ("docker://nvcr.io#nvidia/pytorch:23.12-py3", PYTORCH, "registry"),
        ("oras://host/x:1", "oras://host/x:1", "registry"),
        ("enroot://science", "science", "container"),
    ],
)
def test_a_reference_means_what_the_user_expects(
    text: str, location: str, image_format: ImageFormat
) -> None:
    """Schemes mean a registry, everything else a path that counts from the workflow's folder."""
    image = parse_reference(text, "/project")
    assert (text, location, image_format) == (image.reference, image.location, image.format)


@pytest.mark.parametrize("text", ["", "  ", "docker://", "enroot://", "s3://bucket/x.sif", "://x"])
def test_what_is_no_reference_is_refused_with_examples(text: str) -> None:
    """An empty reference or an unknown scheme is an error that shows what can be written."""
    with pytest.raises(ImageError) as raised:
        parse_reference(text, "/project")
    assert "docker://HOST/REPOSITORY:TAG" in raised.value.next_step


def file(path: Path, content: bytes, **changes: str) -> Image:
    """Write a file and return the image that it is taken for."""
    path.write_bytes(content)
    return parse_reference(str(path), "/").model_copy(update=changes)


@pytest.mark.parametrize("name", ["x.sif", "x.sqsh", "x"])
@pytest.mark.parametrize(("content", "image_format"), [(SIF, "sif"), (SQSH, "sqsh")])
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


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\0" * 64, SIF[:20]])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    """An error page saved as .sif, or an empty file, is an error before anything is submitted."""
    with pytest.raises(ImageError, match="neither a SIF nor a squashfs"):
        check_file(file(tmp_path / "x.sif", content))


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


@pytest.mark.parametrize(
    ("location", "source"),
    [
        (PYTORCH, "docker://nvcr.io#nvidia/pytorch:23.12-py3"),
        ("docker://python:3.12-slim", "docker://python:3.12-slim"),
        ("docker://library/python", "docker://library/python"),
        ("docker://localhost:5000/x", "docker://localhost:5000#x"),
    ],
)
def test_enroot_pulls_with_its_own_spelling(location: str, source: str) -> None:
    """Enroot wants a `#` behind the host."""
    assert ["enroot", "import", "--output", "/i/x.sqsh", source] == pull_argv(
        location, Path("/i/x.sqsh")
    )


@pytest.mark.parametrize("program", ["apptainer", "singularity"])
def test_a_sif_is_pulled_by_the_program_that_is_there(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apptainer, or Singularity where only that is installed."""
    install(tmp_path, monkeypatch, program, "exit 0")
    expected = [program, "--quiet", "pull", "/i/x.sif", PYTORCH]
    assert expected == pull_argv(PYTORCH, Path("/i/x.sif"))


def test_names_of_pulled_files_are_readable_and_differ() -> None:
    """A file name shows its reference; references that differ have files that differ."""
    stems = {file_stem(ref) for ref in (PYTORCH, PYTORCH.replace("/", "_"), PYTORCH + "x")}
    assert len(stems) == 3
    assert file_stem(PYTORCH).startswith("nvcr.io+nvidia+pytorch+23.12-py3-")
    assert all("/" not in stem for stem in stems)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    """Put a program of this name on PATH, in front of nothing but the system's shells."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    (programs / name).chmod(0o755)
    for tool in ("sh", "cp", "sleep"):
        if not (programs / tool).exists():
            (programs / tool).symlink_to(f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(programs))


def registry_image() -> Image:
    """Return the image of a registry reference."""
    return parse_reference(PYTORCH, "/project")


@pytest.mark.parametrize(
    ("engine", "program", "body", "image_format"),
    [
        ("apptainer", "apptainer", 'cp "$SOURCE" "$3"', "sif"),
        ("enroot", "enroot", 'cp "$SOURCE" "$3"', "sqsh"),
        ("pyxis", "enroot", 'cp "$SOURCE" "$3"', "sqsh"),
    ],
)
def test_a_registry_image_is_pulled_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: EngineName,
    program: str,
    body: str,
    image_format: str,
) -> None:
    """The file has the engine's format, keeps the user's name, and is there for the next task."""
    install(tmp_path, monkeypatch, program, body)
    monkeypatch.setenv("SOURCE", str(tmp_path / "source"))
    (tmp_path / "source").write_bytes(SIF)
    said: list[str] = []
    folder = ImageFolder(tmp_path / "images", said.append)
    first, second = (folder.ready(registry_image(), engine) for _ in range(2))
    assert first == second
    assert (PYTORCH, image_format) == (first.reference, first.format)
    assert Path(first.location).read_bytes() == SIF
    assert [f"Pulling {PYTORCH} to {first.location}"] == said


def test_a_pull_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the program's own words, and no half of an image stays behind."""
    body = 'echo half >"$3"; echo "unauthorized: authentication required" >&2; exit 255'
    install(tmp_path, monkeypatch, "apptainer", body)
    folder = ImageFolder(tmp_path / "images", lambda _: None)
    with pytest.raises(ImageError, match="unauthorized: authentication required") as raised:
        folder.ready(registry_image(), "apptainer")
    assert PYTORCH in raised.value.what
    assert raised.value.next_step
    left = [path.name for path in (tmp_path / "images").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine on this host the pull says which program it needs."""
    install(tmp_path, monkeypatch, "something", "exit 0")
    with pytest.raises(ImageError, match="enroot: command not found"):
        ImageFolder(tmp_path / "images", lambda _: None).ready(registry_image(), "enroot")


def test_files_and_containers_are_not_pulled(tmp_path: Path) -> None:
    """An image that is a file stays where it is; a container of Enroot has no file."""
    folder = ImageFolder(tmp_path / "images", lambda _: None)
    here = file(tmp_path / "x.sqsh", SQSH)
    container = parse_reference("enroot://science", "/")
    assert here.location == folder.ready(here, "enroot").location
    assert container == folder.ready(container, "enroot")
    assert not (tmp_path / "images").exists()
