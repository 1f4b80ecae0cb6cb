"""The running scores equal what one computes from all the data at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from features import scores
from features.ledger import Ledger, LedgerSpec
from features.scores import Measures, student_quantile_95, student_two_sided

Floats = NDArray[np.float64]


def newey_west_error(gains: Floats, weights: Floats, lag: int) -> float:
    """Standard error of the weighted mean: Bartlett-weighted autocovariances, all data, term by term."""
    deviations = weights * (gains - np.average(gains, weights=weights))
    total = float(deviations @ deviations)
    for k in range(1, lag + 1):
        total += 2.0 * (1.0 - k / (lag + 1)) * float(deviations[k:] @ deviations[:-k])
    return float(np.sqrt(total) / weights.sum())


def expect(
    y: Floats, f: Floats, low: Floats, high: Floats, weights: Floats, bars: int, lag: int, coverage: float
) -> Measures:
    """Every score from its definition in docs/scores.md."""

    def mean(values: Floats, where: NDArray[np.bool_] | None = None) -> float:
        chosen = np.ones(len(y), dtype=bool) if where is None else where
        return float(np.average(values[chosen], weights=weights[chosen])) if chosen.any() else np.nan

    tail = (1.0 - coverage) / 2.0
    signed = (y != 0) & (f != 0)
    mse, naive = mean((y - f) ** 2), mean(y**2)
    sample = weights.sum() ** 2 / (weights**2).sum()
    gains = y**2 - (y - f) ** 2
    error = np.nan
    if sample >= max(10, 10 * bars):
        factor = (sample + 1 - 2 * bars + bars * (bars - 1) / sample) / sample
        error = newey_west_error(gains, weights, lag) / np.sqrt(factor)
    r2 = 1.0 - mse / naive
    margin = stats.t.ppf(0.975, sample - 1) * error / naive if sample > 1 else np.nan
    dm = mean(gains) / error
    outside = 2.0 / (1.0 - coverage) * (np.maximum(low - y, 0) + np.maximum(y - high, 0))
    return Measures(
        weight=float(weights.sum()),
        sample=float(sample),
        mse=mse,
        mse_naive=naive,
        mae=mean(abs(y - f)),
        mae_naive=mean(abs(y)),
        bias=mean(f - y),
        r2=r2,
        skill_low=r2 - margin,
        skill_high=r2 + margin,
        dm=dm,
        dm_p=float(2 * stats.t.sf(abs(dm), sample - 1)),
        hit_weight=float(weights[signed].sum()),
        hit_rate=mean((np.sign(y) == np.sign(f)).astype(float), signed),
        interval_weight=float(weights.sum()),
        coverage=mean(((low <= y) & (y <= high)).astype(float)),
        mean_width=mean(high - low),
        pinball_lower=mean(np.maximum(tail * (y - low), (tail - 1) * (y - low))),
        pinball_upper=mean(np.maximum((1 - tail) * (y - high), -tail * (y - high))),
        interval_score=mean(high - low + outside),
    )


def market(n: int, scale: float, drift: float, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Overlapping returns with a little to forecast, and intervals that are sometimes missed."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(n + 4)
    y = np.convolve(steps, np.ones(5), "valid") + drift
    f = 0.1 * y + 0.3 * rng.standard_normal(n) + drift
    y[rng.random(n) < 0.05] = 0.0
    f[rng.random(n) < 0.05] = 0.0
    half = 2.0 + rng.random(n)
    return y * scale, f * scale, (f - half) * scale, (f + half) * scale


def close(measured: Measures, expected: Measures, relative: float) -> None:
    for name in Measures.__slots__:
        floor = 0.0
        if name.startswith("skill"):  # carries the 1e-4 of the quantile's expansion
            floor = 1e-4 * (expected.skill_high - expected.skill_low)
        elif name in ("r2", "dm"):  # the reference, not the ledger, subtracts nearly equal numbers
            floor = 1e-10
        elif name == "bias":
            floor = 1e-12 * expected.mae
        assert getattr(measured, name) == pytest.approx(
            getattr(expected, name), rel=relative, abs=floor, nan_ok=True
        ), name


@pytest.mark.parametrize("bars", [1, 3, 10])
@pytest.mark.parametrize("lag_spans", [1, 2])
def test_every_score_equals_its_definition_on_every_prefix(bars: int, lag_spans: int) -> None:
    spec = LedgerSpec(("m",), (bars,), ("h",), 0.8, 40.0, lag_spans)
    ledger = Ledger(spec)
    y, f, low, high = market(260, 1e-3, 0.0, seed=bars)
    for n in range(1, len(y) + 1):
        ledger.record(0, y[n - 1], f[n - 1 : n], low[n - 1 : n], high[n - 1 : n])
        score = ledger.score("m", "h")
        age = np.arange(n - 1, -1, -1.0)
        for measured, weights in ((score.lifetime, np.ones(n)), (score.recent, 0.5 ** (age / 40.0))):
            expected = expect(
                y[:n], f[:n], low[:n], high[:n], weights, bars, lag_spans * bars - 1, spec.coverage
            )
            close(measured, expected, 1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e-1])
@pytest.mark.parametrize("bars", [1, 60])
def test_scores_keep_their_digits_at_any_scale_of_returns(scale: float, bars: int) -> None:
    spec = LedgerSpec(("m",), (bars,), ("h",), 0.9, 500.0)
    ledger = Ledger(spec)
    columns = market(5000, scale, 0.0, seed=4)
    for y, f, low, high in zip(*columns, strict=True):
        ledger.record(0, y, [f], [low], [high])
    score = ledger.score("m", "h")
    weights = 0.5 ** (np.arange(4999, -1, -1.0) / 500.0)
    close(score.lifetime, expect(*columns, np.ones(5000), bars, bars - 1, 0.9), 1e-9)
    close(score.recent, expect(*columns, weights, bars, bars - 1, 0.9), 1e-9)


def test_a_gain_that_hardly_varies_keeps_its_spread() -> None:
    # The mean gain is a million times its spread: raw sums of squares would have no digit left.
    bars, n = 5, 2000
    ledger = Ledger(LedgerSpec(("m",), (bars,), ("h",), 0.9, 300.0))
    y = 1e-8 * (1.0 + 1e-6 * np.random.default_rng(0).standard_normal(n))
    for value in y:
        ledger.record(0, value, [value], [np.nan], [np.nan])
    error = newey_west_error(y**2, np.ones(n), bars - 1)
    factor = (n + 1 - 2 * bars + bars * (bars - 1) / n) / n
    expected = np.mean(y**2) / error * np.sqrt(factor)
    assert ledger.score("m", "h").lifetime.dm == pytest.approx(expected, rel=1e-5)


def test_an_early_outlier_leaves_no_trace_in_the_recent_scores() -> None:
    # Its gain is 1e15 times the others': all the digits of a sum that had held it for good.
    bars, half_life, n = 5, 20.0, 3000
    ledger = Ledger(LedgerSpec(("m",), (bars,), ("h",), 0.9, half_life))
    y, f, low, high = market(n, 1e-8, 0.0, seed=9)
    y[3], f[3] = 0.5, 0.4
    for row in zip(y, f, low, high, strict=True):
        ledger.record(0, row[0], [row[1]], [row[2]], [row[3]])
    weights = 0.5 ** (np.arange(n - 1, -1, -1.0) / half_life)
    recent = slice(4, None)
    expected = expect(y[recent], f[recent], low[recent], high[recent], weights[recent], bars, bars - 1, 0.9)
    assert ledger.score("m", "h").recent.dm == pytest.approx(expected.dm, rel=1e-9)


def test_rounding_does_not_pile_up_over_many_answers() -> None:
    bars, n = 60, 200_000
    ledger = Ledger(LedgerSpec(("m",), (bars,), ("h",), 0.9, 1e4))
    y, f, low, high = market(n, 1e-6, 0.0, seed=3)
    y[100], f[100] = 1e-2, 1e-2
    for row in zip(y.tolist(), f[:, None], low[:, None], high[:, None], strict=True):
        ledger.record(0, *row)
    lifetime = ledger.score("m", "h").lifetime
    error = newey_west_error(f * (2 * y - f), np.ones(n), bars - 1)
    factor = (n + 1 - 2 * bars + bars * (bars - 1) / n) / n
    assert lifetime.dm == pytest.approx(np.mean(f * (2 * y - f)) / error * np.sqrt(factor), rel=1e-10)
    assert lifetime.mse == pytest.approx(np.mean((y - f) ** 2), rel=1e-12)


def test_the_recent_scores_weigh_as_pandas_ewm_does() -> None:
    ledger = Ledger(LedgerSpec(("m",), (1,), ("h",), 0.9, 7.0))
    y, f, low, high = market(200, 1e-3, 0.0, seed=2)
    for row in zip(y, f, low, high, strict=True):
        ledger.record(0, row[0], [row[1]], [row[2]], [row[3]])
    squares = pd.Series((y - f) ** 2).ewm(halflife=7.0, adjust=True).mean()
    widths = pd.Series(high - low).ewm(halflife=7.0, adjust=True).mean()
    recent = ledger.score("m", "h").recent
    assert recent.mse == pytest.approx(squares.iloc[-1], rel=1e-12)
    assert recent.mean_width == pytest.approx(widths.iloc[-1], rel=1e-12)


def test_hits_count_only_where_neither_outcome_nor_forecast_is_zero() -> None:
    ledger = Ledger(LedgerSpec(("m",), (1,), ("h",), 0.9, 100.0))
    for y, f in ((1e-3, 2e-3), (-1e-3, 1e-3), (0.0, 1e-3), (1e-3, 0.0), (0.0, 0.0), (-1e-200, -1e-200)):
        ledger.record(0, y, [f], [np.nan], [np.nan])
    lifetime = ledger.score("m", "h").lifetime
    assert (lifetime.hit_weight, lifetime.hit_rate) == (3.0, pytest.approx(2 / 3))


def test_a_bound_that_is_met_covers() -> None:
    ledger = Ledger(LedgerSpec(("m",), (1,), ("h",), 0.9, 100.0))
    for y in (-1e-3, 1e-3, 1.0001e-3, 0.0):
        ledger.record(0, y, [0.0], [-1e-3], [1e-3])
    assert ledger.score("m", "h").lifetime.coverage == 0.75


def test_r2_and_significance_are_missing_while_there_is_nothing_to_compare() -> None:
    ledger = Ledger(LedgerSpec(("m",), (1,), ("h",), 0.9, 100.0))
    for _ in range(50):
        ledger.record(0, 0.0, [0.0], [0.0], [0.0])
    lifetime = ledger.score("m", "h").lifetime
    assert (lifetime.mse, lifetime.mse_naive, lifetime.coverage) == (0.0, 0.0, 1.0)
    for value in (lifetime.r2, lifetime.skill_low, lifetime.dm, lifetime.dm_p, lifetime.hit_rate):
        assert np.isnan(value)


@pytest.mark.parametrize("bars", [1, 7])
def test_gains_that_never_vary_have_no_significance_however_they_round(bars: int) -> None:
    ledger = Ledger(LedgerSpec(("m",), (bars,), ("h",), 0.9, 100.0))
    for _ in range(1000):
        ledger.record(0, 0.1, [0.07], [np.nan], [np.nan])
    score = ledger.score("m", "h")
    for track in (score.lifetime, score.recent):
        assert track.r2 == pytest.approx(0.91)
        assert np.isnan([track.dm, track.dm_p, track.skill_low, track.skill_high]).all()


def test_the_confidence_interval_leaves_out_zero_exactly_when_p_is_below_five_percent() -> None:
    seen = set()
    for seed in range(40):
        ledger = Ledger(LedgerSpec(("m",), (2,), ("h",), 0.9, 100.0))
        for row in zip(*market(60, 1e-3, 0.0, seed), strict=True):
            ledger.record(0, row[0], [row[1]], [row[2]], [row[3]])
        lifetime = ledger.score("m", "h").lifetime
        significant = lifetime.skill_low > 0.0 or lifetime.skill_high < 0.0
        assert significant == (lifetime.dm_p < 0.05)
        seen.add(significant)
    assert seen == {True, False}


def test_a_forecast_no_better_than_naive_is_called_better_or_worse_in_one_case_of_twenty() -> None:
    rng = np.random.default_rng(11)
    trials, n = 600, 200
    models = tuple(f"m{i}" for i in range(trials))
    ledger = Ledger(LedgerSpec(models, (1,), ("h",), 0.9, 1e6))
    missing = np.full(trials, np.nan)
    for _ in range(n):
        y = rng.standard_normal() * 1e-3
        # A hundredth of the outcome is known, just enough to pay for the noise: E[f * (2y - f)] = 0.
        f = 0.01 * y + np.sqrt(0.01 * 1.99) * 1e-3 * rng.standard_normal(trials)
        ledger.record(0, y, f, missing, missing)
    rejected = np.mean([score.lifetime.dm_p < 0.05 for score in ledger.scores()])
    assert 0.02 <= rejected <= 0.09


@pytest.mark.parametrize("freedom", [1.0, 2.5, 9.0, 60.0, 998.7, 99_999.0])
def test_students_law_agrees_with_scipy(freedom: float) -> None:
    for t in (0.0, 1e-9, 0.3, 1.0, 1.96, -2.5, 6.0, 40.0):
        expected = 2 * stats.t.sf(abs(t), freedom)
        assert student_two_sided(t, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-300)


def test_the_normal_law_stands_in_for_students_when_there_are_many_answers() -> None:
    for t in (0.5, 1.96, 3.0):
        assert student_two_sided(t, 1.01e5) == pytest.approx(2 * stats.t.sf(t, 1.01e5), abs=1e-5)


@pytest.mark.parametrize("freedom", [9.0, 10.0, 33.3, 500.0, 1e7])
def test_the_quantile_is_good_to_four_digits_from_nine_degrees_of_freedom_on(freedom: float) -> None:
    assert student_quantile_95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-4)


def test_a_horizons_part_holds_exactly_its_slots() -> None:
    assert scores.horizon_size(3, 7) == scores.SLOTS + 3 * (scores.TRACKS + 2 * (scores.WINDOW + 7))
