"""A data set is what the engine asks: features, outcomes and scales, to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features import dataset, durations
from features.bars import Bars
from features.dataset import DatasetBuilder
from features.engine import SymbolEngine
from features.spec import FeatureSet
from tests.unit.features.engine_runs import SECOND, START_NS, small_spec

HORIZONS = ("1s", "3s", "7s")


def random_bars(seed: int, n: int) -> Bars:
    """Seconds with holes, sessions of any length, prices that jump, rest, and now and then are absurd."""
    random = np.random.default_rng(seed)
    ends = START_NS + np.cumsum(random.choice([1, 1, 1, 2, 5], n)) * SECOND
    moves = random.standard_normal(n) * random.choice([0.0, 1e-3, 1e-3, 0.5], n)
    close = 100.0 * np.exp(np.cumsum(moves - moves.mean()))
    session = np.cumsum(random.random(n) < 0.08)
    volume = random.lognormal(size=n) * (random.random(n) < 0.8)
    return Bars.from_columns(ends - SECOND, ends, close=close, volume=volume, session=session)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 140),
    first=st.sampled_from([1, 3, 10]),
    cuts=st.lists(st.integers(0, 140), max_size=4),
)
def test_rows_are_the_engine_s_questions(seed: int, n: int, first: int, cuts: list[int]) -> None:
    """At every bar the engine says its scale; each answer is found in the row of its question."""
    bars = random_bars(seed, n)
    spec = small_spec(horizons=HORIZONS, first_forecast_bars=first)
    engine = SymbolEngine(spec)
    scales, answers, features = [], [], []
    for i in range(n):
        step = engine.update_bars(bars[i : i + 1])
        features.append(step.features[0])
        answers += [(answer, i) for answer in step.answers]
        scales.append([forecaster._scale.value for forecaster in engine._forecasters])
    builder = DatasetBuilder(FeatureSet.parse(spec.features), first)
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), n], strict=True):
        builder.update(bars[low:high])
    for place, horizon in enumerate(HORIZONS):
        rows = builder.build(durations.parse_ns(horizon))
        mine = [(answer, bar) for answer, bar in answers if answer.horizon == horizon]
        assert len(rows) == max(0, n - first + 1)
        assert rows.scale.tolist() == [row[place] for row in scales[first - 1 :]]
        assert rows.x.tobytes() == b"".join(row.tobytes() for row in features[first - 1 :])
        assert rows.made_at_ns.tolist() == bars.end_ns[first - 1 :].tolist()
        assert np.array_equal(rows.session, bars.session[first - 1 :])
        done = rows.answered >= 0
        assert done.sum() == len(mine) and not rows.known[~done].any()
        assert rows.made_at_ns[done].tolist() == [answer.made_at_ns for answer, _ in mine]
        assert rows.due_ns[done].tolist() == [answer.due_ns for answer, _ in mine]
        assert rows.answered[done].tolist() == [bar - first + 1 for _, bar in mine]
        outcomes = np.array([answer.outcome for answer, _ in mine])
        assert np.array_equal(rows.y[done], outcomes, equal_nan=True)
        whole = dataset.build(bars, builder.feature_set, durations.parse_ns(horizon), first)
        assert whole.digest() == rows.digest()
