"""`python -m jobs.backtest` in this process: from a lake to a table, whatever is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.storage.epochs import EpochRecord
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.engine import SymbolEngine
from features.model_slots import as_plain
from jobs import backtest, command_line
from jobs.backtesting import on_ray, tables
from jobs.backtesting.result import Results, SymbolResult, run_ids
from tests.unit.cluster.storage.lake_rows import SYMBOL, VENUE, write_ticks
from tests.unit.features.engine_runs import market, small_spec
from tests.unit.jobs.history.candle_rows import MINUTE_NS, candles

START_NS = 1_723_161_600 * 10**9
SMALL = ["--features", "log_return:1", "zscore:5", "--horizon", "1m", "--horizon", "5m", "--local"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake that holds a day of three symbols, one of which starts late and one never moves."""
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    made = Lake(store)
    random = np.random.default_rng(5)
    ends = START_NS + MINUTE_NS * np.arange(1, 1_000)
    walk = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-3, len(ends))))
    made.write("candles", VENUE, "AAA", 0, candles(ends, close=walk))
    made.write("candles", VENUE, "LATE", 0, candles(ends[700:], close=walk[700:]))
    made.write("candles", VENUE, "STILL", 0, candles(ends, close=np.full(len(ends), 7.0)))
    made.write("candles", VENUE, "ONE", 0, candles(ends[:1], close=walk[:1]))
    return made


def run(lake: Lake, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run the job with `--json`; its result."""
    said = command_line.main(
        backtest.parser(), backtest.run, ["--lake", lake.store.uri, *SMALL, "--json", *words]
    )
    captured = capsys.readouterr()
    assert said == code, captured.err
    result: dict[str, Any] = json.loads(captured.out.splitlines()[-1])
    return result


def test_every_symbol_has_a_row_and_the_odd_ones_say_why(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Late, still and lonely symbols are no errors."""
    result = run(lake, capsys, "--rule", "crossover:3,10", "--rule", "forecast:0.5@5m", "--rule", "long")
    found = {one["symbol"]: one for one in result["symbols"]}
    assert list(found) == ["AAA", "LATE", "ONE", "STILL"]
    assert found["AAA"]["remark"] == "" and found["AAA"]["bars"] == 999
    assert found["LATE"]["remark"] == "" and found["LATE"]["bars"] == 299
    assert found["STILL"]["remark"] == "the price never moved"
    assert found["ONE"]["remark"].startswith("1 bar; the first forecast")
    assert result["rules"] == ["crossover:3,10,0.0001", "forecast:0.5,1@5m", "long"]
    lines = {one["rule"]: one for one in result["summary"]["rules"]["lines"]}
    own = [one["rules"][2]["performance"]["final_equity"] for one in result["symbols"]]
    assert lines["long"]["total_return"] == pytest.approx(sum(own) / 4e5 - 1.0)
    assert result["summary"]["trials"] == 3
    assert result["summary"]["rules"]["best"]["deflated_sharpe"] is not None
    assert result["summary"]["forecasts"][0]["symbols"] == 3
    kept = Results(lake.store, result["run_id"]).manifest()
    assert kept.symbol(VENUE, "AAA").engine == found["AAA"]["engine"]
    assert len(kept.digests) == 4


def test_a_finished_run_is_shown_again_and_nothing_is_computed(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is asked for; other settings or other data are another run."""
    first = run(lake, capsys, "--symbol", "AAA")
    with monkeypatch.context() as patch:
        patch.setattr(backtest.BacktestJob, "run", None)
        assert run(lake, capsys, "--symbol", "AAA") == first
    again = run(lake, capsys, "--symbol", "AAA", "--again")
    assert again["run_id"] == first["run_id"] and again["created_at_ns"] > first["created_at_ns"]
    assert run(lake, capsys, "--symbol", "AAA", "--trading", "fee_bps=1")["run_id"] != first["run_id"]
    lake.write("candles", VENUE, "AAA", 0, candles([START_NS + 2_000 * MINUTE_NS]))
    assert run(lake, capsys, "--symbol", "AAA")["run_id"] != first["run_id"]
    assert len(run_ids(lake.store)) == 3


def test_results_go_to_a_folder_where_one_is_named(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The lake stays as it was."""
    result = run(lake, capsys, "--symbol", "LATE", "--out", str(tmp_path / "out"))
    assert run_ids(lake.store) == []
    store = open_store(StoreSpec(uri=str(tmp_path / "out")))
    assert Results(store, result["run_id"]).manifest().symbols[0].bars == 299


def test_the_table_says_what_does_not_beat_naive(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """For people: a line for each symbol and horizon, each rule, each remark, and what it comes to."""
    words = ["--lake", lake.store.uri, *SMALL]
    assert command_line.main(backtest.parser(), backtest.run, words) == 0
    said = capsys.readouterr().out
    for text in ("Forecasts against naive", "Rules after costs", "STILL: the price never moved"):
        assert text in said
    assert "1m: the forecast beats naive in 0 of 3 symbols" in said and "It does not beat naive." in said
    assert "Best of 2 trials: " in said


def test_symbols_of_which_the_same_is_said_share_a_line() -> None:
    """A lake of hundreds of symbols without this source is told in a line."""
    alike = [SymbolResult(VENUE, f"S{number}", remark="no bars in this period") for number in range(10)]
    said = tables.remarks([*alike, SymbolResult(VENUE, "BAD", remark="damaged", failed=True)])
    assert said == [
        "S0, S1, S2, S3, S4, S5, S6, S7 and 2 more: no bars in this period",
        "BAD: FAILED: damaged",
    ]


def test_a_period_without_bars_is_a_row_and_no_error(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is traded and nothing is scored."""
    result = run(lake, capsys, "--from", "2024-08-08", "--to", "2024-08-09")
    assert {one["remark"] for one in result["symbols"]} == {"no bars in this period"}
    assert result["summary"]["rules"]["lines"] == [] and result["summary"]["bars"] == 0
    assert command_line.main(
        backtest.parser(), backtest.run, ["--lake", lake.store.uri, *SMALL, "--to", "2024-08-09"]
    ) == 0  # fmt: skip


def test_a_symbol_with_damaged_data_fails_alone_and_is_tried_again(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, the others have their rows, and no manifest says that the run is whole."""
    key = next(one.key for one in lake.store.list("candles/") if "LATE" in one.key)
    whole = lake.store.get(key)
    lake.store.put(key, whole[:-20])
    result = run(lake, capsys, "--symbol", "AAA", "--symbol", "LATE", code=1)
    assert [(one["symbol"], one["failed"]) for one in result["symbols"]] == [("AAA", False), ("LATE", True)]
    assert "damaged" in result["symbols"][1]["remark"]
    assert run_ids(lake.store) == []
    lake.store.put(key, whole)
    result = run(lake, capsys, "--symbol", "AAA", "--symbol", "LATE")
    assert not any(one["failed"] for one in result["symbols"])
    assert run_ids(lake.store) == [result["run_id"]]


def test_the_recorded_stream_gives_the_live_ledger(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings are those of the recorded engine; scores and state are equal to the last bit."""
    spec = small_spec(symbol=SYMBOL)
    ticks = market(300, seed=7, gaps=2)
    live = SymbolEngine(spec)
    for at in range(0, len(ticks), 3):
        live.update(ticks[at : at + 3])
    lake.put_epoch(EpochRecord(VENUE, SYMBOL, 1, 0, 1, json.loads(spec.to_json()), True))
    write_ticks(lake, 1, 0, ticks)
    words = ["--lake", lake.store.uri, "--source", "stream", "--symbol", SYMBOL, "--local", "--json"]
    assert command_line.main(backtest.parser(), backtest.run, words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["symbols"][0]["engine"] == live.digest()
    kept = Results(lake.store, result["run_id"]).manifest()
    assert json.loads(json.dumps([as_plain(one) for one in live.scores()])) == list(kept.symbols[0].scores)


def test_a_file_is_read_without_a_lake(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind and interval are told from it; results go to a folder, and a second start shows them again."""
    monkeypatch.chdir(tmp_path)
    close = 50.0 + np.cumsum(np.random.default_rng(1).normal(0.0, 0.1, 60))
    table = candles(
        START_NS + MINUTE_NS * np.arange(1, 61), close=close, high=close + 1, low=close - 1, open=close
    )
    columns = {name: table[name] for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"symbol": ["AAA"] * 60, "ts_ns": table["start_ns"], **columns}), "file.parquet")
    words = ["--data", "file.parquet", "--rule", "long", "--json"]
    results = []
    for _ in range(2):
        assert command_line.main(backtest.parser(), backtest.run, words) == 0
        results.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert results[0] == results[1]
    assert results[0]["symbols"][0]["bars"] == 60
    assert results[0]["settings"]["history"]["source"] == "candles:1m"
    assert run_ids(open_store(StoreSpec(uri=".tickcast/backtests"))) == [results[0]["run_id"]]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--rule", "forecast:2@7m"], "there is no horizon '7m'"),
        (["--rule", "long@5m"], "long takes no forecast"),
        (["--rule", "long", "--rule", "long"], "listed twice: long"),
        (["--rule", "sideways"], "unknown rule"),
        (["--horizon", "90s"], "not a multiple of the bar interval 1m"),
        (["--bars", "time:5m"], "can't be time:5m"),
        (["--trading", "fees=1"], "is no setting"),
        (["--workers", "0"], "0 is below 1"),
        (["--symbol", "NONE"], "NONE"),
        (["--retrain", "every=7d"], "window is missing"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_exit_code_2(
    lake: Lake, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    """Before anything is computed."""
    assert command_line.main(backtest.parser(), backtest.run, ["--lake", lake.store.uri, *SMALL, *words]) == 2
    assert problem in capsys.readouterr().err
    assert run_ids(lake.store) == []


def test_a_task_of_ray_gives_back_what_this_process_does(lake: Lake, tmp_path: Path) -> None:
    """What a worker is sent and what it returns survive the way, to the last bit."""
    arguments = backtest.parser().parse_args(["--lake", lake.store.uri, *SMALL])
    job, pairs, _ = backtest._job(arguments)
    row = on_ray.Chain(job)({"venue": pairs[0][0], "symbol": pairs[0][1]})
    assert on_ray.unpacked(row) == job.run(*pairs[0], lambda line: None)
