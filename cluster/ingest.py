"""Ordered events of one symbol in, engine steps out: log first, then learn.

    events → ticks → tick log → engine → tick log (what it made)

Plain and synchronous, without sockets or Ray. A tick counts as taken in once it is in the log; only then
does the engine see it. When the log takes nothing, the ticks wait here, and nothing is lost or doubled by
trying again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from cluster.errors import LogFull
from cluster.event_order import FedEvent, Gap
from cluster.venue_clock import VenueClock
from cluster.venues.base import Quote, Trade
from features.engine import Step, SymbolEngine
from features.ticks import TickBuffer, Ticks


class Journal(Protocol):
    """Where ticks are written before they count: `cluster.storage.tick_log.TickLog`."""

    @property
    def next_sequence(self) -> int:
        """The sequence that the next tick gets."""

    def append_ticks(self, ticks: Ticks, counters: tuple[int, ...]) -> int:
        """Write a batch; the sequence of its first tick. Raises LogFull, then nothing is written."""

    def append_output(self, sequence: int, step: Step) -> None:
        """Write what the ticks up to and with `sequence` have brought about. Raises LogFull."""


class Ingest:
    """Turns a symbol's events into ticks, logs them and drives its engine with them."""

    def __init__(self, engine: SymbolEngine, journal: Journal) -> None:
        self.engine = engine
        self.clock = VenueClock()
        self.received_ns = 0
        """Our clock when the newest event was received; 0 before the first."""
        self.worst_lag_ns = 0
        """The longest time between a trade's event and its receipt."""
        self.problem = ""
        """Why nothing can be taken in now; empty when it can."""
        self._journal = journal
        self._buffer = TickBuffer()
        self._unlogged: list[tuple[int, Step]] = []

    @property
    def waiting(self) -> int:
        """Ticks that have not been taken in because the log was full."""
        return len(self._buffer)

    def feed(self, events: Iterable[FedEvent], counters: tuple[int, ...], live: bool = True) -> Step | None:
        """Take a batch in, in its order; what it closed, forecast and answered comes back.

        `counters` are noted beside it. `live` says that the events have just been received: those that
        REST brought say nothing about the venue's clock. None when the log takes nothing now: the ticks
        wait for the next call, which may bring none.
        """
        buffer = self._buffer
        for event in events:
            kind = type(event)
            if kind is Trade:
                assert isinstance(event, Trade)
                self.received_ns = event.received_ns
                if live:
                    self.clock.observe(event.ts_ns, event.received_ns)
                if event.received_ns - event.ts_ns > self.worst_lag_ns:
                    self.worst_lag_ns = event.received_ns - event.ts_ns
                buffer.trade(
                    event.ts_ns, event.received_ns, event.trade_id, event.price, event.size, event.side
                )
            elif kind is Quote:
                assert isinstance(event, Quote)
                self.received_ns = event.received_ns
                buffer.quote(
                    self._quote_time(event),
                    event.received_ns,
                    event.bid,
                    event.ask,
                    event.bid_size,
                    event.ask_size,
                )
            elif isinstance(event, Gap):
                buffer.gap(event.ts_ns, event.received_ns)
        return self._commit(counters)

    def heartbeat(self, now_ns: int, delay_ns: int, counters: tuple[int, ...]) -> Step | None:
        """Close the open bar if the venue's clock has passed its end by `delay_ns`, else None."""
        end_ns = self.engine.builder.open_bar_end_ns
        venue_ns = self.clock.venue_ns(now_ns)
        if end_ns is None or venue_ns is None or venue_ns - delay_ns < end_ns or self.waiting:
            return None
        self._buffer.heartbeat(venue_ns - delay_ns, now_ns)
        return self._commit(counters)

    def swap(self, now_ns: int, slot: int, version: int, counters: tuple[int, ...]) -> Step | None:
        """Let another model be in a slot from here on, 0 for none: logged like any tick before it counts.

        The engine takes the model from its shelf, where it must be at hand. None when the log takes nothing
        now, or ticks wait for it: nothing has happened then.
        """
        if self.waiting:
            return None
        self._buffer.swap(self.clock.venue_ns(now_ns) or now_ns, now_ns, slot, version)
        step = self._commit(counters)
        if step is None:
            self._buffer.take()
        return step

    def log_again(self, unlogged: Sequence[tuple[int, Step]]) -> None:
        """What the engine has made and the log does not hold yet: it is written with the next batch."""
        self._unlogged += unlogged

    def _commit(self, counters: tuple[int, ...]) -> Step | None:
        ticks = self._buffer.take()
        try:
            while self._unlogged:
                self._journal.append_output(*self._unlogged[0])
                del self._unlogged[0]
            if len(ticks):
                sequence = self._journal.append_ticks(ticks, counters)
        except LogFull as error:
            self._buffer.put_back(ticks)
            self.problem = str(error)
            return None
        # Should the engine fail, nobody may take its state for that of the ticks in the log.
        self.problem = "the engine has failed"
        step = self.engine.update(ticks)
        self.problem = ""
        if len(step.bars):
            self._write_output(sequence + len(ticks) - 1, step)
        return step

    def _write_output(self, sequence: int, step: Step) -> None:
        try:
            self._journal.append_output(sequence, step)
        except LogFull as error:
            self._unlogged.append((sequence, step))
            self.problem = str(error)

    def _quote_time(self, quote: Quote) -> int:
        """The quote's own time; one that carries none gets the venue's time when it was received."""
        if quote.ts_ns != quote.received_ns:
            return quote.ts_ns
        venue_ns = self.clock.venue_ns(quote.received_ns)
        return quote.ts_ns if venue_ns is None else venue_ns
