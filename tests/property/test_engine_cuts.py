"""However the ticks are cut, and wherever an engine is saved and restored, it says the same bits.

And whatever the ticks are, what it says is finite, and none of it knows what comes after.
"""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import BarSpec
from features.engine import SymbolEngine
from features.ticks import TickBuffer, Ticks
from tests.unit.features.engine_runs import SECOND, market, run, said, small_spec
from tests.unit.features.slot_models import Shelf, leaning
from tests.unit.features.tick_streams import EVENTS, build, cut

SPECS = (
    small_spec(),
    small_spec(bars=BarSpec("time", SECOND, max_fill=2, price="mid")),
    small_spec(bars=BarSpec("tick", 2, session_gap_ns=6 * SECOND), horizons=("500ms", "2s")),
)
RIVER = small_spec(
    models=("naive", "ridge", "river_linear", "river_bayesian:10", "river_tree:5"), first_forecast_bars=1
)
SWAPPED = small_spec(features=("log_return:1", "last_side", "zscore:4"), challengers=2)
MODELS = Shelf(
    v1=leaning(SWAPPED, 0.25),
    v2=leaning(SWAPPED, 0.1, ("1s",)),
    v3=leaning(SWAPPED, -0.2, feature=2, width=1.5),
)
_PLACES = st.lists(st.integers(0, 10_000), max_size=6)
_RESTORES = st.lists(st.booleans(), min_size=7, max_size=7)


def assert_cuts_change_nothing(spec, ticks: Ticks, places, restores) -> None:  # type: ignore[no-untyped-def]
    want, whole = run(spec, [ticks])
    engine, steps = SymbolEngine(spec), []
    for piece, restore in zip(cut(ticks, places), restores, strict=False):
        steps.append(engine.update(piece))
        if restore:
            engine = SymbolEngine.restore(spec, engine.snapshot())
    assert said(steps) == want
    assert engine.digest() == whole.digest()
    assert engine.ledger.digest() == whole.ledger.digest()
    assert engine.weights() == whole.weights()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SPECS), EVENTS, _PLACES, _RESTORES)
def test_cuts_and_restores_change_no_bit(spec, events, places, restores) -> None:  # type: ignore[no-untyped-def]
    assert_cuts_change_nothing(spec, build(events), places, restores)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 3), _PLACES, _RESTORES)
def test_cuts_and_restores_change_no_bit_of_long_runs_with_every_learner(seed, places, restores) -> None:  # type: ignore[no-untyped-def]
    assert_cuts_change_nothing(RIVER, market(150, seed, gaps=2), places, restores)


_SWAPS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=8
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), _SWAPS, _PLACES, _RESTORES)
def test_cuts_and_restores_change_no_bit_of_a_stream_with_swaps(seed, swaps, places, restores) -> None:  # type: ignore[no-untyped-def]
    ticks, parts, at = market(100, seed, gaps=1), [], 0
    for place, slot, version in sorted(swaps):
        place %= len(ticks)
        parts += [ticks[at:place], swap_tick(slot, version)]
        at = max(at, place)
    stream = Ticks.concat([*parts, ticks[at:]])
    whole = SymbolEngine(SWAPPED, MODELS)
    want = said([whole.update(stream)])
    engine, steps = SymbolEngine(SWAPPED, MODELS), []
    for piece, restore in zip(cut(stream, places), restores, strict=False):
        steps.append(engine.update(piece))
        if restore:
            engine = SymbolEngine.restore(SWAPPED, engine.snapshot(), MODELS)
    assert said(steps) == want
    assert engine.digest() == whole.digest()
    assert repr(engine.scores()) == repr(whole.scores())
    assert repr(engine.duels()) == repr(whole.duels())


def swap_tick(slot: int, version: int) -> Ticks:
    buffer = TickBuffer()
    buffer.swap(0, 0, slot, version)
    return buffer.take()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SPECS), EVENTS, EVENTS, EVENTS)
def test_what_comes_later_changes_nothing_that_was_said(spec, first, one, other) -> None:  # type: ignore[no-untyped-def]
    known, _ = run(spec, [build(first)])
    for later in (one, other):
        both, _ = run(spec, [build(first + later)])
        for part, items in known.items():
            assert both[part][: len(items)] == items


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SPECS), EVENTS)
def test_every_forecast_is_finite_and_every_question_is_accounted_for(spec, events) -> None:  # type: ignore[no-untyped-def]
    engine = SymbolEngine(spec)
    step = engine.update(build(events))
    for forecast in step.forecasts:
        assert 0.0 < forecast.lower <= forecast.price_forecast <= forecast.upper < math.inf
        assert 0.0 < forecast.price < math.inf
        assert math.isfinite(forecast.expected_return)
        assert 0.0 <= forecast.p_up <= 1.0
    voided = sum(not math.isfinite(answer.outcome) for answer in step.answers)
    assert engine.open_questions == len(step.forecasts) - len(step.answers)
    for horizon in spec.horizons:
        made = sum(forecast.horizon == horizon for forecast in step.forecasts)
        answered = [answer for answer in step.answers if answer.horizon == horizon]
        score = engine.ledger.score("mixture", horizon)
        assert score.count == sum(math.isfinite(answer.outcome) for answer in answered)
        assert score.voided == len(answered) - score.count
        assert (score.invalid, score.invalid_intervals) == (0, 0)
        assert made >= score.count + score.voided
    scores = [engine.ledger.score("mixture", horizon) for horizon in spec.horizons]
    assert voided == sum(score.voided for score in scores)
