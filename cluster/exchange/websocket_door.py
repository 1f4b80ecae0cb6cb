"""The websocket side: opening handshakes, commands and the life of each connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from cluster.exchange.bulletin import Stream
from cluster.exchange.connection import Audience, ExchangeConnection
from cluster.exchange.fault_desk import FaultDesk
from cluster.exchange.streams import Endpoint, Subscriptions, parse_endpoint


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """The venue's limits (binance-spot-api-docs `web-socket-streams.md`, general information)."""

    ping_interval_s: float = 20.0
    ping_timeout_s: float = 60.0
    lifetime_s: float = 86_400.0
    messages_per_s: int = 5
    streams_per_connection: int = 1024


class WebsocketDoor:
    """Accepts connections into an audience."""

    def __init__(
        self, table: Mapping[str, Stream], audience: Audience, desk: FaultDesk, limits: DoorLimits
    ) -> None:
        self.refused = 0
        self._table = table
        self._audience = audience
        self._desk = desk
        self._limits = limits

    async def open(self, host: str, port: int) -> Server:
        """Start to listen. Raises OSError when the port is taken."""
        return await serve(
            self._handle,
            host,
            port,
            process_request=self._check,
            create_connection=cast(type[ServerConnection], self._connection),
            compression=None,
            ping_interval=self._limits.ping_interval_s,
            ping_timeout=self._limits.ping_timeout_s,
            close_timeout=2,
            max_size=2**16,
            write_limit=2**18,
        )

    def _connection(self, *args: Any, **settings: Any) -> ExchangeConnection:
        return ExchangeConnection(*args, messages_per_s=self._limits.messages_per_s, **settings)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Called before the handshake is accepted; a response refuses it."""
        if self._desk.refuses_connections:
            self.refused += 1
            return connection.respond(503, "Service Unavailable\n")
        endpoint = parse_endpoint(request.path)
        if endpoint is None:
            return connection.respond(404, "Not Found\n")
        if len(set(endpoint.names)) > self._limits.streams_per_connection:
            return connection.respond(400, "Too many streams\n")
        return None

    async def _handle(self, server_connection: ServerConnection) -> None:
        connection = cast(ExchangeConnection, server_connection)
        assert connection.request is not None  # the handshake is over
        endpoint = cast(Endpoint, parse_endpoint(connection.request.path))
        connection.subscriptions = Subscriptions(self._table, endpoint, self._limits.streams_per_connection)
        self._audience.join(connection)
        try:
            async with asyncio.timeout(self._limits.lifetime_s):
                await self._converse(connection)
        except TimeoutError:
            await connection.close(1001, "connection lifetime is over")
        finally:
            self._audience.leave(connection)

    async def _converse(self, connection: ExchangeConnection) -> None:
        """Answer commands until the connection is closed."""
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                # No await between change and answer: no event can slip in between.
                connection.write_text(connection.subscriptions.answer(message))
                self._audience.changed()
