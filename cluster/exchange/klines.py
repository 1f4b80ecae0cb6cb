"""Klines (bars) of what has been published, as `GET /api/v3/klines` shows them.

Intervals and the twelve fields: binance-spot-api-docs `rest-api.md`. An interval without a trade
repeats the close before it with volume 0; there are none before the first trade.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.exchange.history import History
from cluster.exchange.wire import decimal

_SECOND_NS = 1_000_000_000
_WEEK_OFFSET_NS = 4 * 86_400 * _SECOND_NS  # 1970-01-05 was the first Monday
_FIXED_NS = {
    **{f"{n}s": n * _SECOND_NS for n in (1,)},
    **{f"{n}m": n * 60 * _SECOND_NS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * 3_600 * _SECOND_NS for n in (1, 2, 4, 6, 8, 12)},
    **{f"{n}d": n * 86_400 * _SECOND_NS for n in (1, 3)},
    "1w": 7 * 86_400 * _SECOND_NS,
}
INTERVALS: tuple[str, ...] = (*_FIXED_NS, "1M")


def interval_at(interval: str, ts_ns: int) -> int:
    """The number of the interval that holds an instant."""
    if interval == "1M":
        return int(np.int64(ts_ns).astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64))
    offset = _WEEK_OFFSET_NS if interval == "1w" else 0
    return (ts_ns - offset) // _FIXED_NS[interval]


def interval_start_ns(interval: str, number: int) -> int:
    """When an interval opens."""
    if interval == "1M":
        return int(np.int64(number).astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64))
    offset = _WEEK_OFFSET_NS if interval == "1w" else 0
    return number * _FIXED_NS[interval] + offset


def klines(
    history: History,
    interval: str,
    start_ns: int | None,
    end_ns: int | None,
    limit: int,
    clock_ns: int,
    unit_ns: int,
) -> list[list[Any]]:
    """At most `limit` klines that open in [start_ns, end_ns]: the oldest of them if a start is given,
    else the newest.

    `clock_ns` is the exchange's time: the kline it falls into is the last one and still open.
    `unit_ns` is the unit of the times in the answer.
    """
    if not len(history):
        return []
    first = interval_at(interval, int(history.ts_ns[0]))
    last = interval_at(interval, max(clock_ns, int(history.ts_ns[-1])))
    if start_ns is not None:
        number = interval_at(interval, start_ns)
        first = max(first, number if interval_start_ns(interval, number) >= start_ns else number + 1)
    if end_ns is not None:
        last = min(last, interval_at(interval, end_ns))
    if start_ns is not None:
        last = min(last, first + limit - 1)
    else:
        first = max(first, last - limit + 1)
    starts = [interval_start_ns(interval, number) for number in range(first, last + 2)]
    rows = np.searchsorted(history.ts_ns, np.array(starts, dtype=np.int64), side="left")
    return [
        _kline(history, int(rows[i]), int(rows[i + 1]), starts[i] // unit_ns, starts[i + 1] // unit_ns - 1)
        for i in range(len(starts) - 1)
    ]


def _kline(history: History, start: int, end: int, open_time: int, close_time: int) -> list[Any]:
    """The kline of the trades at [start, end)."""
    if start == end:
        close = decimal(float(history.price[start - 1]))
        return [open_time, close, close, close, close, "0.0", close_time, "0.0", 0, "0.0", "0.0", "0"]
    price: NDArray[np.float64] = history.price[start:end]
    size: NDArray[np.float64] = history.size[start:end]
    bought = history.side[start:end] > 0
    value = price * size
    return [
        open_time,
        *(decimal(float(p)) for p in (price[0], price.max(), price.min(), price[-1])),
        decimal(float(size.sum())),
        close_time,
        decimal(float(value.sum())),
        end - start,
        decimal(float(size[bought].sum())),
        decimal(float(value[bought].sum())),
        "0",
    ]
