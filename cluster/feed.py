"""The live feed: keeps a venue's websocket connected and hands over what it says, in batches.

`feed.py` and `feed_link.py` (its single connections) are the only users of websockets.

A consumer gets every event of every connection, in order: first `Connected`, then what was
received, and `Disconnected` last if the connection ended unasked. A planned change of connection
(rotation before the venue's cut, or a shutdown notice) opens the new one first. Its events are
kept aside until the old one is closed and handed over whole, so that the change shows as a run
of duplicates and never as a hole or a step back in time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, TypeVar

from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI

from cluster.backoff import TIME_HEALS, AttemptLimit, Backoff, retry_after_s
from cluster.errors import FeedError
from cluster.feed_counters import FeedCounters
from cluster.feed_link import Inbox, Link, open_link
from cluster.feed_policy import FeedPolicy
from cluster.races import unless
from cluster.venues.base import Event, Venue

__all__ = ["Consume", "Feed", "FeedPolicy", "FeedState"]

_Result = TypeVar("_Result")
Consume = Callable[[list[Event]], Awaitable[None]]
_FIRST_REQUEST_ID = 1


class FeedState(Enum):
    """Where a feed stands."""

    CONNECTING = "connecting"
    """A handshake is under way, or done and no data has come yet."""
    LIVE = "live"
    """The connection has brought data."""
    BACKING_OFF = "backing_off"
    """Waiting before the next attempt."""
    CLOSED = "closed"
    """Not begun yet, or ended."""


class Feed:
    """One connection's worth of symbols of one venue, kept alive until `close`.

    `url` replaces the venue's own base address. `clock_ns` stamps what is received; waits and
    timeouts run on the event loop's clock. `admit` is awaited before every connection attempt:
    venues limit attempts per IP address, which is more than one feed can see. Without it the
    feed keeps to the venue's limit by itself.

    A feed has no state worth saving: after a restart a new one connects, and what was missed in
    between is a hole like any other.
    """

    def __init__(
        self,
        venue: Venue,
        symbols: Sequence[str],
        policy: FeedPolicy,
        url: str | None,
        clock_ns: Callable[[], int],
        rng: random.Random,
        admit: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Raises ConfigError when the venue can't carry these symbols on one connection."""
        self.counters = FeedCounters()
        self._venue = venue
        self._policy = policy
        self._clock_ns = clock_ns
        self._rng = rng
        self._url = venue.websocket_url(symbols, url)
        in_url = venue.facts.subscribes_in_url
        self._subscriptions = () if in_url else venue.subscribe(symbols, _FIRST_REQUEST_ID)
        self._backoff = Backoff(
            policy.backoff_first_s, policy.backoff_base_s, policy.backoff_max_s, policy.jitter, rng
        )
        self._limit = AttemptLimit(venue.facts.connection_attempts, venue.facts.connection_attempts_window_s)
        self._admit = admit or self._own_limit
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._inboxes: deque[Inbox] = deque()
        self._link: Link | None = None
        self._open_links: set[Link] = set()
        self._begun = False
        self._running = False
        self._waiting = False

    @property
    def state(self) -> FeedState:
        """Where the feed stands at this moment."""
        if not self._running:
            return FeedState.CLOSED
        if self._link is not None and not self._link.reading.done():
            return FeedState.LIVE if self._link.proved.done() else FeedState.CONNECTING
        return FeedState.BACKING_OFF if self._waiting else FeedState.CONNECTING

    @property
    def connected_since_ns(self) -> int | None:
        """When the current connection was opened; None without one."""
        link = self._link
        return None if link is None or link.reading.done() else link.opened_ns

    async def run(self, consume: Consume) -> None:
        """Connect, and await `consume` with batch after batch until `close`. Called once.

        A batch is what was waiting at that moment, at most `policy.max_batch` events, never
        empty. While `consume` runs, the feed goes on receiving up to `policy.buffer_messages`
        and then makes the venue wait. Raises FeedError when the connection can't be used, after
        everything received has been handed over; what `consume` raises ends the feed.
        """
        if self._begun:
            raise FeedError("a feed runs once", self._venue.name, "make a new one")
        self._begun = self._running = True
        self._inboxes.append(Inbox(self._policy.buffer_messages, self._arrived))
        keeping = asyncio.create_task(self._keep_connected())
        try:
            await self._deliver(consume)
            await keeping
        finally:
            self._closing.set()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            self._running = False

    def close(self) -> None:
        """Ask the feed to end: it sends a close frame, and `run` returns once all is handed over.

        Returns at once and may be called from inside `consume`; await `run` for the end.
        """
        self._closing.set()
        if self._link is not None:
            self._link.notify("close")

    async def _deliver(self, consume: Consume) -> None:
        while self._inboxes:
            inbox = self._inboxes[0]
            batch = inbox.take(self._policy.max_batch)
            if batch:
                self.counters.batches += 1
                await consume(batch)
            elif inbox.finished:
                self._inboxes.popleft()
                inbox.drained.set()
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def _keep_connected(self) -> None:
        try:
            self._link = await self._open(self._inboxes[-1], wait_s=0.0)
            while self._link is not None:
                self._link = await self._next_link(self._link)
        finally:
            for link in tuple(self._open_links):
                await link.abort()
            for inbox in self._inboxes:
                inbox.finish()
            self._arrived.set()

    async def _next_link(self, link: Link) -> Link | None:
        """Wait until the link ends or has to go; the one after it, None when the feed is closing."""
        if not self._closing.is_set():
            rotation = self._rotate_later(link)
            await asyncio.wait((link.reading, link.notice), return_when=asyncio.FIRST_COMPLETED)
            if rotation is not None:
                rotation.cancel()
        if self._closing.is_set():
            await link.close()
            return None
        return await (self._reconnect(link) if link.reading.done() else self._switch(link))

    def _rotate_later(self, link: Link) -> asyncio.TimerHandle | None:
        after_s, lifetime_s = self._policy.rotate_after_s, self._venue.facts.planned_lifetime_s
        if after_s is None:
            if lifetime_s is None:
                return None
            after_s = 0.9 * lifetime_s
        early = 1.0 - self._policy.rotate_spread * self._rng.random()
        return asyncio.get_running_loop().call_later(after_s * early, link.notify, "rotation")

    async def _reconnect(self, link: Link) -> Link | None:
        link.reading.result()
        if link.settled:
            self._backoff.reset()
        successor = await self._open(link.inbox, self._backoff.next_s())
        if successor is not None:
            self.counters.reconnects += 1
        return successor

    async def _switch(self, old: Link) -> Link | None:
        """Open a second connection, let both run for a while, then close the old one.

        Returns when the consumer has taken all of the old one, so that at most two inboxes exist.
        """
        if old.settled:
            self._backoff.reset()
        new = await self._replacement(old)
        ended_unasked = old.reading.done()
        if not ended_unasked:
            await old.close()
        old.reading.result()
        if new is None:
            return None
        if ended_unasked:
            self.counters.reconnects += 1
        else:
            self.counters.switches += 1
        self._link = new
        self._inboxes.append(new.inbox)
        old.inbox.finish()
        await old.inbox.drained.wait()
        return new

    async def _replacement(self, old: Link) -> Link | None:
        """A link that has proved itself, or any that is open once the old one is gone."""
        while True:
            inbox = Inbox(self._policy.buffer_messages, self._arrived)
            try:
                new = await self._open(inbox, self._backoff.next_s())
            except FeedError:
                # No way back in: make the most of the connection there is.
                await self._unless_closing(asyncio.wait((old.reading,)))
                raise
            if new is None:
                return None
            await self._unless_closing(self._overlap(old, new))
            if self._closing.is_set():
                return None
            if old.reading.done() or not new.reading.done():
                return new
            self.counters.set_aside += len(inbox)

    async def _overlap(self, old: Link, new: Link) -> None:
        """Until the new link has proved itself and run beside the old one, or either is gone."""
        ends = (old.reading, new.reading)
        waits = ((new.proved, self._policy.proof_timeout_s), (None, self._policy.overlap_s))
        for reached, timeout_s in waits:
            first = (reached, *ends) if reached is not None else ends
            await asyncio.wait(first, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if old.reading.done() or new.reading.done() or not new.proved.done():
                return

    async def _open(self, inbox: Inbox, wait_s: float) -> Link | None:
        """Try until a connection is open; None when the feed is closing. Raises FeedError."""
        while True:
            await self._pause(wait_s)
            await self._unless_closing(self._admit())
            if self._closing.is_set():
                return None
            try:
                return await self._unless_closing(self._attempt(inbox))
            except (OSError, InvalidHandshake, InvalidURI, InvalidProxy) as error:
                wait_s = max(self._backoff.next_s(), self._after_failure(error))

    async def _attempt(self, inbox: Inbox) -> Link:
        """Make one attempt. The open link is known before this returns, so that no end of the feed,
        however early, leaves it behind."""
        counters = self.counters
        counters.attempts += 1
        link = await open_link(
            self._url, self._subscriptions, self._venue, self._policy, inbox, self._clock_ns, counters
        )
        counters.connections += 1
        self._open_links.add(link)
        link.reading.add_done_callback(lambda _: self._open_links.discard(link))
        return link

    def _after_failure(self, error: Exception) -> float:
        """Count a failed handshake; the least wait that the venue asks for. Raises FeedError."""
        if isinstance(error, InvalidURI | InvalidProxy):
            raise FeedError(str(error), self._venue.name, "correct the address") from error
        if not isinstance(error, InvalidStatus):
            self.counters.disconnects[f"handshake: {type(error).__name__}"] += 1
            return 0.0
        status = error.response.status_code
        self.counters.disconnects[f"handshake: HTTP {status}"] += 1
        asked_s = retry_after_s(error.response.headers.get("Retry-After"), self._clock_ns())
        if 400 <= status < 500 and status not in TIME_HEALS and asked_s is None:
            raise FeedError(
                f"the venue refuses the connection with HTTP {status}",
                f"{self._venue.name} at {self._url.partition('?')[0]}",  # what follows may hold a key
                "check the address, the symbols, the key, and whether the venue serves this region",
            ) from error
        return asked_s or 0.0

    async def _own_limit(self) -> None:
        loop = asyncio.get_running_loop()
        while (wait_s := self._limit.wait_s(loop.time())) > 0.0 and not self._closing.is_set():
            await self._pause(wait_s)
        self._limit.note(loop.time())

    async def _pause(self, wait_s: float) -> None:
        """Sleep, but not past the start of closing."""
        if wait_s <= 0.0:
            return
        self._waiting = True
        try:
            await self._unless_closing(asyncio.sleep(wait_s))
        finally:
            self._waiting = False

    async def _unless_closing(self, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """The result of `work`; None, and the work cancelled, when the feed is closing."""
        return await unless(self._closing, work)
