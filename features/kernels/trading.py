"""The account kernel: bars and target positions in, fills and an equity curve out.

Called by `features.trading.account.Account`, and by `features.trading.grid` for many rules at once. State is
two flat arrays, `f` (float64) and `k` (int64); the constants below name their places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

# Rows of the curve.
PRICE, POSITION, MONEY, EQUITY = range(4)
N_CURVE = 4

# Places in the float64 state; the targets that wait, one for each bar of latency, come after them.
(
    CASH,
    HELD_UNITS,
    MARK,  # last price that positions were valued at
    MARK_HALF,  # half the spread at that price
    WANTED,  # newest target
    HELD,  # target that the position stands for
    T_MONEY,  # cash that the open round trip has brought so far
    T_COSTS,
    T_SIDE,
    T_SIZE,  # its largest position
    T_IN,  # units entered, and their value
    T_IN_VALUE,
    T_OUT,  # units left, and their value
    T_OUT_VALUE,
    FEES,
    SPREAD,
    SLIPPAGE,
    TRADED,  # value of all fills
    GAINS,  # of the round trips that won
    LOSSES,  # of those that didn't, above zero
    PEAK,  # highest equity
    DEEPEST,  # deepest fall from a peak, as a share of it
    WAITING,
) = range(23)

# Places in the int64 state.
(
    STARTED,
    SESSION,
    LAST_END,
    BARS,
    RING,  # place of the oldest target that waits
    RUINED,
    T_START,
    T_FIRST,  # what EXPOSED was when the open round trip began
    FILLS,
    TRIPS,
    WINS,
    EXPOSED,  # bars that a position was held at the end of
    UNFILLABLE,  # bars in which an order waited because there was no price
) = range(13)
N_INTS = 13

FILL = np.dtype(
    [
        ("bar", np.int64),
        ("time_ns", np.int64),
        ("units", np.float64),
        ("price", np.float64),
        ("fee", np.float64),
        ("spread", np.float64),
        ("slippage", np.float64),
    ]
)
TRIP = np.dtype(
    [
        ("entry_ns", np.int64),
        ("exit_ns", np.int64),
        ("side", np.int64),
        ("bars", np.int64),
        ("size", np.float64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("pnl", np.float64),
        ("costs", np.float64),
    ]
)
MOST_A_BAR = 3
"""Fills, and round trips, that one bar can bring: the end of a session, an order, ruin."""


@njit(inline="always")
def _is_price(x: float) -> bool:
    return 0.0 < x < math.inf


@njit
def _close_trip(f: Any, k: Any, time: int, trips: Any, n: int) -> int:
    """Write the round trip that has just ended to row n; returns the next row."""
    pnl = f[T_MONEY]
    trip = trips[n]
    trip["entry_ns"], trip["exit_ns"] = k[T_START], time
    trip["side"], trip["bars"] = int(f[T_SIDE]), k[EXPOSED] - k[T_FIRST]
    trip["size"] = f[T_SIZE]
    trip["entry_price"], trip["exit_price"] = f[T_IN_VALUE] / f[T_IN], f[T_OUT_VALUE] / f[T_OUT]
    trip["pnl"], trip["costs"] = pnl, f[T_COSTS]
    k[TRIPS] += 1
    if pnl > 0.0:
        k[WINS] += 1
        f[GAINS] += pnl
    else:
        f[LOSSES] -= pnl
    return n + 1


@njit
def _fill(
    f: Any,
    k: Any,
    after: float,
    value: float,
    half: float,
    fee_rate: float,
    slip: float,
    time: int,
    fills: Any,
    n_fills: int,
    trips: Any,
    n_trips: int,
) -> int:
    """Move the position to `after` units at reference price `value`; returns the next row of `trips`."""
    before = f[HELD_UNITS]
    units = after - before
    side = 1.0 if units > 0.0 else -1.0
    amount = abs(units)
    price = value + side * half + side * slip * value
    fee = fee_rate * (amount * price)
    spread, slippage = amount * half, amount * (slip * value)
    fill = fills[n_fills]
    fill["bar"], fill["time_ns"], fill["units"], fill["price"] = k[BARS], time, units, price
    fill["fee"], fill["spread"], fill["slippage"] = fee, spread, slippage
    k[FILLS] += 1
    f[CASH] -= units * price + fee
    f[HELD_UNITS] = after
    f[FEES] += fee
    f[SPREAD] += spread
    f[SLIPPAGE] += slippage
    f[TRADED] += amount * price
    costs = fee + spread + slippage
    leaves = 0.0  # units of this fill that end what was there
    if before * side < 0.0:
        leaves = min(amount, abs(before))
    share = leaves / amount
    if leaves > 0.0:
        f[T_MONEY] -= side * leaves * price + fee * share
        f[T_COSTS] += costs * share
        f[T_OUT] += leaves
        f[T_OUT_VALUE] += leaves * price
        if after * before <= 0.0:
            n_trips = _close_trip(f, k, time, trips, n_trips)
    if leaves < amount:
        if before * side <= 0.0:
            for place in range(T_MONEY, T_OUT_VALUE + 1):
                f[place] = 0.0
            f[T_SIDE] = side
            k[T_START], k[T_FIRST] = time, k[EXPOSED]
        enters = amount - leaves
        f[T_MONEY] -= side * enters * price + fee * (1.0 - share)
        f[T_COSTS] += costs * (1.0 - share)
        f[T_IN] += enters
        f[T_IN_VALUE] += enters * price
        f[T_SIZE] = max(f[T_SIZE], abs(after))
    return n_trips


@njit
def _sized(
    f: Any,
    target: float,
    value: float,
    half: float,
    fee: float,
    slip: float,
    by_capital: bool,
    size: float,
    most: float,
) -> float:
    """Units to hold for a target, such that a share of the equity is one after all costs of getting there."""
    units: float = f[HELD_UNITS]
    equity = f[CASH] + units * value
    if target == 0.0 or equity <= 0.0:
        return 0.0
    if not by_capital:
        wanted = target * size
        if abs(wanted) * value <= most * equity:
            # Costs could push it over the limit only by their own share of the equity.
            return wanted
        share = math.copysign(most, target)
    else:
        share = min(max(target * size, -most), most)
    gap = share * (equity / value) - units
    relative = half / value + slip
    cost = (1.0 + relative) * (1.0 + fee) - 1.0 if gap > 0.0 else (1.0 - relative) * (1.0 - fee) - 1.0
    slope = 1.0 + share * cost
    return units + gap / slope if slope > 0.0 else units


@njit(inline="always")
def _store(f: Any, k: Any, money: Any, counts: Any) -> None:
    """Bring the state up to what the loop keeps at hand."""
    f[CASH], f[HELD_UNITS], f[MARK], f[MARK_HALF] = money
    k[BARS], k[EXPOSED] = counts


@njit(inline="always")
def _flatten(
    f: Any, k: Any, fee: float, slip: float, time: int, fills: Any, n_fills: int, trips: Any, n: int
) -> int:
    """Close the position at the price that it was last valued at; returns the next row of `trips`."""
    row: int = _fill(f, k, 0.0, f[MARK], f[MARK_HALF], fee, slip, time, fills, n_fills, trips, n)
    return row


@njit(cache=True)
def trade(
    rules: Any, f: Any, k: Any, bars: Any, targets: Any, at: int, curve: Any, fills: Any, trips: Any
) -> tuple[int, int, int]:
    """Trade bars from `at` on, until all are done or a table is full.

    `rules` and `bars` are tuples as `features.trading.account` makes them; `curve` is (4, m), or (4, 0) for
    none. Returns (next bar, fills written, round trips written).
    """
    fee, half_spread, slip, use_book, latency, by_capital, size, most, allow_short, flat_at_end = rules
    start, end, session, opens, closes, bids, asks, filled = bars
    n, n_fills, n_trips = end.size, 0, 0
    room = min(fills.size, trips.size) - MOST_A_BAR
    keep = curve.shape[1] > 0
    low = -1.0 if allow_short else 0.0
    # What every bar reads is kept at hand, and in the state only around the rare fills.
    cash, units, mark, mark_half = f[CASH], f[HELD_UNITS], f[MARK], f[MARK_HALF]
    wanted, held, peak, deepest = f[WANTED], f[HELD], f[PEAK], f[DEEPEST]
    began, now, ring, ruined = k[STARTED] == 1, k[SESSION], k[RING], k[RUINED] == 1
    count, exposed = k[BARS], k[EXPOSED]
    i = at
    while i < n and n_fills <= room and n_trips <= room:
        if flat_at_end and began and session[i] != now:
            if units != 0.0:
                _store(f, k, (cash, units, mark, mark_half), (count, exposed))
                last_end = end[i - 1] if i > at else k[LAST_END]
                n_trips = _flatten(f, k, fee, slip, last_end, fills, n_fills, trips, n_trips)
                n_fills += 1
                cash, units = f[CASH], f[HELD_UNITS]
            wanted = held = 0.0
            f[WAITING : WAITING + latency] = 0.0
        began, now = True, session[i]

        # Which target is due: the one of `latency` bars ago.
        target = targets[i]
        if not math.isnan(target):
            wanted = min(max(target, low), 1.0)
        due = wanted
        if latency > 0:
            due, f[WAITING + ring] = f[WAITING + ring], wanted
            ring = ring + 1 if ring < latency - 1 else 0

        # The order, if there is one and a price to fill it at.
        bid, ask, close = bids[i], asks[i], closes[i]
        booked = use_book and 0.0 < bid <= ask < math.inf
        middle = wide = 0.0
        if booked:
            middle, wide = 0.5 * (bid + ask), 0.5 * (ask - bid)
        if due != held and not ruined:
            value, half, time = middle, wide, end[i]
            if not booked:
                if latency > 0:
                    value, time = opens[i], start[i]
                else:
                    value = close
                half = half_spread * value
            if booked or (_is_price(value) and filled[i] == 0.0):
                _store(f, k, (cash, units, mark, mark_half), (count, exposed))
                after = _sized(f, due, value, half, fee, slip, by_capital, size, most)
                if after != units:
                    n_trips = _fill(f, k, after, value, half, fee, slip, time, fills, n_fills, trips, n_trips)
                    n_fills += 1
                    cash, units = f[CASH], f[HELD_UNITS]
                held = due
            else:
                k[UNFILLABLE] += 1

        # What it is all worth at the end of the bar.
        if booked:
            mark, mark_half = middle, wide
        elif _is_price(close):
            mark, mark_half = close, half_spread * close
        elif _is_price(opens[i]):
            mark, mark_half = opens[i], half_spread * opens[i]
        equity = cash
        if units != 0.0:
            equity += units * mark
            if equity <= 0.0:
                ruined = True
                _store(f, k, (cash, units, mark, mark_half), (count, exposed))
                n_trips = _flatten(f, k, fee, slip, end[i], fills, n_fills, trips, n_trips)
                n_fills += 1
                cash, units = f[CASH], f[HELD_UNITS]
                equity = cash
            else:
                exposed += 1
        if equity > peak:
            peak = equity
        elif peak - equity > deepest * peak:
            deepest = (peak - equity) / peak
        if keep:
            curve[PRICE, i], curve[POSITION, i] = mark, units
            curve[MONEY, i], curve[EQUITY, i] = cash, equity
        count += 1
        i += 1
    _store(f, k, (cash, units, mark, mark_half), (count, exposed))
    f[WANTED], f[HELD], f[PEAK], f[DEEPEST] = wanted, held, peak, deepest
    k[STARTED], k[SESSION], k[RING], k[RUINED] = int(began), now, ring, int(ruined)
    if i > at:
        k[LAST_END] = end[i - 1]
    return i, n_fills, n_trips
