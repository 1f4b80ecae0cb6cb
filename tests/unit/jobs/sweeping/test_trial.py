from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features import dataset
from features.bars import Bars
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError
from features.trading.account import Account
from features.trading.performance import period_returns
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from jobs.sweeping import forecasters
from jobs.sweeping.data import Rows, labels
from jobs.sweeping.forecasters import TreeForecaster
from jobs.sweeping.job import TrialRun
from jobs.sweeping.search import FAILED, FINISHED, Suggestion
from jobs.sweeping.settings import Periods, periods_of
from jobs.sweeping.trial import Trial
from jobs.sweeping.trial_spec import TrialSpec
from tests.unit.jobs.backtesting.histories import MINUTE, candles
from tests.unit.jobs.sweeping.lakes import VENUE, job_of, lake_of, settings, walk

FEATURES = ("log_return:1", "zscore:4")
ONLINE = TrialSpec("time:1m", "3m", FEATURES, "ridge:5,0.999", "forecast:0,1")
BATCH = TrialSpec("time:1m", "3m", FEATURES, "lightgbm", "long", {"rounds": 5})


def rows_of(bars: Bars, symbol: str = "A") -> Rows:
    made = labels(bars, "3m")
    x = np.full((len(bars), 2), np.nan)
    found = dataset.build(bars, ONLINE.feature_set, ONLINE.horizon_ns)
    x[len(bars) - len(found) :] = found.x
    return Rows(VENUE, symbol, bars, x, made[0], made[1], ONLINE.horizon_ns)


def periods(bars: Bars, **changes: str) -> Periods:
    return periods_of(settings(holdout="0", **changes), int(bars.end_ns[0]), int(bars.end_ns[-1]))


def run(spec: TrialSpec, rows: list[Rows], walk_forward: Periods) -> Trial:
    trial = Trial(spec, rows, walk_forward, settings())
    while not trial.done:
        trial.step()
    return trial


@pytest.mark.parametrize("model", ["ridge:5,0.999", "river_linear:0.001"])
def test_an_online_trial_says_what_the_live_engine_says(model: str) -> None:
    bars = candles(700, seed=3, session_bars=250)
    found = periods(bars)
    spec = TrialSpec("time:1m", "3m", FEATURES, model, "long")
    rows = rows_of(bars)
    # Features of rows before the first question are seen by the engine too.
    engine = SymbolEngine(EngineSpec("A", spec.bars, FEATURES, ("3m",), ("naive", model), challengers=0))
    step = engine.update_bars(bars)
    rows.x[:] = step.features
    row = run(spec, [rows], found).row()
    start, end = found.folds[0][0], found.folds[-1][1]
    inside = [one for one in step.answers if start <= one.made_at_ns < end and np.isfinite(one.outcome)]
    scale = rows.scale[np.searchsorted(bars.end_ns, [one.made_at_ns for one in inside])]
    outcome = np.array([one.outcome for one in inside]) / scale
    said = np.array([one.forecast for one in inside]) / scale
    assert row["answers"] == len(inside) > 300
    assert row["skill"] == pytest.approx(1 - ((outcome - said) ** 2).sum() / (outcome**2).sum(), abs=1e-12)


def test_naive_has_no_skill_and_what_leans_on_the_last_move_has_some() -> None:
    bars = candles(12_000, seed=1)
    found = periods(bars)
    naive = TrialSpec("time:1m", "3m", FEATURES, "naive", "long")
    assert run(naive, [rows_of(bars)], found).row()["skill"] == 0.0
    for spec in (ONLINE, replace(BATCH, parameters={"rounds": 60})):
        assert run(spec, [rows_of(bars)], found).row()["skill"] > 0.005


def test_the_rule_trades_the_folds_as_an_account_by_itself_would() -> None:
    bars, other = candles(900, seed=4), candles(900, seed=5)
    found = periods(bars)
    spec = TrialSpec("time:1m", "3m", FEATURES, "naive", "crossover:3,9")
    row = run(spec, [rows_of(bars), rows_of(other, "B")], found).row()
    total = 0.0
    for one in (bars, other):
        start = int(np.searchsorted(one.end_ns, found.folds[0][0]))
        targets = Rule(RuleSpec.parse("crossover:3,9")).update(one)
        total = total + Account(TradingSpec()).update(one[start:], targets[start:]).column("equity")
    expected = period_returns(one.end_ns[start:], total, 200_000.0, found.period)
    assert np.allclose(row["returns"], expected.values, atol=1e-12) and row["fills"] > 100
    assert row["total_return"] == pytest.approx(total[-1] / 200_000.0 - 1.0)


def test_trees_see_no_label_that_reaches_into_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = candles(1_500, seed=6)
    found = periods(bars, embargo="5m")
    seen = []
    real = forecasters.train

    def noted(rows, *rest, **named):  # type: ignore[no-untyped-def]
        seen.append(rows["3m"])
        return real(rows, *rest, **named)

    monkeypatch.setattr(forecasters, "train", noted)
    said = [TreeForecaster(BATCH, [rows_of(bars)], found).fold(*fold) for fold in found.folds]
    for known, (start, _), given in zip(seen, found.folds, said, strict=True):
        assert known.due_ns.max() < start - 5 * MINUTE and len(known) > 600
        assert np.isfinite(given[0]).all()
    # Whatever comes after a fold's start changes no model: only the rows asked there.
    later = candles(1_500, seed=7)
    start = found.folds[1][0]
    at = int(np.searchsorted(bars.end_ns, start))
    changed = Bars(bars.times, np.concatenate([bars.values[:, :at], later.values[:, at:]], axis=1))
    a, b = (
        TreeForecaster(BATCH, [rows_of(one)], found).publishable(start, start + 1) for one in (bars, changed)
    )
    assert a[0].digest == b[0].digest


def test_a_trial_that_can_not_be_computed_is_a_row(tmp_path: Path) -> None:
    lake_of(tmp_path, A=walk(60, 1))
    job = job_of(tmp_path, tmp_path / "out", settings())
    pair = (VENUE, "A")
    first, last = job.span(pair)[0] or (0, 0)
    found = periods_of(job.settings, first, last)
    job.prepare(pair, found.holdout_ns)
    spec = TrialSpec("time:1m", "4m", ("log_return:1",), "lightgbm", "long")
    trial = TrialRun(job, [pair], found, Suggestion(0, {"features": "one"}, spec))
    assert trial.step()
    row = trial.row()
    assert row["status"] == FAILED and "rows with an outcome are below" in row["problem"]
    online = TrialSpec("time:1m", "4m", ("log_return:1",), "ew_mean:0.01", "long")
    trial = TrialRun(job, [pair], found, Suggestion(1, {"features": "one"}, online))
    assert not trial.step() and trial.step() and trial.row()["status"] == FINISHED
    with pytest.raises(DataError, match="no symbol has bars"):
        Trial(online, [], found, job.settings)


def test_constant_prices_have_no_skill_to_speak_of() -> None:
    bars = candles(400, seed=1)
    flat = Bars.from_columns(bars.start_ns, bars.end_ns, close=np.full(400, 7.0), session=bars.session)
    found = periods(flat)
    row = run(TrialSpec("time:1m", "3m", FEATURES, "ridge:5,0.999", "long"), [rows_of(flat)], found).row()
    assert row["skill"] is None and row["objective"] is None and row["answers"] > 100
