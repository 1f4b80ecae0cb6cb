"""Many bars at once give the bits of bars one by one, in what is said and in the engine's state."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import bulk, bulk_horizon
from features.bars import Bars
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError
from tests.unit.features.engine_runs import SECOND, START_NS, small_spec

SPECS = (
    small_spec(features=("log_return:1", "zscore:4", "rsi:3")),
    small_spec(models=("naive",), horizons=("2s",), first_forecast_bars=1),
    small_spec(models=("naive", "ridge:0.001,0.6", "ew_mean:0.5", "ridge"), horizons=("1s", "2s", "7s")),
)


def prices(n: int, seed: int, breaks: int = 3) -> Bars:
    """n bars with leaps, standstills and holes, in several sessions."""
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 1e-3, n) * (random.random(n) < 0.8)
    moves[random.integers(0, n, 2)] *= 500.0
    close = 50.0 * np.exp(np.cumsum(moves))
    steps = random.choice([1, 1, 1, 2, 4], n)
    ends = START_NS + SECOND * np.cumsum(steps)
    sessions = np.searchsorted(np.sort(random.integers(0, n, breaks)), np.arange(n))
    return Bars.from_columns(ends - SECOND, ends, close=close, volume=random.random(n), session=sessions)


def bits(block: bulk.Block) -> list[bytes]:
    answers = block.answers
    columns: list[Any] = [block.features, block.expected, block.lower, block.upper, block.p_up]
    columns += [getattr(answers, name) for name in bulk.Answers.__slots__]
    return [np.ascontiguousarray(column).tobytes() for column in columns]


def one_by_one(engine: SymbolEngine, bars: Bars) -> bulk.Block:
    return bulk.of_step(engine, engine.update_bars(bars))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(SPECS), st.integers(0, 50), st.lists(st.integers(0, 300), max_size=5))
def test_not_one_bit_differs(spec: EngineSpec, seed: int, cuts: list[int]) -> None:
    """In any cuts, taking turns with `update_bars`, and over snapshots."""
    bars = prices(300, seed)
    want, engine = SymbolEngine(spec), SymbolEngine(spec)
    edges = sorted({0, *cuts, 300})
    for turn, (low, high) in enumerate(itertools.pairwise(edges)):
        piece = bars[low:high]
        assert all(bulk_horizon.fits(forecaster) for forecaster in engine._forecasters)
        feed = one_by_one if turn % 3 == 2 else bulk.run
        assert bits(feed(engine, piece)) == bits(one_by_one(want, piece))
        assert engine.digest() == want.digest()
        if turn % 2:
            engine = SymbolEngine.restore(spec, engine.snapshot())
    assert engine.weights() == want.weights()
    assert engine.ledger.scores() == want.ledger.scores() or engine.ledger.digest() == want.ledger.digest()


def test_learners_that_are_not_compiled_go_bar_by_bar() -> None:
    """With the same result."""
    spec = small_spec(models=("naive", "river_linear"))
    bars = prices(60, 1)
    want, engine = SymbolEngine(spec), SymbolEngine(spec)
    assert not bulk_horizon.fits(engine._forecasters[0])
    assert bits(bulk.run(engine, bars)) == bits(one_by_one(want, bars))
    assert engine.digest() == want.digest()


def test_a_block_counts_and_places_what_the_engine_said() -> None:
    """Forecasts begin with the bar that the spec says; void questions have no outcome."""
    spec = SPECS[0]
    bars = prices(50, 2)
    block = bulk.run(SymbolEngine(spec), bars)
    step = SymbolEngine(spec).update_bars(bars)
    assert block.forecasts == len(step.forecasts) == 2 * 48
    assert np.isnan(block.expected[:, :2]).all() and not np.isnan(block.expected[:, 2:]).any()
    said = [one for one in step.forecasts if one.horizon == "3s"]
    assert block.lower[1, 2:].tolist() == [one.lower for one in said]
    assert block.answers.made_at_ns.tolist() == [one.made_at_ns for one in step.answers]
    assert [spec.horizons[i] for i in block.answers.horizon] == [one.horizon for one in step.answers]
    assert np.isnan(block.answers.outcome).any()


def test_bars_that_can_not_be_leave_the_engine_as_it_was() -> None:
    """None of them is taken in."""
    engine = SymbolEngine(SPECS[0])
    bulk.run(engine, prices(20, 3))
    before = engine.digest()
    bars = prices(20, 4)
    bars.column("reference")[7] = np.nan
    with pytest.raises(DataError):
        bulk.run(engine, bars)
    assert engine.digest() == before
    assert len(bulk.run(engine, bars[:0]).bars) == 0
