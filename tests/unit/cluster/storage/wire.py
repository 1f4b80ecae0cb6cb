"""An HTTP server that answers as a test says and keeps what it was asked: for answers no real one gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from cluster.storage.store_spec import StoreSpec


@dataclass(frozen=True, slots=True)
class Request:
    """What came in. `query` holds one value per name, "" where there is none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def what(self) -> str:
        """The method and the names in the query, like "POST uploads"."""
        return " ".join([self.method, *self.query])


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out."""

    status: int = 200
    body: bytes | str = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Send only so many bytes of the body, then close the connection."""

    @classmethod
    def error(cls, status: int, code: str, message: str = "", kind: str = "application/xml") -> Answer:
        """S3's error document."""
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return cls(status, body, {"Content-Type": kind})


class Wire:
    """The server; use it as a context manager. `answer` is called in threads of their own."""

    def __init__(
        self, answer: Callable[[Request], Answer], before_body: Callable[[], Any] | None = None
    ) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._before_body = before_body
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one packet: apart, each answer would wait for an acknowledgement.
            wbufsize = 65536

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                wire._handle(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[str]:
        """`what` of each request so far."""
        return [request.what for request in self.requests]

    def spec(self, **changes: Any) -> StoreSpec:
        """Settings of a store in this server."""
        known = {
            "uri": "s3://lake/desk",
            "endpoint": self.endpoint,
            "access_key": "AKEY",
            "secret_key": "SECRET/+",
        }
        return StoreSpec(**(known | changes))

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        if self._before_body:
            self._before_body()
        parts = urlsplit(handler.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.command, unquote(parts.path), query, headers, body)
        self.requests.append(request)
        answer = self._answer(request)
        content = answer.body.encode() if isinstance(answer.body, str) else answer.body
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: answer.cut_after] if handler.command != "HEAD" else b"")
        handler.wfile.flush()
        handler.close_connection = answer.cut_after is not None
