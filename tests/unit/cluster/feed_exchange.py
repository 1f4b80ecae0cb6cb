"""A scripted exchange on 127.0.0.1 for the feed's tests: real websockets, one script per connection."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from cluster import venues
from cluster.feed import Feed, FeedPolicy
from cluster.venues.base import Connected, Disconnected, Event, Trade, Venue

Script = Callable[[ServerConnection], Awaitable[None]]
SHUTDOWN = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'
LIMIT_S = 10.0


def trade(number: int, symbol: str = "BTCUSDT") -> str:
    """A Binance trade message with this id."""
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":1723161255343,"s":"{symbol}",'
        f'"t":{number},"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}}}'
    )


def ids(events: list[Event]) -> list[int]:
    """The ids of the trades among the events."""
    return [event.trade_id for event in events if isinstance(event, Trade)]


def shape(events: list[Event]) -> str:
    """The events as letters: C connected, D disconnected, t trade, ? anything else."""
    letters = {Connected: "C", Disconnected: "D", Trade: "t"}
    return "".join(letters.get(type(event), "?") for event in events)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, but not for ever."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.002)


async def stay(ws: ServerConnection) -> None:
    """Keep the connection open until the client closes it."""
    await ws.wait_closed()


def says(*messages: str | bytes) -> Script:
    """A script that sends these messages and stays."""

    async def script(ws: ServerConnection) -> None:
        for message in messages:
            await ws.send(message, text=True)
        await stay(ws)

    return script


def then(
    script_messages: tuple[str, ...], end: Callable[[ServerConnection], Awaitable[Any] | None]
) -> Script:
    """A script that sends these messages and then ends the connection in its own way."""

    async def script(ws: ServerConnection) -> None:
        for message in script_messages:
            await ws.send(message)
        ending = end(ws)
        if ending is not None:
            await ending

    return script


class Exchange:
    """Runs script n for connection n; the last one for all further connections.

    `refusals` are (status, headers) answered to the first handshakes instead of accepting them.
    """

    def __init__(self, *scripts: Script, refusals: tuple[tuple[int, dict[str, str]], ...] = ()) -> None:
        self._scripts = scripts or (stay,)
        self._refusals = list(refusals)
        self.connections: list[ServerConnection] = []
        self.requests: list[str] = []
        self.request_times_s: list[float] = []

    async def __aenter__(self) -> Exchange:
        self._server = await serve(
            self._serve, "127.0.0.1", 0, compression=None, process_request=self._check, close_timeout=1
        )
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request.path)
        self.request_times_s.append(time.monotonic())
        if not self._refusals:
            return None
        status, headers = self._refusals.pop(0)
        response = connection.respond(HTTPStatus(status), "no\n")
        response.headers.update(Headers(headers))
        return response

    async def _serve(self, ws: ServerConnection) -> None:
        self.connections.append(ws)
        number = len(self.connections) - 1
        await self._scripts[min(number, len(self._scripts) - 1)](ws)


class Watch:
    """A feed under test, its task, and everything it handed over."""

    def __init__(self, url: str, venue: Venue | None = None, **policy: Any) -> None:
        quick = {"backoff_base_s": 0.01, "settled_after_s": 0.0, "overlap_s": 0.02, "jitter": 0.0}
        self.clock_ns: Callable[[], int] = time.time_ns
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.feed = Feed(
            venue or venues.get("binance", quotes=False),
            ["BTCUSDT"],
            FeedPolicy(**{**quick, **policy}),
            url,
            lambda: self.clock_ns(),
            random.Random(7),
        )

    async def consume(self, batch: list[Event]) -> None:
        """Take a batch as soon as the gate is open."""
        await self.gate.wait()
        self.batches.append(len(batch))
        self.events.extend(batch)

    async def __aenter__(self) -> Watch:
        self.task = asyncio.create_task(self.feed.run(self.consume))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.gate.set()
        self.feed.close()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(self.task, return_exceptions=True)

    async def end(self) -> None:
        """Close the feed and wait until `run` has returned; raises what it raised."""
        self.feed.close()
        async with asyncio.timeout(LIMIT_S):
            await self.task

    async def trades(self, count: int) -> None:
        """Wait until so many trades were handed over."""
        await until(lambda: len(ids(self.events)) >= count)
