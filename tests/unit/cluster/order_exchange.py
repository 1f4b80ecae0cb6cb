"""A consumer on a local exchange: real sockets from the exchange's faults to what an engine would be fed."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster import venues
from cluster.event_order import FedEvent
from cluster.exchange.faults import FaultKind
from cluster.exchange.server import ExchangeSettings, LocalExchange
from cluster.exchange.tape import TapeSpec
from cluster.feed import Feed, FeedPolicy
from cluster.gap_filler import GapFiller
from cluster.gap_keeper import GapKeeper
from cluster.gap_policy import GapPolicy
from cluster.trade_order import order_of
from cluster.venues.base import Event, Trade, Venue

SYMBOL = "BTCUSDT"
START_NS = 1_700_000_000_000_000_000
QUICK_FEED = {"backoff_base_s": 0.01, "settled_after_s": 0.0, "overlap_s": 0.05, "jitter": 0.0}
QUICK_GAPS = {"reorder_wait_s": 0.02, "backoff_base_s": 0.01, "backoff_max_s": 0.05, "catch_up_after_s": 0.05}


class Consumer:
    """A feed, an order and its keeper; `out` is what an engine would be fed."""

    def __init__(
        self,
        exchange: LocalExchange,
        counters: tuple[int, ...] = (),
        venue: Venue | None = None,
        **policy: Any,
    ) -> None:
        venue = venue or venues.get("binance", microseconds=True)
        gaps = GapPolicy(**{**QUICK_GAPS, "page_burst": 1000, **policy})
        self.order = order_of(venue, SYMBOL, gaps)
        if counters:
            self.order.resume(counters)
        filler = GapFiller(venue, SYMBOL, exchange.rest_url, gaps, time.time_ns, random.Random(1))
        self.keeper = GapKeeper(self.order, filler, gaps, self.feed_on, self.stored_extend)
        self.feed = Feed(
            venue,
            [SYMBOL],
            FeedPolicy(**QUICK_FEED),
            exchange.websocket_url,
            time.time_ns,
            random.Random(2),
        )
        self.out: list[FedEvent] = []
        self.stored: list[Trade] = []
        self.most_held = 0

    def feed_on(self, fed: list[FedEvent]) -> None:
        self.out += fed

    def stored_extend(self, trades: list[Trade]) -> None:
        self.stored += trades

    async def consume(self, events: list[Event]) -> None:
        self.out += self.keeper.accept(events)
        self.most_held = max(self.most_held, self.order.held)
        if self.order.full:
            await self.keeper.room()

    @property
    def ids(self) -> list[int]:
        return [one.trade_id for one in self.out if isinstance(one, Trade)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Consumer]:
        """Run the feed; closes everything at the end."""
        task = asyncio.create_task(self.feed.run(self.consume))
        try:
            yield self
        finally:
            self.feed.close()
            async with asyncio.timeout(10):
                await task
            await self.keeper.close()

    async def until_id(self, last_id: int) -> None:
        """Wait until a trade has been fed on."""
        async with asyncio.timeout(30):
            while self.order.last_id < last_id:
                await asyncio.sleep(0.005)


def write_tape(folder: Path, n: int, quotes: bool) -> TapeSpec:
    """Write n trades, one each 10 ms, and as many quotes between them if asked to."""
    draw = np.random.default_rng(1)
    times = START_NS + np.arange(n) * 10_000_000
    columns = {
        "symbol": [SYMBOL] * n,
        "ts_ns": times,
        "price": np.round(np.exp(draw.normal(3, 1, n)), 4),
        "size": draw.choice([1e-8, 0.00012, 3.0, 1250.5], n),
        "side": draw.choice(np.array([-1, 1], dtype=np.int8), n),
    }
    pq.write_table(pa.table(columns), folder / "trades.parquet")
    files = [str(folder / "trades.parquet")]
    if quotes:
        book = {
            "symbol": [SYMBOL] * n,
            "ts_ns": times + 1_000_000,
            "bid": np.arange(n) + 1.0,
            "ask": np.arange(n) + 1.5,
            "bid_size": np.ones(n),
            "ask_size": np.ones(n),
        }
        pq.write_table(pa.table(book), folder / "quotes.parquet")
        files.append(str(folder / "quotes.parquet"))
    return TapeSpec(tuple(files))


def exchange(source: TapeSpec, speed: float = math.inf, **settings: Any) -> LocalExchange:
    return LocalExchange(ExchangeSettings(source, speed=speed, **settings))


def published(opened: LocalExchange) -> list[tuple[int, int, float, float, int]]:
    """Every trade that the exchange has published, as the venue's wire can carry it."""
    history = opened.history(SYMBOL)
    columns = (history.trade_id, history.ts_ns // 1000 * 1000, history.price, history.size, history.side)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def fed(consumer: Consumer) -> list[tuple[int, int, float, float, int]]:
    return [
        (one.trade_id, one.ts_ns, one.price, one.size, one.side)
        for one in consumer.out
        if isinstance(one, Trade)
    ]


def ledger(opened: LocalExchange) -> dict[str, int]:
    return {kind.value: opened.desk.ledger.count(kind) for kind in FaultKind}
