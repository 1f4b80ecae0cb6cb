"""Problems as they are told over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from serve_app import problems


def problem(answer: httpx.Response, kind: problems.Kind) -> dict[str, Any]:
    """The problem that was told, after checking what RFC 9457 asks of every one."""
    told: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == told["status"] == kind.status
    assert told["type"] == f"/problems/{kind.name}"
    assert told["title"] == kind.title
    assert told["detail"]
    assert told["instance"].startswith("/")
    if kind.status == 503:
        assert int(answer.headers["retry-after"]) >= max(1, told["retry_after_s"])
    return told
