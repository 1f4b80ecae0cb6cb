"""Candles become the bars that a bar builder would have made of their ticks, however they are cut."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import BarBuilder, Bars, BarSpec
from features.ticks import TickBuffer
from jobs.history.candles import CandleBars
from jobs.history.spec import DAY_NS, HistorySpec
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS, candles

PRICES = ("open", "high", "low", "close", "reference")


def built(seed: int, max_fill: int) -> Bars:
    """Bars of random trades with holes of any length around `max_fill` minutes."""
    draw, buffer, at_ns = random.Random(seed), TickBuffer(), START_NS
    for number in range(120):
        buffer.trade(at_ns, at_ns, number, 100.0 + draw.randint(-50, 50) / 10, draw.randint(1, 9), 1)
        at_ns += draw.choice([1, 20, 20, 60, 60 * draw.randint(1, max_fill + 3)]) * 10**9
    buffer.heartbeat(at_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS, at_ns)
    return BarBuilder(BarSpec("time", MINUTE_NS, max_fill=max_fill)).update(buffer.take())


def candles_of(bars: Bars) -> pa.Table:
    real = bars.column("filled") == 0.0
    columns = {name: bars.column(name)[real] for name in ("open", "high", "low", "close", "volume")}
    return candles(bars.end_ns[real], trades=bars.column("trades")[real].astype(np.int64), **columns)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 4))
def test_bars_of_candles_are_those_of_their_ticks(seed: int, max_fill: int) -> None:
    want = built(seed, max_fill)
    # What is filled after the last candle is not known from candles.
    want = want[: int(np.flatnonzero(want.column("filled") == 0.0)[-1]) + 1]
    rows, draw = candles_of(want), random.Random(seed)
    maker, parts, first = CandleBars(HistorySpec("candles:1m", max_fill=max_fill)), [], 0
    while first < rows.num_rows:
        size = draw.randint(0, 9)
        parts.append(maker.update(rows.slice(first, size)))
        first += size
    got = Bars.concat(parts)
    assert got.times[:3].tolist() == want.times[:3].tolist()
    for name in (*PRICES, "volume", "trades", "filled"):
        assert got.column(name).tolist() == want.column(name).tolist(), name


def test_a_filled_bar_has_seen_nothing_new() -> None:
    bars = CandleBars(HistorySpec("candles:1m")).update(candles([START_NS, START_NS + 3 * MINUTE_NS]))
    assert bars.column("filled").tolist() == [0, 1, 1, 0]
    assert (bars.last_event_ns - START_NS).tolist() == [0, 0, 0, 3 * MINUTE_NS]
    assert bars.column("volume").tolist() == [2.0, 0.0, 0.0, 2.0]
    assert bars.column("vwap").tolist() == bars.column("close").tolist()


def test_days_off_end_no_session_and_are_not_filled_but_long_ones_end_it() -> None:
    ends = [START_NS + day * DAY_NS for day in (0, 1, 4, 14, 25)]
    bars = CandleBars(HistorySpec("candles:1d")).update(candles(ends, interval_ns=DAY_NS))
    assert bars.end_ns.tolist() == ends
    assert bars.session.tolist() == [0, 0, 0, 0, 1]
    assert bars.column("filled").tolist() == [0] * 5


def test_prices_are_adjusted_and_sides_come_from_what_buyers_took() -> None:
    rows = candles(
        [START_NS, START_NS + MINUTE_NS],
        adjustment=[0.5, None],
        buy_volume=[1.5, None],
        trades=[7, None],
    )
    bars = CandleBars(HistorySpec("candles:1m")).update(rows)
    for name, want in (("open", [50.0, 101.0]), ("reference", [50.5, 102.0]), ("high", [51.0, 103.0])):
        assert bars.column(name).tolist() == want
    assert bars.column("buy_volume").tolist() == [1.5, 0.0]
    assert bars.column("sell_volume").tolist() == [0.5, 0.0]
    assert bars.column("trades").tolist() == [7.0, 0.0]


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_candle_are_fine(count: int) -> None:
    bars = CandleBars(HistorySpec("candles:1m")).update(candles([START_NS] * count))
    assert len(bars) == count
    assert bars.session.tolist() == [0] * count
