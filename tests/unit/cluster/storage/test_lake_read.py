"""Reading gives what was asked for, sorted, each row once, and fetches no more than it must."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from cluster.storage.compaction import archive_day, compact_day
from cluster.storage.lake import Lake
from cluster.storage.lake_reader import LakeReader
from cluster.storage.layout import Partition, parse_data_key
from cluster.storage.objects import ObjectInfo, ObjectStore
from cluster.storage.parquet_files import FileAccess
from features.errors import DataError
from tests.unit.cluster.storage.lake_rows import (
    DATE,
    DATE_BEFORE,
    DAY_NS,
    MIDNIGHT_NS,
    SYMBOL,
    VENUE,
    features,
    record,
    trades,
)


class Watched:
    """A store that notes what is fetched and listed."""

    def __init__(self, below: ObjectStore) -> None:
        self._below = below
        self.fetched: list[str] = []
        self.listed: list[str] = []

    def get(self, key: str) -> bytes:
        self.fetched.append(key)
        return self._below.get(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.listed.append(prefix)
        return self._below.list(prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


@pytest.fixture
def lake(store: ObjectStore) -> Lake:
    """Three days of trades of two symbols, and of one of them at another venue."""
    made = Lake(store)
    for day in range(3):
        at = [MIDNIGHT_NS + day * DAY_NS + second * 10**9 for second in range(3)]
        for symbol in ("A", "B"):
            made.write("trades", VENUE, symbol, 1, trades([3 * day, 3 * day + 1, 3 * day + 2], ts_ns=at))
    made.write("trades", "coinbase", "A", 1, trades([0]))
    return made


def test_only_the_days_and_symbols_asked_for_are_fetched(lake: Lake) -> None:
    watched = Watched(lake.store)
    day = MIDNIGHT_NS + DAY_NS
    rows = LakeReader(watched).read("trades", VENUE, ["A"], day + 10**9, day + DAY_NS)
    assert rows["sequence"].to_pylist() == [4, 5]
    fetched = [key for key in watched.fetched if key.startswith("trades/")]
    assert [key.split("/")[1:4] for key in fetched] == [["venue=binance", "symbol=A", "date=2024-08-10"]]
    assert all("symbol=A/" in prefix for prefix in watched.listed)
    assert all(
        prefix.endswith("date=2024-08-10") for prefix in watched.listed if prefix.startswith("trades/")
    )


def test_spans_of_time_begin_with_their_start_and_end_before_their_end(lake: Lake) -> None:
    def numbers(start: int | None, end: int | None) -> list[int]:
        return lake.read("trades", VENUE, "A", start, end)["sequence"].to_pylist()  # type: ignore[no-any-return]

    second, day = MIDNIGHT_NS + 10**9, MIDNIGHT_NS + DAY_NS
    assert numbers(None, None) == list(range(9))
    assert numbers(second, None) == list(range(1, 9))
    assert numbers(None, second) == [0]
    assert numbers(second, second + 1) == [1]
    assert numbers(second, second) == []
    assert numbers(second + 1, day + 1) == [2, 3]
    assert numbers(day, day + DAY_NS) == [3, 4, 5]
    assert numbers(MIDNIGHT_NS - DAY_NS, MIDNIGHT_NS) == []


def test_several_symbols_come_one_after_the_other_with_their_names(lake: Lake) -> None:
    both = lake.read("trades", VENUE, ["B", "A"])
    assert both.column_names[:3] == ["venue", "symbol", "sequence"]
    assert pa.types.is_dictionary(both.schema.field("symbol").type)
    assert both["symbol"].to_pylist() == ["A"] * 9 + ["B"] * 9
    assert both["sequence"].to_pylist() == [*range(9), *range(9)]
    every = lake.read("trades", columns=["symbol", "sequence", "venue"])
    assert every.column_names == ["symbol", "sequence", "venue"]
    found = list(zip(every["symbol"].to_pylist(), every["venue"].to_pylist(), strict=True))
    assert found == [("A", "binance")] * 9 + [("A", "coinbase")] + [("B", "binance")] * 9
    assert set(lake.read("trades", symbols="A")["venue"].to_pylist()) == {"binance", "coinbase"}
    assert lake.read("trades", VENUE, "A").column_names == trades([0]).column_names
    assert lake.symbols() == {(VENUE, "A"), (VENUE, "B"), ("coinbase", "A")}


def test_what_is_not_there_is_a_table_without_rows(lake: Lake) -> None:
    assert lake.read("trades", VENUE, "C").schema == lake.read("trades", VENUE, "A").schema
    nothing = lake.read("bars", columns=["symbol", "close"])
    assert (nothing.num_rows, nothing.column_names) == (0, ["symbol", "close"])
    assert lake.read("features", VENUE, "A", columns=["ema:20"]).column_names == ["ema:20"]
    assert lake.end(VENUE, "C") == 0


def test_what_can_not_be_asked_is_refused(lake: Lake) -> None:
    with pytest.raises(DataError, match="the lake has no table 'ledger'; use one of: trades, quotes"):
        lake.read("ledger")
    with pytest.raises(DataError, match="trades has no column 'prise'; it has sequence, ts_ns"):
        lake.read("trades", columns=["prise"])
    lake.write("features", VENUE, "A", 1, features([1], **{"ema:20": [1.0]}))
    with pytest.raises(DataError, match="features has no column 'ema:21' at these times"):
        lake.read("features", columns=["ema:21"])


def test_columns_do_not_change_what_rows_there_are(lake: Lake) -> None:
    lake.put_epoch(record(1, 0, "A"))
    lake.put_epoch(record(2, 4, "A"))
    lake.write("trades", VENUE, "A", 2, trades([4], trade_id=[108], price=[7.0]))
    lake.write("trades", VENUE, "A", 2, trades([None, None], trade_id=[101, 555], price=[9.0, 8.0]))
    whole = lake.read("trades", VENUE, "A")
    assert whole["sequence"].to_pylist() == [0, 4, None, 1, 2, 3, *[None] * 5]
    for columns in (["price"], ["side", "ts_ns"], ["trade_id"]):
        assert lake.read("trades", VENUE, "A", columns=columns) == whole.select(columns)


def test_features_that_come_and_go_are_null_where_they_were_not(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.write("features", VENUE, SYMBOL, 1, features([1, 2], **{"a": [1.0, 2.0]}))
    late = features([3], **{"b": [3.0]})
    lake.write("features", VENUE, SYMBOL, 2, late.set_column(1, "end_ns", [[MIDNIGHT_NS + 10**10]]))
    for _ in range(2):
        rows = lake.read("features", VENUE, SYMBOL)
        assert rows.column_names == ["sequence", "end_ns", "a", "b"]
        assert rows["a"].to_pylist() == [1.0, 2.0, None]
        assert rows["b"].to_pylist() == [None, None, 3.0]
        compact_day(lake, "features", VENUE, SYMBOL, DATE)


def test_only_row_groups_and_columns_asked_for_are_fetched_of_a_large_file(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, n = Lake(store), 300_000
    at = [MIDNIGHT_NS + i for i in range(n)]
    lake.write("trades", VENUE, SYMBOL, 1, trades(list(range(n)), ts_ns=at))
    monkeypatch.setattr("cluster.storage.parquet_files.GET_WHOLE_BYTES", 0)
    fetched: list[int] = []
    from cluster.storage.parquet_files import LakeFile

    whole = LakeFile.read

    def noting(self: LakeFile, groups: Any, columns: Any = None) -> pa.Table:
        fetched.extend(group.index for group in groups)
        return whole(self, groups, columns)

    monkeypatch.setattr(LakeFile, "read", noting)
    rows = lake.read("trades", VENUE, SYMBOL, MIDNIGHT_NS + 131_072, MIDNIGHT_NS + 131_080, ["sequence"])
    assert rows["sequence"].to_pylist() == list(range(131_072, 131_080))
    assert fetched == [1]


def test_the_end_of_the_stream_is_one_past_the_highest_sequence_that_counts(store: ObjectStore) -> None:
    lake = Lake(store)
    assert lake.end(VENUE, SYMBOL) == 0
    lake.put_epoch(record(1, 0))
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1, 2, 5]))
    lake.write("marks", VENUE, SYMBOL, 1, marks([3, 4]))
    lake.write("trades", VENUE, SYMBOL, 1, trades([None]))
    lake.write("features", VENUE, SYMBOL, 1, features([90]))
    assert lake.end(VENUE, SYMBOL) == 6
    assert lake.end(VENUE, SYMBOL, ["features"]) == 91
    assert lake.end(VENUE, SYMBOL, ["marks"]) == 5
    lake.put_epoch(record(2, 4))
    assert lake.end(VENUE, SYMBOL) == 4
    assert lake.end(VENUE, SYMBOL, ["features"]) == 0
    lake.write("trades", VENUE, SYMBOL, 1, trades([6, 7]))
    assert lake.end(VENUE, SYMBOL) == 4
    lake.write("marks", VENUE, SYMBOL, 2, marks([4]))
    assert lake.end(VENUE, SYMBOL) == 5
    for table in ("trades", "marks"):
        compact_day(lake, table, VENUE, SYMBOL, DATE)
        assert lake.end(VENUE, SYMBOL) == 5
        assert archive_day(lake, Partition(table, VENUE, SYMBOL, DATE))
        assert lake.end(VENUE, SYMBOL) == 5
    assert lake.read("trades", VENUE, SYMBOL).num_rows == 0
    assert lake.symbols() == {(VENUE, SYMBOL)}


def marks(sequence: list[int]) -> pa.Table:
    at = [MIDNIGHT_NS] * len(sequence)
    kinds = ["heartbeat"] * len(sequence)
    none = pa.nulls(len(sequence), pa.int64())
    clocks = {"sequence": sequence, "ts_ns": at, "received_ns": at}
    return pa.table(clocks | {"kind": kinds, "slot": none, "version": none})


def test_superseded_trades_become_late_fills_once_and_other_rows_go(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.put_epoch(record(1, 0))
    lake.put_epoch(record(2, 2))
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1, 2, 3, 4], trade_id=[10, 11, 12, 13, None]))
    lake.write("trades", VENUE, SYMBOL, 2, trades([2, 3], trade_id=[14, 12]))
    lake.write("features", VENUE, SYMBOL, 1, features([1, 2]))
    for _ in range(2):
        rows = lake.read("trades", VENUE, SYMBOL).to_pylist()
        found = {row["trade_id"]: row["sequence"] for row in rows}
        assert (found, len(rows)) == ({10: 0, 11: 1, 13: None, 14: 2, 12: 3}, 5)
        assert lake.read("features", VENUE, SYMBOL)["sequence"].to_pylist() == [1]
        for table in ("trades", "features"):
            compact_day(lake, table, VENUE, SYMBOL, DATE)


def test_archived_days_are_read_when_asked_for(lake: Lake) -> None:
    compact_day(lake, "trades", VENUE, "A", DATE)
    before = lake.read("trades", VENUE, "A")
    assert archive_day(lake, Partition("trades", VENUE, "A", DATE))
    assert lake.read("trades", VENUE, "A")["sequence"].to_pylist() == list(range(3, 9))
    assert lake.read("trades", VENUE, "A", archived=True) == before
    assert not archive_day(lake, Partition("trades", VENUE, "A", DATE))
    assert not archive_day(lake, Partition("trades", VENUE, "A", DATE_BEFORE))
    assert not archive_day(lake, Partition("trades", VENUE, "B", DATE))
    # A copy of what was archived that a slow writer brings again, and a trade that came later.
    lake.write("trades", VENUE, "A", 1, trades([0, 1, 2], ts_ns=[MIDNIGHT_NS + s * 10**9 for s in range(3)]))
    lake.write("trades", VENUE, "A", 1, trades([None], trade_id=[7]))
    assert lake.read("trades", VENUE, "A", archived=True).num_rows == before.num_rows + 1


def test_nothing_of_pythons_is_left_to_the_threads_of_arrow(lake: Lake) -> None:
    # The last of them to let go of a Python object while the interpreter ends aborts the process.
    (key,) = lake.write("trades", VENUE, SYMBOL, 1, trades([1, 2, 3]))
    file = parse_data_key(key)
    assert file is not None
    data = lake.store.get(key)

    class Held:
        def get(self, key: str) -> bytes:
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(lake.store, name)

    before = sys.getrefcount(data)
    opened = FileAccess(Held()).open(file, verify=True)
    assert opened.read(opened.groups("ts_ns")).num_rows == 3
    assert sys.getrefcount(data) == before
