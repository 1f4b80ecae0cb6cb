"""The pieces of the tick path alone: microseconds a message, in batches of 1 and of 500, without a socket."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cluster import venues
from cluster.checkpoint import Checkpoint
from cluster.gap_policy import GapPolicy
from cluster.ingest import Ingest
from cluster.storage import segments
from cluster.trade_order import TradeOrder
from cluster.venues.base import Event
from features.bars import BarBuilder, BarSpec
from features.engine import EngineSpec, Step, SymbolEngine
from features.ticks import TickBuffer, Ticks
from tests.bench import journals, sources
from tests.bench.journals import Fsync, NoEngine, Nothing
from tests.bench.suite import Column, Effort, Sample, Table

SYMBOL = "BENCH"
VENUE_OPTIONS = {"quotes": False, "verbatim_symbols": True, "microseconds": True}

_BATCHES = ((1, "one"), (500, "many"))
_COUNTERS = tuple(range(15))
_CHECKPOINTS = 20

_PARSE = "parse a frame"
_ORDER = "order of trades"
_INGEST = "ingest: clock, tick buffer"
_BUFFER = "of ingest: the tick buffer alone"
_LOG = "tick log: a batch"
_MADE = "tick log: what the bars brought (8 ticks a bar)"
_FORCED = "tick log: a batch, forced to the disk"
_BARS = "bars"
_REST = "features, models, ledger (8 ticks a bar)"


def measure(effort: Effort) -> Sample:
    """Every piece, on the stream of `sources.ticks`."""
    n = effort.pick(100_000, 10_000)
    made = sources.ticks(n)
    sample = Sample()
    if why := sources.no_real_file():
        sample.notes.append(f"real trades skipped: {why}")
    load_kernels()
    events = _parse(sample, made)
    for size, metric in _BATCHES:
        _batches_of(size, metric, sample, effort, events, made)
    _checkpoints(sample, made)
    sample.notes.append(f"logs lie on {journals.file_system() or 'a file system of unknown kind'}")
    return sample


def load_kernels() -> None:
    """So that no timed part reads them from numba's cache."""
    SymbolEngine(EngineSpec(SYMBOL)).update(sources.ticks(2_000))


def _parse(sample: Sample, made: Ticks) -> list[Event]:
    frames = _frames(made)
    parse = venues.get("binance", **VENUE_OPTIONS).parse
    now_ns = time.time_ns()
    began = time.perf_counter_ns()
    events = [parse(frame, now_ns)[0] for frame in frames]
    us = _us(began, len(frames))
    sample.add(_PARSE, one=us, many=us)
    return events


def _frames(made: Ticks) -> list[bytes]:
    from cluster.exchange import wire

    texts = wire.trade_texts(SYMBOL, made, wire.MICROSECOND_NS)
    return [text.encode() for text in wire.wrap(f"{SYMBOL.lower()}@trade", texts)]


def _batches_of(
    size: int, metric: str, sample: Sample, effort: Effort, events: list[Event], made: Ticks
) -> None:
    n = len(made)
    batches = [events[i : i + size] for i in range(0, n, size)]
    cuts = [made[i : i + size] for i in range(0, n, size)]
    order = TradeOrder(SYMBOL, GapPolicy().hold_limit)
    nothing: Any = NoEngine(SYMBOL)
    ingest = Ingest(nothing, Nothing())
    engine = SymbolEngine(EngineSpec(SYMBOL))
    steps: list[Step] = []
    bars = _time(cuts, BarBuilder(BarSpec.parse("time:1s")).update, n)
    found = {
        _ORDER: _time(batches, order.accept, n),
        _INGEST: _time(batches, lambda batch: ingest.feed(batch, _COUNTERS), n),
        _BUFFER: _time(batches, partial(_fill, TickBuffer()), n),
        _LOG: _append(cuts, "interval"),
        # Every batch waits for the disk: fewer of them say as much.
        _FORCED: _append(cuts[: effort.pick(500, 50)], "always"),
        _BARS: bars,
        _REST: _time(cuts, lambda cut: steps.append(engine.update(cut)), n) - bars,
        _MADE: _append_made(steps, n),
    }
    for piece, us in found.items():
        sample.add(piece, **{metric: us})


def _fill(buffer: TickBuffer, events: list[Any]) -> None:
    for event in events:
        buffer.trade(event.ts_ns, event.received_ns, event.trade_id, event.price, event.size, event.side)
    buffer.take()


def _append(cuts: list[Ticks], fsync: Fsync) -> float:
    with journals.tick_log(SYMBOL, fsync) as log:
        return _time(cuts, lambda cut: log.append_ticks(cut, _COUNTERS), sum(map(len, cuts)))


def _append_made(steps: list[Step], n: int) -> float:
    """Bars, features, forecasts and answers to the log, where a batch has closed a bar."""
    with journals.tick_log(SYMBOL, "interval") as log:
        return _time([step for step in steps if len(step.bars)], lambda step: log.append_output(0, step), n)


def _checkpoints(sample: Sample, made: Ticks) -> None:
    """What a checkpoint takes of the event loop, and of the thread that writes it."""
    engine, order = SymbolEngine(EngineSpec(SYMBOL)), TradeOrder(SYMBOL, GapPolicy().hold_limit)
    engine.update(made)
    packing_ms = writing_ms = 0.0
    with journals.tick_log(SYMBOL, "interval") as log:
        for i in range(_CHECKPOINTS):
            began_s = time.perf_counter()
            data = Checkpoint.of(engine, order.snapshot(), b"").pack()
            packed_s = time.perf_counter()
            segments.write_checkpoint(log.folder, i, 1, data)
            packing_ms += 1e3 * (packed_s - began_s) / _CHECKPOINTS
            writing_ms += 1e3 * (time.perf_counter() - packed_s) / _CHECKPOINTS
    sample.notes.append(
        f"a checkpoint (every 10 s by default) holds the event loop for {packing_ms:.2f} ms; "
        f"its {len(data) / 1e3:,.0f} kB take {writing_ms:.1f} ms to the disk, in a thread"
    )


def _time(items: list[Any], work: Callable[[Any], Any], n: int) -> float:
    began = time.perf_counter_ns()
    for item in items:
        work(item)
    return _us(began, n)


def _us(began_ns: int, n: int) -> float:
    return (time.perf_counter_ns() - began_ns) / n / 1e3


TABLE = Table(
    "The pieces alone",
    (
        Column("one", "µs a message, one a batch", spread=True),
        Column("many", "µs a message, 500 a batch", spread=True),
    ),
    (_PARSE, _ORDER, _INGEST, _BUFFER, _LOG, _MADE, _FORCED, _BARS, _REST),
    "piece",
)
