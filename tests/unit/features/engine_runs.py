"""Small engines for tests, and everything that one has said, as bytes that can be compared."""

from __future__ import annotations

import struct
from dataclasses import astuple
from typing import Any

import numpy as np

from features.bars import BarSpec
from features.engine import EngineSpec, Step, SymbolEngine
from features.ticks import TickBuffer, Ticks

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND


def small_spec(**changes: Any) -> EngineSpec:
    """Four features, two horizons, three learners, sessions that end after five empty bars."""
    settings: dict[str, Any] = {
        "symbol": "TEST",
        "bars": BarSpec("time", SECOND, max_fill=5),
        "features": ("log_return:1", "flow_imbalance:2", "microprice", "zscore:4"),
        "horizons": ("1s", "3s"),
        "models": ("naive", "ew_mean:0.01", "ridge:5,0.999"),
        "first_forecast_bars": 3,
    }
    return EngineSpec(**(settings | changes))


def market(n: int, seed: int = 0, quotes: bool = True, gaps: int = 0) -> Ticks:
    """n seconds of random trades and quotes whose next move leans on the last trade's side."""
    random = np.random.default_rng(seed)
    buffer, level, side = TickBuffer(), 10_000, 1
    lost = {n * part // (gaps + 1) for part in range(1, gaps + 1)}
    for second in range(n):
        for part in np.sort(random.integers(0, SECOND, random.integers(0, 4))).tolist():
            ts = START_NS + second * SECOND + part
            level = max(100, level + int(random.integers(-2, 3)) + side)
            side = int(random.choice([-1, 1]))
            buffer.trade(ts, ts + 5, second, level / 100, float(random.lognormal()), side)
            if quotes and random.random() < 0.5:
                sizes = random.integers(1, 50, 2)
                book = ((level - 1) / 100, (level + 1) / 100, float(sizes[0]), float(sizes[1]))
                buffer.quote(ts, ts + 5, *book)
        if second in lost:
            buffer.gap(START_NS + (second + 1) * SECOND, 0)
    return buffer.take()


def said(steps: list[Step]) -> dict[str, list[bytes]]:
    """Bars, features, forecasts and answers of some steps, item by item and bit by bit."""
    return {
        "bars": [row.tobytes() for s in steps for row in np.vstack([s.bars.times, s.bars.values]).T],
        "features": [row.tobytes() for step in steps for row in step.features],
        "forecasts": [bits(item) for step in steps for item in step.forecasts],
        "answers": [bits(item) for step in steps for item in step.answers],
    }


def bits(item: Any) -> bytes:
    """All fields of a forecast or an answer; floats by their bits, so that NaN equals NaN."""
    fields = astuple(item)
    return b"|".join(struct.pack("<d", f) if isinstance(f, float) else repr(f).encode() for f in fields)


def run(spec: EngineSpec, batches: list[Ticks]) -> tuple[dict[str, list[bytes]], SymbolEngine]:
    """Feed the batches to a new engine."""
    engine = SymbolEngine(spec)
    return said([engine.update(batch) for batch in batches]), engine
