"""Events of one symbol in, engine steps out: what stands between a feed and an engine.

Plain and synchronous, without sockets or Ray: the actor feeds it batches and asks it for heartbeats.
"""

from __future__ import annotations

from collections.abc import Iterable

from cluster.continuity import TradeContinuity
from cluster.venue_clock import VenueClock
from cluster.venues.base import Event, Quote, Trade, TradeIds
from features.engine import Step, SymbolEngine
from features.ticks import NO_ID, TickBuffer


class Ingest:
    """Turns a symbol's events into ticks, each trade once, and drives its engine with them."""

    def __init__(self, engine: SymbolEngine, symbol: str, ids: TradeIds) -> None:
        self.engine = engine
        self.continuity = TradeContinuity()
        self.clock = VenueClock()
        self.received_ns = 0
        """Our clock when the newest event was received; 0 before the first."""
        self.other_symbols = 0
        self._symbol = symbol
        self._ids = ids
        self._buffer = TickBuffer()

    def feed(self, events: Iterable[Event]) -> Step:
        """Take a batch in; what it closed, forecast and answered comes back."""
        buffer = self._buffer
        consecutive = self._ids is TradeIds.CONSECUTIVE
        for event in events:
            if isinstance(event, Trade):
                if event.symbol != self._symbol:
                    self.other_symbols += 1
                    continue
                if consecutive and event.trade_id != NO_ID and not self.continuity.admit(event.trade_id):
                    continue
                self.received_ns = event.received_ns
                self.clock.observe(event.ts_ns, event.received_ns)
                buffer.trade(
                    event.ts_ns, event.received_ns, event.trade_id, event.price, event.size, event.side
                )
            elif isinstance(event, Quote):
                if event.symbol != self._symbol:
                    self.other_symbols += 1
                    continue
                self.received_ns = event.received_ns
                buffer.quote(
                    self._quote_time(event),
                    event.received_ns,
                    event.bid,
                    event.ask,
                    event.bid_size,
                    event.ask_size,
                )
        return self.engine.update(buffer.take())

    def heartbeat(self, now_ns: int, delay_ns: int) -> Step | None:
        """Close the open bar if the venue's clock has passed its end by `delay_ns`, else None."""
        end_ns = self.engine.builder.open_bar_end_ns
        venue_ns = self.clock.venue_ns(now_ns)
        if end_ns is None or venue_ns is None or venue_ns - delay_ns < end_ns:
            return None
        self._buffer.heartbeat(venue_ns - delay_ns, now_ns)
        return self.engine.update(self._buffer.take())

    def _quote_time(self, quote: Quote) -> int:
        """The quote's own time; one that carries none gets the venue's time when it was received."""
        if quote.ts_ns != quote.received_ns:
            return quote.ts_ns
        venue_ns = self.clock.venue_ns(quote.received_ns)
        return quote.ts_ns if venue_ns is None else venue_ns
