"""Responses made of ready bytes, with the headers that every answer of the API carries."""

from __future__ import annotations

from starlette.responses import Response

_ALWAYS = (
    # An answer is about now: a stored copy would be wrong a second later.
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")


class JsonBytes(Response):
    """JSON that is encoded already. Sets its headers without Starlette's work per response."""

    media_type = "application/json"

    def __init__(self, body: bytes, status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        self.raw_headers = [_JSON, (b"content-length", b"%d" % len(body)), *_ALWAYS]


class MetricsBytes(Response):
    """Metrics in Prometheus' text format."""

    media_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, body: bytes, status_code: int = 200) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        kind = (b"content-type", self.media_type.encode())
        self.raw_headers = [kind, (b"content-length", b"%d" % len(body)), *_ALWAYS]


class ProblemBytes(Response):
    """An RFC 9457 problem that is encoded already."""

    media_type = "application/problem+json"

    def __init__(self, body: bytes, status_code: int, headers: dict[str, str]) -> None:
        self.status_code = status_code
        self.background = None
        self.body = body
        more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.raw_headers = [_PROBLEM, (b"content-length", b"%d" % len(body)), *_ALWAYS, *more]
