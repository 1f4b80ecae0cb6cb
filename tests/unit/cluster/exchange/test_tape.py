"""A tape plays what is in the files, in order of time, and says what it left out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.exchange.tape import Tape, TapeSpec, parse_session
from features.errors import ConfigError, DataError
from features.ticks import Kind

HOUR_NS = 3_600_000_000_000


def play(tape: Tape) -> list[tuple[str, int, float, float, int]]:
    """All trades as (symbol, ts_ns, price, size, id)."""
    out = []
    while (events := tape.next_events()) is not None:
        ticks = events.ticks
        names = [tape.instruments[number].symbol for number in events.symbol]
        out += list(
            zip(
                names,
                ticks.ts_ns.tolist(),
                ticks.price.tolist(),
                ticks.size.tolist(),
                ticks.trade_id.tolist(),
                strict=True,
            )
        )
    return out


def test_symbols_are_merged_by_time_and_rows_of_an_instant_keep_file_order(write_parquet):
    path = write_parquet(
        symbol=["B", "B", "B", "A", "A"],
        ts_ns=[10, 20, 20, 10, 15],
        price=[1.0, 2.0, 3.0, 4.0, 5.0],
        size=[1.0] * 5,
    )
    rows = play(TapeSpec((path,)).open(0))
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("B", 10, 1.0),
        ("A", 10, 4.0),
        ("A", 15, 5.0),
        ("B", 20, 2.0),
        ("B", 20, 3.0),
    ]


def test_ids_count_from_one_per_symbol_whatever_the_file_says(write_parquet):
    path = write_parquet(
        symbol=["A", "B", "A"], ts_ns=[1, 2, 3], price=[1.0] * 3, size=[1.0] * 3, trade_id=[9, 9, 12]
    )
    assert [(r[0], r[4]) for r in play(TapeSpec((path,)).open(0))] == [("A", 1), ("B", 1), ("A", 2)]


def test_the_files_ids_are_kept_on_request_only_where_consecutive(write_parquet):
    path = write_parquet(
        symbol=["A", "B", "A", "B"],
        ts_ns=[1, 2, 3, 4],
        price=[1.0] * 4,
        size=[1.0] * 4,
        trade_id=[70, 5, 71, 7],
    )
    rows = play(TapeSpec((path,), keep_source_ids=True).open(0))
    assert [(r[0], r[4]) for r in rows] == [("A", 70), ("B", 1), ("A", 71), ("B", 2)]


def test_rows_without_a_price_and_suspicious_rows_are_left_out_and_counted(write_parquet):
    path = write_parquet(
        symbol=["A"] * 5,
        ts_ns=[1, 2, 3, 4, 5],
        price=[1.0, 0.0, float("nan"), -1.0, 2.0],
        size=[1.0] * 5,
        suspicious=[0, 0, 0, 0, 1],
    )
    tape = TapeSpec((path,)).open(0)
    assert [row[1] for row in play(tape)] == [1]
    assert tape.left_out == {"no price above zero": 3, "suspicious": 1}
    assert [row[1] for row in play(TapeSpec((path,), keep_suspicious=True).open(0))] == [1, 5]


def test_a_session_keeps_its_start_and_not_its_end(write_parquet):
    hours = [12, 13, 14, 37, 38]
    path = write_parquet(
        symbol=["A"] * 5, ts_ns=[h * HOUR_NS for h in hours], price=[1.0] * 5, size=[1.0] * 5
    )
    rows = play(TapeSpec((path,), session="13:00-14:00").open(0))
    assert [row[1] // HOUR_NS for row in rows] == [13, 37]
    over_midnight = play(TapeSpec((path,), session="14:00-13:00").open(0))
    assert [row[1] // HOUR_NS for row in over_midnight] == [12, 14, 38]


def test_only_selected_symbols_are_played(write_trades):
    tape = TapeSpec((write_trades(10),), symbols=("000001.SZ",)).open(0)
    assert [instrument.symbol for instrument in tape.instruments] == ["000001.SZ"]
    assert tape.left_out == {"symbol not selected": 10}


def test_blocks_never_cut_an_instant(write_trades):
    tape = TapeSpec((write_trades(100),), block_rows=3).open(0)
    ends = []
    while (events := tape.next_events()) is not None:
        ends.append((int(events.ticks.ts_ns[0]), int(events.ticks.ts_ns[-1])))
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
    assert len(ends) > 10


def test_quotes_and_trades_of_two_files_are_merged(write_parquet):
    trades = write_parquet("t.parquet", symbol=["A"], ts_ns=[2], price=[1.0], size=[1.0])
    quotes = write_parquet("q.parquet", symbol=["A", "A"], ts_ns=[1, 3], bid=[1.0, 1.0], ask=[1.1, 1.2])
    events = TapeSpec((trades, quotes)).open(0).next_events()
    assert events is not None
    assert events.ticks.kind.tolist() == [Kind.QUOTE, Kind.TRADE, Kind.QUOTE]
    assert np.isnan(events.ticks.bid_size[0])


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.parquet: no such file"):
        TapeSpec((str(tmp_path / "gone.parquet"),)).open(0)


def test_missing_columns_are_named_with_those_that_are_there(write_parquet):
    with pytest.raises(DataError, match=r"\['price', 'size'\] are missing; there are \['symbol'"):
        TapeSpec((write_parquet(symbol=["A"], ts_ns=[1], x=[1]),)).open(0)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("symbol,ts_ns,price,size\n")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        TapeSpec((str(path),)).open(0)


def test_a_column_of_the_wrong_type_is_refused(write_parquet):
    with pytest.raises(DataError, match="column 'price' has type string"):
        TapeSpec((write_parquet(symbol=["A"], ts_ns=[1], price=["x"], size=[1.0]),)).open(0)


def test_no_rows_left_says_why(write_trades):
    with pytest.raises(DataError, match=r"no rows left to play .*'outside session': 20"):
        TapeSpec((write_trades(10),), session="03:00-03:01").open(0)


def test_a_symbol_that_is_not_there_is_named(write_trades):
    with pytest.raises(DataError, match=r"no rows of SPY .*they hold 000001\.SZ, BTC-USD"):
        TapeSpec((write_trades(10),), symbols=("SPY",)).open(0)


@pytest.mark.parametrize("text", ["13:35", "25:00-26:00", "13:00-13:00", "a-b", "13:00-14:99"])
def test_a_session_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(ConfigError, match="session"):
        parse_session(text)


def test_every_real_trades_file_plays_all_rows_that_have_a_price(shared: Path):
    for path in sorted((shared / "data" / "trades").glob("*.parquet")):
        tape = TapeSpec((str(path),)).open(0)
        table = pq.read_table(path, columns=["price", "symbol"])
        price = table["price"].to_numpy()
        assert len(tape.events) == np.count_nonzero(price > 0), path.name
        assert np.all(np.diff(tape.events.ticks.ts_ns) >= 0), path.name
        assert {i.symbol for i in tape.instruments} == set(table["symbol"].unique().to_pylist())
