"""A lake with generated candles of a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from tests.bench import sources

VENUE = "generated"
SYMBOLS = 8
"""They are S0, S1 …, all alike."""
_MINUTE_NS = 60_000_000_000


@contextmanager
def minute_lake(bars: int) -> Iterator[StoreSpec]:
    """A lake with so many candles of each symbol."""
    with tempfile.TemporaryDirectory(prefix="tickcast-bench-") as folder:
        place = StoreSpec(uri=folder)
        store = open_store(place)
        store.prepare()
        lake = Lake(store)
        close, volume = sources.prices(bars)
        ends = sources.START_NS // _MINUTE_NS * _MINUTE_NS + _MINUTE_NS * np.arange(1, bars + 1)
        nothing = pa.nulls(bars, pa.int64())
        rows = {
            **dict.fromkeys(("sequence", "trades", "buy_volume", "adjustment"), nothing),
            "interval_ns": np.full(bars, _MINUTE_NS),
            "start_ns": ends - _MINUTE_NS,
            "end_ns": ends,
            "open": close,
            "high": np.round(close * 1.0005, 2),
            "low": np.round(close * 0.9995, 2),
            "close": close,
            "volume": volume,
        }
        for number in range(SYMBOLS):
            lake.write("candles", VENUE, f"S{number}", 0, pa.table(rows))
        yield place
