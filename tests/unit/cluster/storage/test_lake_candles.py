"""History in the lake: candles by year, the last written counts; quotes without a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.storage import schemas
from cluster.storage.compaction import archive_day, compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import Partition, parse_data_key
from cluster.storage.objects import ObjectStore
from cluster.storage.retention import RetentionSpec, expired
from cluster.storage.schemas import Table
from features.ticks import Kind, Ticks
from jobs.compact import CompactSpec, compact
from tests.unit.cluster.storage.lake_rows import DATE, DAY_NS, MIDNIGHT_NS, SYMBOL, VENUE, record, write_ticks
from tests.unit.features.engine_runs import market
from tests.unit.jobs.history.candle_rows import candles

NEW_YEAR_NS = 1_735_689_600 * 10**9
"""2025-01-01 00:00 UTC."""


def keys(store: ObjectStore, table: str) -> list[str]:
    return [info.key for info in store.list(f"{table}/")]


def late_quotes(bids: list[float | None], received: list[int], at_ns: int = MIDNIGHT_NS) -> pa.Table:
    n = len(bids)
    bid = pa.array(bids, pa.float64())
    ask = pa.array([None if value is None else value + 1 for value in bids], pa.float64())
    return pa.table(
        {
            "sequence": pa.nulls(n, pa.int64()),
            "ts_ns": np.full(n, at_ns),
            "received_ns": [at_ns + one for one in received],
            **{"bid": bid, "ask": ask, "bid_size": pa.nulls(n, pa.float64())},
            "ask_size": pa.nulls(n, pa.float64()),
        }
    )


def test_a_year_of_candles_is_one_partition_and_the_turn_of_the_year_cuts_a_write(store: ObjectStore) -> None:
    lake = Lake(store)
    ends = NEW_YEAR_NS + np.arange(-400, 3) * DAY_NS
    lake.write("candles", VENUE, "A", 0, candles(ends, interval_ns=DAY_NS))
    dates = [file.partition.date for key in keys(store, "candles") if (file := parse_data_key(key))]
    assert dates == ["2023-01-01", "2024-01-01", "2025-01-01"]
    rows = lake.read("candles", VENUE, "A", int(ends[300]), NEW_YEAR_NS + 1)
    assert rows["end_ns"].to_pylist() == ends[300:401].tolist()


@pytest.mark.parametrize("columns", [None, ["close"], ["end_ns", "close"]])
def test_of_candles_of_one_time_and_length_the_highest_epoch_counts(
    store: ObjectStore, columns: list[str] | None
) -> None:
    lake = Lake(store)
    ends = NEW_YEAR_NS + np.arange(1, 4) * DAY_NS
    lake.write("candles", VENUE, "A", 2, candles(ends[1:2], DAY_NS, close=[77.0]))
    lake.write("candles", VENUE, "A", 0, candles(ends, DAY_NS, close=[1.0, 2.0, 3.0]))
    lake.write("candles", VENUE, "A", 0, candles(ends[:1], 2 * DAY_NS, close=[9.0]))
    lake.write("candles", VENUE, "A", 1, candles(ends[1:], DAY_NS, close=[22.0, 33.0]))
    before = lake.read("candles", VENUE, "A", columns=columns)
    assert before["close"].to_pylist() == [1.0, 9.0, 77.0, 33.0]
    done = compact_day(lake, "candles", VENUE, "A", "2025-01-01")
    assert (done.rows, done.duplicates) == (4, 3)
    assert lake.read("candles", VENUE, "A", columns=columns) == before
    lake.write("candles", VENUE, "A", 3, candles(ends[2:], DAY_NS, close=[333.0]))
    assert lake.read("candles", VENUE, "A", columns=["close"])["close"].to_pylist()[-1] == 333.0


def test_a_year_is_settled_archived_and_expires_when_it_is_over(store: ObjectStore) -> None:
    lake = Lake(store)
    for close in (1.0, 2.0):
        lake.write("candles", VENUE, "A", 0, candles([NEW_YEAR_NS - close * DAY_NS], DAY_NS, close=[close]))
    spec = CompactSpec(tables=("candles",), archive_after_days=10)
    assert compact(lake, spec, NEW_YEAR_NS).partitions == 0
    assert compact(lake, spec, NEW_YEAR_NS + spec.settle_ns).compacted == 1
    keep = RetentionSpec(expire_days={"candles": 5})
    assert list(expired(store, keep, NEW_YEAR_NS + 5 * DAY_NS - 1)) == []
    assert len(list(expired(store, keep, NEW_YEAR_NS + 5 * DAY_NS))) == 1
    assert compact(lake, spec, NEW_YEAR_NS + 10 * DAY_NS - 1).archived == 0
    assert compact(lake, spec, NEW_YEAR_NS + 10 * DAY_NS).archived == 1
    assert lake.read("candles", VENUE, "A", archived=True).num_rows == 2
    assert not archive_day(lake, Partition("candles", VENUE, "A", "2024-01-01"))


def test_quotes_without_a_sequence_are_read_by_time_of_receipt_and_never_fed(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.put_epoch(record(1, 0))
    fed = market(400, 3)
    write_ticks(lake, 1, 0, fed)
    day_ns = int(fed.ts_ns[0]) // DAY_NS * DAY_NS
    quotes = lake.read("quotes", VENUE, SYMBOL).num_rows
    assert quotes > 50
    lake.write("quotes", VENUE, SYMBOL, 0, late_quotes([3.0, 1.0, 2.0, None], [2, 0, 1, 1], day_ns))
    lake.write("quotes", VENUE, SYMBOL, 0, late_quotes([7.0], [0], int(fed.ts_ns[200])))
    before = lake.read("quotes", VENUE, SYMBOL)
    assert before.num_rows == quotes + 5
    assert before["bid"].to_pylist()[:4] == [1.0, 2.0, None, 3.0]
    assert_fed(lake, fed)
    dates = {file.partition.date for key in keys(store, "quotes") if (file := parse_data_key(key))}
    for date in dates:
        assert compact_day(lake, "quotes", VENUE, SYMBOL, date).compacted
    assert lake.read("quotes", VENUE, SYMBOL, verify=True) == before
    assert lake.read("quotes", VENUE, SYMBOL, columns=["bid"])["bid"] == before["bid"]
    assert_fed(lake, fed)


def assert_fed(lake: Lake, fed: Ticks) -> None:
    got = Ticks.concat([ticks for _, ticks in lake.ticks(VENUE, SYMBOL)])
    assert int((got.kind == Kind.QUOTE).sum()) > 50
    assert got.to_bytes() == fed.to_bytes()


def test_quotes_of_the_version_before_are_read_and_compacted(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, now = Lake(store), schemas.TABLES["quotes"]
    numbered = late_quotes([1.0, 2.0], [0, 1]).set_column(0, "sequence", pa.array([4, 5], pa.int64()))
    (field, *others) = now.schema
    old = Table("quotes", pa.schema([field.with_nullable(False), *others]), "ts_ns", is_stream=True)
    assert old.version == 1

    def as_it_was(name: str, table: Any = schemas.table) -> Table:
        return old if name == "quotes" else table(name)

    with monkeypatch.context() as patch:
        patch.setattr(schemas, "table", as_it_was)
        (key,) = lake.write("quotes", VENUE, SYMBOL, 1, numbered)
    said = pq.ParquetFile(pa.BufferReader(store.get(key)))
    assert said.metadata.metadata[b"tickcast.version"] == b"1"
    assert not said.schema_arrow.field("sequence").nullable
    lake.write("quotes", VENUE, SYMBOL, 1, late_quotes([3.0], [2]))
    before = lake.read("quotes", VENUE, SYMBOL)
    assert before["sequence"].to_pylist() == [4, 5, None]
    assert compact_day(lake, "quotes", VENUE, SYMBOL, DATE).rows == 3
    assert lake.read("quotes", VENUE, SYMBOL) == before
