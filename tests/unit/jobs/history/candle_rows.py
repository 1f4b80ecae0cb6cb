"""Candles for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cluster.storage import schemas
from cluster.storage.schemas import conform

MINUTE_NS = 60 * 10**9
START_NS = 1_723_161_600 * 10**9
"""2024-08-09 00:00 UTC."""


def candles(end_ns: Any, interval_ns: int = MINUTE_NS, **columns: Any) -> pa.Table:
    """Rows of the lake's table that end at these times; what is not given is made up from the row number."""
    ends = np.asarray(end_ns, np.int64)
    n = len(ends)
    open_ = 100.0 + np.arange(n)
    found: dict[str, Any] = {
        "sequence": pa.nulls(n, pa.int64()),
        "interval_ns": np.full(n, interval_ns),
        "start_ns": ends - interval_ns,
        "end_ns": ends,
        "open": open_,
        "high": open_ + 2.0,
        "low": open_ - 1.0,
        "close": open_ + 1.0,
        "volume": np.full(n, 2.0),
        "trades": pa.nulls(n, pa.int64()),
        "buy_volume": pa.nulls(n, pa.float64()),
        "adjustment": pa.nulls(n, pa.float64()),
    }
    return conform(schemas.table("candles"), pa.table(found | columns))
