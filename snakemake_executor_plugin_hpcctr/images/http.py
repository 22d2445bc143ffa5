"""Requests to a registry: login, waiting when it asks for that, errors in plain words."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from snakemake_executor_plugin_hpcctr.errors import ImageError
from snakemake_executor_plugin_hpcctr.images.progress import duration
from snakemake_executor_plugin_hpcctr.images.reference import HUB

if TYPE_CHECKING:
    import email.message
    from collections.abc import Callable, Mapping

    from snakemake_executor_plugin_hpcctr.images.credentials import Credentials

TIMEOUT_S = 60.0
#: Longest time that a busy registry is waited for, and longest single wait.
PATIENCE_S = 1800.0
LONGEST_WAIT_S = 120.0
TOO_MANY = 429
NO_LOGIN = 401
UNAUTHORIZED = (NO_LOGIN, 403)
NOT_FOUND = 404
BUSY = (TOO_MANY, 500, 502, 503, 504)
LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")
_FIELD = re.compile(r'(\w+)="([^"]*)"')

Answer = http.client.HTTPResponse


class Missing(ImageError):  # noqa: N818 (reads as what it is)
    """The registry does not have what was asked for."""


@dataclass
class Client:
    """Talks to one registry.

    Args:
        host: Registry as in a reference.
        login: Who we are; None for nobody.
        say: Takes a sentence when there is something to wait for.
        sleep: Waits so many seconds.
    """

    host: str
    login: Credentials | None
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    _base: str = ""
    _authorization: str = ""

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for `/v2/PATH`; waits while the registry is busy.

        Raises:
            Missing: It does not have that.
            ImageError: It cannot be reached, refuses us, or stays busy.
        """
        waited, attempt, renewed = 0.0, 0, False
        while True:
            try:
                return self._try(path, headers or {})
            except urllib.error.HTTPError as error:
                error.close()
                # A token ends after some minutes, in the middle of a large image: ask for another.
                fresh = not self._authorization or error.code == NO_LOGIN
                if error.code in UNAUTHORIZED and fresh and not renewed:
                    self._authorization, renewed = self._log_in(error.headers), True
                    continue
                if error.code not in BUSY:
                    raise self._refused(error, path) from None
                pause = wait_s(error.headers, attempt)
                words = "gets too many requests" if error.code == TOO_MANY else "is busy"
            except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
                if attempt >= 3 or not _passes(error):  # noqa: PLR2004 (tries)
                    raise self._unreachable(error) from None
                pause, words = 2.0**attempt, f"broke the connection ({_reason(error)})"
            if waited + pause > PATIENCE_S:
                raise self._still_busy(waited)
            self.say(f"Registry {self.host} {words}: waiting {duration(pause)}")
            self.sleep(pause)
            waited, attempt = waited + pause, attempt + 1

    def read(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask for a small document, as `get` does; return all of it.

        Raises:
            Missing: It does not have that.
            ImageError: As for `get`, or the connection broke.
        """
        try:
            with self.get(path, headers) as answer:
                return answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    def _try(self, path: str, headers: Mapping[str, str]) -> Answer:
        request = urllib.request.Request(f"{self.base}/v2/{path}", headers=dict(headers))  # noqa: S310 (http or https, see base)
        if self._authorization:
            # Not sent on to the storage that a registry redirects to: that refuses a second login.
            request.add_unredirected_header("Authorization", self._authorization)
        answer: Answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 (as above)
        return answer

    @property
    def base(self) -> str:
        """URL of the registry; without TLS only on this machine, as Docker does."""
        if not self._base:
            host = "registry-1.docker.io" if self.host == HUB else self.host
            plain = LOOPBACK.fullmatch(host) is not None and not _speaks_tls(host)
            self._base = f"{'http' if plain else 'https'}://{host}"
        return self._base

    def _log_in(self, headers: email.message.Message) -> str:
        """Return the Authorization header that the registry's challenge asks for."""
        kind, _, rest = str(headers.get("WWW-Authenticate", "")).partition(" ")
        if kind.lower() == "basic":
            if self.login is None:
                raise self._needs_login()
            return f"Basic {self.login.basic}"
        fields = dict(_FIELD.findall(rest))
        if kind.lower() != "bearer" or "realm" not in fields:
            raise self._needs_login()
        try:
            with urllib.request.urlopen(self._token_request(fields), timeout=TIMEOUT_S) as answer:  # noqa: S310 (checked there)
                content: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(error, "") from None
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from None
        return f"Bearer {content.get('token') or content.get('access_token') or ''}"

    def _token_request(self, fields: dict[str, str]) -> urllib.request.Request:
        realm = fields.pop("realm")
        if not realm.startswith(("https://", self.base.split("//", maxsplit=1)[0])):
            raise ImageError(f"registry {self.host} sends its users to {realm}, which is not safe")
        if self.login is not None and self.login.token.get_secret_value():
            form = {
                **fields,
                "grant_type": "refresh_token",
                "client_id": "hpcctr",
                "refresh_token": self.login.token.get_secret_value(),
            }
            return urllib.request.Request(realm, data=urllib.parse.urlencode(form).encode())  # noqa: S310 (checked above)
        request = urllib.request.Request(f"{realm}?{urllib.parse.urlencode(fields)}")  # noqa: S310 (checked above)
        if self.login is not None:
            request.add_unredirected_header("Authorization", f"Basic {self.login.basic}")
        return request

    def _refused(self, error: urllib.error.HTTPError, path: str) -> ImageError:
        if error.code == NOT_FOUND:
            return Missing(f"registry {self.host} has no {path}")
        if error.code in UNAUTHORIZED and self.login is not None:
            return ImageError(
                f"registry {self.host} refuses the login of {self.login.user or 'its token'} "
                f"from {self.login.source}",
                next_step="the password may be wrong or have ended, or that user may not see this "
                f"image: log in again, {_how_to_log_in(self.host)}",
            )
        if error.code in UNAUTHORIZED:
            return self._needs_login()
        return ImageError(f"registry {self.host} answers {error.code} {error.reason}")

    def _needs_login(self) -> ImageError:
        return ImageError(
            f"registry {self.host} wants a login for this image, or has no such image",
            next_step=f"check the name; to log in, {_how_to_log_in(self.host)}",
        )

    def _unreachable(self, error: Exception) -> ImageError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, socket.gaierror):
            return ImageError(
                f"the registry {self.host} is not known: no address for that name",
                next_step="check its spelling, and that this machine reaches the internet; behind "
                "a proxy, set https_proxy. `hpcctr images pull` on a machine that does, into a "
                "shared `image_dir`, helps too",
            )
        if isinstance(reason, ssl.SSLError):
            return ImageError(
                f"the registry {self.host} cannot be trusted: {reason.reason or reason}",
                next_step="name the site's certificates in SSL_CERT_FILE; a registry without TLS "
                "is used on this machine only",
            )
        return ImageError(
            f"the registry {self.host} cannot be reached: {_reason(error)}",
            next_step="check host and port, and whether this machine may connect to it; behind a "
            "proxy, set https_proxy",
        )

    def _still_busy(self, waited_s: float) -> ImageError:
        return ImageError(
            f"registry {self.host} was still busy after {duration(waited_s)}",
            next_step="try again later; a login often allows more requests",
        )


def wait_s(headers: email.message.Message | None, attempt: int) -> float:
    """Return how many seconds to wait: what the registry asks for, else 2, 4, 8 … at most 120."""
    wanted = str(headers.get("Retry-After", "") if headers else "").strip()
    if wanted.isdecimal():
        return min(max(float(wanted), 1.0), LONGEST_WAIT_S)
    if wanted:
        try:
            until = parsedate_to_datetime(wanted).timestamp() - time.time()
        except ValueError:
            until = 0.0
        return min(max(until, 1.0), LONGEST_WAIT_S)
    return min(2.0 ** (attempt + 1), LONGEST_WAIT_S)


def _passes(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    reason = getattr(error, "reason", error)
    fatal = (socket.gaierror, ssl.SSLError, ConnectionRefusedError)
    return not isinstance(reason, fatal)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _speaks_tls(host: str) -> bool:
    parts = urllib.parse.urlsplit(f"//{host}")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        address = (parts.hostname or "", parts.port or 443)
        with socket.create_connection(address, timeout=5) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _how_to_log_in(host: str) -> str:
    return (
        f"run `apptainer registry login --username NAME docker://{host}` or `docker login {host}`, "
        "or write Enroot's .credentials"
    )
