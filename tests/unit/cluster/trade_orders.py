"""Short ways to write streams of trades and to read what an order made of them."""

from __future__ import annotations

from typing import Any

from cluster.event_order import FedEvent, Gap
from cluster.trade_order import TradeOrder
from cluster.venues.base import Connected, Event, Quote, Trade

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND
SYMBOL = "BTCUSDT"


def trade(trade_id: int, ts_ns: int | None = None, received_ns: int = 0, symbol: str = SYMBOL) -> Trade:
    at_ns = START_NS + trade_id * 1_000_000 if ts_ns is None else ts_ns
    return Trade(symbol, at_ns, received_ns or at_ns + 5, trade_id, 100.0, 1.0, 1)


def trades(*ids: int) -> list[Trade]:
    return [trade(i) for i in ids]


def quote(number: float = 1.0, symbol: str = SYMBOL) -> Quote:
    return Quote(symbol, START_NS, START_NS, 99.0, 101.0, number, 1.0)


def order(*events: Event, hold_limit: int = 1000) -> TradeOrder:
    """An order that a connection has said something to."""
    made = TradeOrder(SYMBOL, hold_limit)
    made.accept([Connected(START_NS), *events])
    return made


def shape(fed: list[FedEvent]) -> list[Any]:
    """Trades as their ids, quotes as "q", gaps as "first-last"."""
    names = []
    for one in fed:
        if isinstance(one, Trade):
            names.append(one.trade_id)
        else:
            names.append(f"{one.first_id}-{one.last_id}" if isinstance(one, Gap) else "q")
    return names


def counts(one: TradeOrder) -> dict[str, int]:
    """The counters that are not 0."""
    return {name: value for name, value in one.counts.as_dict().items() if value}


def notes(one: TradeOrder) -> list[tuple[str, int, int, int]]:
    return [(note.event.value, note.first_id, note.last_id, note.trades) for note in one.take_notes()]
