"""The kernels of the stationary bootstrap: resampled rows, and statistics of resamples without writing them.

Random numbers are SplitMix64 (Steele, Lea & Flood 2014), one stream for each seed and draw: a draw is the
same whatever else is drawn, and on every machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

MEAN, SHARPE, SUM = range(3)

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@njit(inline="always")
def _mixed(x: Any) -> Any:
    x = (x ^ (x >> _S30)) * _FIRST
    x = (x ^ (x >> _S27)) * _SECOND
    return x ^ (x >> _S31)


@njit(inline="always")
def _uniform(state: Any) -> tuple[Any, float]:
    """The next state, and a number in [0, 1)."""
    state = state + _STEP
    return state, float(_mixed(state) >> _S11) * _UNIT


@njit(inline="always")
def _stream(seed: int, draw: int) -> Any:
    return _mixed(_mixed(np.uint64(seed)) + np.uint64(draw) * _STEP)


@njit(inline="always")
def _length(u: float, log_stay: float, most: int) -> int:
    """Length of a block: geometric, the chance to go on being exp(log_stay)."""
    if log_stay == -math.inf:
        return 1
    return int(min(1.0 + math.floor(math.log(1.0 - u) / log_stay), float(most)))


@njit(cache=True)
def rows(n: int, block: float, seed: int, draw: int, out: Any) -> None:
    """The rows of one resample of n, in `out` (n,): blocks of mean length `block`, wrapped around the end."""
    state = _stream(seed, draw)
    log_stay = math.log1p(-1.0 / block) if block > 1.0 else -math.inf
    at = 0
    while at < n:
        state, u = _uniform(state)
        state, v = _uniform(state)
        row = int(v * n)
        for _ in range(_length(u, log_stay, n - at)):
            out[at] = row
            at += 1
            row = row + 1 if row < n - 1 else 0


@njit(cache=True)
def statistics(values: Any, kind: int, block: float, seed: int, out: Any) -> None:
    """Mean, Sharpe ratio or sum of a resample of `values` (n,) for each place of `out`, rows as in `rows`."""
    n = values.size
    middle = 0.0
    for i in range(n):
        middle += values[i]
    middle /= n
    log_stay = math.log1p(-1.0 / block) if block > 1.0 else -math.inf
    for draw in range(out.size):
        state = _stream(seed, draw)
        total, square, at = 0.0, 0.0, 0
        while at < n:
            state, u = _uniform(state)
            state, v = _uniform(state)
            row = int(v * n)
            length = _length(u, log_stay, n - at)
            at += length
            for _ in range(length):
                d = values[row] - middle
                total += d
                square += d * d
                row = row + 1 if row < n - 1 else 0
        mean = middle + total / n
        if kind == MEAN:
            out[draw] = mean
        elif kind == SUM:
            out[draw] = mean * n
        else:
            variance = (square - total * total / n) / (n - 1.0) if n > 1 else 0.0
            out[draw] = mean / math.sqrt(variance) if variance > 1e-30 * mean * mean else math.nan
