"""The feature kernel: bars in, features out. Called by `features.pipeline.FeaturePipeline`.

It interprets a program (see `opcodes`) over one flat state array. Bars are taken session by
session and in pieces that fit the cache; within a piece each op runs in one tight loop.

Only `run` is cached on disk; the ops are compiled into it. numba notices changes of the file that
a cached function is in, not of the files it calls into, so the name under which `run` is cached
holds a fingerprint of the code of every op: an old cache can't serve new code.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from typing import Any

from numba import njit

from features.kernels import book, flow, opcodes, returns, rolling, smoothing, window
from features.kernels.bars import (
    BUY_VOLUME,
    BUYS,
    CLOSE,
    REFERENCE,
    SELL_VOLUME,
    SELLS,
    TRADED,
    TRADES,
    VWAP,
)
from features.kernels.opcodes import AGE, HEAD, RECORD, SESSION

_PIECE = 512  # bars
_LEAST_PRICE = 5e-324  # the smallest number above 0
_MODULES = (book, flow, opcodes, returns, rolling, smoothing, window)


@njit
def _first_bad(program: Any, values: Any) -> Any:
    """Place of the first bar with a price not above 0, an amount below 0 or either not finite; or m."""
    m = values.shape[1]
    first = m
    for k in range(int(program[1])):
        row = int(program[HEAD + k])
        is_price = row <= CLOSE or row in (VWAP, REFERENCE)
        least = _LEAST_PRICE if is_price else 0.0
        x = values[row]
        good = 0
        for i in range(m):
            good += 1 if least <= x[i] < math.inf else 0
        if good < m:
            i = 0
            while least <= x[i] < math.inf:
                i += 1
            first = min(first, i)
    return first


@njit
def _price_op(op: int, p: Any, s: Any, values: Any, out: Any, c: int, lo: int, hi: int, age: int) -> None:
    """Run one op of `rolling` or `smoothing`; `p` is its record in the program."""
    n, second = int(p[opcodes.R_FIRST]), int(p[opcodes.R_SECOND])
    if op <= opcodes.LOG_RETURN:
        rolling.change(s, values, out, c, lo, hi, age, REFERENCE, n, op)
    elif op <= opcodes.MOMENTUM:
        rolling.change(s, values, out, c, lo, hi, age, CLOSE, n, op)
    elif op == opcodes.SMA:
        rolling.mean(s, values, out, c, lo, hi, age, CLOSE, n, False)
    elif op == opcodes.SMA_GAP:
        rolling.mean(s, values, out, c, lo, hi, age, REFERENCE, n, True)
    elif op == opcodes.ROLLING_MEAN:
        rolling.mean(s, values, out, c, lo, hi, age, REFERENCE, n, False)
    elif op == opcodes.ROLLING_STD:
        rolling.moments(s, values, out, c, lo, hi, age, REFERENCE, n, rolling.STD, 0.0)
    elif op == opcodes.ZSCORE:
        rolling.moments(s, values, out, c, lo, hi, age, REFERENCE, n, rolling.SCORE, 0.0)
    elif op == opcodes.BOLLINGER:
        bands = p[opcodes.R_SECOND]
        rolling.moments(s, values, out, c, lo, hi, age, CLOSE, n, rolling.BANDS, bands)
    elif op == opcodes.ROLLING_MIN:
        rolling.extreme(s, values, out, c, lo, hi, age, REFERENCE, n, -1.0)
    elif op == opcodes.ROLLING_MAX:
        rolling.extreme(s, values, out, c, lo, hi, age, REFERENCE, n, 1.0)
    elif op == opcodes.STOCHASTIC:
        rolling.stochastic(s, values, out, c, lo, hi, age, n, second)
    elif op == opcodes.EMA:
        smoothing.ema(s, values, out, c, lo, hi, age, CLOSE, n, False)
    elif op == opcodes.EMA_GAP:
        smoothing.ema(s, values, out, c, lo, hi, age, REFERENCE, n, True)
    elif op == opcodes.MACD:
        smoothing.macd(s, values, out, c, lo, hi, age, n, second, int(p[opcodes.R_THIRD]))
    elif op == opcodes.RSI:
        smoothing.rsi(s, values, out, c, lo, hi, age, n)
    elif op == opcodes.ATR:
        smoothing.atr(s, values, out, c, lo, hi, age, n, False)
    elif op == opcodes.NATR:
        smoothing.atr(s, values, out, c, lo, hi, age, n, True)
    elif op == opcodes.EW_VOLATILITY:
        smoothing.ew_volatility(s, values, out, c, lo, hi, age, n)


@njit
def _flow_op(
    op: int, p: Any, s: Any, times: Any, values: Any, out: Any, c: int, lo: int, hi: int, age: int
) -> None:
    """Run one op of `returns`, `flow` or `book`; `p` is its record in the program."""
    n, second = int(p[opcodes.R_FIRST]), int(p[opcodes.R_SECOND])
    if op <= opcodes.GARMAN_KLASS:
        returns.volatility(s, values, out, c, lo, hi, age, n, op - opcodes.REALISED_VOL)
    elif op == opcodes.REALISED_SKEW:
        returns.realised_skew(s, values, out, c, lo, hi, age, n)
    elif op == opcodes.AUTOCORRELATION:
        returns.autocorrelation(s, values, out, c, lo, hi, age, n, second)
    elif op == opcodes.TREND:
        returns.trend(s, values, out, c, lo, hi, age, n)
    elif op == opcodes.OBV:
        flow.obv(s, values, out, c, lo, hi)
    elif op == opcodes.OBV_SLOPE:
        flow.obv_slope(s, values, out, c, lo, hi, age, n)
    elif op == opcodes.VWAP:
        flow.vwap(s, values, out, c, lo, hi, age, n, False)
    elif op == opcodes.VWAP_GAP:
        flow.vwap(s, values, out, c, lo, hi, age, n, True)
    elif op == opcodes.VOLUME_INTENSITY:
        flow.intensity(s, times, values, out, c, lo, hi, age, TRADED, n, second)
    elif op == opcodes.TRADE_INTENSITY:
        flow.intensity(s, times, values, out, c, lo, hi, age, TRADES, n, second)
    elif op == opcodes.FLOW_IMBALANCE:
        flow.balance(s, values, out, c, lo, hi, age, BUY_VOLUME, SELL_VOLUME, n, flow.IMBALANCE)
    elif op == opcodes.SIGNED_TRADES:
        flow.balance(s, values, out, c, lo, hi, age, BUYS, SELLS, n, flow.IMBALANCE)
    elif op == opcodes.SIGNED_VOLUME:
        flow.balance(s, values, out, c, lo, hi, age, BUY_VOLUME, SELL_VOLUME, n, flow.ROOT)
    elif op == opcodes.BUY_RATIO:
        flow.balance(s, values, out, c, lo, hi, age, BUY_VOLUME, SELL_VOLUME, n, flow.SHARE)
    elif op == opcodes.AMIHUD:
        flow.amihud(s, values, out, c, lo, hi, age, n)
    elif op == opcodes.SPREAD:
        book.spread(values, out, c, lo, hi)
    elif op == opcodes.MICROPRICE:
        book.weighted_book(values, out, c, lo, hi, True)
    elif op == opcodes.QUOTE_IMBALANCE:
        book.weighted_book(values, out, c, lo, hi, False)
    elif op == opcodes.IMPLIED_MID_GAP:
        book.implied_mid_gap(values, out, c, lo, hi)
    elif op == opcodes.LAST_SIDE:
        book.last_side(values, out, c, lo, hi)
    elif op == opcodes.TIME_OF_DAY:
        book.time_of_day(times, out, c, lo, hi, n)
    elif op == opcodes.DAY_OF_WEEK:
        book.day_of_week(times, out, c, lo, hi)


def _run(program: Any, state: Any, times: Any, values: Any, out: Any, ages: Any) -> Any:
    """Feed m bars; writes out (m, columns) and ages (m,): bars of the session so far.

    Returns m. Where a bar can't be used it returns its place instead, and nothing has changed.
    """
    m = times.shape[1]
    bad = _first_bad(program, values)
    if bad < m:
        return bad
    records = program[HEAD + int(program[1]) :]
    lo = 0
    while lo < m:
        session = times[2, lo]
        hi = lo + 1
        while hi < m and hi - lo < _PIECE and times[2, hi] == session:
            hi += 1
        if state[SESSION] != float(session):
            state[SESSION] = float(session)
            state[AGE] = 0.0
        age = int(state[AGE])
        for k in range(int(program[0])):
            p = records[k * RECORD : (k + 1) * RECORD]
            at = int(p[opcodes.R_STATE])
            s = state[at : at + int(p[opcodes.R_SIZE])]
            op, c = int(p[opcodes.R_OPCODE]), int(p[opcodes.R_COLUMN])
            if op < opcodes.REALISED_VOL:
                _price_op(op, p, s, values, out, c, lo, hi, age)
            else:
                _flow_op(op, p, s, times, values, out, c, lo, hi, age)
        for i in range(lo, hi):
            ages[i] = age + 1 + i - lo
        state[AGE] = float(age + hi - lo)
        lo = hi
    return m


@functools.cache
def load() -> Callable[..., int]:
    """The compiled kernel. Its first call compiles it, or reads numba's cache (under a second)."""
    _run.__qualname__ = f"run_{_fingerprint()}"
    compiled: Callable[..., int] = njit(cache=True)(_run)
    return compiled


def _fingerprint() -> str:
    """Hash of the code and constants of everything that is compiled into `run`."""
    digest = hashlib.sha256()
    for names in (globals(), *(vars(module) for module in _MODULES)):
        for name, value in sorted(names.items()):
            if isinstance(value, int | float):
                digest.update(f"{name}={value!r};".encode())
            elif hasattr(value, "py_func"):
                code = value.py_func.__code__
                digest.update(f"{name}:{code.co_names}{code.co_consts}".encode() + code.co_code)
    return digest.hexdigest()[:16]
