"""A route that refuses large bodies, before they are in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send


class LimitedRoute(APIRoute):
    """A POST route whose body may have `most_bytes`; a larger one gets a 413 while it arrives.

    FastAPI's own `max_body_size` answers in plain text, where every other error here is a problem.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], most_bytes: int, **documentation: Any
    ) -> None:
        super().__init__(path, endpoint, methods=["POST"], **documentation)
        self._most_bytes = most_bytes

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        received_bytes = 0

        async def receive_limited() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._most_bytes:
                raise HTTPException(413)
            return message

        await super().handle(scope, receive_limited, send)
