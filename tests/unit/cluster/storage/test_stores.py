"""What every object store guarantees, on a folder and on a real S3 server."""

from __future__ import annotations

import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest

from cluster.errors import ObjectMissing
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import DataError

_ODD_KEYS = [
    "a b/ c ",
    "a-b/x",
    "a/eq=1+2%/ü€😀.parquet",
    "a/p%20q",
    "a/~t:@!$*(),;?#[]'\"&<>|\\^`{}",
    "a/x",
    "ab",
    "b.c",
    "b/10",
    "b/2",
    "ü",
]

_NO_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden/b", "a\0b", "a\nb"]
_NO_KEYS += ["a" * 256, "/".join(["abcdefghi"] * 91), "\ud800"]


def _keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


@pytest.mark.parametrize("data", [b"", b"one", bytes(range(256)) * 5000], ids=["empty", "small", "large"])
def test_what_is_put_is_got_back(store: ObjectStore, data: bytes) -> None:
    store.put("trades/date=2024-01-01/0001.parquet", data)
    assert store.get("trades/date=2024-01-01/0001.parquet") == data


def test_another_process_that_opens_the_spec_finds_it(store: ObjectStore, spec: StoreSpec) -> None:
    store.put("a/b", b"1")
    assert open_store(pickle.loads(pickle.dumps(spec))).get("a/b") == b"1"


def test_an_object_is_replaced_whole(store: ObjectStore) -> None:
    store.put("a/b", b"a long first one")
    store.put("a/b", b"short")
    assert store.get("a/b") == b"short"
    assert [(info.key, info.size) for info in store.list()] == [("a/b", 5)]


def test_a_new_object_replaces_no_other(store: ObjectStore) -> None:
    assert store.put_new("a/b", b"1")
    assert store.put_new("a/b", b"1")  # the same again is harmless
    assert not store.put_new("a/b", b"2")
    assert store.get("a/b") == b"1"
    store.delete(["a/b"])
    assert store.put_new("a/b", b"2")
    assert _keys(store) == ["a/b"]


def test_of_several_that_create_one_object_at_once_one_does(spec: StoreSpec) -> None:
    stores = [open_store(spec) for _ in range(4)]
    stores[0].prepare()
    for number in range(3):
        key = f"versions/{number}"
        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(lambda i: stores[i].put_new(key, str(i).encode()), range(4)))  # noqa: B023
        assert won.count(True) == 1
        assert stores[3].get(key) == str(won.index(True)).encode()
    assert len(_keys(stores[0])) == 3


def test_a_listing_has_every_key_in_order_with_its_size_and_time(store: ObjectStore) -> None:
    before_ns = time.time_ns()
    for key in reversed(_ODD_KEYS):
        store.put(key, key.encode())
    found = list(store.list())
    assert [info.key for info in found] == sorted(_ODD_KEYS)
    assert [info.size for info in found] == [len(key.encode()) for key in sorted(_ODD_KEYS)]
    # S3 tells milliseconds, and a file system's clock ticks in steps.
    assert all(before_ns - 20 * 10**6 <= info.modified_ns <= time.time_ns() for info in found)
    assert [store.get(key) for key in _ODD_KEYS] == [key.encode() for key in _ODD_KEYS]


@pytest.mark.parametrize(
    "prefix", ["a", "a/", "a/eq=1+2%/", "a/eq=1+", "a/p%2", "b", "b/1", "ü", "c", "ab/", "a/x/y"]
)
def test_a_prefix_is_the_beginning_of_keys(store: ObjectStore, prefix: str) -> None:
    for key in _ODD_KEYS:
        store.put(key, b"1")
    assert _keys(store, prefix) == sorted(key for key in _ODD_KEYS if key.startswith(prefix))


def test_a_listing_goes_on_past_a_thousand_objects(store: ObjectStore) -> None:
    keys = [f"trades/{number % 7}/{number:04}" for number in range(1100)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: store.put(key, b"1"), keys))
    assert _keys(store) == sorted(keys)
    store.delete(keys)
    assert _keys(store) == []


def test_what_is_not_there_can_be_deleted(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    store.put("a/c", b"2")
    store.delete(["a/b", "a/x", "y/z", "a/b/c"])
    assert _keys(store) == ["a/c"]
    store.delete([])
    store.delete(iter(["a/c"]))
    assert _keys(store) == []


def test_what_is_not_there_cannot_be_got_or_moved(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    for key in ("nothing", "a", "a/b/c", "a/bb"):
        with pytest.raises(ObjectMissing, match=f"'{key}'"):
            store.get(key)
        with pytest.raises(ObjectMissing, match=f"'{key}'"):
            store.move(key, "other")
    assert _keys(store) == ["a/b"]


@pytest.mark.parametrize("to", ["archive/ü +%.parquet", "a/other", "b"])
def test_a_moved_object_is_under_its_new_key_only(store: ObjectStore, to: str) -> None:
    store.put("a/x y+%=.parquet", b"1")
    store.put(to, b"to be replaced")
    store.move("a/x y+%=.parquet", to)
    assert _keys(store) == [to]
    assert store.get(to) == b"1"


def test_a_move_to_the_same_key_keeps_the_object(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    store.move("a/b", "a/b")
    assert store.get("a/b") == b"1"
    with pytest.raises(ObjectMissing):
        store.move("a/c", "a/c")


def test_a_file_larger_than_a_part_is_stored_whole(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(17 * 2**20)
    path = tmp_path / "large"
    path.write_bytes(data)
    store.put_file("a/large", path)
    assert store.get("a/large") == data
    store.put("b/large", data)
    assert store.get("b/large") == data
    assert [info.size for info in store.list()] == [len(data)] * 2


def test_a_file_that_cannot_be_read_is_named(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        store.put_file("a/b", tmp_path / "nowhere")
    assert _keys(store) == []


def test_of_concurrent_puts_one_is_kept_whole(store: ObjectStore) -> None:
    # What a reader sees meanwhile is tested on the folder: rclone's server is not atomic there, S3 is.
    payloads = [bytes([number]) * (1_000_000 + number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda payload: store.put("a/b", payload), payloads * 3))
    assert store.get("a/b") in payloads
    assert _keys(store) == ["a/b"]


def test_preparing_again_changes_nothing(store: ObjectStore) -> None:
    store.put("a/b", b"1")
    store.prepare()
    assert _keys(store) == ["a/b"]
    assert store.get("a/b") == b"1"


@pytest.mark.parametrize("key", _NO_KEYS, ids=ascii)
def test_what_is_no_key_is_refused_before_anything_happens(
    store: ObjectStore, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1")
    store.put("good", b"1")
    for call in (
        lambda: store.put(key, b"1"),
        lambda: store.put_file(key, path),
        lambda: store.get(key),
        lambda: store.delete([key]),
        lambda: store.move("good", key),
        lambda: store.move(key, "good"),
    ):
        with pytest.raises(DataError, match="object key"):
            call()
    assert _keys(store) == ["good"]


@pytest.mark.parametrize("prefix", ["/", "../", "a/../b", "a//", ".", "a/.b"])
def test_a_prefix_that_no_key_can_have_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(DataError, match="object key"):
        list(store.list(prefix))


def test_parquet_is_read_by_column_through_the_file_system(store: ObjectStore, tmp_path: Path) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        path = tmp_path / "day.parquet"
        pa.parquet.write_table(pa.table({"price": [1.5, 2.5], "size": [3, 4]}), path)
        store.put_file(f"trades/symbol=BRK B/date={day}/1.parquet", path)
    filesystem, root = store.filesystem()
    path_in_it = f"{root}/trades/symbol=BRK B/date=2024-01-02/1.parquet"
    table = pa.parquet.read_table(path_in_it, filesystem=filesystem, columns=["price"], partitioning=None)
    assert table.to_pydict() == {"price": [1.5, 2.5]}
    dataset = pa.dataset.dataset(
        f"{root}/trades", filesystem=filesystem, format="parquet", partitioning="hive"
    )
    day = dataset.to_table(columns=["size", "symbol"], filter=pa.dataset.field("date") == "2024-01-01")
    assert day.to_pydict() == {"size": [3, 4], "symbol": ["BRK B", "BRK B"]}
