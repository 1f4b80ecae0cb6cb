"""What holds for the ledger whatever the answers are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ledger import Ledger, LedgerSpec

SPEC = LedgerSpec(("a", "b"), (1, 4), ("short", "long"), coverage=0.9, half_life=6.0)

plain_returns = st.floats(-0.2, 0.2, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-9)
anything = st.one_of(plain_returns, st.floats())
pairs = st.tuples(anything, anything)
answers = st.tuples(st.integers(0, 1), anything, pairs, pairs, pairs)
voids = st.tuples(st.integers(0, 1), st.integers(0, 9))
events = st.lists(st.one_of(answers, voids), max_size=60)


def feed(ledger: Ledger, stream: list[tuple]) -> Ledger:
    for event in stream:
        if len(event) == 2:
            ledger.void(*event)
        else:
            ledger.record(*event)
    return ledger


@settings(deadline=None)
@given(events, st.data())
def test_a_restart_at_any_point_changes_no_bit(stream: list[tuple], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    straight = feed(Ledger(SPEC), stream)
    resumed = feed(Ledger.restore(SPEC, feed(Ledger(SPEC), stream[:cut]).snapshot()), stream[cut:])
    assert resumed.snapshot() == straight.snapshot()


@settings(deadline=None)
@given(events)
def test_every_question_is_counted_exactly_once(stream: list[tuple]) -> None:
    scores = feed(Ledger(SPEC), stream).scores()
    for horizon in range(2):
        asked = sum(1 if len(e) > 2 else e[1] for e in stream if e[0] == horizon)
        for score in scores[2 * horizon : 2 * horizon + 2]:
            assert score.count + score.invalid + score.voided == asked
            assert score.lifetime.interval_weight + score.invalid_intervals <= score.count
            assert score.lifetime.weight == score.count


@settings(deadline=None)
@given(events)
def test_no_answer_can_spoil_the_scores(stream: list[tuple]) -> None:
    for score in feed(Ledger(SPEC), stream).scores():
        for track in (score.lifetime, score.recent):
            if score.count:
                assert np.isfinite([track.mse, track.mae, track.bias, track.mse_naive]).all()
                assert track.mse >= 0.0
            for share in (track.coverage, track.hit_rate, track.dm_p):
                assert np.isnan(share) or -1e-12 <= share <= 1.0 + 1e-12
            assert not track.skill_low > track.r2
            assert not track.skill_high < track.r2


@settings(deadline=None)
@given(events)
def test_horizons_do_not_depend_on_how_their_answers_interleave(stream: list[tuple]) -> None:
    apart = [e for e in stream if e[0] == 1] + [e for e in stream if e[0] == 0]
    assert feed(Ledger(SPEC), apart).digest() == feed(Ledger(SPEC), stream).digest()


@settings(deadline=None)
@given(events)
def test_a_models_scores_do_not_depend_on_its_neighbours(stream: list[tuple]) -> None:
    alone = replace(SPEC, models=("b",))
    mine = [e if len(e) == 2 else (e[0], e[1], *(column[1:] for column in e[2:])) for e in stream]
    together = feed(Ledger(SPEC), stream).scores()
    apart = feed(Ledger(alone), mine).scores()
    assert [repr(s) for s in together[1::2]] == [repr(s) for s in apart]


@settings(deadline=None)
@given(st.lists(st.tuples(plain_returns, plain_returns), min_size=1, max_size=80))
def test_scores_equal_numpy_over_all_answers(rows: list[tuple[float, float]]) -> None:
    ledger = Ledger(replace(SPEC, models=("a",)))
    for outcome, forecast in rows:
        ledger.record(1, outcome, [forecast], [forecast - 0.01], [forecast + 0.01])
    y, f = np.array(rows).T
    weights = 0.5 ** (np.arange(len(y) - 1, -1, -1.0) / SPEC.half_life)
    score = ledger.score("a", "long")
    for track, w in ((score.lifetime, np.ones(len(y))), (score.recent, weights)):
        scale = np.average(np.abs(y) + np.abs(f), weights=w)
        naive = np.average(y**2, weights=w)
        assert track.mse == pytest.approx(np.average((y - f) ** 2, weights=w), rel=1e-11)
        assert track.mae == pytest.approx(np.average(abs(y - f), weights=w), rel=1e-11)
        assert track.bias == pytest.approx(np.average(f - y, weights=w), rel=1e-11, abs=1e-13 * scale)
        if naive > 0.0:
            r2 = 1.0 - np.average((y - f) ** 2, weights=w) / naive
            assert track.r2 == pytest.approx(r2, rel=1e-9, abs=1e-10)
        else:
            assert np.isnan(track.r2)


@settings(deadline=None)
@given(
    st.lists(st.tuples(plain_returns, plain_returns), min_size=2, max_size=9),
    st.sampled_from([2.0**-20, 2.0**-6, 2.0**3]),
)
def test_a_change_of_unit_changes_no_bit_of_the_scores_without_unit(
    rows: list[tuple[float, float]], unit: float
) -> None:
    # A power of two scales floats exactly, so that skill and significance may not move at all.
    ledgers = Ledger(replace(SPEC, models=("a",))), Ledger(replace(SPEC, models=("a",)))
    for ledger, factor in zip(ledgers, (1.0, unit), strict=True):
        for y, f in rows * 25:
            ledger.record(1, y * factor, [f * factor], [(f - 0.01) * factor], [(f + 0.01) * factor])
    here, there = (ledger.score("a", "long").lifetime for ledger in ledgers)
    for name in ("r2", "skill_low", "skill_high", "dm", "dm_p", "hit_rate", "coverage"):
        assert repr(getattr(here, name)) == repr(getattr(there, name))
    assert there.mse == here.mse * unit**2
    assert there.interval_score == here.interval_score * unit
