from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import BarBuilder, Bars, BarSpec
from features.errors import SpecError
from features.ticks import Kind, Ticks
from jobs.sweeping.resample import lengthen

SECOND = 1_000_000_000
SAME = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "buy_volume",
    "sell_volume",
    "trades",
    "filled",
    "reference",
)


def ticks(seed: int, n: int = 400) -> Ticks:
    random = np.random.default_rng(seed)
    at = 1_700_000_000 * SECOND + np.cumsum(random.integers(1, 3 * SECOND, n))
    return Ticks.from_columns(
        n,
        ts_ns=at,
        received_ns=at,
        trade_id=np.arange(n),
        price=np.round(100.0 + np.cumsum(random.normal(0.0, 0.1, n)), 2),
        size=random.integers(1, 9, n).astype(float),
        side=random.choice([-1, 1], n),
        kind=int(Kind.TRADE),
    )


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 50), times=st.integers(1, 9))
def test_long_bars_are_those_of_the_ticks(seed: int, times: int) -> None:
    given = ticks(seed)
    short = BarBuilder(BarSpec("time", SECOND)).update(given)
    long = BarBuilder(BarSpec("time", times * SECOND)).update(given)
    made = lengthen(short, SECOND, times * SECOND)
    # The first long bar of the ticks may begin before the first short one, the last short ones wait.
    assert made.end_ns.tolist() == long.end_ns[: len(made)].tolist() and len(long) - len(made) <= 1
    for name in SAME:
        np.testing.assert_allclose(made.column(name), long.column(name)[: len(made)], err_msg=name)


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(1, 399))
def test_no_bar_depends_on_a_later_one(cut: int) -> None:
    short = BarBuilder(BarSpec("time", SECOND)).update(ticks(3))
    cut = min(cut, len(short))
    whole, part = lengthen(short, SECOND, 5 * SECOND), lengthen(short[:cut], SECOND, 5 * SECOND)
    assert np.array_equal(part.values, whole.values[:, : len(part)], equal_nan=True)


def test_a_bar_ends_with_its_session() -> None:
    ends = np.arange(1, 13) * SECOND
    bars = Bars.from_columns(ends - SECOND, ends, close=np.arange(1.0, 13.0), session=[0] * 7 + [1] * 5)
    made = lengthen(bars, SECOND, 4 * SECOND)
    assert made.end_ns.tolist() == [4 * SECOND, 8 * SECOND, 12 * SECOND]
    assert made.session.tolist() == [0, 1, 1] and made.column("close").tolist() == [4.0, 8.0, 12.0]
    assert len(lengthen(bars[:0], SECOND, 4 * SECOND)) == 0


def test_what_is_no_multiple_is_refused() -> None:
    with pytest.raises(SpecError):
        lengthen(Bars.concat([]), 2 * SECOND, 3 * SECOND)
