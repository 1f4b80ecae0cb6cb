"""A day becomes one sorted file, nothing that is read changes, and nothing is removed too early."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.errors import StoreError, StoreUnreachable
from cluster.storage import schemas
from cluster.storage.compaction import Compaction, archive_day, compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import Partition, parse_data_key, period_date
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError
from jobs.s3_server import S3Server
from tests.unit.cluster.storage.lake_rows import DATE, MIDNIGHT_NS, SYMBOL, VENUE, features, record, trades


def names(store: ObjectStore, table: str = "trades") -> list[str]:
    return [info.key.rpartition("/")[2] for info in store.list(f"{table}/")]


def compact(lake: Lake, table: str = "trades") -> Compaction:
    return compact_day(lake, table, VENUE, SYMBOL, period_date(table, MIDNIGHT_NS))


def stored(store: ObjectStore, table: str = "trades") -> pq.ParquetFile:
    """The one file of the table."""
    (info,) = store.list(f"{table}/")
    return pq.ParquetFile(pa.BufferReader(store.get(info.key)))


def test_many_files_become_one_that_is_sorted_and_says_what_it_replaces(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.put_epoch(record(1, 0))
    lake.put_epoch(record(4, 4))
    at = [MIDNIGHT_NS + second for second in (5, 3, 3, 1)]
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1, 2, 3], ts_ns=at))
    lake.write(
        "trades", VENUE, SYMBOL, 4, trades([4, 5, None, None], ts_ns=at, trade_id=[104, 105, 900, 100])
    )
    before = names(store)
    size = sum(info.size for info in store.list("trades/"))
    done = compact(lake)
    assert done == Compaction(
        Partition("trades", VENUE, SYMBOL, DATE),
        True,
        2,
        1,
        7,
        size,
        done.bytes_after,
        superseded=0,
        duplicates=1,
    )
    file = stored(store)
    (info,) = store.list("trades/")
    assert info.size == done.bytes_after
    assert info.key.rpartition("/")[2].startswith("compact-0000000000004-000000000000-000000000005-")
    assert file.read(["ts_ns", "sequence"]).to_pylist() == [
        {"ts_ns": MIDNIGHT_NS + second, "sequence": number}
        for second, number in ((1, 3), (3, 1), (3, 2), (3, 5), (3, None), (5, 0), (5, 4))
    ]
    said = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    assert json.loads(said["tickcast.replaces"]) == sorted(before)
    assert json.loads(said["tickcast.epochs"]) == [[1, 3], [4, 2], [1, 1], [4, 1]]
    assert (said["tickcast.epoch"], said["tickcast.generation"], said["tickcast.table"]) == (
        "4",
        "1",
        "trades",
    )
    lake.verify(info.key)


@pytest.mark.parametrize("table", list(schemas.TABLES))
def test_every_table_is_read_the_same_before_and_after(store: ObjectStore, table: str) -> None:
    lake, kind = Lake(store), schemas.table(table)
    for part in (3, 1, 2, 0):
        columns = {}
        for field in kind.schema:
            number = np.arange(part * 10, part * 10 + 10)
            if pa.types.is_string(field.type):
                columns[field.name] = pa.array(["gap" if i % 3 else "ö" for i in number])
            elif pa.types.is_list(field.type):
                columns[field.name] = pa.array([["a", ""][: i % 3] for i in number], pa.list_(pa.string()))
            elif pa.types.is_boolean(field.type):
                columns[field.name] = pa.array(number % 2 == 0)
            elif field.name == kind.time:
                columns[field.name] = pa.array(MIDNIGHT_NS + number)
            else:
                columns[field.name] = pa.array(number).cast(field.type)
        lake.write(table, VENUE, SYMBOL, 1, pa.table(columns))
    before = lake.read(table, VENUE, SYMBOL)
    assert before.num_rows == 40
    assert compact(lake, table).rows == 40
    assert lake.read(table, VENUE, SYMBOL) == before
    assert stored(store, table).schema_arrow.equals(before.schema)
    number = stored(store, table).read([kind.order[0]]).column(0).to_pylist()
    assert number == sorted(number)


def test_a_compacted_day_is_left_alone_until_something_comes(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1]))
    compact(lake)
    (only,) = names(store)
    done = compact(lake)
    assert (done.compacted, done.files_before, done.files_after) == (False, 1, 1)
    lake.write("trades", VENUE, SYMBOL, 1, trades([None], trade_id=[7]))
    assert compact(lake).rows == 3
    (newer,) = names(store)
    said = stored(store).metadata.metadata
    assert only in json.loads(said[b"tickcast.replaces"])
    assert said[b"tickcast.generation"] == b"2"
    assert newer != only
    assert compact_day(lake, "trades", VENUE, SYMBOL, "2020-01-01") == Compaction(
        Partition("trades", VENUE, SYMBOL, "2020-01-01")
    )


def test_a_file_that_comes_again_after_it_was_replaced_is_ignored_and_removed(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.write("features", VENUE, SYMBOL, 1, features([1, 2]))
    compact(lake, "features")
    compacted = names(store, "features")
    lake.write("features", VENUE, SYMBOL, 1, features([1, 2]))
    assert lake.read("features", VENUE, SYMBOL)["sequence"].to_pylist() == [1, 2]
    done = compact(lake, "features")
    assert (done.compacted, done.files_before, done.files_after) == (False, 2, 1)
    assert names(store, "features") == compacted


def test_an_epoch_that_is_recorded_later_is_obeyed_and_compacted_in(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1, 2, 3], trade_id=[10, 11, 12, None]))
    lake.write("features", VENUE, SYMBOL, 1, features([2, 3]))
    for table in ("trades", "features"):
        compact(lake, table)
    lake.put_epoch(record(2, 2))
    for _ in range(2):
        rows = lake.read("trades", VENUE, SYMBOL).to_pylist()
        assert [(row["trade_id"], row["sequence"]) for row in rows] == [(10, 0), (11, 1), (12, None)]
        assert lake.read("features", VENUE, SYMBOL).num_rows == 0
        assert compact(lake, "trades").rows in (3, 0)
        compact(lake, "features")
    assert stored(store).read(["sequence"]).column(0).to_pylist() == [0, 1, None]
    (empty,) = names(store, "features")
    assert empty.startswith("compact-0000000000001-late-")
    assert (compact(lake).compacted, compact(lake, "features").compacted) == (False, False)
    assert lake.end(VENUE, SYMBOL) == 2


def test_compacting_twice_from_the_same_files_gives_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for place in ("one", "two"):
        store = open_store(StoreSpec(uri=str(tmp_path / place)))
        store.prepare()
        lake = Lake(store)
        for start in (0, 400, 200):
            lake.write("trades", VENUE, SYMBOL, 1, trades(list(range(start, start + 200))))
        compact(lake)
        made.append(next(store.list("trades/")))
    assert (made[0].key, made[0].size) == (made[1].key, made[1].size)


def test_a_trade_that_was_fed_twice_stays_in_the_stream_twice_and_is_shown_once(store: ObjectStore) -> None:
    lake = Lake(store)
    lake.write("trades", VENUE, SYMBOL, 1, trades([0, 1, 2], trade_id=[7, 8, 7]))
    for _ in range(2):
        assert lake.read("trades", VENUE, SYMBOL)["sequence"].to_pylist() == [0, 1]
        assert [len(ticks) for _, ticks in lake.ticks(VENUE, SYMBOL)] == [3]
        compact(lake)


def test_a_damaged_file_is_named_and_everything_stays_as_it_is(store: ObjectStore) -> None:
    lake = Lake(store)
    (good,) = lake.write("trades", VENUE, SYMBOL, 1, trades([0]))
    (bad,) = lake.write("trades", VENUE, SYMBOL, 1, trades([1]))
    data = store.get(bad)
    # A byte of the footer, which no checksum of Parquet covers.
    store.put(bad, data[:-30] + bytes([data[-30] ^ 1]) + data[-29:])
    with pytest.raises(DataError, match=f"{bad}: the file is damaged: its bytes have another digest"):
        compact(lake)
    assert names(store) == sorted(key.rpartition("/")[2] for key in (good, bad))


def test_a_full_disk_is_an_error_that_says_where(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(store)
    lake.write("trades", VENUE, SYMBOL, 1, trades([0]))
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(StoreError, match="/nowhere: merging failed: No such file or directory; make room"):
        compact(lake)


def test_files_of_others_in_the_store_are_left_alone(store: ObjectStore) -> None:
    lake = Lake(store)
    (key,) = lake.write("trades", VENUE, SYMBOL, 1, trades([0]))
    other = f"{key.rpartition('/')[0]}/notes.txt"
    store.put(other, b"mine")
    compact(lake)
    assert store.get(other) == b"mine"
    assert lake.read("trades", VENUE, SYMBOL).num_rows == 1


def test_a_date_that_is_none_is_refused(store: ObjectStore) -> None:
    with pytest.raises(DataError, match="'today' is no date"):
        compact_day(Lake(store), "trades", VENUE, SYMBOL, "today")


def test_only_one_compacted_file_goes_to_the_archive(store: ObjectStore) -> None:
    lake = Lake(store)
    partition = Partition("trades", VENUE, SYMBOL, DATE)
    lake.write("trades", VENUE, SYMBOL, 1, trades([0]))
    assert not archive_day(lake, partition)
    compact(lake)
    assert archive_day(lake, partition)
    (key,) = [info.key for info in store.list() if parse_data_key(info.key)]
    assert key.startswith(f"archive/{partition.prefix}compact-")


def test_a_compaction_whose_server_dies_is_finished_by_the_next_one(tmp_path: Path) -> None:
    with S3Server(tmp_path) as server:
        store = open_store(server.spec("lake", retries=0))
        store.prepare()
        lake = Lake(store)
        for number in range(4):
            lake.write("trades", VENUE, SYMBOL, 1, trades([number], trade_id=[number]))
        before = lake.read("trades", VENUE, SYMBOL)
        publish = store.put_file

        def dying(key: str, path: Path) -> None:
            publish(key, path)
            server.kill()

        store.put_file = dying  # type: ignore[method-assign]
        with pytest.raises(StoreUnreachable):
            compact(lake)
        server.start()
        assert len(names(store)) == 5
        assert Lake(store).read("trades", VENUE, SYMBOL) == before
        done = compact(Lake(store))
        assert (done.compacted, done.files_before, done.files_after) == (False, 5, 1)
        assert Lake(store).read("trades", VENUE, SYMBOL) == before


_LARGE = """
import resource, sys
from cluster.storage.compaction import compact_day
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec

lake = Lake(open_store(StoreSpec(uri=sys.argv[1])))
lake.symbols()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = compact_day(lake, "trades", "binance", "BTC/USDT", "2024-08-09")
print(done.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_day_is_compacted_in_bounded_memory(tmp_path: Path) -> None:
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    lake, n, files = Lake(store), 2_000_000, 20
    draw = np.random.default_rng(0)
    for part in np.split(np.arange(n, dtype=np.int64), files):
        at = MIDNIGHT_NS + part * 10**6 + draw.integers(-(10**9), 10**9, len(part))
        at = np.maximum(at, MIDNIGHT_NS)
        rows = {"ts_ns": at, "received_ns": at, "trade_id": part, "price": draw.random(len(part))}
        more = {"size": draw.random(len(part)), "side": np.ones(len(part), np.int8)}
        lake.write("trades", VENUE, SYMBOL, 1, pa.table({"sequence": part, **rows, **more}))
    run = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path / "lake")], capture_output=True, text=True, check=True
    )
    rows, grown_kib = map(int, run.stdout.split())
    assert rows == n
    # All rows at once, with their sort, would be above 250 MB.
    assert grown_kib < 200 * 1024
    stored_file = stored(store)
    assert stored_file.metadata.num_row_groups == -(-n // 131_072)
    times = stored_file.read(["ts_ns"]).column(0).to_numpy()
    assert bool(np.all(times[1:] >= times[:-1]))
    assert sum(len(ticks) for _, ticks in lake.ticks(VENUE, SYMBOL)) == n
