"""Benchmark 2: from the websocket to the engine, in one process without Ray, and what the tick log costs.

The local exchange runs as its own process and sends as fast as it is read. The last rows of the first
table take one piece of the path away after the other, down to frames that are read and dropped.

The second table is about durability: the same path with the log and without it, at full speed, where
messages come in large batches, and at a steady 2,000 a second, where nearly every message is a batch of its
own, is written by itself and costs most. The log syncs once a second from a thread, as a symbol's actor
does, and writes bars and forecasts too, one bar for 8 ticks. Checkpoints are not part of it: what one takes
is in the notes. The last table times the pieces alone (tests/bench/tick_pieces.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cluster import venues
from cluster.exchange_process import Exchange, end
from cluster.exchange_process import start as start_exchange
from cluster.feed import Feed
from cluster.feed_policy import FeedPolicy
from cluster.gap_policy import GapPolicy
from cluster.ingest import Ingest, Journal
from cluster.trade_order import TradeOrder
from cluster.venues.base import Event, Trade
from features.engine import EngineSpec, SymbolEngine
from tests.bench import journals, sources, tick_pieces
from tests.bench.journals import Fsync, NoEngine, Nothing
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table
from tests.bench.tick_pieces import SYMBOL, VENUE_OPTIONS

_LIMIT_S = 120.0
_TAPE_PER_S = 8.0
_STEADY_PER_S = 2_000

_WITH_LOG = "Tickcast: feed, order, log, ingest, engine"
_FORCED = "Tickcast, every batch forced to the disk"
_WITHOUT_LOG = "Tickcast without the log"
_WITHOUT_ENGINE = "Tickcast without log and engine"
_FEED = "Tickcast feed, events dropped"
_LOOP = "websockets and msgspec loop"
_DROPPED = "websockets, frames dropped"


class _Stopwatch:
    """Wall and CPU time from the first batch of messages to the last."""

    def __init__(self, messages: int) -> None:
        self._wanted = messages
        self._first = self._seen = 0
        self._wall_s = self._cpu_s = 0.0

    def saw(self, count: int) -> bool:
        """Count messages; True once all have come."""
        if self._seen == 0:
            self._first = count
            self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()
        self._seen += count
        if self._seen < self._wanted:
            return False
        self._wall_s, self._cpu_s = time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s
        return True

    def metrics(self) -> dict[str, float]:
        """Per message; those of the first batch were there before the watch ran."""
        n = self._seen - self._first
        return {
            "per_s": n / self._wall_s,
            "us": self._wall_s / n * 1e6,
            "cpu_us": self._cpu_s / n * 1e6,
        }


@contextlib.contextmanager
def _exchange(trades: int, real: bool, speed: str) -> Iterator[tuple[Exchange, str]]:
    """A local exchange that plays at least so many trades: its addresses, and its symbol."""
    folder = Path(tempfile.mkdtemp(prefix="tickcast-bench-"))
    exchange = None
    try:
        if real:
            symbol, tape = sources.real_symbols()[0], sources.REAL_FILE
            words = ["--symbols", symbol, "--session", sources.REAL_SESSION]
        else:
            symbol, tape, words = SYMBOL, folder / "tape.parquet", []
            sources.write_tape(tape, symbol, trades + 1_000)
        exchange = start_exchange(["--replay", str(tape), *words, "--speed", speed], folder)
        yield exchange, symbol
    finally:
        if exchange is not None:
            end(exchange.pid)
        shutil.rmtree(folder, ignore_errors=True)


_Client = Callable[[str, str, _Stopwatch], Awaitable[None]]


def _client(who: str) -> _Client:
    clients: dict[str, _Client] = {
        _WITH_LOG: partial(_with_log, "interval"),
        _FORCED: partial(_with_log, "always"),
        _WITHOUT_LOG: _without_log,
        _WITHOUT_ENGINE: _without_engine,
        _FEED: _feed_only,
        _LOOP: partial(_bare, True),
        _DROPPED: partial(_bare, False),
    }
    return clients[who]


def _at_full_speed(who: str, real: bool, effort: Effort) -> Sample:
    sample, trades = Sample(), effort.pick(200_000, 10_000)
    measured = _measure(who, trades, real, "max")
    sample.add(f"{'real' if real else 'made'}: {who}", **measured)
    return sample


def _steadily(who: str, effort: Effort) -> Sample:
    sample, trades = Sample(), effort.pick(10 * _STEADY_PER_S, 2 * _STEADY_PER_S)
    measured = _measure(who, trades, False, str(_STEADY_PER_S / _TAPE_PER_S))
    sample.add(f"made: {who}", steady_cpu_us=measured["cpu_us"])
    return sample


def _measure(who: str, trades: int, real: bool, speed: str) -> dict[str, float]:
    import uvloop  # what Ray runs its actors' loops with

    async def bounded(url: str, symbol: str, watch: _Stopwatch) -> None:
        await asyncio.wait_for(_client(who)(url, symbol, watch), _LIMIT_S)

    with _exchange(trades, real, speed) as (exchange, symbol):
        watch = _Stopwatch(trades)
        uvloop.run(bounded(exchange.websocket_url, symbol, watch))
    return watch.metrics()


async def _run_feed(url: str, symbol: str, take: Callable[[list[Event]], bool]) -> None:
    venue = venues.get("binance", **VENUE_OPTIONS)
    feed = Feed(venue, [symbol], FeedPolicy(), url, time.time_ns, random.Random(0))

    running = True

    async def consume(events: list[Event]) -> None:
        nonlocal running
        if running and take(events):
            running = False
            feed.close()

    await feed.run(consume)


def _trades(events: list[Event]) -> int:
    return sum(type(event) is Trade for event in events)


async def _take_in(url: str, symbol: str, watch: _Stopwatch, engine: SymbolEngine, journal: Journal) -> None:
    order = TradeOrder(symbol, GapPolicy().hold_limit)
    ingest = Ingest(engine, journal)

    def take(events: list[Event]) -> bool:
        ingest.feed(order.accept(events), order.counters())
        return watch.saw(_trades(events))

    await _run_feed(url, symbol, take)
    if ingest.problem or order.counts.seen < order.last_id:
        raise RuntimeError(f"not all was taken in: {ingest.problem or order.report()}")


async def _with_log(fsync: Fsync, url: str, symbol: str, watch: _Stopwatch) -> None:
    tick_pieces.load_kernels()
    with journals.tick_log(symbol, fsync) as log:
        house = asyncio.create_task(journals.keep_house(log))
        await _take_in(url, symbol, watch, SymbolEngine(EngineSpec(symbol)), log)
        if house.done():
            house.result()  # it never ends but by a fault
        house.cancel()
        await asyncio.gather(house, return_exceptions=True)


async def _without_log(url: str, symbol: str, watch: _Stopwatch) -> None:
    tick_pieces.load_kernels()
    await _take_in(url, symbol, watch, SymbolEngine(EngineSpec(symbol)), Nothing())


async def _without_engine(url: str, symbol: str, watch: _Stopwatch) -> None:
    no_engine: Any = NoEngine(symbol)
    await _take_in(url, symbol, watch, no_engine, Nothing())


async def _feed_only(url: str, symbol: str, watch: _Stopwatch) -> None:
    await _run_feed(url, symbol, lambda events: watch.saw(_trades(events)))


async def _bare(parse: bool, url: str, symbol: str, watch: _Stopwatch) -> None:
    """What one writes by hand: read, decode, keep the numbers. No checks, no reconnecting."""
    import msgspec
    from websockets.asyncio.client import connect

    numbers = msgspec.defstruct("Numbers", [("T", int), ("t", int), ("p", float), ("q", float)], gc=False)
    message = msgspec.defstruct("Message", [("data", numbers)], gc=False)
    decode = msgspec.json.Decoder(message, strict=False).decode
    kept: list[tuple[int, int, float, float]] = []
    address = venues.get("binance", **VENUE_OPTIONS).websocket_url([symbol], url)
    async with connect(address, compression=None, ping_interval=None) as connection:
        done = False
        while not done:
            raw = await connection.recv(decode=False)
            if parse:
                data = decode(raw).data
                kept.append((data.T, data.t, data.p, data.q))
            done = watch.saw(1)
        connection.transport.abort()  # the exchange would go on sending while we say goodbye


_MADE = (_WITH_LOG, _WITHOUT_LOG, _WITHOUT_ENGINE, _FEED, _LOOP, _DROPPED)
_REAL = (_WITH_LOG, _WITHOUT_LOG, _LOOP)
_DURABLE = (_WITH_LOG, _FORCED, _WITHOUT_LOG)


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {
        f"made: {who}": partial(_at_full_speed, who, False) for who in dict.fromkeys(_MADE + _DURABLE)
    }
    cases |= {f"steady: {who}": partial(_steadily, who) for who in _DURABLE}
    if not sources.no_real_file():
        cases |= {f"real: {who}": partial(_at_full_speed, who, True) for who in _REAL}
    return cases | {"pieces": tick_pieces.measure}


def _columns(prefix: str) -> tuple[Column, ...]:
    return (
        Column("per_s", "messages/s", spread=True),
        Column("us", "µs a message", against=f"{prefix}{_LOOP}", spread=True),
        Column("cpu_us", "client CPU µs a message"),
    )


BENCHMARK = Benchmark(
    name="tick_path",
    title="from the exchange's websocket to the engine",
    cases=_cases(),
    tables=(
        Table(
            "Made trades, 8 a second bar, over a loopback websocket at full speed",
            _columns("made: "),
            tuple(f"made: {who}" for who in _MADE),
            "client",
            "made: ",
        ),
        Table(
            "Real trades of a US stock, the same way",
            _columns("real: "),
            tuple(f"real: {who}" for who in _REAL),
            "client",
            "real: ",
        ),
        Table(
            "What durability costs: made trades, against the same without the log",
            (
                Column("us", "µs a message at full speed", against=f"made: {_WITHOUT_LOG}", spread=True),
                Column("cpu_us", "client CPU µs of it", against=f"made: {_WITHOUT_LOG}", spread=True),
                Column(
                    "steady_cpu_us",
                    f"client CPU µs a message at {_STEADY_PER_S:,}/s",
                    against=f"made: {_WITHOUT_LOG}",
                    spread=True,
                ),
            ),
            tuple(f"made: {who}" for who in _DURABLE),
            "client",
            "made: ",
        ),
        tick_pieces.TABLE,
    ),
)
