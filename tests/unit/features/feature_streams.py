"""Seeded bars for the tests of features, and the feature set that has every feature there is."""

from __future__ import annotations

import numpy as np

from features.bars import BarBuilder, Bars, BarSpec
from features.catalogue import CATALOGUE
from features.spec import FeatureSet, FeatureSpec
from features.ticks import TickBuffer

_SECOND = 1_000_000_000
_START_NS = 1_700_000_000 * _SECOND

# Arguments for those whose defaults are missing or longer than the sessions of the test streams.
ARGS = {
    "stochastic": (9, 3),
    "volume_intensity": (4, 5),
    "trade_intensity": (4, 5),
    "autocorrelation": (15, 2),
}


def every_feature(n: int = 12) -> FeatureSet:
    """Each feature of the catalogue once, windows without a default being n bars."""
    specs = []
    for name, entry in CATALOGUE.items():
        filled = tuple(n if a.default is None else a.default for a in entry.arguments)
        specs.append(FeatureSpec(name, ARGS.get(name, filled)))
    return FeatureSet(tuple(specs))


def market(
    seed: int = 1, bars: int = 600, price: float = 100.0, tick: float = 0.01, sessions: int = 3
) -> Bars:
    """Bars of one second built from random trades and quotes, with gaps that begin new sessions."""
    random = np.random.default_rng(seed)
    buffer = TickBuffer()
    level = round(price / tick)
    now = _START_NS
    for session in range(sessions):
        end = now + bars // sessions * _SECOND
        while now < end:
            # Some seconds stay empty and give forward-filled bars.
            now += int(random.exponential(0.4) * _SECOND) + 1
            level = max(10, level + int(random.integers(-3, 4)))
            if random.random() < 0.6:
                side = int(random.integers(-1, 2))
                buffer.trade(now, now, 0, level * tick, round(random.lognormal(), 3), side)
            else:
                size = random.integers(1, 50, 2).astype(float)
                buffer.quote(now, now, level * tick, (level + 2) * tick, size[0], size[1])
        if session < sessions - 1:
            buffer.gap(now, now)
    buffer.heartbeat(now + _SECOND, now)
    return BarBuilder(BarSpec.parse("time:1s")).update(buffer.take())


def plain_bars(close: np.ndarray, **columns: object) -> Bars:
    """Bars of one second with these closes in one session."""
    ends = _START_NS + _SECOND * np.arange(1, len(close) + 1)
    return Bars.from_columns(ends - _SECOND, ends, close=close, **columns)


def jumps(seed: int = 2, bars: int = 400) -> Bars:
    """Prices that leap between 1e-8 and 1e5, with books and volumes that come and go."""
    random = np.random.default_rng(seed)
    close = np.where(random.random(bars) < 0.1, 1e5, 1e-8) * random.uniform(0.5, 1.5, bars)
    volume = np.where(random.random(bars) < 0.5, 0.0, random.lognormal(0.0, 8.0, bars))
    bid = np.where(random.random(bars) < 0.3, np.nan, close * 0.999)
    return plain_bars(
        close,
        open=np.roll(close, 1),
        high=np.maximum(close, np.roll(close, 1)),
        low=np.minimum(close, np.roll(close, 1)),
        volume=volume,
        buy_volume=volume,
        bid=bid,
        ask=close * 1.001,
        bid_size=0.0,
        ask_size=0.0,
        realised_variance=random.random(bars),
    )
