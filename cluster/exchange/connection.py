"""One websocket connection of the exchange, and all of them together."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from cluster.exchange import wire
from cluster.exchange.faults import Delivery
from cluster.exchange.streams import Subscriptions

_COUNTED = (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)


class ExchangeConnection(ServerConnection):
    """A connection that takes frames made elsewhere and limits what its client may say.

    Frames are written straight to the transport: the library would pack each message again. That is
    safe because nothing is compressed and no message is ever sent in fragments.
    """

    subscriptions: Subscriptions

    def __init__(self, *args: Any, messages_per_s: int, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._messages_per_s = messages_per_s
        self._heard: deque[float] = deque()
        self._closing: asyncio.Task[None] | None = None

    def process_event(self, event: Any) -> None:
        """Called by the library for every incoming frame."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in _COUNTED:
            self._count_message()

    def write(self, data: bytes) -> None:
        """Send ready frames, or nothing if the connection is not open."""
        if data and self.state is State.OPEN:
            self.transport.write(data)

    def write_text(self, text: str) -> None:
        """Send one message of ASCII text."""
        self.write(wire.frame(text).encode("latin-1"))

    @property
    def backlog_bytes(self) -> int:
        """How much the client has yet to take from us."""
        return self.transport.get_write_buffer_size()

    def close_later(self, code: int, reason: str, delay_s: float = 0.0) -> None:
        """Close in the background, after a delay."""

        async def close() -> None:
            await asyncio.sleep(delay_s)
            await self.close(code, reason)

        self._closing = self.loop.create_task(close())

    def _count_message(self) -> None:
        now = self.loop.time()
        self._heard.append(now)
        while self._heard[0] <= now - 1.0:
            self._heard.popleft()
        if len(self._heard) > self._messages_per_s and self._closing is None:
            self.close_later(1008, "Too many requests")


class Audience:
    """The open connections. Sends deliveries to those who want them and waits for slow ones.

    With `backlog_bytes`, a client that lets more than that pile up is cut off; without, `drain`
    is what keeps the exchange from running ahead of its clients.
    """

    def __init__(self, backlog_bytes: int | None) -> None:
        self.connections: dict[ExchangeConnection, None] = {}
        self.slow_clients_cut = 0
        self._backlog_bytes = backlog_bytes
        self._changed = asyncio.Event()

    def join(self, connection: ExchangeConnection) -> None:
        """A connection has opened."""
        self.connections[connection] = None
        self.changed()

    def leave(self, connection: ExchangeConnection) -> None:
        """A connection is gone."""
        self.connections.pop(connection, None)
        self.changed()

    def changed(self) -> None:
        """Somebody's subscriptions have changed."""
        self._changed.set()

    def subscribed(self) -> set[tuple[int, str]]:
        """All streams (symbol number, channel) that somebody gets."""
        return {
            (stream.symbol, stream.channel.value)
            for connection in self.connections
            for stream in connection.subscriptions.streams
        }

    def subscribers(self) -> Counter[int]:
        """How many connections get at least one stream, by symbol number."""
        return Counter(
            symbol
            for connection in self.connections
            for symbol in {stream.symbol for stream in connection.subscriptions.streams}
        )

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once the condition holds; it is looked at whenever subscriptions change."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def deliver(self, deliveries: list[Delivery]) -> None:
        """Write to every connection what it is subscribed to."""
        for connection in list(self.connections):
            streams, dialect = connection.subscriptions.streams, connection.subscriptions.dialect
            if not streams:
                continue
            for delivery in deliveries:
                if delivery.rows is None:
                    connection.write(delivery.bulletin.data(streams, dialect))
                else:
                    connection.write(delivery.bulletin.data_of(delivery.rows, streams, dialect))
            if self._backlog_bytes is not None and connection.backlog_bytes > self._backlog_bytes:
                self.slow_clients_cut += 1
                self.abort(connection)

    async def drain(self) -> None:
        """Return when every client has taken nearly all of what was written to it, or is gone."""
        for connection in list(self.connections):
            with contextlib.suppress(ConnectionClosed, OSError):
                await connection.drain()

    def abort(self, connection: ExchangeConnection) -> None:
        """Cut a connection at once; what it has not taken yet is lost to it."""
        self.leave(connection)
        connection.transport.abort()
