"""The report of a backtest has the backtest's own numbers, whatever the backtest was fed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from cluster.storage.folder_store import FolderStore
from cluster.storage.lake import Lake
from features.bars import Bars
from features.errors import ConfigError, DataError
from features.trading.performance import measure
from jobs.backtesting.job import LakeSource
from jobs.backtesting.result import Manifest, Results, SymbolResult
from jobs.backtesting.rule_results import read_step
from jobs.backtesting.settings import BacktestSettings
from jobs.backtesting.summary import summarise
from jobs.backtesting.symbol_run import run_symbol
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.reporting.backtest_report import histories_of, report_of, write_report
from jobs.reporting.importance import Importance
from jobs.reporting.trials import Trial, TrialsTable
from tests.unit.jobs.backtesting.histories import MINUTE, START_NS, Given, candles, settings
from tests.unit.jobs.history.candle_rows import candles as lake_candles
from tests.unit.jobs.reporting.pages import check, unpacked

Histories = dict[str, Bars]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty run."""
    store = FolderStore(tmp_path)
    store.prepare()
    return Results(store, "run1")


def backtest(results: Results, histories: Histories, spec: BacktestSettings | None = None) -> Manifest:
    """A finished backtest of some histories."""
    spec = spec or settings()
    symbols = tuple(
        run_symbol(Given([bars]), results, spec, "venue", symbol) for symbol, bars in histories.items()
    )
    return finished(results, spec, symbols)


def finished(results: Results, spec: BacktestSettings, symbols: tuple[SymbolResult, ...]) -> Manifest:
    """The manifest of these symbols, written."""
    fed = [one for one in symbols if one.bars]
    manifest = Manifest(
        run_id=results.run_id,
        settings=spec.as_dict() | {"history": {"source": "candles:1m"}},
        digests=spec.digests(),
        code_version="c0de",
        start_ns=min((one.first_ns for one in fed), default=0),
        end_ns=max((one.last_ns for one in fed), default=0),
        rules=spec.rules,
        trials=len(spec.rules),
        symbols=symbols,
        summary=summarise(results, spec, symbols, len(spec.rules)),
        seconds=1.0,
        created_at_ns=1_700_000_000_000_000_000,
    )
    results.put_manifest(manifest)
    return manifest


def test_its_numbers_are_those_of_the_run(results: Results, tmp_path: Path) -> None:
    manifest = backtest(results, {"AAA": candles(600), "B/B": candles(400, seed=1, session_bars=90)})
    path = tmp_path / "out" / "report.html"
    assert write_report(results, path) == path.stat().st_size < 8_000_000
    page = check(path.read_text())
    for one in manifest.symbols:
        score = next(s for s in one.scores if s["model"] == "mixture" and s["horizon"] == "3m")
        row = page.row(one.symbol, "3m", _verdict(score["lifetime"]))
        assert row[3] == f"{100 * score['lifetime']['r2']:.3f}".replace("-", "−")
        assert row[7:9] == [f"{score['count']:,}", f"{score['voided']:,}"]
        step = read_step(results, "venue", one.symbol, one.parts, "long", one.bars)
        performance = measure(step, 100_000.0)
        row = page.row(one.symbol, "long")
        assert float(row[2].replace("−", "-")) == pytest.approx(100 * performance.total_return, abs=0.006)
        assert float(row[8]) == pytest.approx(100 * performance.max_drawdown, abs=0.06)
    assert page.row("AAA", "venue")[2] == "600"


def _verdict(life: dict[str, float]) -> str:
    if life["skill_low"] is None:
        return "too few answers" if life["r2"] else "does not beat naive"
    below = "worse than naive" if life["skill_high"] < 0 else "does not beat naive"
    return "beats naive" if life["skill_low"] > 0 else below


def test_curves_have_every_peak_and_the_accounts_ends(results: Results) -> None:
    manifest = backtest(results, {"AAA": candles(3_000), "BBB": candles(900, seed=5)})
    page = check(report_of(results, manifest).html())
    own = results.read("curve", "venue", "AAA").to_pandas()
    own = own[own["rule"] == "long"]
    equity = 100 * own["equity"].to_numpy() / 100_000
    peaks = np.maximum(np.maximum.accumulate(equity), 100.0)
    together, alone, _ = page.charts["equity-chart"]["views"]
    traces = [trace for trace in alone["traces"] if trace["name"] == "long"]
    assert [trace.get("yaxis", "y") for trace in traces] == ["y", "y2", "y3"]
    shown, fall = (unpacked(trace["y"]) for trace in traces[:2])
    assert len(shown) <= 2_000 < len(equity)
    assert [shown[0], shown[-1], shown.min(), shown.max()] == pytest.approx(
        [equity[0], equity[-1], equity.min(), equity.max()], rel=1e-6
    )
    assert fall.min() == pytest.approx(-100 * ((peaks - equity) / peaks).max(), rel=1e-5)
    assert alone["label"] == "AAA"
    rule = manifest.rules[0]
    line = next(one for one in manifest.summary["rules"]["lines"] if one["rule"] == rule)
    assert unpacked(together["traces"][0]["y"])[-1] == pytest.approx(
        100 * (1 + line["total_return"]), rel=1e-6
    )


def test_the_verdict_is_in_words(results: Results) -> None:
    manifest = backtest(results, {"AAA": candles(3_000)})
    page = check(report_of(results, manifest).html())
    score = next(s for s in manifest.symbols[0].scores if s["model"] == "mixture" and s["horizon"] == "1m")
    assert score["lifetime"]["skill_low"] > 0  # the history leans on its last move
    low, high = (100 * score["lifetime"][name] for name in ("skill_low", "skill_high"))
    skill = 100 * score["lifetime"]["r2"]
    assert (
        f"The forecast beats naive at 1m by {skill:.2f} % of the MSE (95 %: {low:.3f} to {high:.3f})."
        in page.text
    )


def test_what_there_is_nothing_of_is_said(results: Results) -> None:
    """No bars, one bar, a price that never moves, nothing but void answers, a symbol that failed."""
    spec = settings()
    still = Bars.from_columns(
        candles(60).start_ns,
        candles(60).end_ns,
        **dict.fromkeys(("open", "high", "low", "close"), np.full(60, 9.0)),
    )
    histories = {
        "NONE": candles(1)[:0],
        "ONE": candles(1),
        "STILL": still,
        "VOID": candles(40, session_bars=4),
    }
    symbols = [run_symbol(Given([bars]), results, spec, "venue", name) for name, bars in histories.items()]
    failed = SymbolResult("venue", "BAD", remark="its prices are <none>", failed=True)
    manifest = finished(results, spec, (*symbols, failed))
    page = check(report_of(results, manifest).html())
    for one in manifest.symbols:
        assert any(row[0] == one.symbol for row in page.rows)
        if one.remark:
            assert one.remark in page.text
    assert "FAILED: its prices are <none>" in page.text
    row = next(row for row in page.table("Forecasts against naive") if row[:2] == ["NONE", "1m"])
    assert row[2] == "nothing scored"


@pytest.mark.parametrize("histories", [{}, {"NONE": candles(1)[:0]}, {"ONE": candles(1)}])
def test_a_run_of_nothing_has_a_report(results: Results, histories: Histories) -> None:
    page = check(report_of(results, backtest(results, histories)).html())
    assert "Nothing was scored at 1m." in page.text
    assert {title for level, title in page.headings if level == "h2"} >= {
        "Verdict",
        "Equity",
        "Trading rules",
    }


def test_a_run_over_a_lake_says_what_its_features_are_worth(results: Results) -> None:
    lake = Lake(results.store)
    ends = START_NS + MINUTE * np.arange(1, 401)
    close = candles(400).column("close")
    rows = lake_candles(ends, open=close, high=close + 1.0, low=close - 1.0, close=close)
    lake.write("candles", "venue", "AAA", 1, rows)
    spec = settings()
    source = LakeSource(History(lake, HistorySpec("candles:1m")), "venue", "AAA")
    manifest = finished(results, spec, (run_symbol(source, results, spec, "venue", "AAA"),))
    assert histories_of(lake, manifest) == []  # it doesn't say what it was fed
    history = asdict(HistorySpec("candles:1m")) | {"symbols": []}
    told = replace(manifest, settings=manifest.settings | {"history": history})
    page = check(report_of(results, told, histories=histories_of(lake, told)).html())
    assert [view["label"] for view in page.charts["shuffle-chart"]["views"]] == ["1m", "3m"]
    assert "1 symbol" in page.charts["shuffle-chart"]["views"][0]["text"]
    without = check(report_of(results, manifest).html())
    assert "nothing can be said of its features" in without.text


def test_two_venues_of_one_symbol_are_told_apart(results: Results) -> None:
    spec = settings()
    symbols = tuple(run_symbol(Given([candles(50)]), results, spec, venue, "AAA") for venue in ("one", "two"))
    page = check(report_of(results, finished(results, spec, symbols)).html())
    assert page.row("AAA (one)", "long") and page.row("AAA (two)", "long")


def test_trials_and_importance_are_shown_where_given(results: Results) -> None:
    manifest = backtest(results, {"AAA": candles(60)})
    trials = TrialsTable(
        [
            Trial(1, {"depth": 3, "rule": "long"}, 0.125, seconds=2.0, measures={"sharpe": 1.5}),
            Trial(2, {"depth": 5, "rule": "flat"}, None, "failed"),
            Trial(3, {"rule": "<b>"}, 0.25),
        ],
        "skill",
        best=3,
        note="Of 3 trials.",
    )
    splits = [Importance("model 7", "1m", {"rsi:3": 30, "zscore:4": 10}), Importance("model 8", "1m", {})]
    page = check(report_of(results, manifest, trials, splits).html())
    first, second, _ = page.table("Every trial")
    assert first == ["1", "0.12500", "finished", "3", "long", "1.500", "2 s"]
    assert second == ["2", "–", "failed", "5", "flat", "–", "–"]
    chart = page.view("trials-chart", "all")
    assert chart["traces"]["skill"]["y"].tolist() == [0.125, 0.25]
    assert chart["traces"]["chosen"]["x"].tolist() == [3]
    assert "most for rsi:3 75.0 %, zscore:4 25.0 %" in page.charts["importance-chart"]["views"][0]["text"]
    empty = check(report_of(results, manifest, TrialsTable([])).html())
    assert "No trial was run." in empty.text


def test_an_unfinished_run_has_none(results: Results, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished backtest"):
        write_report(results, tmp_path / "x.html")


def test_a_report_that_can_not_be_written_says_why(results: Results, tmp_path: Path) -> None:
    manifest = backtest(results, {"AAA": candles(20)})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"):
        report_of(results, manifest).write(tmp_path / "file" / "x.html")
    assert report_of(results, replace(manifest, trials=9)).write(tmp_path / "x.html") > 4_000_000
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["file", "x.html"]
