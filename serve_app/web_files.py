"""The page's own files, and the headers that keep the browser from loading anything else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file, as it is sent."""

    body: bytes
    media_type: str
    etag: str

    def response(self, request: Request) -> Response:
        """The file, or 304 if the browser has it already."""
        headers = PAGE_HEADERS | {"etag": self.etag}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


def as_web_file(body: bytes, suffix: str) -> WebFile:
    """A file with its media type and entity tag."""
    return WebFile(body, _TYPES[suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')


class WebFiles:
    """All files of `serve_app/web`, read once when the app is built. No other path can be asked for."""

    def __init__(self) -> None:
        folder = resources.files("serve_app") / "web"
        self._files = {
            file.name: as_web_file(file.read_bytes(), suffix)
            for file in folder.iterdir()
            if (suffix := "." + file.name.rpartition(".")[2]) in _TYPES
        }

    def get(self, name: str) -> WebFile:
        """Raises a 404 for a name that is none of the files."""
        if name not in self._files:
            raise HTTPException(404)
        return self._files[name]
