"""Columns of any file as arrays: numbers to the last bit of their text, times in ns, ids, sides.

Each function gives the values and a mask of the rows in which there is one. What is missing and what can't
be read look alike here: neither is a value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (1 << 63, 1))
"""Whole numbers below the first are times in units of so many ns: seconds, ms, µs, ns."""
_LATEST_NS = 7_258_118_400 * 10**9
"""2200 UTC: what is later is no time."""
_BUYER, _SELLER = ("1", "+1", "1.0", "buy", "b", "bid", "buyer"), ("-1", "-1.0", "sell", "s", "ask", "seller")
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")


def floats(column: pa.ChunkedArray) -> tuple[NDArray[np.float64], Mask]:
    """Numbers; NaN where there is none."""
    kind = column.type
    if pa.types.is_decimal(kind):
        column = column.cast(pa.string())  # its text gives the nearest float, its digits may not
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        found = _parsed(column, pa.float64(), float)
    else:
        found = column.cast(pa.float64(), safe=False)
    values: NDArray[np.float64] = pc.fill_null(found, np.nan).to_numpy()
    known: Mask = ~np.isnan(values)
    return values, known


def integers(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], Mask]:
    """Whole numbers of zero or more; -1 where there is none."""
    if pa.types.is_string(column.type):
        found = _parsed(column, pa.int64(), _whole)
        values: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy()
    elif pa.types.is_floating(column.type):
        numbers, known = floats(column)
        known &= (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**53)
        values = np.where(known, numbers, -1.0).astype(np.int64)
    else:
        values = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
    known = values >= 0
    return np.where(known, values, -1), known


def times_ns(column: pa.ChunkedArray, name: str) -> tuple[NDArray[np.int64], Mask]:
    """Times in ns since 1970 UTC; -1 where there is none. Those without a zone are UTC.

    Plain numbers are seconds, ms, µs or ns by their size, all of a column by that of its median, but ns
    where the name of the column says so.
    """
    kind = column.type
    if pa.types.is_string(kind):
        column = _numbers_or_times(column)
        kind = column.type
    if pa.types.is_temporal(kind):
        aware = column.cast(pa.timestamp("ns")) if pa.types.is_date(kind) else column
        in_ns = aware.cast(pa.timestamp("ns", aware.type.tz), safe=False)
        found: NDArray[np.int64] = pc.fill_null(in_ns.cast(pa.int64()), -1).to_numpy()
    elif pa.types.is_floating(kind):
        numbers, known = floats(column)
        unit = _unit(numbers[known], name)
        # A float has not the digits for more than µs.
        known &= np.abs(numbers) < _LATEST_NS / unit
        found = np.rint(np.where(known, numbers, -1.0) * (unit / 1_000)).astype(np.int64) * 1_000
    else:
        whole, known = integers(column)
        unit = _unit(whole[known], name)
        known &= whole < (1 << 63) // unit
        found = np.where(known, whole, -1) * np.where(known, unit, 1)
    known = (found > 0) & (found < _LATEST_NS)
    return np.where(known, found, -1), known


def sides(column: pa.ChunkedArray) -> tuple[NDArray[np.int8], Mask]:
    """Aggressors: 1 buyer, -1 seller, 0 unknown; the mask is of the rows that say something we know."""
    texts = _texts(column)
    buyer, seller = np.isin(texts, _BUYER), np.isin(texts, _SELLER)
    known = buyer | seller | np.isin(texts, ("0", "0.0", "", "unknown"))
    return buyer.astype(np.int8) - seller.astype(np.int8), known


def sides_of_makers(column: pa.ChunkedArray) -> tuple[NDArray[np.int8], Mask]:
    """Aggressors from "the buyer was the maker": then the seller was the aggressor."""
    texts = _texts(column)
    maker, taker = np.isin(texts, _TRUE), np.isin(texts, _FALSE)
    return taker.astype(np.int8) - maker.astype(np.int8), maker | taker


def _texts(column: pa.ChunkedArray) -> NDArray[Any]:
    texts = pc.utf8_lower(pc.fill_null(column.cast(pa.string()), ""))
    found: NDArray[Any] = texts.to_numpy(zero_copy_only=False).astype(str)
    return found


def _parsed(column: pa.ChunkedArray, to: pa.DataType, parse: Callable[[str], Any]) -> pa.ChunkedArray:
    """Texts as numbers, null where one is none."""
    column = pc.utf8_trim_whitespace(column)
    try:
        return column.cast(to)
    except pa.ArrowInvalid:
        return pa.chunked_array([pa.array([_tried(text, parse) for text in column.to_pylist()], to)])


def _numbers_or_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as whole numbers, floats or timestamps, whichever all of them are; else each as it can be."""
    column = pc.utf8_trim_whitespace(column)
    for to in (pa.int64(), pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            return column.cast(to)
        except pa.ArrowInvalid:
            continue
    texts = column.to_pylist()
    first = next((text for text in texts if text), "")
    for to, parse in ((pa.int64(), _whole), (pa.float64(), float)):
        if _tried(first, parse) is not None:
            return pa.chunked_array([pa.array([_tried(text, parse) for text in texts], to)])
    return pa.chunked_array([pa.array([_tried(text, _instant_ns) for text in texts], pa.timestamp("ns"))])


def _tried(text: str | None, parse: Callable[[str], Any]) -> Any:
    try:
        return None if text is None else parse(text)
    except (ValueError, OverflowError):
        return None


def _whole(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError
    return number


def _instant_ns(text: str) -> int:
    time = datetime.fromisoformat(text)
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1_000


def _unit(values: NDArray[Any], name: str) -> int:
    if name.lower().endswith("ns") or not len(values):
        return 1
    middle = float(np.median(np.abs(values)))
    return next((unit for below, unit in _UNITS if middle < below), 1)
