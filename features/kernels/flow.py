"""Ops over traded volume and its direction. Form: see `rolling`."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.bars import CLOSE, REFERENCE, TRADED, VWAP
from features.kernels.window import log_ratio, slide_sum

# What `balance` writes.
IMBALANCE, SHARE, ROOT = range(3)


@njit
def _sign(x: float, last: float) -> float:
    """+1 for a rise, -1 for a fall, 0; without jumps, half of which would be guessed wrong."""
    return (1.0 if x > last else 0.0) - (1.0 if x < last else 0.0)


@njit
def obv(s: Any, values: Any, out: Any, column: int, lo: int, hi: int) -> None:
    """On-balance volume. State: 1 once started, last close, the sum. A session doesn't reset it."""
    close, volume = values[CLOSE], values[TRADED]
    last, total = s[1], s[2]
    if s[0] == 0.0:
        # The first volume counts as a rise.
        last = 0.0
    for i in range(lo, hi):
        total += _sign(close[i], last) * volume[i]
        last = close[i]
        out[i, column] = total
    s[0], s[1], s[2] = 1.0, last, total


@njit
def obv_slope(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Change of on-balance volume over n bars as a share of the volume.

    State: last close, two block sums, two buffers.
    """
    close, volume = values[CLOSE], values[TRADED]
    signed, plain = s[3 : 3 + n], s[3 + n :]
    last, block_signed, block_plain = s[0], s[1], s[2]
    if age == 0:
        block_signed = block_plain = 0.0
    r = (age - 1) % n
    for i in range(lo, hi):
        y = math.nan
        if age > 0:
            sign = _sign(close[i], last)
            net, block_signed = slide_sum(signed, n, r, sign * volume[i], block_signed)
            total, block_plain = slide_sum(plain, n, r, volume[i], block_plain)
            if age >= n:
                y = net / total if total > 0.0 else 0.0
        last = close[i]
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = last, block_signed, block_plain


@njit
def vwap(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int, gap: bool) -> None:
    """Volume weighted price of n bars, or the log of the reference relative to it.

    State: two block sums, two buffers. Without volume it is the reference itself.
    """
    price, volume, reference = values[VWAP], values[TRADED], values[REFERENCE]
    paid, traded = s[2 : 2 + n], s[2 + n :]
    block_paid, block_traded = s[0], s[1]
    if age == 0:
        block_paid = block_traded = 0.0
    r = age % n
    for i in range(lo, hi):
        money, block_paid = slide_sum(paid, n, r, price[i] * volume[i], block_paid)
        total, block_traded = slide_sum(traded, n, r, volume[i], block_traded)
        y = math.nan
        if age >= n - 1:
            y = money / total if money > 0.0 else reference[i]
            if gap:
                y = log_ratio(reference[i], y)
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1] = block_paid, block_traded


@njit
def intensity(
    s: Any,
    times: Any,
    values: Any,
    out: Any,
    column: int,
    lo: int,
    hi: int,
    age: int,
    row: int,
    n: int,
    factor: int,
) -> None:
    """Rate a second over n bars against that over factor × n bars, between 0 and 1.

    State: four block sums, buffers of amounts and seconds for both windows.
    """
    x = values[row]
    long = n * factor
    amounts, seconds = s[4 : 4 + n], s[4 + n : 4 + 2 * n]
    long_amounts, long_seconds = s[4 + 2 * n : 4 + 2 * n + long], s[4 + 2 * n + long :]
    b0, b1, b2, b3 = s[0], s[1], s[2], s[3]
    if age == 0:
        b0 = b1 = b2 = b3 = 0.0
    r, r_long = age % n, age % long
    for i in range(lo, hi):
        elapsed = 1e-9 * float(times[1, i] - times[0, i])
        now, b0 = slide_sum(amounts, n, r, x[i], b0)
        now_s, b1 = slide_sum(seconds, n, r, elapsed, b1)
        usual, b2 = slide_sum(long_amounts, long, r_long, x[i], b2)
        usual_s, b3 = slide_sum(long_seconds, long, r_long, elapsed, b3)
        y = math.nan
        if age >= long - 1:
            mine, other = now * usual_s, usual * now_s
            y = mine / (mine + other) if mine + other > 0.0 else 0.5
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
        r_long = r_long + 1 if r_long < long - 1 else 0
    s[0], s[1], s[2], s[3] = b0, b1, b2, b3


@njit
def balance(
    s: Any,
    values: Any,
    out: Any,
    column: int,
    lo: int,
    hi: int,
    age: int,
    buys_row: int,
    sells_row: int,
    n: int,
    form: int,
) -> None:
    """Buyers against sellers over n bars. State: two block sums, two buffers."""
    buys, sells = values[buys_row], values[sells_row]
    bought, sold = s[2 : 2 + n], s[2 + n :]
    block_bought, block_sold = s[0], s[1]
    if age == 0:
        block_bought = block_sold = 0.0
    r = age % n
    for i in range(lo, hi):
        up, block_bought = slide_sum(bought, n, r, buys[i], block_bought)
        down, block_sold = slide_sum(sold, n, r, sells[i], block_sold)
        y = math.nan
        if age >= n - 1:
            net, total = up - down, up + down
            if form == IMBALANCE:
                y = net / total if total > 0.0 else 0.0
            elif form == SHARE:
                y = up / total if total > 0.0 else 0.5
            else:
                y = math.copysign(math.sqrt(abs(net)), net)
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1] = block_bought, block_sold


@njit
def amihud(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Mean of |log return| / traded money over those of n bars that traded.

    State: last price, two block sums, two buffers.
    """
    x, price, volume = values[REFERENCE], values[VWAP], values[TRADED]
    ratios, counts = s[3 : 3 + n], s[3 + n :]
    last, block_ratio, block_count = s[0], s[1], s[2]
    if age == 0:
        block_ratio = block_count = 0.0
    r = (age - 1) % n
    for i in range(lo, hi):
        y = math.nan
        if age > 0:
            money = price[i] * volume[i]
            ratio = abs(log_ratio(x[i], last)) / money if money > 0.0 else 0.0
            total, block_ratio = slide_sum(ratios, n, r, ratio, block_ratio)
            traded, block_count = slide_sum(counts, n, r, 1.0 if money > 0.0 else 0.0, block_count)
            if age >= n:
                y = total / traded if traded > 0.0 else 0.0
        last = x[i]
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = last, block_ratio, block_count
