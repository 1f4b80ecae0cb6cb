"""History is read in order and whole, in chunks, whatever the store's partitions are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.bars import Bars, BarSpec
from features.engine import DEFAULT_FEATURES, EngineSpec, SymbolEngine
from features.errors import ConfigError
from features.ticks import Ticks
from jobs.history import arguments as history_arguments
from jobs.history import reader
from jobs.history.reader import History
from jobs.history.spec import DAY_NS, HistorySpec
from tests.unit.cluster.storage.lake_rows import MIDNIGHT_NS, SYMBOL, VENUE, trades, write_ticks
from tests.unit.features.engine_runs import market
from tests.unit.jobs.history.candle_rows import MINUTE_NS, candles

PRICES = ("open", "high", "low", "close")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    return Lake(store)


def quotes(n: int, **columns: Any) -> pa.Table:
    at = MIDNIGHT_NS + np.arange(n, dtype=np.int64) * 10**6
    book = {"bid": np.full(n, 1.5), "ask": np.full(n, 1.6)} | dict.fromkeys(
        ("bid_size", "ask_size"), pa.nulls(n, pa.float64())
    )
    clocks = {"sequence": pa.nulls(n, pa.int64()), "ts_ns": at, "received_ns": at}
    return pa.table(clocks | book | columns)


@pytest.mark.parametrize(("whole_bytes", "rows", "least"), [(0, 20_000, 3), (reader.WHOLE_BYTES, 1_000, 6)])
def test_bars_come_in_chunks_of_one_run_of_sessions(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, whole_bytes: int, rows: int, least: int
) -> None:
    monkeypatch.setattr(reader, "CHUNK_ROWS", rows)
    monkeypatch.setattr(reader, "WHOLE_BYTES", whole_bytes)
    # 2024-12-30 to 2025-01-02, with a hole of an hour over the turn of the year; one day three years before.
    new_year = 1_735_689_600 * 10**9
    ends = new_year + np.arange(-2_880, 1_440) * MINUTE_NS
    ends = ends[(ends < new_year - 30 * MINUTE_NS) | (ends >= new_year + 30 * MINUTE_NS)]
    old = new_year - 1_096 * DAY_NS + np.arange(1, 1_441) * MINUTE_NS
    for part in np.array_split(np.concatenate([old, ends]), 7):
        lake.write("candles", VENUE, "A", 0, candles(part))
    lake.write("candles", VENUE, "A", 0, candles([new_year], interval_ns=DAY_NS))
    history = History(lake, HistorySpec("candles:1m", VENUE))
    assert history.symbols() == [(VENUE, "A")]
    chunks = list(history.bars(VENUE, "A"))
    assert len(chunks) >= least
    assert max(map(len, chunks)) <= rows + 300
    bars = Bars.concat(chunks)
    assert bars.end_ns[bars.column("filled") == 0].tolist() == [*old.tolist(), *ends.tolist()]
    assert int(bars.column("filled").sum()) == 300 + 60
    assert np.unique(bars.session).tolist() == [0, 1]
    part = HistorySpec("candles:1m", start_ns=int(ends[5]), end_ns=int(ends[8]))
    assert Bars.concat(list(History(lake, part).bars(VENUE, "A"))).end_ns.tolist() == ends[5:8].tolist()
    day = Bars.concat(list(History(lake, HistorySpec("candles:1d")).bars(VENUE, "A")))
    assert day.end_ns.tolist() == [new_year]


def test_trades_and_quotes_are_merged_by_time_trades_first(lake: Lake) -> None:
    lake.write("trades", VENUE, "A", 0, trades([None] * 3))
    lake.write("quotes", VENUE, "A", 0, quotes(4))
    at = MIDNIGHT_NS + DAY_NS
    late = pa.array([at + 2, at + 2, at + 1], pa.int64())
    ids = pa.nulls(3, pa.int64())
    received = [at + 3, at + 2, at + 1]
    lake.write("trades", VENUE, "A", 0, trades([None] * 3, ts_ns=late, received_ns=received, trade_id=ids))
    ticks = Ticks.concat(list(History(lake, HistorySpec("trades")).ticks(VENUE, "A")))
    assert ticks.kind.tolist() == [0, 1, 0, 1, 0, 1, 1, 0, 0, 0]
    assert np.all(np.diff(ticks.ts_ns) >= 0)
    assert ticks.price[-3:].tolist() == [2.1, 1.1, 0.1]
    assert np.isnan(ticks.records["bid_size"][1])
    spec = HistorySpec("trades", start_ns=at + 2, end_ns=at + 3)
    assert [len(one) for one in History(lake, spec).ticks(VENUE, "A")] == [2]


def test_the_stream_is_given_as_it_was_fed_without_history(lake: Lake) -> None:
    fed = market(300, 7)
    write_ticks(lake, 1, 0, fed)
    lake.write("trades", VENUE, SYMBOL, 0, trades([None]))
    lake.write("quotes", VENUE, SYMBOL, 0, quotes(3))
    got = Ticks.concat(list(History(lake, HistorySpec("stream")).ticks(VENUE, SYMBOL)))
    assert got.to_bytes() == fed.to_bytes()
    half = int(np.median(fed.ts_ns))
    part = Ticks.concat(list(History(lake, HistorySpec("stream", end_ns=half)).ticks(VENUE, SYMBOL)))
    assert part.to_bytes() == fed[fed.ts_ns < half].to_bytes()


def test_an_engine_of_the_default_features_runs_over_candles_without_sides(lake: Lake) -> None:
    rng = np.random.default_rng(3)
    ends = MIDNIGHT_NS + np.arange(1, 601) * MINUTE_NS
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 1e-3, 600)))
    lake.write(
        "candles", VENUE, "A", 0, candles(ends, **dict.fromkeys(("open", "high", "low", "close"), close))
    )
    spec = EngineSpec(
        "A", BarSpec("time", MINUTE_NS), DEFAULT_FEATURES, horizons=("1m", "5m"), first_forecast_bars=100
    )
    engine = SymbolEngine(spec)
    answers = 0
    for bars in History(lake, HistorySpec("candles:1m")).bars(VENUE, "A"):
        answers += len(engine.update_bars(bars).answers)
    assert answers == (600 - 100 + 1 - 1) + (600 - 100 + 1 - 5)
    assert engine.bars_seen == 600


def test_what_is_not_there_is_said(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="nothing is in this lake as candles:1m; there are: none"):
        History(lake, HistorySpec("candles:1m")).symbols()
    lake.write("candles", VENUE, "A", 0, candles([MIDNIGHT_NS]))
    with pytest.raises(ConfigError, match="B is not in this lake as candles:1m; there are: A"):
        History(lake, HistorySpec("candles:1m", symbols=("A", "B"))).symbols()
    with pytest.raises(ConfigError, match="nothing is in this lake as trades"):
        History(lake, HistorySpec("trades")).symbols()
    with pytest.raises(ConfigError, match="source candles:1m is bars; read them with `bars`"):
        next(History(lake, HistorySpec("candles:1m")).ticks(VENUE, "A"))
    with pytest.raises(ConfigError, match="source trades is ticks"):
        next(History(lake, HistorySpec("trades")).bars(VENUE, "A"))
    assert list(History(lake, HistorySpec("candles:1m", start_ns=2 * MIDNIGHT_NS)).bars(VENUE, "A")) == []
    assert list(History(lake, HistorySpec("trades")).ticks(VENUE, "A")) == []


@pytest.mark.parametrize("source", ["candles", "candles:", "candles:1x", "bars", ""])
def test_a_source_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(ConfigError, match="source"):
        HistorySpec(source)


def test_the_command_line_names_a_history(tmp_path: Any) -> None:
    parser = argparse.ArgumentParser()
    history_arguments.add_history(parser)
    words = ["--lake", str(tmp_path), "--venue", "binance", "--symbol", "A", "--symbol", "B"]
    words += ["--source", "candles:1d", "--from", "2024-08-09", "--to", "2024-08-09T02:00:00.000001+02:00"]
    spec = history_arguments.spec_of(parser.parse_args(words))
    assert spec == HistorySpec("candles:1d", "binance", ("A", "B"), MIDNIGHT_NS, MIDNIGHT_NS + 1_000)
    assert history_arguments.history_of(parser.parse_args(words)).spec == spec
    with pytest.raises(ConfigError, match="--from: 'soon' is no time"):
        history_arguments.spec_of(parser.parse_args([*words, "--from", "soon"]))
    with pytest.raises(ConfigError, match="the period ends before it begins"):
        history_arguments.spec_of(parser.parse_args([*words, "--from", "2025-01-01"]))
