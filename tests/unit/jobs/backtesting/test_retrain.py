"""Walk-forward training in a backtest: at boundaries, on what was known by then, like live swaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cluster.errors import StoreUnreachable
from features.bars import Bars, BarSpec
from features.dataset import Dataset, build
from features.engine import EngineSpec, SymbolEngine
from features.errors import SpecError
from features.models.package import ModelPackage
from features.spec import FeatureSet
from jobs.backtesting.boosters import train_spec, trainer_of
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.retrain import Retrainer, RetrainSpec
from jobs.backtesting.symbol_run import run_symbol
from tests.unit.features.engine_runs import SECOND, market
from tests.unit.features.slot_models import leaning
from tests.unit.jobs.backtesting.histories import MINUTE, Failing, Given, candles, rows, settings

HISTORY = candles(300, seed=4)
SPEC = settings(retrain=RetrainSpec.parse("every=60m,window=100m,embargo=2m"), rules=("forecast:0", "long"))


class Lean:
    """Trains a model that leans as the rows say; remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[Mapping[str, Dataset]] = []

    def __call__(self, given: Mapping[str, Dataset], engine: EngineSpec) -> ModelPackage | None:
        self.given.append(given)
        total = sum(float(one.target().sum()) for one in given.values())
        return leaning(engine, 0.1 + 0.01 * abs(total))


def run(
    store: Failing, run_id: str, batches: Any, trainer: Any, piece_rows: int = 0, spec: Any = SPEC
) -> tuple[SymbolResult, dict[str, list[bytes]]]:
    results = Results(store, run_id)
    result = run_symbol(Given(batches), results, spec, "venue", "AAA", piece_rows=piece_rows, trainer=trainer)
    assert not result.failed, result.remark
    return result, rows(results, result)


def test_models_are_trained_at_boundaries_on_rows_that_were_known(store: Failing) -> None:
    """Made within the window, due the embargo before the boundary, and equal to the engine's questions."""
    lean = Lean()
    result, _ = run(store, "one", [HISTORY], lean)
    swaps = Results(store, "one").read("swaps", "venue", "AAA").to_pylist()
    assert [one["version"] for one in swaps] == [1, 2, 3, 4, 5]
    every, window, embargo = 60 * MINUTE, 100 * MINUTE, 2 * MINUTE
    features = FeatureSet.parse(SPEC.engine.features)
    for swap, given in zip(swaps, lean.given, strict=True):
        assert swap["at_ns"] % every == 0
        assert swap["last_due_ns"] <= swap["at_ns"] - embargo
        assert swap["first_ns"] > swap["at_ns"] - window
        assert swap["rows"] == sum(len(one) for one in given.values())
        for name, minutes in (("1m", 1), ("3m", 3)):
            known = int(np.searchsorted(HISTORY.end_ns, swap["at_ns"], side="right"))
            whole = build(HISTORY[:known], features, minutes * MINUTE, SPEC.engine.first_forecast_bars)
            kept = whole[
                whole.known
                & (whole.due_ns <= swap["at_ns"] - embargo)
                & (whole.made_at_ns > swap["at_ns"] - window)
            ]
            assert given[name].digest() == kept.digest()
    assert [one["model"] for one in result.scores if one["version"]] == ["champion", "champion"]


def test_it_is_a_live_engine_with_swaps_between_two_bars(store: Failing) -> None:
    """Fed and swapped by hand, an engine ends in the same state; what models said is scored by version."""
    lean = Lean()
    result, _ = run(store, "one", [HISTORY], lean)
    engine = SymbolEngine(SPEC.engine_spec("AAA"))
    fed = 0
    swaps = Results(store, "one").read("swaps", "venue", "AAA").to_pylist()
    for swap, given in zip(swaps, lean.given, strict=True):
        until = int(np.searchsorted(HISTORY.end_ns, swap["at_ns"], side="right"))
        engine.update_bars(HISTORY[fed:until])
        engine.swap(0, swap["version"], Lean()(given, SPEC.engine))
        fed = until
    engine.update_bars(HISTORY[fed:])
    assert engine.digest() == result.engine
    scores = Results(store, "one").read("scores", "venue", "AAA").to_pylist()
    assert {one["version"] for one in scores if one["model"] == "champion"} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("piece_rows", [1, 37, 60, 1000])
def test_pieces_and_kills_change_no_bit(store: Failing, piece_rows: int) -> None:
    """Boundaries within a piece and between two, and a run that is killed now and then."""
    history = [HISTORY[:130]]
    want = run(store, "whole", history, Lean())
    cut = run(store, "cut", history, Lean(), piece_rows)
    assert (cut[0].engine, cut[0].rules, cut[1]) == (want[0].engine, want[0].rules, want[1])
    if piece_rows not in (37, 60):
        return
    for puts in range(0, 15, 3):
        store.arm(puts)
        with pytest.raises(StoreUnreachable):
            run(store, f"killed{puts}", history, Lean(), piece_rows)
        store.arm(1 << 60)
        again = run(store, f"killed{puts}", history, Lean(), piece_rows)
        assert (again[0].engine, again[1]) == (want[0].engine, want[1])


@pytest.mark.parametrize("t", [70, 131, 180, 299])
def test_what_comes_later_changes_no_model(store: Failing, t: int) -> None:
    """Everything up to bar t is the same when what follows is another market."""
    other = Bars(HISTORY.times.copy(), HISTORY.values.copy())
    other.values[:, t:] *= 3.0
    _, known = run(store, "known", [HISTORY[:t]], Lean())
    _, changed = run(store, "changed", [other], Lean())
    # Scores are those of the end of a run; the models' own come before.
    for name in set(known) - {"scores"}:
        assert changed[name][: len(known[name])] == known[name], name


def test_ticks_are_cut_at_boundaries_too(store: Failing) -> None:
    """By venue time, whatever the pieces."""
    spec = settings(
        bars=BarSpec("time", SECOND, max_fill=5),
        horizons=("1s", "3s"),
        features=("log_return:1", "flow_imbalance:2"),
        rules=("forecast:0",),
        retrain=RetrainSpec.parse("every=40s,window=100s"),
    )
    ticks = market(200, seed=3)
    want = run(store, "whole", [ticks], Lean(), spec=spec)
    cut = run(store, "cut", [ticks], Lean(), 23, spec)
    assert (cut[0].engine, cut[1]) == (want[0].engine, want[1])
    assert len(want[1]["swaps"]) == 4


def test_a_silence_over_several_boundaries_is_one() -> None:
    """A market that was closed is not trained on again for every boundary that has passed."""
    retrainer = Retrainer(RetrainSpec.parse("every=1m,window=9m"), SPEC.engine, lambda rows, engine: None)
    bars = Bars.from_columns(np.array([0, 500]) * SECOND, np.array([10, 510]) * SECOND, close=[1.0, 2.0])
    assert retrainer.rows_before(bars) == 1
    assert retrainer.train(bars[1:]) is None
    assert retrainer.rows_before(bars[1:]) == 1


def test_boosters_learn_what_is_there(store: Failing) -> None:
    """The real trainer, on returns that lean on the last one; equal rows give an equal model."""
    spec = settings(
        retrain=RetrainSpec.parse("every=20h,window=20h,library=lightgbm,rounds=20,min_data_in_leaf=50"),
        horizons=("1m",),
        rules=("forecast:0",),
    )
    assert spec.retrain is not None
    results = [
        run(store, name, [candles(2_600, seed=1)], trainer_of(spec.retrain, 0.9), spec=spec)
        for name in ("one", "two")
    ]
    assert results[0][1] == results[1][1]
    champion = next(one for one in results[0][0].scores if one["model"] == "champion")
    assert champion["version"] == 2 and champion["lifetime"]["r2"] > 0.02


def test_settings_are_read_and_checked() -> None:
    """What is not ours is the library's own."""
    spec = RetrainSpec.parse("every=7d, window=30d,library=xgboost,rounds=50,max_depth=3,heads=mean+up")
    found = train_spec(spec, 0.8)
    assert (found.library, found.rounds, found.heads, found.coverage) == ("xgboost", 50, ("mean", "up"), 0.8)
    assert found.parameters == (("max_depth", 3),)
    for text in ("every=7d", "every=7d,window=1", "every=7d,window=30d,every=1d", "window"):
        with pytest.raises(SpecError):
            RetrainSpec.parse(text)
    for text in ("rounds=many", "depth=3", "library=catboost"):
        with pytest.raises(SpecError):
            train_spec(RetrainSpec.parse(f"every=7d,window=30d,{text}"), 0.9)
