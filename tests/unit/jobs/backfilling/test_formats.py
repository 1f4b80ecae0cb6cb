"""Files of every form: what they are is told from their names, columns and values."""

from __future__ import annotations

import gzip
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import ConfigError, DataError
from jobs.backfilling.forms import recognise
from jobs.backfilling.spec import BackfillSpec
from tests.property.lake_stores import MemoryStore
from tests.unit.jobs.backfilling.imports import backfill, refused, repaired, stored, text_file

MS = 1_723_161_600_000
"""2024-08-09 00:00 UTC in ms."""
DAY_NS = 86_400 * 10**9

SPOT_TRADES = (
    f"11,100.5,0.25,25.125,{MS},True,True",
    f"12,100.25,1.5,150.375,{MS + 5},False,True",
)

AGGREGATED = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_spot_trades_of_binance_have_no_header_and_the_maker_gives_the_side(
    store: MemoryStore, tmp_path: Path
) -> None:
    path = text_file(tmp_path, "BTCUSDT-trades-2024-08-09.csv", *SPOT_TRADES)
    backfill(store, path)
    assert stored(store, "trades", "BTCUSDT").to_pylist() == [
        {"sequence": None, "ts_ns": MS * 10**6, "received_ns": MS * 10**6, "trade_id": 11, "price": 100.5}
        | {"size": 0.25, "side": -1},
        {"sequence": None, "ts_ns": (MS + 5) * 10**6, "received_ns": (MS + 5) * 10**6, "trade_id": 12}
        | {"price": 100.25, "size": 1.5, "side": 1},
    ]


def test_microseconds_headers_and_zips_give_the_same_rows(tmp_path: Path) -> None:
    micros = [line.replace(str(MS), f"{MS}000").replace(str(MS + 5), f"{MS + 5}000") for line in SPOT_TRADES]
    header = "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match"
    want = MemoryStore()
    backfill(want, text_file(tmp_path, "BTCUSDT-trades-2024-08-09.csv", *SPOT_TRADES))
    for number, lines in enumerate((micros, [header, *SPOT_TRADES], [header, *micros])):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = text_file(folder, "plain.csv", *lines)
        archive = folder / "BTCUSDT-trades-2024-08-09.zip"
        with zipfile.ZipFile(archive, "w") as to:
            to.write(text, "BTCUSDT-trades-2024-08-09.csv")
        (folder / "BTCUSDT-trades-2024-08-09.csv.gz").write_bytes(gzip.compress(text.read_bytes()))
        for path in (archive, folder / "BTCUSDT-trades-2024-08-09.csv.gz"):
            got = MemoryStore()
            backfill(got, path)
            assert stored(got, "trades", "BTCUSDT") == stored(want, "trades", "BTCUSDT")


@pytest.mark.parametrize(
    "header", ["", "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"]
)
@pytest.mark.parametrize("spot", [True, False])
def test_aggregated_trades_of_spot_and_futures(
    store: MemoryStore, tmp_path: Path, header: str, spot: bool
) -> None:
    more = ",True" if spot else ""
    lines = [f"7,0.5,3,1,2,{MS},true{more}", f"8,0.25,4,3,3,{MS + 1},false{more}"]
    path = text_file(tmp_path, "any.csv", *([header + (",best" if spot else "")] if header else []), *lines)
    backfill(store, path, format="binance-aggtrades", symbol="A")
    rows = stored(store, "trades")
    assert rows["trade_id"].to_pylist() == [7, 8]
    assert rows["side"].to_pylist() == [-1, 1]
    assert rows["size"].to_pylist() == [3.0, 4.0]


@pytest.mark.parametrize("unit", ["", "000"])
def test_klines_become_candles_with_what_takers_bought(store: MemoryStore, tmp_path: Path, unit: str) -> None:
    lines = [
        f"{MS}{unit},10,12,9,11,5.5,{MS + 59_999}{unit},60,42,2.5,27,0",
        f"{MS + 60_000}{unit},11,11,11,11,0,{MS + 119_999}{unit},0,0,0,0,0",
    ]
    backfill(store, text_file(tmp_path, "ETHUSDT-1m-2024-08.csv", *lines))
    rows = stored(store, "candles", "ETHUSDT").to_pylist()
    assert rows[0] == {
        **{"sequence": None, "interval_ns": 60 * 10**9, "start_ns": MS * 10**6},
        **{"end_ns": (MS + 60_000) * 10**6, "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0},
        **{"volume": 5.5, "trades": 42, "buy_volume": 2.5, "adjustment": None},
    }
    assert len(rows) == 2


def test_columns_of_other_names_are_mapped_and_may_be_left_out(store: MemoryStore, tmp_path: Path) -> None:
    lines = ["2024-08-09T00:00:00.5Z;1.5;2;77;buy", "2024-08-09 00:00:01;1.25;3;78;S"]
    path = text_file(tmp_path, "t.csv", "when;px;n;id;agg", *lines)
    columns = (("time", "when"), ("price", "px"), ("size", "n"), ("side", "agg"), ("trade_id", ""))
    backfill(store, path, symbol="A", columns=columns)
    rows = stored(store, "trades")
    assert rows["ts_ns"].to_pylist() == [MS * 10**6 + 500_000_000, MS * 10**6 + 10**9]
    assert rows["trade_id"].to_pylist() == [None, None]
    assert rows["side"].to_pylist() == [1, -1]


def test_numbers_are_those_nearest_to_their_text(store: MemoryStore, tmp_path: Path) -> None:
    texts = ["0.1", "61837.63", "7.400000000000001", "1e-8", "123456789.123456789"]
    lines = [f"{MS + i},7.400000000000001,{text}" for i, text in enumerate(texts)]
    backfill(store, text_file(tmp_path, "t.csv", "time,price,size", *lines, "x,1,1"), symbol="A")
    rows = stored(store, "trades")
    assert rows["size"].to_pylist() == [float(text) for text in texts]
    assert set(rows["price"].to_pylist()) == {7.400000000000001}
    prices = pa.table(
        {"time": [MS], "price": pa.array([Decimal("7.400000000000001")], pa.decimal128(20, 15)), "size": [1]}
    )
    pq.write_table(prices, tmp_path / "d.parquet")
    other = MemoryStore()
    backfill(other, tmp_path / "d.parquet", symbol="A")
    assert stored(other, "trades")["price"].to_pylist() == [7.400000000000001]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([MS // 1_000, MS // 1_000 + 86_400]),
        pa.array([MS / 1_000, MS / 1_000 + 86_400.0]),
        pa.array([MS * 1_000, MS * 1_000 + 86_400_000_000]),
        pa.array([date(2024, 8, 9), date(2024, 8, 10)]),
        pa.array([MS, MS + 86_400_000], pa.timestamp("ms")),
        pa.array([MS, MS + 86_400_000], pa.timestamp("ms", "America/New_York")),
        pa.array(["2024-08-09", "2024-08-10"]),
        pa.array(["2024-08-09T02:00:00+02:00", "2024-08-10T00:00:00Z"]),
    ],
)
def test_times_in_every_unit_and_form(store: MemoryStore, tmp_path: Path, times: pa.Array) -> None:
    one = pa.array([1.0, 2.0])
    bars = dict.fromkeys(("open", "high", "low", "close"), one)
    pq.write_table(pa.table({"ticker": ["A", "A"], "Date": times, **bars}), tmp_path / "d.parquet")
    backfill(store, tmp_path / "d.parquet")
    rows = stored(store, "candles")
    assert rows["start_ns"].to_pylist() == [MS * 10**6, MS * 10**6 + DAY_NS]
    assert rows["interval_ns"].to_pylist() == [DAY_NS] * 2
    assert rows["volume"].to_pylist() == [None, None]


def test_what_is_no_number_and_lines_of_other_lengths_cost_only_their_row(
    store: MemoryStore, tmp_path: Path
) -> None:
    lines = [f"{MS},1,1,x", f"{MS},abc,1,5", f"{MS},1,1", "soon,1,1,6", f"{MS},2,,7", f"{MS},3,1,8"]
    done = backfill(store, text_file(tmp_path, "t.csv", "time,price,size,trade_id", *lines), symbol="A")
    assert stored(store, "trades")["price"].to_pylist() == [3.0, 1.0]
    assert refused(done) == {
        "malformed line": 1,
        "no time": 1,
        "price not above zero": 1,
        "size not above zero": 1,
    }
    assert repaired(done) == {"id is no number": 1}
    found = done.report.of("A")
    assert found.refused["no time"].first == "t.csv row 3: time soon, trade_id 6, price 1, size 1"
    assert found.read == found.kept + sum(refused(done).values()) == 6


@pytest.mark.parametrize(
    ("name", "lines", "settings", "says"),
    [
        ("a.csv", [], {}, "a.csv: the file is empty"),
        ("a.csv", ["1,2,3"], {}, "a.csv: the first line names no columns; say which --format"),
        ("a.csv", ["time,colour"], {}, "a.csv: its columns are those of no kind of ours"),
        ("a.csv", ["price,size"], {"symbol": "A"}, "a.csv: has no column for time of trades among price"),
        ("a.csv", ["time,price,size"], {}, "a.csv: has no column for the symbol; name it with --symbol"),
        ("a.csv", ["time,open,high,low,close", f"{MS},1,1,1,1"], {"symbol": "A"}, "how long its candles are"),
        ("a.zip", ["x"], {"symbol": "A"}, "a.zip: can't be read: File is not a zip file"),
        ("a.parquet", ["PAR1 x"], {"symbol": "A"}, "a.parquet: can't be read: "),
        ("a.csv", ["time,price,size"], {"columns": (("price", "px"),)}, "a.csv: has no column 'px'; it has"),
        (
            "a.csv",
            ["time,price,size"],
            {"columns": (("cost", "px"),)},
            "--map: unknown column 'cost'; ours are",
        ),
    ],
)
def test_a_file_that_is_none_is_named(
    tmp_path: Path, name: str, lines: list[str], settings: dict[str, object], says: str
) -> None:
    path = text_file(tmp_path, name, *lines)
    with pytest.raises((ConfigError, DataError)) as error:
        recognise(path, BackfillSpec("v", **settings))  # type: ignore[arg-type]
    assert says in str(error.value)


def test_a_file_that_is_not_there_and_one_without_rows(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read: No such file or directory"):
        backfill(store, tmp_path / "none.csv")
    done = backfill(store, text_file(tmp_path, "t.csv", "time,price,size"), symbol="A")
    assert done.report.symbols == {}
    pq.write_table(pa.table({"time": [], "price": [], "size": []}), tmp_path / "d.parquet")
    assert backfill(store, tmp_path / "d.parquet", symbol="A").report.of("A").read == 0


@pytest.mark.parametrize("settings", [{"venue": ""}, {"kind": "bars"}, {"format": "xml"}])
def test_settings_that_can_not_be_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        BackfillSpec(**({"venue": "v"} | settings))
