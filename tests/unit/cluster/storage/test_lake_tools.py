"""Plain tools read the lake, and what docs/lake.md says about that runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from cluster.storage.compaction import compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import date_of
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.bars import BarSpec
from features.engine import SymbolEngine
from features.ticks import Kind, TickBuffer, Ticks
from tests.unit.cluster.storage.lake_rows import DATE, SYMBOL, VENUE, output_tables, trades, write_ticks
from tests.unit.features.engine_runs import SECOND, START_NS, market, small_spec

DOCS = Path(__file__).parents[4] / "docs" / "lake.md"
FEATURES = ("sma:20", "return:1", "roc:10", "rsi:14")
SYMBOLS = ("7203", "BTCUSDT")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `lake` in it: two symbols, long sessions, and one without moves."""
    monkeypatch.chdir(tmp_path)
    store = open_store(StoreSpec(uri="lake"))
    store.prepare()
    lake = Lake(store)
    for seed, symbol in enumerate(SYMBOLS):
        engine = SymbolEngine(small_spec(bars=BarSpec("time", SECOND, max_fill=60), features=FEATURES))
        stream = Ticks.concat([market(5_200, seed, gaps=1), quiet(START_NS + 10_000 * SECOND)])
        is_trade = stream.kind == Kind.TRADE
        stream.records["trade_id"][is_trade] = np.arange(int(is_trade.sum()))
        for first in range(0, len(stream), 1_500):
            batch = stream[first : first + 1_500]
            write_ticks(lake, 1, first, batch, symbol)
            for name, rows in output_tables(engine, first, batch).items():
                lake.write(name, VENUE, symbol, 1, rows)
    return tmp_path


def quiet(start_ns: int) -> Ticks:
    """A hundred trades at one price, then two that move it."""
    buffer = TickBuffer()
    for second in range(102):
        buffer.trade(start_ns + second * SECOND, 0, 10**6 + second, 50.0 + max(0, second - 99), 1.0, 1)
    return buffer.take()


def blocks(language: str) -> list[str]:
    """The pieces of code on the page."""
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)


def test_the_sql_of_the_page_agrees_with_our_features(folder: Path) -> None:
    lake = Lake(open_store(StoreSpec(uri="lake")))
    ours = lake.read("features", VENUE).to_pandas()
    assert len(ours) > 10_000
    assert int((ours["rsi:14"] == 50.0).sum()) > 10
    assert len(blocks("sql")) == 4
    assert_sql_agrees(ours)
    for symbol in SYMBOLS:
        assert compact_day(lake, "bars", VENUE, symbol, date_of(START_NS)).compacted
    assert_sql_agrees(ours)


def assert_sql_agrees(ours: pd.DataFrame) -> None:
    connection = duckdb.connect()
    for block in blocks("sql"):
        connection.execute(block)

    def view(name: str) -> dict[str, Any]:
        rows = connection.sql(f"SELECT * FROM {name} ORDER BY symbol, end_ns").df()
        assert rows["symbol"].tolist() == ours["symbol"].tolist()
        assert rows["end_ns"].tolist() == ours["end_ns"].tolist()
        return {column: rows[column].to_numpy(float) for column in rows if column in FEATURES}

    changes = view("percentage_change")
    np.testing.assert_array_equal(changes["return:1"], ours["return:1"])
    np.testing.assert_array_equal(changes["roc:10"], ours["roc:10"])
    np.testing.assert_allclose(view("moving_average")["sma:20"], ours["sma:20"], rtol=1e-13)
    np.testing.assert_allclose(view("relative_strength")["rsi:14"], ours["rsi:14"], rtol=1e-9)


def test_the_python_of_the_page_runs_and_finds_the_rows(folder: Path) -> None:
    ours: dict[str, Any] = {}
    with_pandas: dict[str, Any] = {}
    with_pyarrow: dict[str, Any] = {}
    for code, names in zip(blocks("python"), (ours, with_pandas, with_pyarrow), strict=True):
        exec(code.replace("2024-08-09", date_of(START_NS)), names)
    count = sum(len(ticks) for _, ticks in ours["lake"].ticks(VENUE, "BTCUSDT"))
    assert ours["sequence"] + len(ours["ticks"]) == count
    stored = ours["lake"].read("trades", VENUE, "BTCUSDT")
    assert len(ours["bars"]) > 5_000
    assert sorted(with_pandas["trades"]["trade_id"]) == sorted(stored["trade_id"].to_pylist())
    assert sorted(with_pyarrow["table"]["ts_ns"].to_pylist()) == stored["ts_ns"].to_pylist()


@pytest.mark.parametrize("symbol", [SYMBOL, "000001", "A b%c=d&e", "ÄÖ.~-_"])
def test_any_symbol_is_read_by_its_name_on_a_folder_and_on_s3(store: ObjectStore, symbol: str) -> None:
    lake = Lake(store)
    lake.write("trades", VENUE, symbol, 1, trades([0, 1, None]))
    lake.write("trades", VENUE, "another", 1, trades([0]))
    filesystem, root = store.filesystem()
    wanted = [("symbol", "=", symbol), ("date", "=", DATE)]
    frame = pd.read_parquet(f"{root}/trades", filesystem=filesystem, filters=wanted, dtype_backend="pyarrow")
    assert frame["trade_id"].tolist() == lake.read("trades", VENUE, symbol)["trade_id"].to_pylist()
    rows = ds.dataset(f"{root}/trades", filesystem=filesystem, partitioning=text_partitioning())
    found = duckdb.sql("SELECT symbol, count(*) FROM rows GROUP BY ALL ORDER BY count(*)").fetchall()
    assert found == [("another", 1), (symbol, 3)]
    assert rows.count_rows() == 4


def text_partitioning() -> Any:
    """Symbols of digits alone stay text."""
    return ds.partitioning(
        pa.schema([(name, pa.string()) for name in ("venue", "symbol", "date")]), flavor="hive"
    )
