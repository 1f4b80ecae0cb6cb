"""Ops with recursive averages: EMA and its kin, Wilder's RSI and ATR. Form: see `rolling`.

An average v moves by v += a (x - v): for a constant input it stays at that input exactly.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.bars import CLOSE, HIGH, LOW, REFERENCE
from features.kernels.window import log_ratio

_FADED = 1e-200  # an average of moves this small is 0; numbers near 1e-308 would be slow and never end


@njit
def ema(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, row: int, n: int, gap: bool
) -> None:
    """Exponential average of span n, or the log of the price relative to it. State: the average."""
    x = values[row]
    v = s[0] if age > 0 else x[lo]
    alpha = 2.0 / (n + 1.0)
    for i in range(lo, hi):
        v += alpha * (x[i] - v)
        y = math.nan
        if age >= n - 1:
            y = log_ratio(x[i], v) if gap else v
        out[i, column] = y
        age += 1
    s[0] = v


@njit
def macd(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, fast: int, slow: int, signal: int
) -> None:
    """Line, signal and histogram. State: the fast and the slow average, the signal."""
    x = values[CLOSE]
    v_fast, v_slow, v_signal = s[0], s[1], s[2]
    if age == 0:
        v_fast, v_slow, v_signal = x[lo], x[lo], 0.0
    a_fast, a_slow, a_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    for i in range(lo, hi):
        v_fast += a_fast * (x[i] - v_fast)
        v_slow += a_slow * (x[i] - v_slow)
        line = v_fast - v_slow
        v_signal += a_signal * (line - v_signal)
        if age >= slow + signal - 2:
            out[i, column] = line
            out[i, column + 1] = v_signal
            out[i, column + 2] = line - v_signal
        else:
            out[i, column] = out[i, column + 1] = out[i, column + 2] = math.nan
        age += 1
    s[0], s[1], s[2] = v_fast, v_slow, v_signal


@njit
def rsi(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Wilder's relative strength. State: last close, average rise, average fall.

    While the first n moves come in, the averages are their sums divided by n: the seed. A move of
    less than `_FADED` counts as that much both up and down, so without moves the index goes to 50.
    """
    x = values[CLOSE]
    last, rise, fall = s[0], s[1], s[2]
    if age == 0:
        last, rise, fall = x[lo], 0.0, 0.0
    share = 1.0 / n
    for i in range(lo, hi):
        d = x[i] - last
        last = x[i]
        up = d if d > _FADED else _FADED
        down = -d if d < -_FADED else _FADED
        if age <= n:
            rise += up * share
            fall += down * share
        else:
            rise += (up - rise) * share
            fall += (down - fall) * share
        out[i, column] = 100.0 * (rise / (rise + fall)) if age >= n else math.nan
        age += 1
    s[0], s[1], s[2] = last, rise, fall


@njit
def atr(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int, relative: bool
) -> None:
    """Wilder's average true range, in price or as a share of the close. State: last close, average."""
    high, low, close = values[HIGH], values[LOW], values[CLOSE]
    last, v = s[0], s[1]
    if age == 0:
        v = 0.0
    share = 1.0 / n
    for i in range(lo, hi):
        y = math.nan
        if age > 0:
            true_range = max(high[i], last) - min(low[i], last)
            if age <= n:
                v += true_range * share
            else:
                v += (true_range - v) * share
                v = v if v > _FADED else 0.0
        if age >= n:
            y = v / close[i] if relative else v
        last = close[i]
        out[i, column] = y
        age += 1
    s[0], s[1] = last, v


@njit
def ew_volatility(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Root of the exponential mean of squared log returns, span n. State: last price, the mean."""
    x = values[REFERENCE]
    last, v = s[0], s[1]
    alpha = 2.0 / (n + 1.0)
    for i in range(lo, hi):
        if age > 0:
            move = log_ratio(x[i], last)
            if age == 1:
                v = move * move
            v += alpha * (move * move - v)
            v = v if v > _FADED else 0.0
        last = x[i]
        out[i, column] = math.sqrt(v) if age >= n else math.nan
        age += 1
    s[0], s[1] = last, v
