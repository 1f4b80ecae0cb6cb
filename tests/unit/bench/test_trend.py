"""The slope of a series: what it is, how sure it is, and what it is not moved by."""

from __future__ import annotations

import math

import numpy as np

from tests.bench.trend import trend

AT_S = np.arange(0.0, 2700.0, 5.0)


def noise(scale: float) -> np.ndarray:
    return np.random.default_rng(3).normal(0.0, scale, len(AT_S))


def test_a_line_has_its_slope_per_hour() -> None:
    found = trend(AT_S.tolist(), (100.0 + 7.2 * AT_S / 3600.0).tolist())
    assert math.isclose(found.per_hour, 7.2)
    assert math.isclose(found.low, 7.2) and math.isclose(found.high, 7.2)


def test_the_interval_holds_the_slope_of_a_noisy_series_and_not_zero() -> None:
    found = trend(AT_S.tolist(), (100.0 + 5.0 * AT_S / 3600.0 + noise(0.5)).tolist())
    assert 0.0 < found.low <= 5.0 <= found.high
    assert found.high - found.low < 2.0


def test_the_interval_of_noise_alone_holds_zero() -> None:
    found = trend(AT_S.tolist(), (100.0 + noise(0.5)).tolist())
    assert found.low < 0.0 < found.high


def test_readings_that_stand_out_move_nothing() -> None:
    values = 100.0 + noise(0.1)
    values[-3:] += 500.0
    values[100:110] -= 80.0
    assert abs(trend(AT_S.tolist(), values.tolist()).per_hour) < 0.5


def test_a_walk_of_the_allocator_gets_a_wide_interval() -> None:
    # Neighbouring readings are alike: an interval that took each for a witness would exclude zero.
    walk = np.cumsum(np.random.default_rng(11).normal(0.0, 0.05, len(AT_S)))
    found = trend(AT_S.tolist(), walk.tolist())
    assert found.high - found.low > 0.5


def test_too_few_readings_say_nothing() -> None:
    found = trend([0.0, 5.0, 10.0], [1.0, 2.0, 3.0])
    assert math.isnan(found.per_hour)
    assert (found.low, found.high) == (-math.inf, math.inf)
