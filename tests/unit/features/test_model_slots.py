"""Trained models in an engine's slots: heard or in shadow, scored for what they said, and never for more."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from features import state
from features.bars import BarSpec
from features.engine import EngineSpec, Step, SymbolEngine
from features.errors import DataError, ModelMissing, ModelRefused, SnapshotError
from features.forecaster import MIXTURE
from features.ledger import Ledger
from features.model_slots import as_plain, slot_name, slot_number
from features.ticks import TickBuffer, Ticks
from tests.unit.features.engine_runs import SECOND, START_NS, market, run, said, small_spec
from tests.unit.features.slot_models import Shelf, leaning

SPEC = small_spec(challengers=2, features=("log_return:1", "last_side", "zscore:4"))
GOOD, WEAK, BAD = (leaning(SPEC, slope) for slope in (0.25, 0.05, -0.25))


@pytest.fixture(scope="module")
def ticks() -> Ticks:
    return market(600, seed=1, gaps=2)


def swap_tick(second: int, slot: int, version: int) -> Ticks:
    buffer = TickBuffer()
    buffer.swap(START_NS + second * SECOND, 0, slot, version)
    return buffer.take()


def counts(engine: SymbolEngine, horizon: str = "3s") -> dict[str, int]:
    return {s.score.model: s.score.count for s in engine.models.scores() if s.score.horizon == horizon}


def asked(step: Step, horizon: str, since_ns: int, until_ns: int = 1 << 62) -> list[float]:
    """Outcomes of the questions that were asked in a span of time and answered."""
    return [
        answer.outcome
        for answer in step.answers
        if answer.horizon == horizon
        and since_ns <= answer.made_at_ns < until_ns
        and math.isfinite(answer.outcome)
    ]


# Empty slots, and shadow


def test_slots_without_models_change_no_bit(ticks: Ticks) -> None:
    want, plain = run(small_spec(challengers=0), [ticks])
    for challengers in (1, 3):
        found, engine = run(small_spec(challengers=challengers), [ticks])
        assert found == want
        assert engine.ledger.digest() == plain.ledger.digest()
        assert engine.weights() == plain.weights()
        assert (engine.models.scores(), engine.duels()) == ([], [])
        assert [one.version for one in engine.scores()] == [0] * len(engine.ledger.scores())


def test_a_challenger_is_scored_and_never_heard(ticks: Ticks) -> None:
    want, plain = run(SPEC, [ticks])
    engine = SymbolEngine(SPEC)
    engine.swap(1, 7, GOOD)
    engine.swap(2, 9, BAD)
    step = engine.update(ticks)
    assert said([step]) == want
    assert engine.ledger.digest() == plain.ledger.digest()
    answered = len(asked(step, "3s", 0))
    assert counts(engine) == {"challenger1": answered, "challenger2": answered}
    good, bad = (one.score for one in engine.models.scores() if one.score.horizon == "1s")
    assert good.lifetime.r2 > 0.0 > bad.lifetime.r2
    assert good.voided == engine.ledger.score(MIXTURE, "1s").voided > 0
    assert engine.models.versions == {"champion": 0, "challenger1": 7, "challenger2": 9}


def test_a_model_that_speaks_of_one_horizon_is_silent_at_the_other(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 1, leaning(SPEC, 0.25, ("1s",)))
    engine.swap(1, 2, leaning(SPEC, 0.25, ("3s", "1h")))
    engine.update(ticks)
    assert {(s.score.model, s.score.horizon) for s in engine.models.scores()} == {
        ("champion", "1s"),
        ("challenger1", "3s"),
    }
    assert "champion" in engine.weights()["1s"]
    assert "champion" not in engine.weights()["3s"]
    (duel,) = engine.duels()
    # There is no champion at this horizon: naive is the yardstick.
    assert (duel.version, duel.champion) == (2, 0)
    alone = engine.models.slots[1].ledger.score("model", "3s").lifetime
    assert (duel.score.lifetime.r2, duel.score.lifetime.dm) == (alone.r2, alone.dm)


# The champion


def test_a_champion_is_heard_as_far_as_it_has_shown_itself(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    first = engine.update(ticks[:100])
    engine.swap(0, 5, GOOD)
    later = engine.update(ticks[100:])
    assert {f.version for f in first.forecasts} == {0}
    assert {f.version for f in later.forecasts} == {5}
    assert engine.weights()["3s"]["champion"] > 0.3
    assert sum(engine.weights()["1s"].values()) <= 1.0 + 1e-12
    bad = SymbolEngine(SPEC)
    bad.swap(0, 5, BAD)
    bad.update(ticks)
    assert bad.weights()["1s"]["champion"] == 0.0  # what is no good is not trusted


def test_a_better_champion_makes_a_better_forecast() -> None:
    long = market(4_000, seed=5)
    spec = replace(SPEC, models=("naive",))
    _, plain = run(spec, [long])
    engine = SymbolEngine(spec)
    engine.swap(0, 1, GOOD)
    engine.update(long)
    score = engine.ledger.score(MIXTURE, "1s").lifetime
    assert plain.ledger.score(MIXTURE, "1s").lifetime.r2 == 0.0
    assert score.r2 > 0.02
    assert score.skill_low > 0.0


def test_a_swap_changes_nothing_but_the_slots(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.update(ticks[:500])
    parts = [engine.builder, engine.pipeline, engine._scaler, engine._bar_scale, engine.ledger]
    for forecaster in engine._forecasters:
        parts += [forecaster._tracker, forecaster._scale, forecaster._queue, *forecaster._learners]
    before, waiting = [part.digest() for part in parts], engine.open_questions
    for slot, version, model in ((0, 1, GOOD), (1, 2, WEAK), (0, 2, WEAK), (0, 0, None)):
        engine.swap(slot, version, model)
        assert [part.digest() for part in parts] == before
        assert engine.open_questions == waiting > 0


def test_a_champion_that_is_cleared_leaves_no_trace_in_the_forecasts_to_come(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.update(ticks[:300])
    engine.swap(0, 1, GOOD)
    engine.swap(0, 0, None)
    assert {f.version for f in engine.update(ticks[300:]).forecasts} == {0}
    assert "champion" not in engine.weights()["1s"]
    assert sum(engine.weights()["1s"].values()) <= 1.0 + 1e-12


# What was asked before a swap


def test_what_a_model_had_said_is_not_booked_on_the_next_one(ticks: Ticks) -> None:
    for slot in (0, 1):
        engine = SymbolEngine(SPEC)
        engine.swap(slot, 1, BAD)
        steps = [engine.update(ticks[:500])]
        engine.swap(slot, 2, GOOD)
        assert counts(engine) == {slot_name(slot): 0}
        since_ns = int(steps[0].bars.end_ns[-1]) + 1
        steps.append(engine.update(ticks[500:]))
        answered = [outcome for step in steps for outcome in asked(step, "3s", since_ns)]
        score = engine.models.slots[slot].ledger.score("model", "3s")
        # Questions of the first model were open: their answers have come and count for nobody.
        assert len(asked(steps[1], "3s", 0)) == len(answered) + 3
        assert score.count == len(answered)
        assert score.lifetime.mse_naive == pytest.approx(np.square(answered).mean())


def test_a_promotion_carries_over_what_the_challenger_has_shown(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 1, BAD)
    engine.swap(1, 2, GOOD)
    first = engine.update(ticks[:700])
    shown = engine.models.slots[1].ledger.digest()
    beside = [f.models._bystanders[1].state.copy() for f in engine._forecasters]  # type: ignore[union-attr]
    engine.swap(0, 2, GOOD)
    assert engine.models.champion.ledger.digest() == shown
    assert engine.models.versions == {"champion": 2, "challenger1": 0, "challenger2": 0}
    for forecaster, column in zip(engine._forecasters, beside, strict=True):
        mixed = forecaster._mixture._state[:, -1:]
        rows = [row for row in range(len(column)) if row != 4]  # the weight is among others now
        assert mixed[rows].tobytes() == column[rows].tobytes()
    later = engine.update(ticks[700:])
    # What it was asked as a challenger and was open counts for it as well.
    assert counts(engine) == {"champion": len(asked(first, "3s", 0)) + len(asked(later, "3s", 0))}
    alone = SymbolEngine(SPEC)
    alone.swap(1, 2, GOOD)
    alone.update(ticks)
    assert engine.models.champion.ledger.digest() == alone.models.slots[1].ledger.digest()


def test_an_intermediate_void_question_counts_for_those_who_were_asked(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(1, 2, GOOD)
    step = engine.update(ticks)
    voided = sum(math.isnan(answer.outcome) for answer in step.answers if answer.horizon == "3s")
    assert engine.models.slots[1].ledger.score("model", "3s").voided == voided > 0
    assert engine.models.slots[2].ledger.score("model", "3s").voided == 0


# Duels


def test_a_duel_compares_both_on_the_same_questions(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(1, 2, GOOD)
    engine.update(ticks[:400])
    engine.swap(0, 1, WEAK)  # from here on there is a champion to be compared with
    assert engine.models.slots[1].duel.score("model", "1s").count == 0
    assert counts(engine, "1s")["challenger1"] > 0
    said_by = {1: [], 2: []}  # type: ignore[var-annotated]
    scale_of = {}
    forecaster = engine._forecasters[0]
    ask = forecaster.models.ask

    def listen(raw, scale, *more):  # type: ignore[no-untyped-def]
        for version, model in ((1, WEAK), (2, GOOD)):
            said_by[version].append(model.opinion("1s", raw, scale)[0])
        scale_of[len(scale_of)] = scale
        return ask(raw, scale, *more)

    forecaster.models.ask = listen  # type: ignore[method-assign]
    step = engine.update(ticks[400:])
    made = [f.made_at_ns for f in step.forecasts if f.horizon == "1s"]
    outcome = {a.made_at_ns: a.outcome for a in step.answers if a.horizon == "1s"}
    book = Ledger(engine.models.slots[1].duel.spec)
    for at, weak, good in zip(made, *said_by.values(), strict=True):
        y = outcome.get(at, math.nan)
        if math.isfinite(y) and math.isfinite(weak):
            book.record(0, y - weak, [good - weak], [math.nan], [math.nan])
    (duel, _) = engine.duels()
    want = book.score("model", "1s")
    assert (duel.version, duel.champion, duel.score.count) == (2, 1, want.count)
    assert duel.score.lifetime.r2 == pytest.approx(want.lifetime.r2, rel=1e-9)
    assert duel.score.lifetime.dm == pytest.approx(want.lifetime.dm, rel=1e-6)
    assert duel.score.lifetime.r2 > 0.0
    assert as_plain(duel)["champion"] == 1


def test_another_champion_is_another_duel(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 1, WEAK)
    engine.swap(1, 2, GOOD)
    engine.swap(2, 3, BAD)
    engine.update(ticks[:500])
    engine.swap(0, 2, GOOD)
    assert [duel.score.count for duel in engine.duels()] == [0, 0]
    step = engine.update(ticks[500:])
    since_ns = step.forecasts[0].made_at_ns
    duel = next(one for one in engine.duels() if one.score.horizon == "3s")
    # The questions that were open had been asked of another champion.
    assert (duel.version, duel.champion) == (3, 2)
    assert duel.score.count == len(asked(step, "3s", since_ns))


def test_intervals_of_a_model_are_scored(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(1, 1, leaning(SPEC, 0.5, width=1.5))
    engine.swap(2, 2, GOOD)
    engine.update(ticks)
    wide, none = (engine.models.slots[slot].ledger.score("model", "1s") for slot in (1, 2))
    assert 0.5 < wide.lifetime.coverage < 1.0
    assert (none.lifetime.interval_weight, none.invalid_intervals, wide.invalid_intervals) == (0.0, 0, 0)


# In the stream


def test_a_swap_in_the_stream_takes_effect_in_its_place(ticks: Ticks) -> None:
    shelf = Shelf(v3=GOOD, v4=WEAK)
    stream = Ticks.concat(
        [
            swap_tick(0, 1, 4),
            ticks[:333],
            swap_tick(100, 0, 3),
            ticks[333:700],
            swap_tick(9, 0, 4),
            ticks[700:],
        ]
    )
    engine = SymbolEngine(SPEC, shelf)
    found = engine.update(stream)
    other = SymbolEngine(SPEC)
    other.swap(1, 4, WEAK)
    steps = [other.update(ticks[:333])]
    other.swap(0, 3, GOOD)
    steps.append(other.update(ticks[333:700]))
    other.swap(0, 4, WEAK)
    steps.append(other.update(ticks[700:]))
    assert said([found]) == said(steps)
    assert engine.digest() == other.digest()
    assert engine.models.versions == {"champion": 4, "challenger1": 0, "challenger2": 0}
    assert engine.builder.counters["bars"] == len(found.bars)


def test_a_swap_whose_model_is_missing_stops_there(ticks: Ticks) -> None:
    engine, other = SymbolEngine(SPEC, Shelf()), SymbolEngine(SPEC)
    with pytest.raises(ModelMissing, match="no model of version 8"):
        engine.update(Ticks.concat([ticks[:300], swap_tick(100, 0, 8), ticks[300:]]))
    other.update(ticks[:300])
    assert engine.digest() == other.digest()
    with pytest.raises(ModelMissing):
        SymbolEngine(SPEC).update(swap_tick(0, 0, 1))


def test_no_bar_takes_notice_of_a_swap(ticks: Ticks) -> None:
    parts = [ticks[:50], swap_tick(500, 0, 0), ticks[50:], swap_tick(9_999, 1, 0)]
    want, engine = run(SPEC, [ticks])
    found, with_swaps = run(SPEC, [Ticks.concat(parts)])
    assert found == want
    assert with_swaps.digest() == engine.digest()
    assert said([SymbolEngine(SPEC).update(Ticks.concat(parts))])["bars"] == want["bars"]


# What is refused


@pytest.mark.parametrize(
    ("slot", "version", "model", "error", "says"),
    [
        (3, 1, GOOD, DataError, "there is no slot 3"),
        (-1, 1, GOOD, DataError, "there is no slot -1"),
        (0, 1, None, DataError, "version 1 without a model"),
        (0, 0, GOOD, DataError, "version 0 with a model"),
        (
            0,
            1,
            leaning(small_spec(features=("rsi:5", "zscore:4")), 1.0),
            ModelRefused,
            "other features .*rsi:5",
        ),
        (
            0,
            1,
            leaning(replace(SPEC, bars=BarSpec.parse("tick:100")), 1.0, SPEC.horizons),
            ModelRefused,
            f"bars of tick:100, not {SPEC.bars.pace}",
        ),
        (1, 1, leaning(SPEC, 1.0, ("1h",)), ModelRefused, "speaks of 1h alone.* train one for 1s, 3s"),
    ],
)
def test_a_swap_that_cannot_be_is_refused_and_changes_nothing(
    slot, version, model, error, says, ticks
) -> None:  # type: ignore[no-untyped-def]
    engine = SymbolEngine(SPEC)
    engine.swap(0, 3, GOOD)
    engine.update(ticks[:200])
    before = engine.digest()
    with pytest.raises(error, match=says):
        engine.swap(slot, version, model)
    assert engine.digest() == before


def test_the_version_that_is_there_stays_as_it_is(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 3, GOOD)
    engine.update(ticks[:300])
    before = engine.digest()
    engine.swap(0, 3, GOOD)
    assert engine.digest() == before


def test_slots_have_names() -> None:
    assert [slot_number(slot_name(slot)) for slot in (0, 1, 12)] == [0, 1, 12]
    for name in ("challenger", "challenger0", "challengerx", "1", ""):
        with pytest.raises(DataError, match="there is no slot"):
            slot_number(name)


# Snapshots


def test_an_engine_goes_on_with_its_models(ticks: Ticks) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 3, GOOD)
    engine.swap(2, 4, BAD)
    engine.update(ticks[:500])
    copy = SymbolEngine.restore(SPEC, engine.snapshot(), Shelf(v5=WEAK))
    assert copy.digest() == engine.digest()
    assert copy.models.versions == engine.models.versions
    assert said([copy.update(ticks[500:])]) == said([engine.update(ticks[500:])])
    assert copy.digest() == engine.digest()
    copy.update(swap_tick(0, 0, 5))
    assert copy.digest() != engine.digest()


def test_a_damaged_model_in_a_snapshot_is_a_damaged_snapshot(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SymbolEngine(SPEC)
    engine.swap(0, 3, GOOD)
    monkeypatch.setattr(type(GOOD), "to_bytes", lambda self: b"something else")
    with pytest.raises(SnapshotError, match="champion: the model in it can't be used"):
        SymbolEngine.restore(SPEC, engine.snapshot())


def test_the_number_of_challengers_is_a_setting() -> None:
    assert EngineSpec("A").digest() == EngineSpec("A", challengers=1).digest()
    assert EngineSpec("A").digest() != EngineSpec("A", challengers=2).digest()
    assert EngineSpec.from_json(SPEC.to_json()) == SPEC


def test_a_state_of_a_release_without_slots_goes_on(ticks: Ticks) -> None:
    spec = small_spec()
    engine = SymbolEngine(spec)
    engine.update(ticks[:700])
    blocks = state.unpack("engine", 2, spec.digest(), engine.snapshot())
    del blocks["models"]
    for i, horizon in enumerate(spec.horizons):
        parts = state.unpack("forecaster", 1, horizon, blocks[f"horizon{i}"])
        del parts["models"]
        arrays = state.unpack_arrays(parts["queue"])
        # Notes ended where what the models say begins now.
        arrays["rows"] = arrays["rows"][:, : -engine._forecasters[i].models.width]
        parts["queue"] = state.pack_arrays(**arrays)
        blocks[f"horizon{i}"] = state.pack("forecaster", 1, horizon, parts)
    old = SymbolEngine.restore(spec, state.pack("engine", 1, spec.digest(), blocks))
    assert old.open_questions == engine.open_questions > 0
    assert old.digest() == engine.digest()
    assert said([old.update(ticks[700:])]) == said([engine.update(ticks[700:])])
    old.swap(0, 1, leaning(spec, 0.2))
