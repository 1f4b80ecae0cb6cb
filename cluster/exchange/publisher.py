"""The loop that publishes: source -> history -> faults -> connections, each event when it is due.

An exchange that opened before its process began publishes what was due since then into the histories
alone, and goes on from there on the same schedule.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cluster.exchange.bulletin import Bulletin
from cluster.exchange.connection import Audience
from cluster.exchange.faults import MessageFaults
from cluster.exchange.history import Aggregates, History
from cluster.exchange.pacing import Opening, Pacer
from cluster.exchange.source import Events, Source
from features.ticks import Kind

_PAST_ROWS = 65_536
"""Events of the past that are recorded at once: a few hundred of each symbol, however many there are."""


class Publisher:
    """Publishes one source to one audience.

    At a finite speed events go out when they are due, whoever listens. At full speed (the opening has
    no pacer), and for blocks from before the pacer's start, the next block goes out once every
    subscribed client has taken the one before, and never while nobody is subscribed. `begin` is
    called when publishing starts. `clock` gives seconds that never go back; faults use it too.

    `opened_s` is when publishing began and `live_s` since when events have gone out to clients, both
    by `clock`; they differ, as does `past_trades` from 0, only after `catch_up`.
    """

    def __init__(
        self,
        source: Source,
        begin: Callable[[], Opening],
        audience: Audience,
        faults: MessageFaults,
        clock: Callable[[], float],
        keep_trades: int | None,
    ) -> None:
        self.histories = [History(keep_trades) for _ in source.instruments]
        self.clock_ns = source.start_ns
        self.published_trades = 0
        self.past_trades = 0
        self.opened_s = self.live_s = math.inf
        self.started = asyncio.Event()
        self.finished = asyncio.Event()
        self.on_trades: Callable[[int], int | None] = lambda published: None
        self._source = source
        self._begin = begin
        self._opening: Opening | None = None
        self._ahead: tuple[Events, NDArray[np.float64]] | None = None
        self._audience = audience
        self._faults = faults
        self._clock = clock
        self._events = 0
        self._pause_at: float = math.inf

    async def catch_up(self) -> None:
        """Publish what was due before now, for an exchange that opened in the past.

        Called before anybody can connect, and before `run`. It goes into the histories alone: no
        client gets it and no fault acts on it. Not for full speed.
        """
        pacer = self._open().pacer
        assert pacer is not None
        while self._ahead is None and (past := self._next_past(pacer)):
            self._record(Events.concat(past))
            await asyncio.sleep(0)  # other tasks of this process go on
        self.live_s = max(self.opened_s, self._clock())
        self.past_trades = self.published_trades

    async def run(self, may_start: Callable[[], bool]) -> None:
        """Wait until `may_start`, then publish to the end; `finished` is set there.

        `on_trades` is called with the number of trades published, before the first and then whenever
        it has reached the number that the call before gave (None: never again).
        """
        await self._audience.wait_until(may_start)
        pacer = (self._opening or self._open()).pacer
        await asyncio.sleep(max(0.0, self.opened_s - self._clock()))
        self.started.set()
        self._look_at_count()
        if self._ahead is not None:
            await self._publish_when_due(*self._ahead)
            self._ahead = None
        while (events := self._source.next_events()) is not None:
            if pacer is None or events.ticks.ts_ns[-1] < pacer.start_ns:
                await self._publish_when_taken(events)
            else:
                await self._publish_when_due(events, self.opened_s + pacer.due_s(events.ticks.ts_ns))
        self._audience.deliver(self._faults.flush())
        while (stall_ends_s := self._faults.stall_ends_s) is not None:
            await asyncio.sleep(max(0.0, stall_ends_s - self._clock()))
            self._release()
        self.finished.set()

    def _open(self) -> Opening:
        self._opening = self._begin()
        self.opened_s = self.live_s = self._opening.at_s
        return self._opening

    def _next_past(self, pacer: Pacer) -> list[Events]:
        """The next blocks of what was due before now; `_ahead` is set where that ends."""
        past: list[Events] = []
        while self._ahead is None and sum(map(len, past)) < _PAST_ROWS:
            events = self._source.next_events()
            if events is None:
                break
            due = len(events)
            if events.ticks.ts_ns[-1] >= pacer.start_ns:
                due_s = self.opened_s + pacer.due_s(events.ticks.ts_ns)
                due = int(np.searchsorted(due_s, self._clock(), side="right"))
                if due < len(events):
                    self._ahead = (events[due:], due_s[due:])
            past.append(events[:due])
        return past

    async def _publish_when_taken(self, events: Events) -> None:
        """Full speed: a stall holds up the tape itself, so that nothing piles up here."""
        await self._audience.wait_until(lambda: bool(self._audience.subscribed()))
        while (stall_ends_s := self._faults.stall_ends_s) is not None:
            await asyncio.sleep(max(0.0, stall_ends_s - self._clock()))
            self._release()
        self._publish(events)
        await self._audience.drain()
        await asyncio.sleep(0)  # lets commands and REST in when every client keeps up

    async def _publish_when_due(self, events: Events, due_s: NDArray[np.float64]) -> None:
        done = 0
        while done < len(events):
            now_s = self._clock()
            self._release()
            due = int(np.searchsorted(due_s, now_s, side="right"))
            if due > done:
                self._publish(events[done:due])
                done = due
                await asyncio.sleep(0)
            else:
                wake_s = min(float(due_s[done]), self._faults.stall_ends_s or math.inf)
                # At most a second: a stall may be ordered while we sleep.
                await asyncio.sleep(min(max(wake_s - now_s, 0.0), 1.0))

    def _publish(self, events: Events) -> None:
        """Publish events now, in pieces that end where `on_trades` wants to be called."""
        while self.published_trades + len(events) >= self._pause_at:
            trades = np.flatnonzero(events.ticks.kind == int(Kind.TRADE))
            wanted = int(self._pause_at) - self.published_trades
            if wanted > len(trades):
                break
            ts_ns = events.ticks.ts_ns
            end = int(np.searchsorted(ts_ns, ts_ns[trades[wanted - 1]], side="right"))
            self._publish_piece(events[:end])
            self._look_at_count()
            events = events[end:]
        self._publish_piece(events)

    def _look_at_count(self) -> None:
        pause_at = self.on_trades(self.published_trades)
        self._pause_at = math.inf if pause_at is None else pause_at

    def _publish_piece(self, events: Events) -> None:
        if len(events):
            self._audience.deliver(self._faults.apply(self._record(events)))

    def _record(self, events: Events) -> Bulletin:
        """Write events into the histories; gives the bulletin that tells of them."""
        aggregates: dict[int, Aggregates] = {}
        bulletin = Bulletin(events, aggregates, self._source.instruments, self._events + 1)
        for symbol in np.unique(events.symbol).tolist():
            trades = bulletin.rows(symbol, Kind.TRADE)
            if len(trades):
                aggregates[symbol] = self.histories[symbol].append(events.ticks[trades])
                self.published_trades += len(trades)
            self.histories[symbol].quotes += len(bulletin.rows(symbol, Kind.QUOTE))
        if len(events):
            self._events += len(events)
            self.clock_ns = int(events.ticks.ts_ns[-1])
        return bulletin

    def _release(self) -> None:
        held = self._faults.release(self._clock())
        if held:
            self._audience.deliver(held)
