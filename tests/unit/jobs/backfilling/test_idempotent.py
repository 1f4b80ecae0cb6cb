"""Whatever is imported again, killed or imported in other pieces: the lake has every row once."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.compaction import compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import parse_data_key
from jobs.backfilling import run
from tests.property.lake_stores import Killed, MemoryStore, dying
from tests.unit.jobs.backfilling.imports import VENUE, backfill, refused, repaired, stored, text_file
from tests.unit.jobs.backfilling.test_checks import DAY_MS, candles
from tests.unit.jobs.backfilling.test_formats import MS


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def files(folder: Path) -> list[Path]:
    """Trades with and without ids, quotes, candles: of two symbols, over three days, with equal prints."""
    draw = random.Random(4)
    kinds: dict[str, list[str]] = {"ids": [], "prints": [], "quotes": [], "candles": []}
    for number in range(60):
        at, symbol = MS + number // 3 * DAY_MS // 8, draw.choice("AB")
        price = draw.choice(["10", "10.5"])
        kinds["ids"].append(f"{symbol},{at},{price},1,{number}")
        kinds["prints"].append(f"{symbol},{at},{price},1")
        kinds["quotes"].append(f"{symbol},{at},10,{price}")
        kinds["candles"].append(f"{symbol},{MS + number * 60_000},10,10,10,10,{number}")
    headers = {
        "ids": "symbol,time,price,size,trade_id",
        "prints": "symbol,time,price,size",
        "quotes": "symbol,time,bid,ask",
        "candles": "symbol,time,open,high,low,close,volume",
    }
    return [text_file(folder, f"{kind}.csv", headers[kind], *lines) for kind, lines in kinds.items()]


def import_all(store: Any, folder: Path) -> None:
    for path in files(folder):
        backfill(store, path)


def test_a_second_import_changes_nothing_with_and_without_the_note_of_the_first(
    store: MemoryStore, tmp_path: Path
) -> None:
    import_all(store, tmp_path)
    once = dict(store.objects)
    done = backfill(store, *files(tmp_path))
    assert len(done.before) == 4
    assert store.objects == once
    for key in [key for key in store.objects if key.startswith("imports/")]:
        del store.objects[key]
    for path in files(tmp_path):
        done = backfill(store, path)
        for one in done.report.symbols.values():
            assert one.already == one.kept == one.read > 0
    assert store.objects == once


def test_an_import_killed_at_any_call_is_finished_by_the_next(tmp_path: Path) -> None:
    want = MemoryStore()
    import_all(want, tmp_path)
    kills, killed = 0, True
    while killed:
        store, killed = MemoryStore(), False
        try:
            import_all(dying(store, 10 * kills), tmp_path)
        except Killed:
            kills, killed = kills + 1, True
            import_all(store, tmp_path)
        assert store.objects == want.objects
    assert kills > 8


def test_files_may_come_at_once_one_by_one_or_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{MS + i // 3 * DAY_MS // 6},{10 + i % 2},1" for i in range(60)]
    whole = text_file(tmp_path, "whole.csv", "time,price,size", *lines)
    parts = [text_file(tmp_path, f"{i}.csv", "time,price,size", *lines[i : i + 30]) for i in (0, 15, 30)]
    want = MemoryStore()
    backfill(want, whole, symbol="A")
    rows = stored(want, "trades")
    assert rows.num_rows == 60
    for order in ([0, 1, 2], [2, 0, 1]):
        at_once, one_by_one = MemoryStore(), MemoryStore()
        done = backfill(at_once, *(parts[i] for i in order), symbol="A")
        assert refused(done) == {"duplicate": 30}
        assert stored(at_once, "trades") == rows
        for i in order:
            done = backfill(one_by_one, parts[i], symbol="A")
        assert stored(one_by_one, "trades") == rows
        in_batches = MemoryStore()
        with monkeypatch.context() as patch:
            patch.setattr(run, "_BATCH_BYTES", 1)
            backfill(in_batches, *(parts[i] for i in order), symbol="A")
        assert stored(in_batches, "trades") == rows


def test_a_symbol_cut_into_tasks_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = MemoryStore(), MemoryStore()
    import_all(one, tmp_path)
    monkeypatch.setattr(run, "_TASK_ROWS", 1)
    import_all(many, tmp_path)
    assert many.objects == one.objects


def test_trades_that_contradict_those_stored_are_conflicts(store: MemoryStore, tmp_path: Path) -> None:
    header = "time,price,size,trade_id"
    backfill(store, text_file(tmp_path, "1.csv", header, f"{MS},1,1,5", f"{MS},1,2,6"), symbol="A")
    again = text_file(tmp_path, "2.csv", header, f"{MS},1,1,5", f"{MS},2,2,6", f"{MS},3,1,7")
    done = backfill(store, again, symbol="A")
    assert refused(done) == {"conflict": 1}
    assert (done.report.of("A").kept, done.report.of("A").already) == (2, 1)
    assert stored(store, "trades")["price"].to_pylist() == [1.0, 1.0, 3.0]


def test_candles_that_differ_stay_unless_they_are_to_be_replaced(store: MemoryStore, tmp_path: Path) -> None:
    day = [f"{MS + i * DAY_MS},1,1,1,1,{i}" for i in range(4)]
    backfill(store, candles(tmp_path, *day), symbol="A")
    other = [day[0], f"{MS + DAY_MS},1,1,1,1,99", f"{MS + 4 * DAY_MS},1,1,1,1,4"]
    changed = text_file(tmp_path, "2.csv", "time,open,high,low,close,volume", *other)
    done = backfill(store, changed, symbol="A")
    assert refused(done) == {"conflict": 1}
    assert stored(store, "candles")["volume"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    for _ in range(2):
        done = backfill(store, changed, symbol="A", replace=True)
        assert refused(done) == {}
        assert stored(store, "candles")["volume"].to_pylist() == [0.0, 99.0, 2.0, 3.0, 4.0]
    assert done.report.of("A").already == 3
    assert repaired(done) == {}
    compact_day(Lake(store), "candles", VENUE, "A", "2024-01-01")
    assert stored(store, "candles")["volume"].to_pylist() == [0.0, 99.0, 2.0, 3.0, 4.0]
    done = backfill(store, candles(tmp_path, *day), symbol="A", replace=True)
    assert repaired(done) == {"replaced what was stored": 1}
    assert stored(store, "candles")["volume"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_of_two_files_of_one_run_the_first_is_right_and_with_replace_the_last(tmp_path: Path) -> None:
    header = "time,open,high,low,close,volume"
    same = f"{MS + DAY_MS},1,1,1,1,5"
    paths = [text_file(tmp_path, f"{i}.csv", header, f"{MS},1,1,1,1,{i}", same) for i in (1, 2)]
    first, last = MemoryStore(), MemoryStore()
    done = backfill(first, *paths, symbol="A")
    assert refused(done) == {"duplicate": 1, "conflict": 1}
    assert stored(first, "candles")["volume"].to_pylist() == [1.0, 5.0]
    done = backfill(last, *paths, symbol="A", replace=True)
    assert refused(done) == {"duplicate": 1, "corrected later": 1}
    assert stored(last, "candles")["volume"].to_pylist() == [2.0, 5.0]


def test_compacting_history_changes_nothing_and_an_import_finds_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    import_all(store, tmp_path)
    tables = ("trades", "quotes", "candles")
    before = {(table, symbol): stored(store, table, symbol) for table in tables for symbol in "AB"}
    for key in list(store.objects):
        file = parse_data_key(key)
        if file is not None:
            one = file.partition
            compact_day(Lake(store), one.table, one.venue, one.symbol, one.date)
    left = [file for key in store.objects if (file := parse_data_key(key)) is not None]
    assert left and all(file.compact for file in left)
    assert {pair: stored(store, *pair) for pair in before} == before
    count = len(store.objects)
    for key in [key for key in store.objects if key.startswith("imports/")]:
        del store.objects[key]
    import_all(store, tmp_path)
    assert len(store.objects) == count
