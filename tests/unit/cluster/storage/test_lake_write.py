"""What is written is exact, whole, and the same however often; what is not of its table is refused."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import ObjectMissing
from cluster.storage import layout, schemas
from cluster.storage.lake import Lake
from cluster.storage.lake_reader import LakeReader
from cluster.storage.layout import parse_data_key
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.parquet_files import FileAccess
from cluster.storage.store_spec import StoreSpec
from features.bars import BAR_COLUMNS
from features.errors import DataError
from features.forecast import Answer, Forecast
from tests.unit.cluster.storage.lake_rows import (
    DATE,
    DATE_BEFORE,
    MIDNIGHT_NS,
    SYMBOL,
    VENUE,
    features,
    record,
    trades,
)

DOCS = Path(__file__).parents[4] / "docs" / "lake.md"


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    """A lake on a folder, for what does not depend on the store."""
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    return Lake(store)


def path_of(lake: Lake, key: str) -> Path:
    return Path(lake.store.uri) / key


def test_a_write_over_midnight_is_a_file_for_each_day_named_by_what_is_in_it(store: ObjectStore) -> None:
    lake = Lake(store)
    rows = trades([None, 7, 5, 6], ts_ns=[MIDNIGHT_NS - 1, MIDNIGHT_NS, MIDNIGHT_NS - 2, MIDNIGHT_NS + 1])
    keys = lake.write("trades", VENUE, SYMBOL, 3, rows)
    files = [parse_data_key(key) for key in keys]
    assert [(f.partition.date, f.epoch, f.first, f.last) for f in files if f] == [
        (DATE_BEFORE, 3, 5, 5),
        (DATE, 3, 6, 7),
    ]
    for key, file in zip(keys, files, strict=True):
        assert file is not None
        assert hashlib.sha256(store.get(key)).hexdigest().startswith(file.digest)
        lake.verify(key)
    assert [info.key for info in store.list()] == sorted(keys)
    assert lake.read("trades", VENUE, SYMBOL)["sequence"].to_pylist() == [5, None, 7, 6]


def test_rows_without_a_sequence_are_in_a_late_file(folder_lake: Lake) -> None:
    (key,) = folder_lake.write("trades", VENUE, SYMBOL, 3, trades([None, None]))
    assert re.search(r"/0000000000003-late-[0-9a-f]{16}\.parquet$", key)


def test_the_same_rows_are_the_same_file_however_they_come(store: ObjectStore) -> None:
    lake = Lake(store)
    rows = trades(list(range(50)))
    keys = lake.write("trades", VENUE, SYMBOL, 1, rows)
    pieces = pa.concat_tables([rows.slice(0, 7), rows.slice(7)])
    other_form = pieces.select(list(reversed(rows.column_names))).cast(
        pa.schema(
            [
                (name, pa.float32() if name == "size" else rows.schema.field(name).type)
                for name in reversed(rows.column_names)
            ]
        )
    )
    assert lake.write("trades", VENUE, SYMBOL, 1, other_form) == keys
    assert [info.key for info in store.list()] == keys
    assert lake.write("trades", VENUE, SYMBOL, 2, rows) != keys


def test_no_rows_are_no_file(folder_lake: Lake) -> None:
    assert folder_lake.write("trades", VENUE, SYMBOL, 1, trades([])) == []


def test_every_bit_of_a_number_comes_back(store: ObjectStore) -> None:
    odd = [0.1, -0.0, 5e-324, 1.7976931348623157e308, float("inf"), -float("inf"), float("nan"), 1 / 3]
    ids = [2**63 - 1, 0, None, 2**53 + 1, 1, 2, 3, 4]
    lake = Lake(store)
    rows = trades(list(range(8)), price=odd, size=odd[::-1], trade_id=ids, received_ns=[-(2**63)] * 8)
    lake.write("trades", VENUE, SYMBOL, 1, rows)
    found = lake.read("trades", VENUE, SYMBOL, verify=True)
    assert found["trade_id"].to_pylist() == ids
    assert found["received_ns"].to_pylist() == [-(2**63)] * 8
    for name, wrote in (("price", odd), ("size", odd[::-1])):
        said = found[name].to_pylist()
        assert [value is None for value in said] == [value != value for value in wrote]
        bits = [struct.pack("<d", value) for value in said if value is not None]
        assert bits == [struct.pack("<d", value) for value in wrote if value == value]


def test_a_file_says_what_it_is_and_has_checksums_and_statistics(folder_lake: Lake) -> None:
    (key,) = folder_lake.write("quotes", VENUE, SYMBOL, 9, quotes(3))
    file = pq.ParquetFile(path_of(folder_lake, key))
    assert {name.decode(): value.decode() for name, value in file.metadata.metadata.items()} == {
        "tickcast.table": "quotes",
        "tickcast.version": "2",
        "tickcast.epoch": "9",
        "tickcast.venue": VENUE,
        "tickcast.symbol": SYMBOL,
    }
    column = file.metadata.row_group(0).column(1)
    assert (column.path_in_schema, column.compression) == ("ts_ns", "ZSTD")
    assert (column.statistics.min, column.statistics.max) == (MIDNIGHT_NS, MIDNIGHT_NS + 2)


def quotes(n: int) -> pa.Table:
    at = MIDNIGHT_NS + np.arange(n)
    book = {name: np.full(n, 1.5) for name in ("bid", "ask", "bid_size", "ask_size")}
    return pa.table({"sequence": np.arange(n), "ts_ns": at, "received_ns": at, **book})


@pytest.mark.parametrize(
    ("table", "rows", "says"),
    [
        ("trade", trades([1]), "the lake has no table 'trade'; use one of: trades, quotes, marks, bars,"),
        ("trades", trades([1]).drop(["price"]), "rows of trades: price is missing; give every column"),
        ("trades", trades([1], colour=["red"]), "rows of trades: colour is no column; see docs/lake.md"),
        ("trades", trades([1], price=["red"]), "column price of trades: holds string, which is no double"),
        ("trades", trades([1], side=[300]), "column side of trades: holds int64, which is no int8"),
        ("trades", trades([1], ts_ns=pa.array([None], pa.int64())), "column ts_ns of trades: holds 1 nulls"),
        (
            "marks",
            quotes(1)
            .select(["ts_ns", "received_ns"])
            .append_column("sequence", pa.nulls(1, pa.int64()))
            .append_column("kind", [["gap"]])
            .append_column("slot", pa.nulls(1, pa.int64()))
            .append_column("version", pa.nulls(1, pa.int64())),
            "column sequence of marks:",
        ),
        ("features", features([1], ema=["x"]), "column ema of features: holds string, which is no double"),
    ],
)
def test_rows_that_are_not_of_their_table_are_refused_whole(
    folder_lake: Lake, table: str, rows: pa.Table, says: str
) -> None:
    with pytest.raises(DataError) as error:
        folder_lake.write(table, VENUE, SYMBOL, 1, rows)
    assert str(error.value).startswith(says)
    assert list(folder_lake.store.list()) == []


@pytest.mark.parametrize(("venue", "symbol", "epoch"), [("", SYMBOL, 1), (VENUE, "", 1), (VENUE, SYMBOL, -1)])
def test_rows_of_nobody_are_refused(folder_lake: Lake, venue: str, symbol: str, epoch: int) -> None:
    with pytest.raises(DataError, match="lake: "):
        folder_lake.write("trades", venue, symbol, epoch, trades([1]))


def test_the_tables_hold_all_of_a_bar_a_forecast_and_an_answer() -> None:
    asked = [one.name for one in fields(Forecast) if one.name != "symbol"]
    assert schemas.table("forecasts").schema.names == ["sequence", *asked]
    assert schemas.table("answers").schema.names == ["sequence", *(one.name for one in fields(Answer))]
    assert schemas.table("bars").schema.names[-len(BAR_COLUMNS) :] == list(BAR_COLUMNS)


def test_the_page_lists_every_table_with_its_columns_in_order() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]*\| (.*) \|$", DOCS.read_text(), re.MULTILINE))
    assert list(rows) == list(schemas.TABLES)
    for name, table in schemas.TABLES.items():
        listed = re.findall(r"`(\w+)`", rows[name])
        names = table.schema.names
        want = names[: -len(BAR_COLUMNS)] if name == "bars" else names
        assert listed == want, name
        assert f"`{table.time}`*" in rows[name]
        absent = [field.name for field in table.schema if field.nullable and field.type == pa.int64()]
        assert all(f"`{column}`?" in rows[name] for column in absent)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("store_kind", ["folder", "s3"])
def test_a_flipped_byte_is_found_wherever_it_is(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: bool,
    store_kind: str,
) -> None:
    if not whole:
        monkeypatch.setattr("cluster.storage.parquet_files.GET_WHOLE_BYTES", 0)
    spec = (
        StoreSpec(uri=str(tmp_path / "lake"))
        if store_kind == "folder"
        else request.getfixturevalue("s3_spec")
    )
    store = open_store(spec)
    store.prepare()
    lake = Lake(store)
    (key,) = lake.write("trades", VENUE, SYMBOL, 1, trades(list(range(2000))))
    good = store.get(key)
    for place in [*range(0, len(good), 97 if store_kind == "folder" else 1999), len(good) - 1]:
        store.put(key, good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        for read in (lambda: lake.verify(key), lambda: lake.read("trades", VENUE, SYMBOL, verify=True)):
            with pytest.raises(DataError) as error:
                read()
            assert str(error.value).startswith(f"{store.uri.rstrip('/')}/{key}: the file is damaged: ")
    # A page is checked even by those who don't ask for it.
    store.put(key, good[:200] + bytes([good[200] ^ 1]) + good[201:])
    with pytest.raises(DataError, match="the file is damaged"):
        LakeReader(store).read("trades", VENUE, SYMBOL)
    store.put(key, good[:-500])
    with pytest.raises(DataError, match="the file is damaged"):
        LakeReader(store).read("trades", VENUE, SYMBOL)
    store.put(key, good)
    assert lake.read("trades", VENUE, SYMBOL, verify=True).num_rows == 2000


def test_verifying_what_is_no_file_of_the_lake_says_so(folder_lake: Lake) -> None:
    with pytest.raises(DataError, match="this is no data file of the lake"):
        folder_lake.verify("epochs/venue=a/symbol=b/0000000000001.json")
    (key,) = folder_lake.write("trades", VENUE, SYMBOL, 1, trades([1]))
    folder_lake.store.delete([key])
    with pytest.raises(ObjectMissing):
        folder_lake.verify(key)


def test_a_file_of_a_newer_version_is_refused_by_name(
    folder_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer: dict[str, Any] = {
        name: getattr(schemas.table("trades"), name) for name in schemas.table("trades").__slots__
    }
    with monkeypatch.context() as later:
        tables = dict(schemas.TABLES) | {"trades": schemas.Table(**(newer | {"version": 2}))}
        later.setattr(schemas, "TABLES", tables)
        (key,) = folder_lake.write("trades", VENUE, SYMBOL, 1, trades([1]))
    with pytest.raises(DataError, match=f"{key}: the file is of version 2 of trades, newer than 1"):
        folder_lake.read("trades", VENUE, SYMBOL)


def test_epochs_are_recorded_once_each(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.put_epoch(record(20, 100))
    lake.put_epoch(record(3, 0, fresh=True))
    lake.put_epoch(replace(record(20, 100), started_ns=77))
    assert Lake(store).epochs(VENUE, SYMBOL) == [record(3, 0, fresh=True), record(20, 100)]
    assert lake.epochs(VENUE, "other") == []
    for other in (record(20, 90), record(20, 100, fresh=True)):
        with pytest.raises(DataError, match="epoch 20 has begun already, at sequence 100"):
            Lake(store).put_epoch(other)
    assert lake.epochs(VENUE, SYMBOL)[-1].first_sequence == 100


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": 1, "epoch": 3}', b'{"version": 2}'])
def test_a_record_that_is_none_is_named(folder_lake: Lake, data: bytes) -> None:
    key = layout.epoch_key(VENUE, SYMBOL, 3)
    folder_lake.store.put(key, data)
    with pytest.raises(DataError, match=key):
        folder_lake.epochs(VENUE, SYMBOL)


def test_checkpoints_come_newest_first_without_those_of_an_overruled_past(store: ObjectStore) -> None:
    lake = Lake(store)
    for epoch, first in ((1, 0), (5, 100)):
        lake.put_epoch(record(epoch, first))
    for epoch, sequence in ((1, 50), (1, 100), (1, 101), (5, 100), (5, 130)):
        lake.put_checkpoint(VENUE, SYMBOL, epoch, sequence, f"{epoch} {sequence}".encode())
    found = lake.checkpoints(VENUE, SYMBOL)
    assert [(one.epoch, one.sequence) for one in found] == [(5, 130), (5, 100), (1, 100), (1, 50)]
    assert [lake.get_checkpoint(one) for one in found] == [b"5 130", b"5 100", b"1 100", b"1 50"]
    assert {one.size for one in found} == {4, 5}
    assert lake.checkpoints(VENUE, "other") == []


def test_opening_a_file_that_is_gone_says_so(folder_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = folder_lake.write("trades", VENUE, SYMBOL, 1, trades([1]))
    file = parse_data_key(key)
    assert file is not None
    folder_lake.store.delete([key])
    for limit in (10**6, -1):
        monkeypatch.setattr("cluster.storage.parquet_files.GET_WHOLE_BYTES", limit)
        with pytest.raises(ObjectMissing):
            FileAccess(folder_lake.store).open(file)
