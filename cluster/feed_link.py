"""One websocket connection of a feed, from its handshake to its last message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from cluster.feed_counters import FeedCounters
from cluster.feed_policy import FeedPolicy
from cluster.venues.base import Connected, Disconnected, Event, Heartbeat, Quote, Shutdown, Trade, Venue

_PROOF = (Trade, Quote, Heartbeat)
"""What proves a connection good. An ack doesn't: venues acknowledge and then send nothing."""


class Inbox:
    """Events that wait for the consumer, in order, at most `limit` of them and one message more."""

    def __init__(self, limit: int, arrived: asyncio.Event) -> None:
        self._limit = limit
        self._arrived = arrived
        self._room = asyncio.Event()
        self._events: list[Event] = []
        self.finished = False
        """No more will come."""
        self.drained = asyncio.Event()
        """Set when it is finished and the consumer has taken everything."""

    def __len__(self) -> int:
        return len(self._events)

    @property
    def full(self) -> bool:
        """The producer has to wait for `room`."""
        return len(self._events) >= self._limit

    def put(self, events: Sequence[Event]) -> None:
        """Add events; the caller has seen to it that there is room."""
        self._events.extend(events)
        self._arrived.set()

    def take(self, most: int) -> list[Event]:
        """Remove and return the oldest events, at most `most`."""
        batch = self._events[:most]
        del self._events[:most]
        if not self.full:
            self._room.set()
        return batch

    async def room(self) -> None:
        """Wait until the consumer has taken enough."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def finish(self) -> None:
        """Called once, when no connection will write here any more."""
        self.finished = True
        self._arrived.set()


class _WatchedConnection(ClientConnection):
    """A connection that remembers when it last received anything, ping frames included."""

    received_s: float = 0.0

    def data_received(self, data: bytes) -> None:
        self.received_s = self.loop.time()
        super().data_received(data)


class Link:
    """An open connection that fills an inbox until it ends or is asked to leave.

    Reading stops while the inbox is full; the library then stops reading from the socket, and
    TCP makes the venue wait. Nothing is dropped. Times inside are those of the event loop.
    """

    def __init__(
        self,
        connection: _WatchedConnection,
        venue: Venue,
        policy: FeedPolicy,
        inbox: Inbox,
        clock_ns: Callable[[], int],
        counters: FeedCounters,
    ) -> None:
        self.inbox = inbox
        self.opened_ns = clock_ns()
        self.notice: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when somebody wants this connection replaced or closed; the value says why."""
        self.proved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the first data message."""
        self._connection = connection
        self._venue = venue
        self._policy = policy
        self._clock_ns = clock_ns
        self._counters = counters
        self._opened_s = connection.loop.time()
        self._alive_s = self._opened_s
        self._held = False
        self._leaving = False
        self._reason = ""
        self.reading = asyncio.create_task(self._read())
        """Done when the last received message is in the inbox."""

    @property
    def settled(self) -> bool:
        """It has brought data and lived a while: the next wait may be short again."""
        age_s = self._connection.loop.time() - self._opened_s
        return self.proved.done() and age_s >= self._policy.settled_after_s

    def notify(self, why: str) -> None:
        """Ask for this connection to be replaced or closed; the first reason stays."""
        if not self.notice.done():
            self.notice.set_result(why)

    async def close(self) -> None:
        """Send a close frame, and wait until all that was received is in the inbox."""
        self._leaving = True
        await self._connection.close()
        await self.reading

    async def abort(self) -> None:
        """End now, without a close frame; what was received and not read is lost."""
        self.reading.cancel()
        self._connection.transport.abort()
        await asyncio.gather(self.reading, return_exceptions=True)

    async def _read(self) -> None:
        """Parse every message into the inbox. Ends with `Disconnected`, unless we asked for the end."""
        connection, inbox, counters, parse = self._connection, self.inbox, self._counters, self._venue.parse
        inbox.put((Connected(self.opened_ns),))
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                if inbox.full:
                    await self._wait_for_room()
                raw = await connection.recv(decode=False)
                events = parse(raw, self._clock_ns())
                counters.messages += 1
                counters.bytes += len(raw)
                for event in events:
                    counters.count(event)
                    kind = type(event)
                    if kind in _PROOF:
                        if not self.proved.done():
                            self.proved.set_result(None)
                    elif kind is Shutdown:
                        self.notify("shutdown")
                inbox.put(events)
        except ConnectionClosed as closed:
            if not self._leaving:
                reason = self._reason or _reason_of(closed)
                counters.disconnects[reason] += 1
                inbox.put((Disconnected(reason, self._clock_ns()),))
        finally:
            watching.cancel()

    async def _wait_for_room(self) -> None:
        """Reading stops here, so silence is ours and not the venue's: the silence clock starts anew."""
        self._held = True
        try:
            await self.inbox.room()
        finally:
            self._held = False
            self._alive_s = self._connection.loop.time()

    async def _watch(self) -> None:
        """Give the connection up when it has gone silent; ping first.

        The library's own keepalive is off: it takes a consumer that is behind for a dead venue,
        since pongs can't arrive while reading is stopped.
        """
        policy, loop = self._policy, self._connection.loop
        stale_after_s = policy.stale_after_s or self._venue.facts.silence_limit_s
        pause_s = min(stale_after_s, policy.ping_interval_s, policy.ping_timeout_s) / 4
        pinged_s: float | None = None
        while True:
            await asyncio.sleep(pause_s)
            if self._held or self._leaving:
                continue
            alive_s = max(self._alive_s, self._connection.received_s)
            now_s = loop.time()
            if pinged_s is not None and alive_s >= pinged_s:
                pinged_s = None
            if now_s - alive_s >= stale_after_s:
                return self._give_up("stale")
            if pinged_s is not None and now_s - pinged_s >= policy.ping_timeout_s:
                return self._give_up("ping_timeout")
            if pinged_s is None and now_s - alive_s >= policy.ping_interval_s:
                pinged_s = now_s
                await self._ping()

    async def _ping(self) -> None:
        try:
            await self._connection.ping()
        except ConnectionClosed:
            return  # the reader hears of it too, and says so

    def _give_up(self, reason: str) -> None:
        self._reason = reason
        self._counters.stale += 1
        self._connection.transport.abort()


async def open_link(
    url: str,
    subscriptions: Sequence[str],
    venue: Venue,
    policy: FeedPolicy,
    inbox: Inbox,
    clock_ns: Callable[[], int],
    counters: FeedCounters,
) -> Link:
    """Open a connection, send the subscriptions at the venue's pace, and start reading.

    Raises what `websockets.connect` raises: OSError, TimeoutError, InvalidHandshake, InvalidURI.
    """
    options: dict[str, Any] = {
        "open_timeout": policy.open_timeout_s,
        "close_timeout": policy.close_timeout_s,
        "ping_interval": None,
        "max_size": policy.max_message_bytes,
        "max_queue": policy.buffer_messages,
        "compression": policy.compression,
        "proxy": policy.proxy,
    }
    connection = await connect(url, create_connection=_WatchedConnection, **options)
    assert isinstance(connection, _WatchedConnection)
    link = Link(connection, venue, policy, inbox, clock_ns, counters)
    try:
        for message in subscriptions:
            await connection.send(message)
            await asyncio.sleep(1.0 / venue.facts.sent_messages_per_s)
    except ConnectionClosed:
        pass  # the reader hears of it too, and says so
    except asyncio.CancelledError:
        await link.abort()
        raise
    return link


def _reason_of(closed: ConnectionClosed) -> str:
    """A short, bounded name for the end of a connection: who closed it and with which code."""
    if closed.sent is not None and not closed.rcvd_then_sent:
        return f"gave up {closed.sent.code}"  # e.g. 1009: the message was too big for us
    if closed.rcvd is not None:
        return f"closed {closed.rcvd.code}"
    return "network"
