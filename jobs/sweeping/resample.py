"""Bars put together to longer ones, as candles of that length would have had them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.bars import BAR_COLUMNS, Bars
from features.errors import SpecError

_SUMS = ("volume", "buy_volume", "sell_volume", "trades", "buys", "sells", "realised_variance", "quotes")


def lengthen(bars: Bars, interval_ns: int, to_ns: int) -> Bars:
    """Bars of `to_ns` from time bars of `interval_ns`, aligned to multiples of `to_ns` since 1970 UTC.

    A bar never reaches over the end of a session, and is there only where its last part is: whoever lives
    through them does not know the bar before. It is `filled` where all its parts are. Raises SpecError where
    `to_ns` is no multiple of the interval.
    """
    if to_ns == interval_ns:
        return bars
    if not interval_ns or to_ns % interval_ns:
        raise SpecError(f"bars of {interval_ns} ns can't be put together to {to_ns} ns", "sampling")
    if not len(bars):
        return bars
    number = (bars.end_ns - 1) // to_ns
    session = bars.session
    first = np.flatnonzero(
        np.concatenate([[True], (number[1:] != number[:-1]) | (session[1:] != session[:-1])])
    )
    last = np.append(first[1:], len(bars)) - 1
    whole = bars.end_ns[last] == (number[last] + 1) * to_ns
    times = bars.times[:, last].copy()
    times[0] = times[1] - to_ns
    made = Bars(times, _values(bars, first, last))
    return Bars(made.times[:, whole], made.values[:, whole])


def _values(bars: Bars, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values of each run of bars; filled parts tell the last price again, and set none."""
    values = bars.values[:, last].copy()
    rows = {name: row for row, name in enumerate(BAR_COLUMNS)}
    filled = bars.values[rows["filled"]] > 0.0
    all_filled = np.logical_and.reduceat(filled, first)
    for name in _SUMS:
        values[rows[name]] = np.add.reduceat(bars.values[rows[name]], first)
    for name, reduce, nothing in (("high", np.maximum, -np.inf), ("low", np.minimum, np.inf)):
        known = np.where(filled, nothing, bars.values[rows[name]])
        values[rows[name]] = np.where(all_filled, values[rows[name]], reduce.reduceat(known, first))
    places = np.where(filled, len(bars), np.arange(len(bars)))
    opening = np.minimum(np.minimum.reduceat(places, first), last)
    values[rows["open"]] = bars.values[rows["open"]][opening]
    values[rows["filled"]] = all_filled
    volume = values[rows["volume"]]
    traded = np.add.reduceat(bars.values[rows["vwap"]] * bars.values[rows["volume"]], first)
    some = volume > 0.0
    values[rows["vwap"]] = np.where(some, traded / np.where(some, volume, 1.0), values[rows["close"]])
    return values
