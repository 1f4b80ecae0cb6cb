"""Streams of ticks for tests: everything a venue can send, seeded or drawn by hypothesis."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from features.ticks import TickBuffer, Ticks

SECOND = 1_000_000_000
START_NS = 1_700_000_000 * SECOND

# Steps of event time: ties, within a bar, on a boundary, back in time, silence.
_STEPS = st.sampled_from(
    [0, 0, 1, 10**7, 3 * 10**8, SECOND, -1, -(10**8), -2 * SECOND, 4 * SECOND, 9 * SECOND]
)
_PRICES = st.sampled_from([100.0, 100.0, 100.01, 99.99, 100.5, 1e-8, 1e5])
_BAD = st.sampled_from([0.0, -1.0, math.nan, math.inf, 1e100, 1e-101])
_SIZES = st.sampled_from([0.0, 1.0, 2.5, 0.001, 1e6, 5e-324])
_SIDES = st.sampled_from([0, 0, 1, -1])
_BOOK_PRICES = st.sampled_from([99.98, 99.99, 100.0, 100.01, 100.02, math.nan, 0.0, math.inf])
_BOOK_SIZES = st.sampled_from([1.0, 7.0, 0.0, math.nan])

_TRADE = st.tuples(st.just("trade"), _STEPS, _PRICES, _SIZES, _SIDES)
_REJECTED = st.one_of(
    st.tuples(st.just("trade"), _STEPS, _BAD, _SIZES, _SIDES),
    st.tuples(st.just("trade"), _STEPS, _PRICES, st.sampled_from([-1.0, math.nan, math.inf]), _SIDES),
)
_QUOTE = st.tuples(st.just("quote"), _STEPS, _BOOK_PRICES, _BOOK_PRICES, _BOOK_SIZES, _BOOK_SIZES)
_HEARTBEAT = st.tuples(st.just("heartbeat"), _STEPS)
_GAP = st.tuples(st.just("gap"), _STEPS)

EVENTS = st.lists(
    st.one_of(_TRADE, _TRADE, _TRADE, _QUOTE, _QUOTE, _HEARTBEAT, _REJECTED, _GAP), min_size=1, max_size=60
)


def build(events: list[tuple]) -> Ticks:  # type: ignore[type-arg]
    """The batch of these events; the steps add up, so late ones stay behind and time goes on."""
    buffer, now = TickBuffer(), START_NS
    for place, (kind, step, *values) in enumerate(events):
        ts = now + step
        now = max(now, ts)
        if kind == "trade":
            price, size, side = values
            buffer.trade(ts, now, 1000 + place, price, size, side)
        elif kind == "quote":
            buffer.quote(ts, now, *values)
        elif kind == "heartbeat":
            buffer.heartbeat(ts, now)
        else:
            buffer.gap(ts, now)
    return buffer.take()


def cut(ticks: Ticks, places: list[int]) -> list[Ticks]:
    """The batch in pieces, cut at these places (taken modulo its length)."""
    ends = [*sorted(place % (len(ticks) + 1) for place in places), len(ticks)]
    return [ticks[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
