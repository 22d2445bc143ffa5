"""A registry that has bad days: passes requests on to a real one, or misbehaves on purpose."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

#: Bytes of a layer that arrive before a connection breaks.
BROKEN_AFTER = 1000


@dataclass
class BadDays:
    """A proxy in front of a registry, used as a context.

    Args:
        behind: Host and port of the real one.
        busy: So many requests are answered with "too many requests".
        broken: So many layers break off after BROKEN_AFTER bytes.
        hanging: Of layers, half arrives, and the connection stays.
        tokens: Logins are for a token, each good for so many requests; 0 for no login.
    """

    behind: str
    busy: int = 0
    broken: int = 0
    hanging: bool = False
    tokens: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    _left: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def host(self) -> str:
        """Host and port as in a reference."""
        assert self._server is not None
        return f"localhost:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        days = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                days.answer(self)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, well or badly."""
        wanted = handler.headers.get("Range", "")
        self.asked.append((handler.path, wanted))
        if self.busy:
            self.busy -= 1
            handler.send_response(429)
            handler.send_header("Retry-After", "1")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if self.tokens and not self._let_in(handler):
            return
        connection = http.client.HTTPConnection(self.behind)
        names = ("Accept", "Range") if self.tokens else ("Accept", "Range", "Authorization")
        headers = {n: handler.headers[n] for n in names if handler.headers.get(n)}
        connection.request("GET", handler.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding"}:
                handler.send_header(name, value)
        handler.end_headers()
        if self.hanging and "/blobs/" in handler.path and len(body) > BROKEN_AFTER:
            handler.wfile.write(body[: len(body) // 2])
            threading.Event().wait()
        if self.broken and "/blobs/" in handler.path and len(body) > BROKEN_AFTER:
            self.broken -= 1
            handler.wfile.write(body[:BROKEN_AFTER])
            handler.close_connection = True
            return
        handler.wfile.write(body)

    def _let_in(self, handler: BaseHTTPRequestHandler) -> bool:
        """Give a token, or take one as long as it is good; whether the request may pass."""
        if handler.path.startswith("/token"):
            self._left = self.tokens
            content = b'{"token": "good"}'
            handler.send_response(200)
        elif self._left and handler.headers.get("Authorization") == "Bearer good":
            self._left -= 1
            return True
        else:
            content = b""
            handler.send_response(401)
            realm = f'Bearer realm="http://{self.host}/token",service="tests"'
            handler.send_header("WWW-Authenticate", realm)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
        return False
