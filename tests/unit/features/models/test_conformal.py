"""Intervals keep their coverage on any stream, and always hold the forecast."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.models.conformal import RETURN_BOUND, Interval, IntervalSpec, IntervalTracker

N = 20_000
UNIT = 1e-4


def normal(random: np.random.Generator, n: int) -> np.ndarray:
    return random.standard_normal(n)


def heavy_tails(random: np.random.Generator, n: int) -> np.ndarray:
    return random.standard_t(3, n)


def mostly_zero(random: np.random.Generator, n: int) -> np.ndarray:
    return np.where(random.random(n) < 0.6, 0.0, random.choice([-1.0, 1.0, 2.0, -2.0], n))


def regimes(random: np.random.Generator, n: int) -> np.ndarray:
    calm = np.arange(n) // 500 % 2 == 0
    return random.standard_normal(n) * np.where(calm, 0.5, 5.0)


def trending(random: np.random.Generator, n: int) -> np.ndarray:
    return random.standard_normal(n) + np.sin(2.0 * math.pi * np.arange(n) / 4000.0)


STREAMS = {f.__name__: f for f in (normal, heavy_tails, mostly_zero, regimes, trending)}


def outcomes_of(kind: str, overlap: int, seed: int = 0) -> np.ndarray:
    """N overlapping outcomes; a trend is given per horizon, not per bar."""
    returns = STREAMS[kind](np.random.default_rng(seed), N + overlap - 1)
    if kind == "trending":
        drift = np.sin(2.0 * math.pi * np.arange(len(returns)) / 4000.0)
        returns = returns - drift + drift / math.sqrt(overlap)
    sums = np.concatenate([[0.0], np.cumsum(UNIT * returns)])
    return sums[overlap:] - sums[:-overlap]


def track(
    outcomes: np.ndarray, forecasts: np.ndarray, overlap: int, spec: IntervalSpec | None = None
) -> tuple[list[Interval], IntervalTracker]:
    """The intervals around forecasts whose answers come `overlap` questions late."""
    tracker = IntervalTracker(spec or IntervalSpec(), overlap)
    given: list[Interval] = []
    for i, forecast in enumerate(forecasts.tolist()):
        past = i - overlap
        if past >= 0:
            tracker.learn(float(forecasts[past]), given[past], float(outcomes[past]))
        given.append(tracker.interval(forecast, UNIT * math.sqrt(overlap)))
    return given, tracker


def covered(given: list[Interval], outcomes: np.ndarray) -> np.ndarray:
    lower, upper = np.array([(g.lower, g.upper) for g in given]).T
    return (lower <= outcomes) & (outcomes <= upper)


@pytest.mark.parametrize("overlap", [1, 10, 60])
@pytest.mark.parametrize("kind", STREAMS)
def test_nine_in_ten_outcomes_are_inside(kind: str, overlap: int) -> None:
    outcomes = outcomes_of(kind, overlap)
    inside = covered(track(outcomes, np.zeros(N), overlap)[0], outcomes)
    assert 0.88 < inside.mean() < 0.92
    assert 0.88 < inside[N // 2 :].mean() < 0.92


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.99])
def test_other_coverages_are_kept_too(coverage: float) -> None:
    outcomes = outcomes_of("heavy_tails", 1)
    inside = covered(track(outcomes, np.zeros(N), 1, IntervalSpec(coverage=coverage))[0], outcomes)
    assert inside.mean() == pytest.approx(coverage, abs=0.01)


@pytest.mark.parametrize("kind", STREAMS)
def test_misses_are_shared_by_both_sides(kind: str) -> None:
    outcomes = outcomes_of(kind, 1)
    given, _ = track(outcomes, np.zeros(N), 1)
    below = np.mean([outcome < g.lower for g, outcome in zip(given, outcomes, strict=True)])
    assert 0.04 < below < 0.06


def test_the_forecast_is_always_inside_however_one_sided_the_outcomes() -> None:
    random = np.random.default_rng(1)
    forecasts = UNIT * random.standard_normal(4000)
    for outcomes in (forecasts + UNIT, forecasts - UNIT * random.random(4000), np.zeros(4000)):
        given, _ = track(outcomes, forecasts, 1)
        for g, forecast in zip(given, forecasts, strict=True):
            assert g.lower <= forecast <= g.upper
        assert covered(given, outcomes)[500:].mean() > 0.88


@pytest.mark.parametrize("overlap", [1, 10, 60])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_one_side_cannot_miss_the_other_does(sign: float, overlap: int) -> None:
    outcomes = sign * abs(outcomes_of("heavy_tails", overlap))
    inside = covered(track(outcomes, np.zeros(N), overlap)[0], outcomes)
    assert 0.88 < inside[N // 2 :].mean() < 0.92


def test_a_side_that_was_never_missed_comes_back_soon_when_the_market_turns() -> None:
    random = np.random.default_rng(2)
    rising = UNIT * abs(random.standard_normal(N))
    outcomes = np.concatenate([rising, UNIT * random.standard_normal(2000)])
    inside = covered(track(outcomes, np.zeros(len(outcomes)), 1)[0], outcomes)
    # The other side had the budget of both; giving it back takes some hundred answers.
    assert inside[N : N + 1000].mean() > 0.8
    assert inside[N + 1000 :].mean() > 0.88


def test_the_first_intervals_are_as_wide_as_a_random_walk_would_need() -> None:
    tracker = IntervalTracker(IntervalSpec(), 10)
    first = tracker.interval(0.0, 3e-4)
    assert (first.lower, first.upper) == pytest.approx((-6e-4, 6e-4))
    assert first.p_up == 0.5


def test_the_probability_of_a_rise_is_roughly_right() -> None:
    random = np.random.default_rng(3)
    forecasts = UNIT * random.choice([-1.0, 0.0, 1.0], N)
    outcomes = forecasts + UNIT * random.standard_normal(N)
    given, _ = track(outcomes, forecasts, 1)
    said = np.array([g.p_up for g in given])[N // 2 :]
    for forecast in (-UNIT, 0.0, UNIT):
        rows = forecasts[N // 2 :] == forecast
        rose = (outcomes[N // 2 :][rows] > 0.0).mean()
        assert said[rows].mean() == pytest.approx(rose, abs=0.05)


def test_a_price_that_hardly_ever_rises_is_said_to_hardly_ever_rise() -> None:
    for outcomes in (np.zeros(N), -UNIT * (np.random.default_rng(4).random(N) < 0.1)):
        given, _ = track(outcomes, np.zeros(N), 1)
        assert given[-1].p_up < 0.1


@pytest.mark.parametrize(
    "outcomes",
    [
        np.zeros(2000),
        np.where(np.arange(2000) % 100 == 99, 30.0, 0.0),
        np.where(np.arange(2000) % 2 == 0, 30.0, -30.0),
        np.full(2000, 1e-300),
        1e-200 * np.random.default_rng(5).standard_normal(2000),
    ],
    ids=["constant", "rare leaps", "leaps to and fro", "denormal", "tiny"],
)
@pytest.mark.parametrize("forecast", [0.0, 1e-5, -RETURN_BOUND])
def test_every_number_stays_finite_and_in_order(outcomes: np.ndarray, forecast: float) -> None:
    given, _ = track(outcomes, np.full(len(outcomes), forecast), 1)
    for g in given:
        assert -RETURN_BOUND <= g.lower <= forecast <= g.upper <= RETURN_BOUND
        assert 0.0 <= g.p_up <= 1.0
        assert math.isfinite(g.scale)


def test_a_restored_tracker_goes_on_to_the_bit() -> None:
    outcomes = outcomes_of("heavy_tails", 1)[:600]
    _, whole = track(outcomes, np.zeros(600), 1)
    _, half = track(outcomes[:300], np.zeros(300), 1)
    rest = IntervalTracker(IntervalSpec(), 1)
    rest.load(half.snapshot())
    assert rest.digest() == half.digest()
    given = [rest.interval(0.0, UNIT)]
    for outcome in outcomes[299:]:
        rest.learn(0.0, given[-1], float(outcome))
        given.append(rest.interval(0.0, UNIT))
    # One more answer than the whole run, which ends before its last is known.
    assert rest.digest() != whole.digest()
    whole.learn(0.0, whole.interval(0.0, UNIT), float(outcomes[-1]))
    assert rest.digest() == whole.digest()
