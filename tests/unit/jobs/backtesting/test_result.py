"""Results of a backtest: what is written is read back, whole runs alone count."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cluster.storage.folder_store import FolderStore
from features.bulk import Answers
from features.errors import DataError
from features.ledger import Ledger, LedgerSpec
from features.model_slots import SlotScore
from jobs.backtesting import result_tables
from jobs.backtesting.result import Manifest, Results, RuleResult, SymbolResult, run_ids

SYMBOL = SymbolResult(
    venue="binance",
    symbol="BTC/USDT",
    bars=7,
    answers=3,
    engine="abc",
    rules=(RuleResult("long", "def", {"sharpe": 1.25, "calmar": None}),),
    parts={"answers": 2},
)
MANIFEST = Manifest(
    run_id="r1",
    settings={"rules": ["long"]},
    digests={"features": "0f"},
    code_version="0.1.0",
    start_ns=1,
    end_ns=2,
    rules=("long",),
    trials=1,
    symbols=(SYMBOL,),
    summary={"bars": 7},
    seconds=0.5,
    created_at_ns=3,
)
NAN = math.nan
ANSWERS = result_tables.answers(
    Answers(
        horizon=np.array([0, 1, 0]),
        made_at_ns=np.array([60, 60, 120]),
        due_ns=np.array([120, 360, 180]),
        price=np.array([100.0, 100.0, 101.0]),
        forecast=np.array([0.001, 0.0, -0.001]),
        lower=np.array([-0.01, -0.1, -0.01]),
        upper=np.array([0.01, 0.1, 0.01]),
        outcome=np.array([0.002, NAN, 0.0]),
    ),
    ("1m", "5m"),
)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty run."""
    store = FolderStore(tmp_path)
    store.prepare()
    return Results(store, "r1")


def test_a_manifest_is_read_back_and_lists_the_run(results: Results) -> None:
    """What was written comes back equal; the run is listed from then on."""
    with pytest.raises(DataError, match="no finished backtest"):
        results.manifest()
    assert run_ids(results.store) == []
    results.put_manifest(MANIFEST)
    read = results.manifest()
    assert repr(read) == repr(MANIFEST)
    assert run_ids(results.store) == ["r1"]
    rule = read.symbol("binance", "BTC/USDT").rule("long")
    assert rule is not None and rule.performance["sharpe"] == 1.25
    with pytest.raises(DataError, match="not in this backtest"):
        read.symbol("binance", "ETHUSDT")


def test_rows_come_back_part_by_part_once_the_symbol_is_finished(results: Results) -> None:
    """Parts beyond those of the summary, left by a killed run, are not read; void is null."""
    rows = ANSWERS
    results.write("answers", "binance", "BTC/USDT", 0, rows.slice(0, 1))
    results.write("answers", "binance", "BTC/USDT", 1, rows.slice(1))
    results.write("answers", "binance", "BTC/USDT", 2, rows)
    results.put_checkpoint("binance", "BTC/USDT", b"state")
    with pytest.raises(DataError, match="not in this backtest"):
        results.read("answers", "binance", "BTC/USDT")
    results.put_summary(SYMBOL)
    assert results.checkpoint("binance", "BTC/USDT") is None
    assert repr(results.summary("binance", "BTC/USDT")) == repr(SYMBOL)
    read = results.read("answers", "binance", "BTC/USDT")
    assert read.equals(rows)
    assert read["outcome"].null_count == 1
    some = results.read("answers", "binance", "BTC/USDT", ["due_ns"])
    assert some.column_names == ["due_ns"] and some["due_ns"].to_pylist() == [120, 360, 180]
    assert results.read("curve", "binance", "BTC/USDT").schema == result_tables.SCHEMAS["curve"]


def test_scores_are_kept_as_the_ledger_gives_them() -> None:
    """Every measure of both tracks is a column."""
    ledger = Ledger(LedgerSpec(("naive", "other"), (1,), ("1m",), 0.9, 100.0))
    for outcome in (0.001, -0.002, 0.003):
        ledger.record(0, outcome, [0.0, 0.5 * outcome], [math.nan, -0.01], [math.nan, 0.01])
    rows = result_tables.scores([SlotScore(0, score) for score in ledger.scores()])
    assert rows["model"].to_pylist() == ["naive", "other"]
    for row, score in zip(rows.to_pylist(), ledger.scores(), strict=True):
        assert row["count"] == 3
        for track in ("lifetime", "recent"):
            for name, value in asdict(getattr(score, track)).items():
                stored = row[f"{track}_{name}"]
                assert stored == value or (stored is None and math.isnan(value))


def test_a_newer_or_damaged_manifest_is_refused(results: Results) -> None:
    """The error says what to do."""
    results.put_manifest(replace(MANIFEST, version=2))
    with pytest.raises(DataError, match="newer than 1"):
        results.manifest()
    results.store.put("backtests/r1/manifest.json", b"{")
    with pytest.raises(DataError, match="damaged"):
        results.manifest()


def test_forgetting_removes_all_of_a_run_and_nothing_else(results: Results) -> None:
    """Another run stays."""
    other = Results(results.store, "r2")
    for run in (results, other):
        run.write("answers", "v", "s", 0, ANSWERS)
        run.put_manifest(replace(MANIFEST, run_id=run.run_id))
    results.forget()
    assert run_ids(results.store) == ["r2"]
    assert not list(results.store.list("backtests/r1/"))
    assert json.loads(results.store.get("backtests/r2/manifest.json"))["run_id"] == "r2"
