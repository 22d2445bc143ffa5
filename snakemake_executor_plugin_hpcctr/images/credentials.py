"""Who we are to a registry: the environment, and the files of Docker, Podman, Apptainer, Enroot.

A password leaves this module as a SecretStr, which prints as stars.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from snakemake_executor_plugin_hpcctr import proc
from snakemake_executor_plugin_hpcctr.images.reference import HUB, HUB_NAMES
from snakemake_executor_plugin_hpcctr.task import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
#: A helper that gives a token in place of a password says so by this user name.
_TOKEN_USER = "<token>"  # noqa: S105 (a word of the protocol)


class Credentials(Frozen):
    """A login.

    Args:
        user: User name.
        password: Password; "" if there is a token.
        token: A refresh token of an identity provider, or "".
        source: File or variable that it came from, for people.
    """

    user: str
    password: SecretStr
    token: SecretStr = SecretStr("")
    source: str = ""

    @property
    def basic(self) -> str:
        """The value of an `Authorization: Basic` header, without that word."""
        pair = f"{self.user}:{self.password.get_secret_value()}"
        return base64.b64encode(pair.encode()).decode()


def find_credentials(host: str, environ: Mapping[str, str], user: str = "") -> Credentials | None:
    """Return the login for a registry, or None; the first place that has one wins.

    Variables APPTAINER_DOCKER_USERNAME and _PASSWORD (also SINGULARITY_), then Podman's
    auth.json, Docker's config.json with its helpers, Apptainer's docker-config.json, Enroot's
    .credentials.

    Args:
        host: Registry as in a reference.
        environ: Variables; HOME and XDG_* name the places of the files.
        user: Take only a login of this user.
    """
    places = (_from_variables(environ), _from_json(host, environ), _from_netrc(host, environ))
    found = (login for place in places for login in place if user in {"", login.user})
    return next(found, None)


def _from_variables(environ: Mapping[str, str]) -> Iterator[Credentials]:
    for prefix in ("APPTAINER_DOCKER", "SINGULARITY_DOCKER"):
        name, secret = environ.get(f"{prefix}_USERNAME"), environ.get(f"{prefix}_PASSWORD")
        if name and secret:
            yield Credentials(user=name, password=SecretStr(secret), source=f"${prefix}_USERNAME")


def _json_files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME", "/"))
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers/auth.json"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
    yield Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    for tool in ("apptainer", "singularity"):
        folder = environ.get(f"{tool.upper()}_CONFIGDIR")
        yield Path(folder or home / f".{tool}") / "docker-config.json"


def _names(host: str) -> tuple[str, ...]:
    """Return the keys under which a registry stands in such a file."""
    if host == HUB:
        return ("https://index.docker.io/v1/", *HUB_NAMES, "auth.docker.io")
    return (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/")


def _from_json(host: str, environ: Mapping[str, str]) -> Iterator[Credentials]:
    for file in _json_files(environ):
        with suppress(OSError, ValueError, AttributeError, TypeError):
            content = json.loads(file.read_text(encoding="utf-8"))
            for name in _names(host):
                login = _helper(content, name, file) or _auth(content, name, file)
                if login is not None:
                    yield login


def _auth(content: Any, name: str, file: Path) -> Credentials | None:
    entry = (content.get("auths") or {}).get(name) or {}
    user, password = entry.get("username", ""), entry.get("password", "")
    if entry.get("auth"):
        with suppress(binascii.Error, UnicodeDecodeError):
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
    token = entry.get("identitytoken", "")
    if not (password or token):
        return None
    return Credentials(
        user=user, password=SecretStr(password), token=SecretStr(token), source=str(file)
    )


def _helper(content: Any, name: str, file: Path) -> Credentials | None:
    """Ask Docker's credential helper, docker-credential-NAME, as its protocol says."""
    helper = (content.get("credHelpers") or {}).get(name)
    if helper is None and name in (content.get("auths") or {}):
        helper = content.get("credsStore")
    if not helper:
        return None
    done = proc.run([f"docker-credential-{helper}", "get"], stdin=name, timeout_s=30)
    if not done.ok:
        return None
    answer = json.loads(done.out)
    user, secret = str(answer.get("Username", "")), SecretStr(str(answer.get("Secret", "")))
    source = f"{file}, helper {helper}"
    if user == _TOKEN_USER:
        return Credentials(user="", password=SecretStr(""), token=secret, source=source)
    return Credentials(user=user, password=secret, source=source)


def _from_netrc(host: str, environ: Mapping[str, str]) -> Iterator[Credentials]:
    """Read Enroot's .credentials: netrc(5), a password may name a variable.

    Commands in it, `$(…)`, are Enroot's to run: such a line is passed over.
    """
    home = Path(environ.get("HOME", "/"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "enroot"
    file = Path(environ.get("ENROOT_CONFIG_PATH") or config) / ".credentials"
    with suppress(OSError, ValueError):
        machines = {name.rpartition(":")[0] or name for name in _names(host)} | set(_names(host))
        for machine, user, password in parse_netrc(file.read_text(encoding="utf-8")):
            if machine in machines and "$(" not in password:
                secret = _VARIABLE.sub(lambda m: environ.get(m[1], ""), password)
                yield Credentials(user=user, password=SecretStr(secret), source=str(file))


def parse_netrc(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield machine, login and password of each entry that has all three."""
    entry: dict[str, str] = {}
    words = iter(shlex.split(text, comments=True, posix=True))
    for word in words:
        if word == "machine":
            entry = {}
        if word in {"machine", "login", "password"}:
            entry[word] = next(words, "")
            if len(entry) == 3:  # noqa: PLR2004 (machine, login, password)
                yield entry["machine"], entry["login"], entry["password"]
