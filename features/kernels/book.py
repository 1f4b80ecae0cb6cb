"""Ops without memory: the book, the last trades, the calendar.

Book terms are NaN where there is no uncrossed book, weighted ones also where it has no sizes.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.bars import ASK, ASK_SIZE, BID, BID_SIZE, LAST_BUY, LAST_SELL, LAST_SIDE, REFERENCE
from features.kernels.window import log_ratio

_DAY_NS = 86_400_000_000_000


@njit
def spread(values: Any, out: Any, column: int, lo: int, hi: int) -> None:
    """Ask minus bid as a share of the mid."""
    for i in range(lo, hi):
        bid, ask = values[BID, i], values[ASK, i]
        out[i, column] = 2.0 * (ask - bid) / (ask + bid) if 0.0 < bid <= ask else math.nan


@njit
def weighted_book(values: Any, out: Any, column: int, lo: int, hi: int, micro: bool) -> None:
    """Log of the size weighted mid relative to the reference, or the imbalance of the sizes."""
    for i in range(lo, hi):
        bid, ask = values[BID, i], values[ASK, i]
        bid_size, ask_size = values[BID_SIZE, i], values[ASK_SIZE, i]
        y = math.nan
        if 0.0 < bid <= ask and bid_size >= 0.0 and ask_size >= 0.0 and bid_size + ask_size > 0.0:
            # The share is taken first: sizes near the end of float64's range stay finite.
            share = bid_size / (bid_size + ask_size)
            if micro:
                y = log_ratio(bid + share * (ask - bid), values[REFERENCE, i])
            else:
                y = (bid_size - ask_size) / (bid_size + ask_size)
        out[i, column] = y


@njit
def implied_mid_gap(values: Any, out: Any, column: int, lo: int, hi: int) -> None:
    """Log of the mid between the last buy and the last sell relative to the reference."""
    for i in range(lo, hi):
        buy, sell = values[LAST_BUY, i], values[LAST_SELL, i]
        y = math.nan
        if buy > 0.0 and sell > 0.0:
            y = log_ratio(0.5 * (buy + sell), values[REFERENCE, i])
        out[i, column] = y


@njit
def last_side(values: Any, out: Any, column: int, lo: int, hi: int) -> None:
    """The last known aggressor."""
    for i in range(lo, hi):
        out[i, column] = values[LAST_SIDE, i]


@njit
def time_of_day(times: Any, out: Any, column: int, lo: int, hi: int, harmonics: int) -> None:
    """Sine and cosine of the time of day at the bar's end, UTC."""
    for i in range(lo, hi):
        phase = 2.0 * math.pi * (float(times[1, i] % _DAY_NS) / float(_DAY_NS))
        for h in range(harmonics):
            out[i, column + 2 * h] = math.sin((h + 1) * phase)
            out[i, column + 2 * h + 1] = math.cos((h + 1) * phase)


@njit
def day_of_week(times: Any, out: Any, column: int, lo: int, hi: int) -> None:
    """Sine and cosine of the day of the week at the bar's end, UTC; Monday is 0."""
    for i in range(lo, hi):
        # 1970-01-01 was a Thursday.
        day = (times[1, i] // _DAY_NS + 3) % 7
        phase = 2.0 * math.pi * (float(day) / 7.0)
        out[i, column] = math.sin(phase)
        out[i, column + 1] = math.cos(phase)
