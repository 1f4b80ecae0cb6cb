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
from cluster.ingest import Ingest, Journal
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from cluster.venues.base import Event, Trade
from features.engine import EngineSpec, SymbolEngine
from tests.bench import journals, sources, tick_pieces
from tests.bench.journals import NoEngine, Nothing
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table
from tests.bench.tick_pieces import SYMBOL, VENUE_OPTIONS

_SYMBOL = "BENCH"
_OPTIONS = {"quotes": False, "verbatim_symbols": True, "microseconds": True}
_LIMIT_S = 120.0


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
def _exchange(effort: Effort, real: bool) -> Iterator[tuple[Exchange, str, int]]:
    """A local exchange at full speed: its addresses, its symbol, and how many trades to take."""
    folder = Path(tempfile.mkdtemp(prefix="tickcast-bench-"))
    exchange = None
    try:
        if real:
            symbol, n = sources.real_symbols()[0], effort.pick(200_000, 10_000)
            words = [
                "--replay",
                str(sources.REAL_FILE),
                "--symbols",
                symbol,
                "--session",
                sources.REAL_SESSION,
            ]
        else:
            symbol, n = _SYMBOL, effort.pick(200_000, 10_000)
            tape = folder / "tape.parquet"
            sources.write_tape(tape, symbol, n + 1_000)
            words = ["--replay", str(tape)]
        exchange = start_exchange([*words, "--speed", "max"], folder)
        yield exchange, symbol, n
    finally:
        if exchange is not None:
            _end(exchange.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        process.terminate()
        process.wait(10.0)


def _measure(who: str, real: bool, effort: Effort) -> Sample:
    import uvloop  # what Ray runs its actors' loops with

    sample = Sample()
    clients: dict[str, Callable[[str, str, _Stopwatch], Any]] = {
        "Tickcast: feed, ingest, engine": _tickcast,
        "Tickcast without the engine": _without_engine,
        "Tickcast feed, events dropped": _feed_only,
        "websockets and msgspec loop": partial(_bare, True),
        "websockets, frames dropped": partial(_bare, False),
    }
    with _exchange(effort, real) as (exchange, symbol, n):
        watch = _Stopwatch(n)
        client = clients[who](exchange.websocket_url, symbol, watch)
        uvloop.run(asyncio.wait_for(client, _LIMIT_S))
    sample.add(f"{'real' if real else 'made'}: {who}", **watch.metrics())
    return sample


async def _run_feed(url: str, symbol: str, take: Callable[[list[Event]], bool]) -> None:
    venue = venues.get("binance", **_OPTIONS)
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


async def _tickcast(url: str, symbol: str, watch: _Stopwatch) -> None:
    _load_kernels()
    venue = venues.get("binance", **_OPTIONS)
    ingest = Ingest(SymbolEngine(EngineSpec(symbol)), symbol, venue.facts.trade_ids)

    def take(events: list[Event]) -> bool:
        ingest.feed(events)
        return watch.saw(_trades(events))

    await _run_feed(url, symbol, take)


class _NoEngine:
    """Stands where the engine is and does nothing."""

    def update(self, ticks: Ticks) -> None:
        """Drop the ticks."""


async def _without_engine(url: str, symbol: str, watch: _Stopwatch) -> None:
    venue = venues.get("binance", **_OPTIONS)
    nothing: Any = _NoEngine()
    ingest = Ingest(nothing, symbol, venue.facts.trade_ids)

    def take(events: list[Event]) -> bool:
        ingest.feed(events)
        return watch.saw(_trades(events))

    await _run_feed(url, symbol, take)


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
    address = venues.get("binance", **_OPTIONS).websocket_url([symbol], url)
    async with connect(address, compression=None, ping_interval=None) as connection:
        done = False
        while not done:
            raw = await connection.recv(decode=False)
            if parse:
                data = decode(raw).data
                kept.append((data.T, data.t, data.p, data.q))
            done = watch.saw(1)
        connection.transport.abort()  # the exchange would go on sending while we say goodbye


_MADE = (
    "Tickcast: feed, ingest, engine",
    "Tickcast without the engine",
    "Tickcast feed, events dropped",
    "websockets and msgspec loop",
    "websockets, frames dropped",
)
_REAL = (_MADE[0], _MADE[3])


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {f"made: {who}": partial(_measure, who, False) for who in _MADE}
    if not sources.no_real_file():
        cases |= {f"real: {who}": partial(_measure, who, True) for who in _REAL}
    return cases | {"pieces": _pieces}


def _columns(prefix: str) -> tuple[Column, ...]:
    return (
        Column("per_s", "messages/s", spread=True),
        Column("us", "µs a message", against=f"{prefix}websockets and msgspec loop", spread=True),
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
            "The pieces alone",
            (
                Column("one", "µs a message, one a batch", spread=True),
                Column("many", "µs a message, 500 a batch", spread=True),
            ),
            (
                "parse a frame",
                "ingest: continuity, clock, tick buffer",
                "of ingest: the tick buffer alone",
                "bars",
                "features, models, ledger (8 ticks a bar)",
            ),
            "piece",
        ),
    ),
)
