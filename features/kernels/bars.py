"""The bar kernel: ticks in, closed bars out. Called by `features.bars.BarBuilder`.

State is two flat arrays, `f` (float64) and `k` (int64); the constants below name their places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Kinds of bars.
TIME, TICK, VOLUME, DOLLAR = 0, 1, 2, 3

# Rows of the bar matrix, in the order of `features.bars.BAR_COLUMNS`.
(
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    TRADED,
    BUY_VOLUME,
    SELL_VOLUME,
    TRADES,
    BUYS,
    SELLS,
    VWAP,
    REALISED_VARIANCE,
    BID,
    ASK,
    BID_SIZE,
    ASK_SIZE,
    REFERENCE,
    LAST_SIDE,
    LAST_BUY,
    LAST_SELL,
    QUOTES,
    FILLED,
) = range(22)
N_ROWS = 22
N_TIMES = 5

# Places in the int64 state.
(
    STARTED,  # 1 once the session has its first price
    BAR_START,
    BAR_END,
    LAST_TS,  # latest event time seen in this session
    FILL_RUN,  # empty bars in a row
    SESSION,  # number of the session, from 0
    ACTIVE,  # 1 when the open bar has a trade or a quote
    TICK_SIGN,  # sign of the last price change, for the tick rule
    CLOSE_TS,  # event time of the trade or quote that set the close
    PRICED,  # 1 once the open bar has a price of its own
    LATE_BEFORE,  # what is older than this belongs to a bar that has closed
    TRADE_TS,  # event time of the newest trade of this session
    LAST_ID,  # id of that trade, -1 where it had none
    C_TRADES,
    C_QUOTES,
    C_HEARTBEATS,
    C_GAPS,
    C_LATE,
    C_OUT_OF_ORDER,
    C_REJECTED,
    C_CROSSED,
    C_FILLED,
    C_BARS,
) = range(23)
N_INTS = 23
NEVER = -(2**63)  # earlier than any event time

# Places in the float64 state: the open bar's rows, then these.
NOTIONAL, LAST_PRICE = N_ROWS, N_ROWS + 1
N_FLOATS = N_ROWS + 2

# Prices and sizes at or beyond these are faults: their ratios, products and sums might not be finite.
_LEAST_PRICE, _MOST = 1e-100, 1e100


@njit(cache=True, inline="always")
def _open_bar(f: Any, k: Any, start: int, end: int) -> None:
    """Begin a bar at the carried price."""
    k[BAR_START] = start
    k[BAR_END] = end
    k[ACTIVE] = 0
    k[PRICED] = 0
    price = f[LAST_PRICE]
    f[OPEN] = price
    f[HIGH] = price
    f[LOW] = price
    f[CLOSE] = price
    for row in range(TRADED, SELLS + 1):
        f[row] = 0.0
    f[REALISED_VARIANCE] = 0.0
    f[QUOTES] = 0.0
    f[NOTIONAL] = 0.0


@njit(cache=True, inline="always")
def _emit(f: Any, k: Any, times: Any, values: Any, n: int, end: int) -> None:
    """Write the open bar to row n of the output."""
    bid, ask = f[BID], f[ASK]
    f[REFERENCE] = 0.5 * (bid + ask) if bid > 0.0 and ask >= bid else f[CLOSE]
    vwap = f[NOTIONAL] / f[TRADED] if f[TRADED] > 0.0 else 0.0
    f[VWAP] = vwap if vwap > 0.0 else f[CLOSE]  # sizes near 1e-300 have no product with a price
    f[FILLED] = 0.0 if k[ACTIVE] == 1 else 1.0
    for row in range(N_ROWS):
        values[n, row] = f[row]
    times[n, 0] = k[BAR_START]
    times[n, 1] = end
    times[n, 2] = k[SESSION]
    times[n, 3] = k[LAST_TS]
    times[n, 4] = k[LAST_ID]
    k[C_BARS] += 1
    if k[ACTIVE] == 0:
        k[C_FILLED] += 1
        k[FILL_RUN] += 1
    else:
        k[FILL_RUN] = 0


@njit(cache=True, inline="always")
def _end_session(f: Any, k: Any) -> None:
    """Forget what must not reach across a session: price, book, tick rule.

    Before a session's first price there is no session to end, but there may be a book to forget.
    """
    k[SESSION] += k[STARTED]
    k[STARTED] = 0
    k[FILL_RUN] = 0
    k[ACTIVE] = 0
    k[TICK_SIGN] = 0
    k[TRADE_TS] = NEVER
    f[BID] = math.nan
    f[ASK] = math.nan
    f[BID_SIZE] = math.nan
    f[ASK_SIZE] = math.nan
    f[LAST_PRICE] = math.nan
    f[LAST_SIDE] = 0.0
    f[LAST_BUY] = math.nan
    f[LAST_SELL] = math.nan


@njit(cache=True, inline="always")
def _quote(f: Any, k: Any, tick: Any) -> None:
    """Take over the sides of the book that the quote has; a crossed book is counted."""
    if _LEAST_PRICE < tick.bid < _MOST:
        f[BID] = tick.bid
        f[BID_SIZE] = tick.bid_size
    if _LEAST_PRICE < tick.ask < _MOST:
        f[ASK] = tick.ask
        f[ASK_SIZE] = tick.ask_size
    if f[BID] > f[ASK]:
        k[C_CROSSED] += 1


@njit(cache=True, inline="always")
def _side(f: Any, k: Any, tick: Any, price: float) -> float:
    """The aggressor: the venue's word, else the quote rule, else the tick rule (Lee & Ready 1991)."""
    last = f[LAST_PRICE]
    if price > last:
        k[TICK_SIGN] = 1
    elif price < last:
        k[TICK_SIGN] = -1
    if tick.side != 0:
        return float(tick.side)
    bid, ask = f[BID], f[ASK]
    if bid > 0.0 and ask >= bid:
        mid = 0.5 * (bid + ask)
        if price > mid:
            return 1.0
        if price < mid:
            return -1.0
    return float(k[TICK_SIGN])


@njit(cache=True, inline="always")
def _price(f: Any, k: Any, price: float, ts: int) -> None:
    """Let a price move the open bar; the first one of a bar is its open."""
    last = f[LAST_PRICE]
    if k[PRICED] == 0:
        k[PRICED] = 1
        f[OPEN] = price
        f[HIGH] = price
        f[LOW] = price
    if price != last:
        move = math.log(price / last)
        f[REALISED_VARIANCE] += move * move
    f[HIGH] = max(f[HIGH], price)
    f[LOW] = min(f[LOW], price)
    f[CLOSE] = price
    f[LAST_PRICE] = price
    k[CLOSE_TS] = ts


@njit(cache=True, inline="always")
def _flow(f: Any, side: float, price: float, size: float) -> None:
    """Add a trade's size to the open bar's flow."""
    f[TRADES] += 1.0
    f[TRADED] += size
    f[NOTIONAL] += size * price
    if side > 0.0:
        f[BUYS] += 1.0
        f[BUY_VOLUME] += size
    elif side < 0.0:
        f[SELLS] += 1.0
        f[SELL_VOLUME] += size


@njit(cache=True, inline="always")
def _is_usable(tick: Any) -> bool:
    """Whether a trade can be one: a price above zero, a size of zero or more, both finite."""
    return bool(_LEAST_PRICE < tick.price < _MOST and 0.0 <= tick.size < _MOST)


@njit(cache=True, inline="always")
def _is_full(kind: int, threshold: float, f: Any) -> bool:
    """Whether an event bar has reached its threshold."""
    if kind == TICK:
        return bool(f[TRADES] >= threshold)
    if kind == VOLUME:
        return bool(f[TRADED] >= threshold)
    return bool(f[NOTIONAL] >= threshold)


@njit(cache=True)
def build_bars(
    kind: int,
    interval_ns: int,
    threshold: float,
    max_fill: int,
    session_gap_ns: int,
    price_from_mid: bool,
    f: NDArray[np.float64],
    k: NDArray[np.int64],
    ticks: NDArray[np.void],
    first: int,
    times: NDArray[np.int64],
    values: NDArray[np.float64],
) -> tuple[int, int]:
    """Feed `ticks[first:]`, writing closed bars to `times` (m, N_TIMES) and `values` (m, N_ROWS).

    Returns (index of the first tick not yet consumed, bars written). When the output is full it
    stops between two bars, and before a swap it stops too: call again with the returned index, or the
    one after the swap, and fresh output to go on.
    """
    room = len(times)
    n = 0
    i = first
    while i < len(ticks):
        # One tick closes at most two bars outside the loop over empty time bars below.
        if n + 2 > room:
            return i, n
        tick = ticks[i]
        ts = tick.ts_ns
        event = tick.kind
        if event == 4:
            return i, n
        if event == 0 and not _is_usable(tick):
            k[C_REJECTED] += 1
            i += 1
            continue
        if event == 3:
            if k[STARTED] == 1 and k[ACTIVE] == 1:
                _emit(f, k, times, values, n, max(k[LAST_TS], k[BAR_START]))
                n += 1
            _end_session(f, k)
        elif k[STARTED] == 1:
            if kind == TIME:
                while ts >= k[BAR_END] and k[STARTED] == 1:
                    if n == room:
                        return i, n
                    _emit(f, k, times, values, n, k[BAR_END])
                    n += 1
                    if k[FILL_RUN] >= max_fill:
                        _end_session(f, k)
                    else:
                        _open_bar(f, k, k[BAR_END], k[BAR_END] + interval_ns)
                        k[LATE_BEFORE] = k[BAR_START]
            elif ts - k[LAST_TS] > session_gap_ns:
                if k[ACTIVE] == 1:
                    _emit(f, k, times, values, n, k[LAST_TS])
                    n += 1
                _end_session(f, k)
        i += 1
        if event == 2:
            k[C_HEARTBEATS] += 1
            continue
        if event == 3:
            k[C_GAPS] += 1
            continue
        late = k[STARTED] == 1 and ts < k[LATE_BEFORE]
        stale = late or (k[STARTED] == 1 and ts < k[CLOSE_TS])
        side = 0.0
        if event == 1:
            k[C_QUOTES] += 1
            _quote(f, k, tick)
            price = math.nan
            if price_from_mid and f[BID] > 0.0 and f[ASK] >= f[BID]:
                price = 0.5 * (f[BID] + f[ASK])
        else:
            k[C_TRADES] += 1
            if ts >= k[TRADE_TS]:
                k[TRADE_TS] = ts
                k[LAST_ID] = tick.trade_id
            side = float(tick.side) if stale else _side(f, k, tick, tick.price)
            price = math.nan if price_from_mid else tick.price
            if late:
                k[C_LATE] += 1
            elif stale:
                k[C_OUT_OF_ORDER] += 1
        if k[STARTED] == 0:
            if not price > 0.0:
                continue
            k[STARTED] = 1
            k[LAST_TS] = ts
            f[LAST_PRICE] = price
            if kind == TIME:
                start = ts // interval_ns * interval_ns
                _open_bar(f, k, start, start + interval_ns)
                k[LATE_BEFORE] = start
            else:
                _open_bar(f, k, ts, ts)
                k[LATE_BEFORE] = NEVER
        elif kind != TIME and k[ACTIVE] == 0:
            _open_bar(f, k, max(ts, k[BAR_END]), ts)
        k[ACTIVE] = 1
        k[LAST_TS] = max(k[LAST_TS], ts)
        if price > 0.0:
            if not stale:
                _price(f, k, price, ts)
            elif not late:
                f[HIGH] = max(f[HIGH], price)
                f[LOW] = min(f[LOW], price)
        if event == 1:
            f[QUOTES] += 1.0
        elif tick.size > 0.0:
            _flow(f, side, tick.price, tick.size)
            if not stale and side != 0.0:
                f[LAST_SIDE] = side
                if side > 0.0:
                    f[LAST_BUY] = tick.price
                else:
                    f[LAST_SELL] = tick.price
        if kind != TIME and _is_full(kind, threshold, f):
            _emit(f, k, times, values, n, k[LAST_TS])
            n += 1
            k[BAR_END] = k[LAST_TS]
            k[LATE_BEFORE] = k[CLOSE_TS]
            k[ACTIVE] = 0
    return i, n
