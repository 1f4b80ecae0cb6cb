"""Hand-written loops for the same numbers: the limit that kernels of any generality are held against.

Each does one fixed thing, has no sessions, checks nothing and can't be saved. Compiled by numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

TEN = (
    "sma:50",
    "ema:20",
    "rsi:14",
    "rolling_std:50",
    "macd:12,26,9",
    "rolling_min:100",
    "rolling_max:100",
    "vwap:200",
)
"""Eight specs with ten outputs."""
TEN_WARM = 300
"""Rows at the start that are not compared: seeding rules differ."""

# Rows of what `second_bars` writes.
BAR_ROWS = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades", "vwap")


@njit(cache=True)
def second_bars(ts: Any, price: Any, size: Any, side: Any, interval: int, out: Any) -> int:
    """Trades in time order to time bars: `out` (m, 9), rows as BAR_ROWS; returns the number of bars.

    Empty intervals make no bar; the last, open one is not written.
    """
    n, current = -1, -1
    money = 0.0
    for i in range(ts.size):
        at = ts[i] // interval
        if at != current:
            current = at
            n += 1
            out[n, 0] = out[n, 1] = out[n, 2] = price[i]
            out[n, 4] = out[n, 5] = out[n, 6] = out[n, 7] = 0.0
            money = 0.0
        bar = out[n]
        bar[1] = max(bar[1], price[i])
        bar[2] = min(bar[2], price[i])
        bar[3] = price[i]
        bar[4] += size[i]
        if side[i] > 0:
            bar[5] += size[i]
        else:
            bar[6] += size[i]
        bar[7] += 1.0
        money += price[i] * size[i]
        bar[8] = money / bar[4]
    return max(n, 0)


@njit(cache=True)
def second_bar_step(bar: Any, ts: int, price: float, size: float, side: int, interval: int) -> bool:
    """One trade a call: `bar` (11,) is BAR_ROWS, the interval's number and money. True: a bar has closed."""
    at = float(ts // interval)
    closed = at != bar[9]
    if closed:
        bar[9] = at
        bar[0] = bar[1] = bar[2] = price
        bar[4] = bar[5] = bar[6] = bar[7] = bar[10] = 0.0
    bar[1] = max(bar[1], price)
    bar[2] = min(bar[2], price)
    bar[3] = price
    bar[4] += size
    if side > 0:
        bar[5] += size
    else:
        bar[6] += size
    bar[7] += 1.0
    bar[10] += price * size
    bar[8] = bar[10] / bar[4]
    return closed


@njit(cache=True)
def ten_averages(price: Any, volume: Any, out: Any) -> None:
    """SMA 50, EMA 20, RSI 14, deviation 50, MACD 12-26-9 and VWAP 200 into their columns of `out` (10, n)."""
    base = price[0]
    ema = fast = slow = last = base
    signal = up = down = 0.0
    total = squares = paid = traded = 0.0
    for i in range(price.size):
        x = price[i]
        y = x - base
        total += y
        squares += y * y
        paid += y * volume[i]
        traded += volume[i]
        if i >= 50:
            gone = price[i - 50] - base
            total -= gone
            squares -= gone * gone
        if i >= 200:
            paid -= (price[i - 200] - base) * volume[i - 200]
            traded -= volume[i - 200]
        mean = total / 50.0
        ema += (x - ema) * (2.0 / 21.0)
        fast += (x - fast) * (2.0 / 13.0)
        slow += (x - slow) * (2.0 / 27.0)
        move = x - last
        last = x
        up += (max(move, 0.0) - up) / 14.0
        down += (max(-move, 0.0) - down) / 14.0
        line = fast - slow
        signal += (line - signal) * 0.2
        out[0, i] = mean + base
        out[1, i] = ema
        out[2, i] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
        out[3, i] = math.sqrt(max(squares / 50.0 - mean * mean, 0.0))
        out[4, i] = line
        out[5, i] = signal
        out[6, i] = line - signal
        out[9, i] = paid / traded + base


@njit(cache=True)
def extremes(price: Any, n: int, low: Any, high: Any) -> None:
    """Smallest and largest of the last n; the window is searched only when its extreme has left it."""
    at_low = at_high = 0
    for i in range(price.size):
        first = max(i - n + 1, 0)
        if at_low < first:
            at_low = first
            for j in range(first, i):
                if price[j] <= price[at_low]:
                    at_low = j
        if at_high < first:
            at_high = first
            for j in range(first, i):
                if price[j] >= price[at_high]:
                    at_high = j
        if price[i] <= price[at_low]:
            at_low = i
        if price[i] >= price[at_high]:
            at_high = i
        low[i] = price[at_low]
        high[i] = price[at_high]


@njit(cache=True)
def ten_step(f: Any, rings: Any, count: int, x: float, v: float) -> Any:
    """One bar a call. `f` (14,) holds averages, sums and places, `rings` (3, 256) prices and volumes."""
    if count == 0:
        f[0] = f[1] = f[2] = f[3] = f[11] = x
    y = x - f[11]
    old = rings[0, (count - 50) & 255] if count >= 50 else 0.0
    f[4] += y - old
    f[5] += y * y - old * old
    f[6] += y * v - (rings[1, (count - 200) & 255] if count >= 200 else 0.0)
    f[7] += v - (rings[2, (count - 200) & 255] if count >= 200 else 0.0)
    at = count & 255
    rings[0, at], rings[1, at], rings[2, at] = y, y * v, v
    move = x - f[3]
    f[3] = x
    f[0] += (x - f[0]) * (2.0 / 21.0)
    f[1] += (x - f[1]) * (2.0 / 13.0)
    f[2] += (x - f[2]) * (2.0 / 27.0)
    f[8] += (max(move, 0.0) - f[8]) / 14.0
    f[9] += (max(-move, 0.0) - f[9]) / 14.0
    line = f[1] - f[2]
    f[10] += (line - f[10]) * 0.2
    at_low, at_high, first = int(f[12]), int(f[13]), max(count - 99, 0)
    if at_low < first:
        at_low = first
        for j in range(first, count):
            at_low = j if rings[0, j & 255] <= rings[0, at_low & 255] else at_low
    if at_high < first:
        at_high = first
        for j in range(first, count):
            at_high = j if rings[0, j & 255] >= rings[0, at_high & 255] else at_high
    at_low = count if y <= rings[0, at_low & 255] else at_low
    at_high = count if y >= rings[0, at_high & 255] else at_high
    f[12], f[13] = at_low, at_high
    low, high = rings[0, at_low & 255], rings[0, at_high & 255]
    mean = f[4] / 50.0
    both = f[8] + f[9]
    rsi = 100.0 * f[8] / both if both > 0.0 else 50.0
    std = math.sqrt(max(f[5] / 50.0 - mean * mean, 0.0))
    base = f[11]
    return (
        mean + base,
        f[0],
        rsi,
        std,
        line,
        f[10],
        line - f[10],
        low + base,
        high + base,
        f[6] / f[7] + base,
    )


@njit(cache=True)
def _balance(a: Any, b: Any, n: int, root: bool, out: Any) -> None:
    up = down = 0.0
    for i in range(a.size):
        up += a[i]
        down += b[i]
        if i >= n:
            up -= a[i - n]
            down -= b[i - n]
        net, total = up - down, up + down
        if n == 1:
            net, total = a[i] - b[i], a[i] + b[i]
        if root:
            out[i] = math.copysign(math.sqrt(abs(net)), net)
        else:
            out[i] = net / total if total > 1e-9 else 0.0


@njit(cache=True)
def _scores(price: Any, n: int, out: Any) -> None:
    base = price[0]
    total = squares = 0.0
    for i in range(price.size):
        y = price[i] - base
        total += y
        squares += y * y
        if i >= n:
            gone = price[i - n] - base
            total -= gone
            squares -= gone * gone
        mean = total / n
        variance = squares / n - mean * mean
        out[i] = (y - mean) / math.sqrt(variance) if variance > 1e-12 else 0.0


@njit(cache=True)
def default_features(values: Any, out: Any) -> None:
    """The default feature set: `values` as `Bars.values`, `out` (31, n) in the set's own order."""
    close, reference, volume, vwap = values[3], values[16], values[4], values[10]
    n = close.size
    c = 0
    for span in (1, 2, 5, 10, 30, 60):
        for i in range(span, n):
            out[c, i] = math.log(reference[i] / reference[i - span])
        c += 1
    for span in (1, 2, 5, 10, 30, 60):
        _balance(values[5], values[6], span, False, out[c])
        c += 1
    for span in (1, 2, 5, 10, 30, 60):
        money = traded = 0.0
        for i in range(n):
            money += vwap[i] * volume[i]
            traded += volume[i]
            if i >= span:
                money -= vwap[i - span] * volume[i - span]
                traded -= volume[i - span]
            out[c, i] = math.log(reference[i] * traded / money) if traded > 1e-9 else 0.0
        c += 1
    for span in (1, 5, 10, 30, 60):
        _balance(values[8], values[9], span, False, out[c])
        c += 1
    for span in (5, 30):
        _balance(values[5], values[6], span, True, out[c])
        c += 1
    for span in (10, 60):
        _scores(reference, span, out[c])
        c += 1
    low, high = np.empty(n), np.empty(n)
    extremes(values[2], 14, low, out[c])
    extremes(values[1], 14, out[c], high)
    for i in range(n):
        width = high[i] - low[i]
        out[c, i] = 100.0 * (close[i] - low[i]) / width if width > 0.0 else 50.0
        out[c + 1, i] = (out[c, i] + out[c, i - 1] + out[c, i - 2]) / 3.0 if i >= 2 else 0.0
    for i in range(n):
        out[c + 2, i] = math.log(0.5 * (values[18, i] + values[19, i]) / reference[i])
        out[c + 3, i] = values[17, i]
