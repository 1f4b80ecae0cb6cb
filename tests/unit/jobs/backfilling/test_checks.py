"""What is refused, what is put right and what is kept, with small inputs written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.backfilling.checks import spikes
from tests.property.lake_stores import MemoryStore
from tests.unit.jobs.backfilling.imports import backfill, refused, repaired, stored, text_file
from tests.unit.jobs.backfilling.test_formats import MS

MINUTE_MS = 60_000
DAY_MS = 86_400_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def trades(folder: Path, *rows: str, header: str = "time,price,size,trade_id") -> Path:
    return text_file(folder, "t.csv", header, *rows)


def candles(folder: Path, *rows: str, header: str = "time,open,high,low,close,volume") -> Path:
    return text_file(folder, "c.csv", header, *rows)


def test_copies_with_an_id_are_dropped_and_equal_prints_without_one_are_kept(
    store: MemoryStore, tmp_path: Path
) -> None:
    rows = [f"{MS},1,1,5", f"{MS},1,1,5", f"{MS},1,1,", f"{MS},1,1,"]
    done = backfill(store, trades(tmp_path, *rows), symbol="A")
    assert refused(done) == {"duplicate": 1}
    found = stored(store, "trades")
    assert found["trade_id"].to_pylist() == [5, None, None]
    assert (np.array(found["received_ns"].to_pylist()) - MS * 10**6).tolist() == [0, 1, 2]


def test_ids_that_name_different_trades_of_a_day_are_left_out_that_day(
    store: MemoryStore, tmp_path: Path
) -> None:
    rows = [f"{MS},1,1,5", f"{MS + 9},2,1,5", f"{MS + 9},2,1,6", f"{MS + DAY_MS},1,1,5"]
    done = backfill(store, trades(tmp_path, *rows), symbol="A")
    assert repaired(done) == {"ids not unique: left out": 3}
    found = stored(store, "trades")
    assert found["price"].to_pylist() == [1.0, 2.0, 2.0, 1.0]
    assert found["trade_id"].to_pylist() == [None, None, None, 5]


def test_ids_that_begin_anew_each_day_are_kept(store: MemoryStore, tmp_path: Path) -> None:
    rows = [f"{MS + day * DAY_MS + i},{1 + day},1,{i}" for day in range(2) for i in range(3)]
    done = backfill(store, trades(tmp_path, *rows), symbol="A")
    assert (refused(done), repaired(done)) == ({}, {})
    assert stored(store, "trades")["trade_id"].to_pylist() == [0, 1, 2, 0, 1, 2]


def test_trades_without_ids_keep_the_order_of_their_file_within_an_instant(
    store: MemoryStore, tmp_path: Path
) -> None:
    rows = [f"{MS},{price},1" for price in (3, 1, 2, 2, 1)] + [f"{MS - 1},9,1", f"{MS + 1},4,1"]
    done = backfill(store, trades(tmp_path, *rows, header="time,price,size"), symbol="A")
    assert stored(store, "trades")["price"].to_pylist() == [9.0, 3.0, 1.0, 2.0, 2.0, 1.0, 4.0]
    assert repaired(done) == {"out of order": 1}
    assert done.report.of("A").repaired["out of order"].first == "t.csv row 6 is older than the one before"


def test_order_is_judged_symbol_by_symbol(store: MemoryStore, tmp_path: Path) -> None:
    rows = [f"B,{MS + 5},1,1", f"A,{MS},1,1", f"B,{MS + 6},1,1", f"A,{MS + 1},1,1", f"B,{MS},1,1"]
    done = backfill(store, trades(tmp_path, *rows, header="symbol,time,price,size"))
    assert (repaired(done, "A"), repaired(done, "B")) == ({}, {"out of order": 1})


def test_rows_of_nobody_are_refused(store: MemoryStore, tmp_path: Path) -> None:
    done = backfill(store, trades(tmp_path, f",{MS},1,1", f"A,{MS},1,1", header="symbol,time,price,size"))
    assert (refused(done, ""), refused(done, "A")) == ({"no symbol": 1}, {})


@pytest.mark.parametrize("price", ["0", "-1", "nan", "inf", "", "1e-200"])
def test_prices_that_are_none_are_refused(store: MemoryStore, tmp_path: Path, price: str) -> None:
    done = backfill(store, trades(tmp_path, f"{MS},{price},1,1", f"{MS},1,1,2"), symbol="A")
    assert refused(done) == {"price not above zero": 1}


def test_sides_in_words_and_those_nobody_knows(store: MemoryStore, tmp_path: Path) -> None:
    rows = [f"{MS + i},1,1,{side}" for i, side in enumerate(["Buy", "SELL", "1", "-1", "0", "", "cross"])]
    done = backfill(store, trades(tmp_path, *rows, header="time,price,size,side"), symbol="A")
    assert stored(store, "trades")["side"].to_pylist() == [1, -1, 1, -1, 0, 0, 0]
    assert repaired(done) == {"side unknown": 1}


def test_a_spike_that_goes_back_is_refused_and_a_split_is_kept(store: MemoryStore, tmp_path: Path) -> None:
    prices = [100, 101, 1005, 100, 99, 9.9, 101, 100, 99, 10, 10, 10, 100, 10, 10]
    rows = [f"{MS + i},{price},1,{i}" for i, price in enumerate(prices)]
    done = backfill(store, trades(tmp_path, *rows), symbol="A")
    assert refused(done) == {"impossible jump": 3}
    assert stored(store, "trades")["trade_id"].to_pylist() == [0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14]
    said = done.report.of("A").refused["impossible jump"].first
    assert said == "t.csv row 3: 2024-08-09T00:00:00.002000Z, trade_id 2, price 1005.0, size 1.0"


def test_jumps_are_judged_over_the_edges_of_days(store: MemoryStore, tmp_path: Path) -> None:
    # The last of the first day and the first of the second, then a split overnight.
    first = [100.0] * 6 + [1_000.0]
    second, third = [1_000.0] + [100.0] * 6, [9.0] * 7
    rows = [
        f"{MS + day * DAY_MS + i},{price},1,{i}"
        for day, prices in enumerate((first, second, third))
        for i, price in enumerate(prices)
    ]
    done = backfill(store, trades(tmp_path, *rows), symbol="A")
    assert refused(done) == {"impossible jump": 2}
    assert stored(store, "trades")["price"].to_pylist() == [100.0] * 12 + [9.0] * 7


@pytest.mark.parametrize(
    ("values", "before", "after", "want"),
    [
        ([100.0], [10.0], [10.0], [True]),
        ([99.9], [10.0], [10.0], [False]),
        ([1.0], [10.0] * 9, [10.0] * 9, [True]),
        ([100.0], [], [10.0], [False]),
        ([100.0], [10.0], [], [False]),
        ([100.0, 100.0, 100.0], [10.0] * 5, [10.0] * 5, [True] * 3),
        ([100.0] * 6, [10.0] * 5, [10.0] * 5, [False] * 6),
        ([np.nan, 100.0, np.nan], [10.0], [10.0], [False, True, False]),
        ([], [10.0], [10.0], []),
    ],
)
def test_spikes_go_back(values: list[float], before: list[float], after: list[float], want: Any) -> None:
    line = np.array(values)
    assert spikes(line, line, np.array(before), np.array(after)).tolist() == want


def test_quotes_that_cross_are_refused_locked_and_one_sided_ones_are_kept(
    store: MemoryStore, tmp_path: Path
) -> None:
    rows = [
        f"{MS},1.0,1.1,5,6",
        f"{MS},1.2,1.1,5,6",
        f"{MS},1.1,1.1,5,6",
        f"{MS},0,1.1,0,6",
        f"{MS},1.0,,5,",
        f"{MS},0,0,0,0",
        f"{MS},-1,1,1,1",
    ]
    path = text_file(tmp_path, "q.csv", "time,bid,ask,bid_size,ask_size", *rows)
    done = backfill(store, path, symbol="A")
    assert refused(done) == {"crossed": 1, "no side": 1, "negative price or size": 1}
    assert repaired(done) == {"one side missing": 2}
    found = stored(store, "quotes")
    assert found["bid"].to_pylist() == [1.0, 1.1, None, 1.0]
    assert found["ask_size"].to_pylist() == [6.0, 6.0, 6.0, None]
    assert (np.array(found["received_ns"].to_pylist()) - MS * 10**6).tolist() == [0, 1, 2, 3]


def test_candles_that_contradict_themselves_are_refused(store: MemoryStore, tmp_path: Path) -> None:
    rows = [
        "10,12,9,11,5",
        "10,9,12,11,5",  # high below low
        "10,12,9,13,5",  # close above high
        "8,12,9,11,5",  # open below low
        "10,12,9,11,-1",
        "10,12,9,11,",
        "10,120,9,11,5",
        "0,12,9,11,5",
        "10,12,9,11,0",
    ]
    lines = [f"{MS + i * MINUTE_MS},{row}" for i, row in enumerate(rows)]
    done = backfill(
        store, candles(tmp_path, *lines, f"{MS + 1},10,12,9,11,5"), symbol="A", interval_ns=60 * 10**9
    )
    assert refused(done) == {
        "misaligned start": 1,
        "price not above zero": 1,
        "high below low": 1,
        "open or close outside high and low": 2,
        "impossible volume": 2,
        "impossible jump": 1,
    }
    assert stored(store, "candles")["volume"].to_pylist() == [5.0, 0.0]


def test_the_last_word_on_a_candle_counts(store: MemoryStore, tmp_path: Path) -> None:
    rows = [
        f"{MS},1,1,1,1,5,2024-08-12",
        f"{MS},1,1,1,1,4,2024-08-11",
        f"{MS},1,1,1,1,5,2024-08-10",
        f"{MS + DAY_MS},1,1,1,1,7,2024-08-11",
        f"{MS + DAY_MS},1,1,1,1,8,2024-08-11",
    ]
    path = candles(tmp_path, *rows, header="time,open,high,low,close,volume,file_date")
    done = backfill(store, path, symbol="A")
    assert stored(store, "candles")["volume"].to_pylist() == [5.0, 8.0]
    assert refused(done) == {"duplicate": 1, "corrected later": 2}


def test_adjusted_closes_become_factors(store: MemoryStore, tmp_path: Path) -> None:
    rows = [f"{MS},4,4,4,4,1,1", f"{MS + DAY_MS},4,4,4,4,1,4"]
    path = candles(tmp_path, *rows, header="time,open,high,low,close,volume,adj_close")
    backfill(store, path, symbol="A")
    assert stored(store, "candles")["adjustment"].to_pylist() == [0.25, None]
