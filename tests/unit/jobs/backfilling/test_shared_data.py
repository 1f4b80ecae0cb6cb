"""Real files: what is kept is what a few lines of pandas count, and it is read back as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cluster.storage.lake import Lake
from cluster.storage.objects import ObjectStore, open_store
from cluster.storage.store_spec import StoreSpec
from features.bars import Bars
from features.ticks import Ticks
from jobs.backfilling.run import Backfilled
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from tests.unit.jobs.backfilling.imports import VENUE, backfill

ROWS = 40_000
"""Of large files."""
SYMBOLS = 12


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    made.prepare()
    return made


def first_rows(shared: Path, tmp_path: Path, name: str) -> tuple[Path, pd.DataFrame]:
    """A file, or where it is large its first rows as a file; and its rows."""
    path = shared / "data" / name
    rows = pd.read_parquet(path)
    if len(rows) <= 1.5 * ROWS:
        return path, rows
    rows = rows.iloc[:ROWS]
    rows.to_parquet(tmp_path / path.name, index=False)
    return tmp_path / path.name, rows


def few_symbols(shared: Path, tmp_path: Path, name: str) -> tuple[Path, pd.DataFrame]:
    """The rows of the first symbols of a file, as a file."""
    path = shared / "data" / name
    rows: Any = pd.read_parquet(path).iloc[:ROWS]
    rows = rows[rows["symbol"].isin(sorted(set(rows["symbol"]))[:SYMBOLS])]
    rows.to_parquet(tmp_path / path.name, index=False)
    return tmp_path / path.name, rows


def kept(done: Backfilled) -> dict[str, int]:
    return {symbol: found.kept for symbol, found in done.report.symbols.items() if found.kept}


def counted(rows: pd.DataFrame) -> dict[str, int]:
    return {str(symbol): int(count) for symbol, count in rows.groupby("symbol").size().items()}


def history(store: ObjectStore, source: str) -> History:
    return History(Lake(store), HistorySpec(source, VENUE))


@pytest.mark.parametrize(
    "name",
    [
        "b3_ticks_2025-03-05_04-09",
        "binance_spot_ticks_2024-08-09",
        "binance_xrpeth_ticks_2019-10-11_13",
        "cn_ashare_ticks_2018-09-03",
        "cn_ashare_ticks_2023-02-01",
        "coinbase_btcusd_ticks_2023-09-05",
        "us_equity_ticks_2013-10-07_09",
    ],
)
def test_trades_are_kept_but_cancels_and_read_back_in_their_order(
    shared: Path, tmp_path: Path, store: ObjectStore, name: str
) -> None:
    path, rows = first_rows(shared, tmp_path, f"trades/{name}.parquet")
    good = rows[(rows["price"] > 0) & (rows["size"] > 0)]
    assert kept(backfill(store, path)) == counted(good)
    for symbol, want in good.groupby("symbol"):
        want = want.sort_values("ts_ns", kind="stable")
        ticks = Ticks.concat(list(history(store, "trades").ticks(VENUE, str(symbol))))
        for column in ("ts_ns", "price", "size", "side"):
            assert np.array_equal(ticks.records[column], want[column].to_numpy()), (symbol, column)
        if "trade_id" in want:
            assert np.array_equal(ticks.trade_id, want["trade_id"].to_numpy())
        if "recv_ns" in want:
            assert np.array_equal(ticks.received_ns, want["recv_ns"].to_numpy())


@pytest.mark.parametrize(
    "name", ["b3_top_of_book_2025-03-05_04-09", "fx_eurusd_fxcm_2014-05", "us_equity_bac_2013-10-07"]
)
def test_quotes_are_kept_unless_crossed(shared: Path, tmp_path: Path, store: ObjectStore, name: str) -> None:
    path, rows = first_rows(shared, tmp_path, f"quotes/{name}.parquet")
    rows = rows.replace({"bid": {0.0: np.nan}, "ask": {0.0: np.nan}})
    good = rows[~(rows["bid"] > rows["ask"]) & (rows["bid"].notna() | rows["ask"].notna())]
    assert kept(backfill(store, path)) == counted(good)
    for symbol, want in good.groupby("symbol"):
        want = want.sort_values("ts_ns", kind="stable")
        ticks = Ticks.concat(list(history(store, "trades").ticks(VENUE, str(symbol))))
        for column in ("ts_ns", "bid", "ask"):
            assert np.array_equal(ticks.records[column], want[column].to_numpy(), equal_nan=True)


@pytest.mark.parametrize(
    "name",
    [
        "bars_1m/binance_perp_2023-07_08",
        "bars_1m/binance_spot_usdt_2023-03_05",
        "bars_1m/bitfinex_2017-11_12_a",
        "bars_1m/us_etf_2008-08_10",
        "bars_1m/xetra_2017-07-28_a",
        "bars_1d/sp500_2015-01_2018-12",
        "bars_1d/stocknet_2012-09_2017-09_a",
    ],
)
def test_candles_are_read_back_adjusted(shared: Path, tmp_path: Path, store: ObjectStore, name: str) -> None:
    path, rows = few_symbols(shared, tmp_path, f"{name}.parquet")
    inside = (rows[["open", "close"]].max(axis=1) <= rows["high"]) & (
        rows[["open", "close"]].min(axis=1) >= rows["low"]
    )
    good = rows[inside]
    assert kept(backfill(store, path)) == counted(good)
    source = "candles:1m" if "1m" in name else "candles:1d"
    for symbol in sorted(set(good["symbol"])):
        want = good[good["symbol"] == symbol].sort_values("ts_ns")
        bars = Bars.concat(list(history(store, source).bars(VENUE, symbol)))
        real = bars.column("filled") == 0.0
        assert np.array_equal(bars.start_ns[real], want["ts_ns"].to_numpy())
        assert np.array_equal(bars.column("volume")[real], want["volume"].to_numpy())
        close = want["adj_close"] if "adj_close" in want else want["close"]
        assert np.allclose(bars.column("close")[real], close, rtol=1e-12, atol=0.0)


def test_restated_days_count_once_as_last_collected(shared: Path, tmp_path: Path, store: ObjectStore) -> None:
    rows: Any = pd.read_parquet(shared / "data" / "bars_1d" / "us_stocks_2015-03_2016-09.parquet")
    rows = rows[rows["symbol"].isin(["AA", "AAPL", "LNG", "ZTS", "SHAK"])]
    rows.to_parquet(tmp_path / "some.parquet", index=False)
    last = rows.sort_values("file_date", kind="stable").groupby(["symbol", "ts_ns"]).tail(1)
    # One day of SHAK stands there at a tenth of its price, in both of its copies.
    last = last[~((last["symbol"] == "SHAK") & (last["close"] < 10.0))]
    done = backfill(store, tmp_path / "some.parquet")
    assert kept(done) == counted(last)
    assert done.report.of("SHAK").refused["impossible jump"].count == 1
    found = Lake(store).read("candles", VENUE).to_pandas()
    want = last.sort_values(["symbol", "ts_ns"])
    assert found["symbol"].tolist() == want["symbol"].tolist()
    assert found["start_ns"].tolist() == want["ts_ns"].tolist()
    assert found["volume"].tolist() == want["volume"].astype(float).tolist()
