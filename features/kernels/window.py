"""Sliding windows in constant time and without drift: the core of every rolling feature.

A session is cut into blocks of n bars, counted from its first bar. The window that ends at place r
of a block is the rest of the block before it (places r+1 to n-1) and the block so far (places 0 to r):

    one buffer of n:  [ this block's values, 0..r | sums of the block before from there to its end, r+1..n-1 ]

When a block is full its values are turned into such sums, from the end backwards. So a sum costs
two additions a bar, nothing is ever subtracted, and no rounding error outlives two blocks: a
window of zeros sums to exactly 0 after any history. The same scheme gives minima and maxima
(van Herk 1992, "A fast algorithm for local minimum and maximum filters", Pattern Recognition
Letters 13). What comes out depends on the window and on the age of the session, never on batches.

Callers keep the block's running value in a local variable and the place r = age % n. Until a
session is n bars old the results are meaningless, and callers write NaN. The sliding functions are
inlined by numba: handing several results over a call costs as much as the work.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit


@njit
def log_ratio(p: float, q: float) -> float:
    """log(p / q), to the last digits also when p is close to q.

    Near 1 it is the series 2 artanh((p - q) / (p + q)), whose first term left out is below 1e-20 of
    it; log(p / q) would there lose every digit that p / q rounds away.
    """
    s = (p - q) / (p + q)
    if -0.00390625 < s < 0.00390625:
        z = s * s
        return 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0))))
    return math.log(p / q)


@njit(inline="always")
def slide_sum(buffer: Any, n: int, r: int, x: float, block: float) -> tuple[float, float]:
    """Take in x at place r; returns (sum of the last n values, `block` for the next call)."""
    buffer[r] = x
    if r == n - 1:
        total = x
        for j in range(n - 2, -1, -1):
            total += buffer[j]
            buffer[j] = total
        return total, 0.0
    block += x
    return block + buffer[r + 1], block


@njit(inline="always")
def slide_max(buffer: Any, n: int, r: int, x: float, block: float) -> tuple[float, float]:
    """Like `slide_sum` for the largest of the last n values; `block` starts at minus infinity."""
    buffer[r] = x
    if r == n - 1:
        top = x
        for j in range(n - 2, -1, -1):
            # Written so that it compiles to a maximum instead of a jump, which would be guessed wrong.
            other = buffer[j]
            top = top if top > other else other
            buffer[j] = top
        return top, -math.inf
    block = block if block > x else x
    rest = buffer[r + 1]
    return (block if block > rest else rest), block


@njit(inline="always")
def slide_moments(
    first: Any, second: Any, n: int, share: float, r: int, x: float, shift: float, s1: float, s2: float
) -> tuple[float, float, float, float, float]:
    """Like `slide_sum` for mean and variance.

    `share` is 1 / n. Returns (mean minus shift, population variance, shift, s1, s2); the last three
    are for the next call. All is summed relative to `shift`, the last value of the block before,
    which is itself in the window (or, in a session's first block, its first value): digits lost to
    cancellation are bounded by the window's length whatever the price level, and equal values have
    variance 0.
    """
    first[r] = x
    if r == n - 1:
        shift = x
        t1 = t2 = 0.0
        for j in range(n - 1, -1, -1):
            d = first[j] - shift
            t1 += d
            t2 += d * d
            first[j] = t1
            second[j] = t2
        s1 = s2 = 0.0
    else:
        d = x - shift
        s1 += d
        s2 += d * d
        t1 = s1 + first[r + 1]
        t2 = s2 + second[r + 1]
    mean = t1 * share
    variance = t2 * share - mean * mean
    return mean, (variance if variance > 0.0 else 0.0), shift, s1, s2
