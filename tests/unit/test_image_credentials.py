from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from snakemake_executor_plugin_hpcctr.images.credentials import find_credentials

if TYPE_CHECKING:
    from pathlib import Path

AUTH = base64.b64encode(b"anna:s3cr3t").decode()


def write(path: Path, content: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "host", "key"),
    [
        (".docker/config.json", "host:5000", "host:5000"),
        (".docker/config.json", "host", "https://host"),
        (".docker/config.json", "docker.io", "https://index.docker.io/v1/"),
        (".apptainer/docker-config.json", "host", "host"),
        (".singularity/docker-config.json", "host", "host"),
        (".config/containers/auth.json", "docker.io", "docker.io"),
    ],
)
def test_a_login_is_found_in_the_file_of_each_tool(
    tmp_path: Path, file: str, host: str, key: str
) -> None:
    """Docker's form of file, under each of the names that tools write a registry by."""
    write(tmp_path / file, {"auths": {key: {"auth": AUTH}}})
    found = find_credentials(host, {"HOME": str(tmp_path)})
    assert found is not None
    assert ("anna", AUTH) == (found.user, found.basic)
    assert str(tmp_path / file) == found.source


@pytest.mark.parametrize(
    ("text", "host", "user"),
    [
        ("machine nvcr.io login $oauthtoken password key", "nvcr.io", "$oauthtoken"),
        ("machine auth.docker.io login anna password x", "docker.io", "anna"),
        ("machine registry-1.docker.io login anna password x", "docker.io", "anna"),
        ("# note\nmachine a login b password c machine host login anna password x", "host", "anna"),
        ("machine host login anna password $(cat secret)", "host", None),
        ("machine other login anna password x", "host", None),
        ('machine host login anna password "unclosed', "host", None),
    ],
)
def test_enroot_s_credentials_are_read_as_netrc(
    tmp_path: Path, text: str, host: str, user: str | None
) -> None:
    """Commands in the file are not run, entries of other machines not taken."""
    (tmp_path / ".credentials").write_text(text)
    found = find_credentials(host, {"ENROOT_CONFIG_PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert user == (found.user if found else None)


def test_the_environment_wins_and_a_user_may_be_asked_for(tmp_path: Path) -> None:
    """Apptainer's variables come first; a reference that names a user takes only his login."""
    write(tmp_path / ".docker/config.json", {"auths": {"host": {"auth": AUTH}}})
    environ = {
        "HOME": str(tmp_path),
        "APPTAINER_DOCKER_USERNAME": "bert",
        "APPTAINER_DOCKER_PASSWORD": "x",
    }
    assert ["bert", "anna", None] == [
        found.user if (found := find_credentials("host", environ, user)) else None
        for user in ("", "anna", "carl")
    ]


def test_a_helper_of_docker_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker-credential-NAME gets the registry and answers with a login or a token."""
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        '#!/bin/sh\nread -r host\nprintf \'{"Username": "<token>", "Secret": "for-%s"}\' "$host"\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    write(tmp_path / ".docker/config.json", {"credHelpers": {"host": "test"}})
    found = find_credentials("host", {"HOME": str(tmp_path)})
    assert found is not None
    assert "for-host" == found.token.get_secret_value()


@pytest.mark.parametrize("content", ["", "[]", '{"auths": {"host": {}}}', '{"auths": 3}', "\x00"])
def test_a_damaged_file_is_passed_over(tmp_path: Path, content: str) -> None:
    """It holds no login, and is no error of ours."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(content)
    assert find_credentials("host", {"HOME": str(tmp_path)}) is None


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    """Neither as text nor in a dump of all fields."""
    write(tmp_path / ".docker/config.json", {"auths": {"host": {"auth": AUTH}}})
    found = find_credentials("host", {"HOME": str(tmp_path)})
    assert found is not None
    assert "s3cr3t" not in f"{found} {found!r} {found.model_dump_json()}"
