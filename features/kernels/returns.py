"""Ops over windows of returns and ranges: volatilities, skew, autocorrelation, trend. Form: see `rolling`."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from features.kernels.bars import CLOSE, HIGH, LOW, OPEN, REALISED_VARIANCE, REFERENCE
from features.kernels.window import log_ratio, slide_sum

# What `volatility` sums.
WITHIN_BARS, RANGE, OPEN_TO_CLOSE = range(3)
_RANGE_SHARE = 1.0 / (4.0 * math.log(2.0))
_BODY_SHARE = 2.0 * math.log(2.0) - 1.0
_NOISE = 1e-28  # a variance of log returns below this is the rounding of equal returns


@njit
def volatility(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int, form: int
) -> None:
    """Root of the sum (realised) or mean (Parkinson, Garman-Klass) of a variance a bar.

    State: block sum, buffer.
    """
    buffer = s[1:]
    block = s[0] if age > 0 else 0.0
    r = age % n
    share = 1.0 if form == WITHIN_BARS else 1.0 / n
    for i in range(lo, hi):
        if form == WITHIN_BARS:
            x = values[REALISED_VARIANCE, i]
        else:
            span = log_ratio(values[HIGH, i], values[LOW, i])
            if form == RANGE:
                x = _RANGE_SHARE * span * span
            else:
                body = log_ratio(values[CLOSE, i], values[OPEN, i])
                x = 0.5 * span * span - _BODY_SHARE * body * body
                x = x if x > 0.0 else 0.0
        total, block = slide_sum(buffer, n, r, x, block)
        out[i, column] = math.sqrt(total * share) if age >= n - 1 else math.nan
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0] = block


@njit
def realised_skew(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Skew of n log returns about 0. State: last price, two block sums, two buffers."""
    x = values[REFERENCE]
    squares, cubes = s[3 : 3 + n], s[3 + n :]
    last, block2, block3 = s[0], s[1], s[2]
    if age == 0:
        block2 = block3 = 0.0
    r = (age - 1) % n
    for i in range(lo, hi):
        y = math.nan
        if age > 0:
            move = log_ratio(x[i], last)
            sum2, block2 = slide_sum(squares, n, r, move * move, block2)
            sum3, block3 = slide_sum(cubes, n, r, move * move * move, block3)
            if age >= n:
                y = math.sqrt(n) * sum3 / (sum2 * math.sqrt(sum2)) if sum2 > 0.0 else 0.0
        last = x[i]
        out[i, column] = y
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = last, block2, block3


@njit
def autocorrelation(
    s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int, lag: int
) -> None:
    """Pearson correlation of n log returns with those `lag` bars before.

    State: last price, the two shifts, five block sums, the last `lag` returns, five buffers. Both
    series are summed relative to their values at the end of the block before, see `slide_moments`.
    """
    x = values[REFERENCE]
    ring = s[8 : 8 + lag]
    a, b = s[8 + lag : 8 + lag + n], s[8 + lag + n : 8 + lag + 2 * n]
    rest = s[8 + lag + 2 * n :]
    aa, bb, ab = rest[:n], rest[n : 2 * n], rest[2 * n :]
    last, shift_a, shift_b = s[0], s[1], s[2]
    sa, sb, saa, sbb, sab = s[3], s[4], s[5], s[6], s[7]
    place, r = (age - 1) % lag, (age - 1 - lag) % n
    share = 1.0 / n
    for i in range(lo, hi):
        y = math.nan
        if age > 0:
            move = log_ratio(x[i], last)
            before = ring[place]
            ring[place] = move
            since = age - 1 - lag
            if since == 0:
                shift_a, shift_b = move, before
                sa = sb = saa = sbb = sab = 0.0
            if since >= 0:
                a[r], b[r] = move, before
                if r == n - 1:
                    shift_a, shift_b = move, before
                    sa = sb = saa = sbb = sab = 0.0
                    for j in range(n - 1, -1, -1):
                        da, db = a[j] - shift_a, b[j] - shift_b
                        sa += da
                        sb += db
                        saa += da * da
                        sbb += db * db
                        sab += da * db
                        a[j], b[j], aa[j], bb[j], ab[j] = sa, sb, saa, sbb, sab
                    ta, tb, taa, tbb, tab = sa, sb, saa, sbb, sab
                    sa = sb = saa = sbb = sab = 0.0
                else:
                    da, db = move - shift_a, before - shift_b
                    sa += da
                    sb += db
                    saa += da * da
                    sbb += db * db
                    sab += da * db
                    q = r + 1
                    ta, tb = sa + a[q], sb + b[q]
                    taa, tbb, tab = saa + aa[q], sbb + bb[q], sab + ab[q]
                if since >= n - 1:
                    mean_a, mean_b = ta * share, tb * share
                    var_a = taa * share - mean_a * mean_a
                    var_b = tbb * share - mean_b * mean_b
                    y = 0.0
                    if var_a > _NOISE and var_b > _NOISE:
                        y = (tab * share - mean_a * mean_b) / (math.sqrt(var_a) * math.sqrt(var_b))
                        y = min(1.0, max(-1.0, y))
        last = x[i]
        out[i, column] = y
        age += 1
        place = place + 1 if place < lag - 1 else 0
        r = r + 1 if r < n - 1 else 0
    s[0], s[1], s[2] = last, shift_a, shift_b
    s[3], s[4], s[5], s[6], s[7] = sa, sb, saa, sbb, sab


@njit
def trend(s: Any, values: Any, out: Any, column: int, lo: int, hi: int, age: int, n: int) -> None:
    """Least squares line through n log prices: its slope a bar, and the correlation with time.

    State: first price of the session, shift, three block sums, three buffers. Time is counted from
    the end of the block before, see `slide_moments` for the shift.
    """
    x = values[REFERENCE]
    d1, d2, dt = s[5 : 5 + n], s[5 + n : 5 + 2 * n], s[5 + 2 * n :]
    if age == 0:
        s[0] = x[lo]
        s[1] = s[2] = s[3] = s[4] = 0.0
    origin, shift, s1, s2, st = s[0], s[1], s[2], s[3], s[4]
    spread_of_time = n * (n * n - 1.0) / 12.0
    r = age % n
    for i in range(lo, hi):
        y = log_ratio(x[i], origin)
        d1[r] = y
        if r == n - 1:
            shift = y
            s1 = s2 = st = 0.0
            for j in range(n - 1, -1, -1):
                d = d1[j] - shift
                s1 += d
                s2 += d * d
                st += d * (j - (n - 1.0))
                d1[j], d2[j], dt[j] = s1, s2, st
            t1, t2, tt = s1, s2, st
            centre = -0.5 * (n - 1.0)
            s1 = s2 = st = 0.0
        else:
            d = y - shift
            s1 += d
            s2 += d * d
            st += d * (r + 1.0)
            t1, t2, tt = s1 + d1[r + 1], s2 + d2[r + 1], st + dt[r + 1]
            centre = r + 1.0 - 0.5 * (n - 1.0)
        slope = correlation = math.nan
        if age >= n - 1:
            covariance = tt - centre * t1
            variance = t2 - t1 * t1 / n
            slope = covariance / spread_of_time
            correlation = 0.0
            if variance > _NOISE:
                correlation = covariance / math.sqrt(spread_of_time * variance)
                correlation = min(1.0, max(-1.0, correlation))
        out[i, column] = slope
        out[i, column + 1] = correlation
        age += 1
        r = r + 1 if r < n - 1 else 0
    s[1], s[2], s[3], s[4] = shift, s1, s2, st
