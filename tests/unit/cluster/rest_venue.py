"""A REST server on 127.0.0.1 that serves numbered trades as Binance does, or what the test tells it to."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from cluster import venues
from cluster.gap_filler import GapFiller
from cluster.gap_policy import GapPolicy
from cluster.rest_client import THREAD_NAME

START_MS = 1_700_000_000_000
QUICK = {"backoff_base_s": 0.001, "backoff_max_s": 0.002, "page_burst": 1000}


@dataclass
class Says:
    """An answer given instead of trades. Without a status the connection is cut."""

    status: int | None = None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


HANGS = Says(-1)
CUT = Says()


class RestVenue:
    """Serves trades with ids `first_id` to `last_id`. The first requests get `answers`, in order."""

    def __init__(self, *answers: Says, first_id: int = 1, last_id: int = 10_000) -> None:
        self.answers = list(answers)
        self.first_id = first_id
        self.last_id = last_id
        self.asked: list[tuple[int, int]] = []
        self.times_s: list[float] = []
        self.clients: set[Any] = set()
        self.on_request: Callable[[], None] = lambda: None
        self.released = asyncio.Event()

    async def __aenter__(self) -> RestVenue:
        self._runner = web.AppRunner(_app(self), shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls()).start()
        scheme = "http" if self.tls() is None else "https"
        self.port = self._runner.addresses[0][1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.released.set()
        await self._runner.cleanup()

    def tls(self) -> ssl.SSLContext | None:
        """The server's TLS settings, None for plain HTTP."""
        return None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        first, limit = int(request.query["fromId"]), int(request.query["limit"])
        self.asked.append((first, limit))
        self.times_s.append(time.monotonic())
        assert request.transport is not None
        self.clients.add(request.transport.get_extra_info("peername"))
        self.on_request()
        if not self.answers:
            return web.json_response(self.rows(first, limit))
        says = self.answers.pop(0)
        if says is HANGS:
            await self.released.wait()
        if says.status is None or says is HANGS:
            request.transport.abort()
            return web.Response()
        return web.Response(status=says.status, text=says.body, headers=says.headers)

    def rows(self, first: int, limit: int) -> list[dict[str, Any]]:
        """A page as Binance sends it."""
        first = max(first, self.first_id)
        return [row(number) for number in range(first, min(first + limit, self.last_id + 1))]


def row(number: int) -> dict[str, Any]:
    """One trade as historicalTrades has it."""
    return {
        "id": number,
        "price": "100.5",
        "qty": "0.25",
        "quoteQty": "25.125",
        "time": START_MS + number,
        "isBuyerMaker": True,
        "isBestMatch": True,
    }


def page(*numbers: int) -> Says:
    """An answer with these trades."""
    return Says(200, json.dumps([row(number) for number in numbers]))


def filler(url: str | None, **policy: Any) -> GapFiller:
    """A filler that waits little, on Binance's protocol."""
    return GapFiller(
        venues.get("binance"),
        "BTCUSDT",
        url,
        GapPolicy(**{**QUICK, **policy}),
        time.time_ns,
        random.Random(3),
    )


def rest_threads() -> int:
    """How many threads wait for REST."""
    return sum(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate())


def _app(venue: RestVenue) -> web.Application:
    app = web.Application()
    app.router.add_get("/api/v3/historicalTrades", venue.answer)
    return app
