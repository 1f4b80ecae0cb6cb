"""Ops over windows of prices: changes, means, deviations, extremes.

Every op has the same form. It is called for the bars lo..hi-1 of one session, `age` bars after the
session's first; it reads rows of `values`, keeps what it must in its own slice `s` of the state,
and writes out[i, column ...]: NaN until warm, finite from then on.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.bars import CLOSE, HIGH, LOW
from features.kernels.window import log_ratio, slide_max, slide_moments, slide_sum

# What `change` writes.
RATIO, LOG, PERCENT, DIFFERENCE = range(4)
# What `moments` writes.
STD, SCORE, BANDS = range(3)


@njit
def change(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, row: int, n: int, form: int
) -> None:
    """Change over n bars, in one of four forms. State: the last n prices."""
    x = values[row]
    r = age % n
    for i in range(lo, hi):
        y = math.nan
        if age >= n:
            old = s[r]
            if form == RATIO:
                y = (x[i] - old) / old
            elif form == LOG:
                y = log_ratio(x[i], old)
            elif form == PERCENT:
                y = 100.0 * ((x[i] - old) / old)
            else:
                y = x[i] - old
        out[i, column] = y
        s[r] = x[i]
        age += 1
        r = r + 1 if r < n - 1 else 0


@njit
def mean(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, row: int, n: int, gap: bool
) -> None:
    """Mean over n bars, or the log of the price relative to it. State: block sum, buffer."""
    x = values[row]
    buffer = s[1:]
    block = s[0] if age > 0 else 0.0
    r = age % n
    per_bar = 1.0 / n
    for i in range(lo, hi):
        total, block = slide_sum(buffer, n, r, x[i], block)
        y = math.nan
        if age >= n - 1:
            y = total * per_bar
            if gap:
                y = log_ratio(x[i], y)
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0] = block


@njit
def moments(
    s: Any,
    values: Any,
    out: Any,
    column: int,
    lo: int,
    hi: int,
    age: int,
    row: int,
    n: int,
    form: int,
    bands: float,
) -> None:
    """Deviation, z-score or Bollinger terms over n bars. State: shift, s1, s2, two buffers."""
    x = values[row]
    first, second = s[3 : 3 + n], s[3 + n :]
    shift, s1, s2 = s[0], s[1], s[2]
    if age == 0:
        shift, s1, s2 = x[lo], 0.0, 0.0
    r = age % n
    share = 1.0 / n
    for i in range(lo, hi):
        offset, variance, shift, s1, s2 = slide_moments(first, second, n, share, r, x[i], shift, s1, s2)
        y = z = math.nan
        if age >= n - 1:
            y = math.sqrt(variance)
            if form == SCORE:
                y = ((x[i] - shift) - offset) / y if y > 0.0 else 0.0
            elif form == BANDS:
                half = bands * y
                z = 2.0 * half / (shift + offset)
                y = 0.5 + 0.5 * (((x[i] - shift) - offset) / half) if half > 0.0 else 0.5
        out[i, column] = y
        if form == BANDS:
            out[i, column + 1] = z
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = shift, s1, s2


@njit
def extreme(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, row: int, n: int, sign: float
) -> None:
    """Largest (sign 1) or smallest (sign -1) over n bars. State: block extreme, buffer."""
    x = values[row]
    buffer = s[1:]
    block = s[0] if age > 0 else -math.inf
    r = age % n
    for i in range(lo, hi):
        top, block = slide_max(buffer, n, r, sign * x[i], block)
        out[i, column] = sign * top if age >= n - 1 else math.nan
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0] = block


@njit
def stochastic(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int, smooth: int
) -> None:
    """Fast stochastic: %K and its mean %D. State: two block extremes, block sum, three buffers."""
    high, low, close = values[HIGH], values[LOW], values[CLOSE]
    highs, lows, ks = s[3 : 3 + n], s[3 + n : 3 + 2 * n], s[3 + 2 * n :]
    top_block, bottom_block, sum_block = s[0], s[1], s[2]
    if age == 0:
        top_block, bottom_block, sum_block = -math.inf, -math.inf, 0.0
    r = age % n
    for i in range(lo, hi):
        top, top_block = slide_max(highs, n, r, high[i], top_block)
        bottom, bottom_block = slide_max(lows, n, r, -low[i], bottom_block)
        k = d = math.nan
        since = age - (n - 1)
        if since >= 0:
            width = top + bottom
            k = 100.0 * ((close[i] + bottom) / width) if width > 0.0 else 50.0
            total, sum_block = slide_sum(ks, smooth, since % smooth, k, sum_block)
            d = total / smooth
        warm = since >= smooth - 1
        out[i, column] = k if warm else math.nan
        out[i, column + 1] = d if warm else math.nan
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = top_block, bottom_block, sum_block
