"""Candles of the lake as bars: adjusted, cut into sessions, holes inside a session filled.

    maker = CandleBars(spec)
    bars = maker.update(rows)       # rows of the table in order of time, any number at a time

The rules are those of `features.bars` for time bars. An interval without a candle gives a forward-filled
bar: all prices are the last close, all flows 0, `filled` is 1. After `max_fill` such bars in a row the
session ends; the next candle opens a new one. A hole at the end of the rows is not filled: nobody knows
yet whether a candle follows. Bars of a day or longer are never filled, as markets close for days: their
session ends where two are further apart than the spec says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.bars import Bars
from jobs.history.spec import DAY_NS, HistorySpec

_PRICES = ("open", "high", "low", "close")


class CandleBars:
    """Turns candles of one symbol and interval into bars; the state is the last bar. Any cut, same bits."""

    def __init__(self, spec: HistorySpec) -> None:
        self._interval_ns = spec.interval_ns
        self._max_fill = spec.max_fill if spec.interval_ns < DAY_NS else 0
        self._longest_ns = max(spec.daily_gap_ns, 2 * spec.interval_ns)
        self._end_ns = 0
        self._close = 0.0
        self._session = -1

    def update(self, rows: pa.Table) -> Bars:
        """The bars of these candles, with what fills the holes before each of them."""
        if not rows.num_rows:
            return Bars.concat([])
        end_ns = rows.column("end_ns").to_numpy()
        columns = _columns(rows)
        missing, new_session = self._holes(end_ns)
        real = np.arange(len(end_ns)) + np.cumsum(missing)
        bars = self._spread(end_ns, columns, missing, new_session, real)
        self._end_ns, self._close = int(end_ns[-1]), float(columns["close"][-1])
        self._session = int(bars.session[-1])
        return bars

    def _holes(self, end_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Before each candle: how many bars to fill, and whether it opens a new session."""
        step = np.diff(end_ns, prepend=self._end_ns)
        if self._max_fill:
            absent = step // self._interval_ns - 1
            missing, new_session = np.clip(absent, 0, self._max_fill), absent >= self._max_fill
        else:
            missing, new_session = np.zeros(len(step), np.int64), step > self._longest_ns
        if self._session < 0:
            missing[0], new_session[0] = 0, True
        return missing, new_session

    def _spread(
        self,
        end_ns: NDArray[np.int64],
        columns: dict[str, NDArray[np.float64]],
        missing: NDArray[np.int64],
        new_session: NDArray[np.bool_],
        real: NDArray[np.int64],
    ) -> Bars:
        """Candles at the places `real`, filled bars at those between."""
        n = len(end_ns) + int(missing.sum())
        # The candle before each place, shifted by one: 0 stands for the one before these rows.
        before = np.zeros(n, np.int64)
        before[real] = np.arange(1, len(end_ns) + 1)
        before = np.maximum.accumulate(before)
        filled = np.ones(n, np.bool_)
        filled[real] = False
        candle_end = np.concatenate([[self._end_ns], end_ns])[before]
        run = np.arange(n) - np.concatenate([[-1], real])[before]
        ends = candle_end + run * self._interval_ns
        closes = np.concatenate([[self._close], columns["close"]])[before]
        values: dict[str, Any] = {}
        for name, column in columns.items():
            values[name] = closes.copy() if name in _PRICES else np.zeros(n)
            values[name][real] = column
        sessions = self._session + np.cumsum(new_session)
        # What is filled belongs to the session of the candle before it.
        values["session"] = np.concatenate([[self._session], sessions])[before]
        bars = Bars.from_columns(ends - self._interval_ns, ends, filled=filled.astype(np.float64), **values)
        bars.times[3] = candle_end
        return bars


def _columns(rows: pa.Table) -> dict[str, NDArray[np.float64]]:
    """The columns of bars that candles have, prices adjusted."""
    factor = pc.fill_null(rows.column("adjustment"), 1.0).to_numpy()
    found = {name: rows.column(name).to_numpy() * factor for name in _PRICES}
    volume = pc.fill_null(rows.column("volume"), 0.0).to_numpy()
    found["volume"] = volume
    if rows.column("trades").null_count < rows.num_rows:
        found["trades"] = pc.fill_null(rows.column("trades"), 0).to_numpy().astype(np.float64)
    bought = rows.column("buy_volume")
    if bought.null_count < rows.num_rows:
        known = np.asarray(pc.is_valid(bought))
        buys = pc.fill_null(bought, 0.0).to_numpy()
        found["buy_volume"] = buys
        found["sell_volume"] = np.where(known, np.maximum(volume - buys, 0.0), 0.0)
    return found
