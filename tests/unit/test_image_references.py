from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.reference import (
    Reference,
    parse,
    parse_reference,
)

PYTORCH = "docker://nvcr.io/nvidia/pytorch:23.12-py3"
DIGEST = "sha256:" + "0123456789abcdef" * 4

_part = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,2})[a-z0-9]{1,5}){0,2}", fullmatch=True)
_repository = st.lists(_part, min_size=1, max_size=3).map("/".join)
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
_host = st.from_regex(
    r"([a-z0-9]{1,8}(\.[a-z]{2,5}){1,2}|localhost|127\.0\.0\.1)(:\d{2,5})?", fullmatch=True
)
_digest = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)


def read(text: str) -> Reference:
    """Read a reference where no file exists."""
    return parse(text, "/project", lambda _: False)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    """Draw a registry reference with or without host, tag and digest."""
    host = draw(st.one_of(st.just(""), _host.map(lambda host: host + "/")))
    tag = draw(st.one_of(st.just(""), _tag.map(lambda tag: ":" + tag)))
    digest = draw(st.one_of(st.just(""), _digest.map(lambda digest: "@" + digest)))
    return read(f"docker://{host}{draw(_repository)}{tag}{digest}")


def same(one: Reference, other: Reference) -> bool:
    """Whether two references mean the same image."""
    mine, others = ((r.host, r.repository, r.tag, r.digest) for r in (one, other))
    return mine == others


@given(references())
def test_every_spelling_means_the_same_image(reference: Reference) -> None:
    """What is written for a tool is read back as the reference that it was written from."""
    assert same(reference, read(reference.location))
    tag = f":{reference.tag}" if reference.tag else ""
    name = reference.repository + tag + (f"@{reference.digest}" if reference.digest else "")
    for spelling in ("docker://{}/{}", "docker://{}#{}", "{}#{}"):
        assert same(reference, read(spelling.format(reference.host, name)))


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_hint(text: str) -> None:
    """No text ends in another error than one that says what to write."""
    hint = ""
    try:
        hint = read(text).location
    except ImageError as error:
        hint = error.next_step
    assert hint


@pytest.mark.parametrize(
    ("text", "location", "image_format"),
    [
        ("science.sif", "/project/science.sif", "sif"),
        ("images/../science.SIF", "/project/science.SIF", "sif"),
        ("/images/old.simg", "/images/old.simg", "sif"),
        ("/images/old.img", "/images/old.img", "sif"),
        ("x.sqsh", "/project/x.sqsh", "sqsh"),
        ("nvidia+pytorch+23.12-py3.sqsh", "/project/nvidia+pytorch+23.12-py3.sqsh", "sqsh"),
        ("x.squashfs", "/project/x.squashfs", "sqsh"),
        ("  x.sqsh\n", "/project/x.sqsh", "sqsh"),
        ("./x.sqsh", "/project/x.sqsh", "sqsh"),
        ("/images/root", "/images/root", "directory"),
        ("images/root", "/project/images/root", "directory"),
        ("file:///images/a.sif", "/images/a.sif", "sif"),
        ("with space, and:colon.sif", "/project/with space, and:colon.sif", "sif"),
        ("docker:1.sif", "/project/docker:1.sif", "sif"),
        (PYTORCH, PYTORCH, "registry"),
        ("docker://nvcr.io#nvidia/pytorch:23.12-py3", PYTORCH, "registry"),
        ("nvcr.io/nvidia/pytorch:23.12-py3", PYTORCH, "registry"),
        ("nvcr.io#nvidia/pytorch:23.12-py3", PYTORCH, "registry"),
        ("nvcr.io/nvidia/pytorch", "docker://nvcr.io/nvidia/pytorch:latest", "registry"),
        ("python:3.12-slim", "docker://python:3.12-slim", "registry"),
        ("docker://docker.io/library/python:3", "docker://python:3", "registry"),
        (f"docker://x@{DIGEST}", f"docker://x@{DIGEST}", "registry"),
        (f"docker://x:1@{DIGEST}", f"docker://x:1@{DIGEST}", "registry"),
        ("docker://[::1]:5000/x:1", "docker://[::1]:5000/x:1", "registry"),
        ("oras://host/x:1", "oras://host/x:1", "registry"),
        ("library://user/collection/x:1", "library://user/collection/x:1", "registry"),
        ("shub://user/x", "shub://user/x", "registry"),
        ("dockerd://science:1", "docker-daemon:science:1", "registry"),
        ("docker-daemon:science:1", "docker-daemon:science:1", "registry"),
        ("podman://science:1", "podman://science:1", "registry"),
        ("docker-archive:a.tar", "docker-archive:/project/a.tar", "registry"),
        ("docker-archive:///x/a.tar:n:1", "docker-archive:/x/a.tar:n:1", "registry"),
        ("oci:layout:1", "oci:/project/layout:1", "registry"),
        ("env.def", "/project/env.def", "registry"),
        ("enroot://science", "science", "container"),
    ],
)
def test_a_reference_means_what_its_author_meant(
    text: str, location: str, image_format: str
) -> None:
    """Schemes, bare registry names as pyxis takes them, and paths from the workflow's folder."""
    image = parse_reference(text, "/project")
    assert (text, location, image_format) == (image.reference, image.location, image.format)


def test_a_folder_that_exists_is_not_taken_for_a_registry() -> None:
    """`my.images/root` is the folder where there is one, else a name in the registry my.images."""
    assert parse("my.images/root", "/project", lambda _: True).kind == "file"
    assert read("my.images/root").kind == "registry"


def test_the_user_of_enroot_s_spelling_is_kept() -> None:
    """`$oauthtoken@nvcr.io#…` names the user whose password is looked up."""
    reference = read("docker://$oauthtoken@nvcr.io#nvidia/pytorch:1")
    assert ("$oauthtoken", "nvcr.io", "nvidia/pytorch") == (
        reference.user,
        reference.host,
        reference.repository,
    )


@pytest.mark.parametrize(
    ("text", "enroot"),
    [
        (PYTORCH, "nvcr.io#nvidia/pytorch:23.12-py3"),
        ("docker://docker.io/library/python:3.12", "python:3.12"),
        ("docker://localhost:5000/x", "localhost:5000#x:latest"),
        (f"docker://x:1@{DIGEST}", f"x:1@{DIGEST}"),
    ],
)
def test_each_tool_s_own_spelling_is_read(text: str, enroot: str) -> None:
    """Enroot has a `#` behind the host, pyxis that without a scheme."""
    assert same(read(text), read(enroot))
    assert same(read(text), read(f"docker://{enroot}"))


@pytest.mark.parametrize("text", ["", "  ", "docker://", "enroot://", "s3://bucket/x.sif", "://x"])
def test_what_is_no_reference_is_refused_with_examples(text: str) -> None:
    """An empty reference or an unknown scheme is an error that shows what can be written."""
    with pytest.raises(ImageError) as raised:
        read(text)
    assert "docker://HOST/REPOSITORY:TAG" in raised.value.next_step


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("dokcer://python:3", "dokcer:// in 'dokcer://python:3' is not known", "`docker`"),
        ("docker:/python:3", "is not an image reference", "write docker://python:3"),
        ("docker://Team/App:1", "has capital letters", "write docker://team/app:1"),
        ("docker://python:", "the tag in 'docker://python:' is empty", "leave `:` out"),
        ("docker://python:3 12", "'3 12' in", "a tag has letters"),
        ("docker://x@sha256:12", "'sha256:12' in", "64 digits"),
        ("docker://bad host#x:1", "'bad host' in", "docker://HOST/REPOSITORY:TAG"),
        ("docker://a//b", "'a//b' in 'docker://a//b' is no name", "docker://HOST"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(text: str, what: str, hint: str) -> None:
    """The error names the part that is wrong, and the hint what to write."""
    with pytest.raises(ImageError) as raised:
        read(text)
    assert what in raised.value.what
    assert hint in raised.value.next_step
