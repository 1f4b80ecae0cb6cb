"""Scaling gives what is usual the size 1, knows no future, and nothing breaks it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.models.scaling import FeatureScaler, ReturnScale


def scaled(column: np.ndarray) -> np.ndarray:
    scaler, out = FeatureScaler(1), np.empty(1)
    values = []
    for value in column:
        scaler.scale(np.array([value]), out)
        values.append(out[0])
    return np.array(values)


def test_a_feature_gets_mean_0_and_deviation_1_whatever_its_unit() -> None:
    noise = np.random.default_rng(0).standard_normal(5000)
    for unit, level in ((1.0, 0.0), (1e-9, 5e-9), (1e6, 3e6)):
        values = scaled(level + unit * noise)[1000:]
        assert abs(values.mean()) < 0.05
        assert values.std() == pytest.approx(1.0, abs=0.05)


def test_moments_are_the_plain_ones_of_the_prefix_until_the_memory_fills() -> None:
    column = np.random.default_rng(1).standard_normal(300)
    got = scaled(column)
    for n in (2, 10, 299):
        prefix = column[: n + 1]
        want = (column[n] - prefix.mean()) / prefix.std()
        assert got[n] == pytest.approx(want, rel=1e-9)


def test_missing_values_are_counted_scale_to_0_and_teach_nothing() -> None:
    scaler, clean, out = FeatureScaler(3), FeatureScaler(3), np.empty(3)
    for row in np.random.default_rng(2).standard_normal((50, 3)):
        scaler.scale(row, out)
        clean.scale(row, out)
        assert scaler.scale(np.array([math.nan, math.inf, -math.inf]), out) == 3
        assert out.tolist() == [0.0, 0.0, 0.0]
    assert scaler.digest() == clean.digest()


@pytest.mark.parametrize(
    "column",
    [
        np.full(500, 3.7),
        np.zeros(500),
        np.full(500, 1e-300),
        np.where(np.arange(500) % 2, 1e-8, 1e5),
        np.where(np.arange(500) == 250, 1e308, 1.0),
        np.where(np.arange(500) == 250, 1e160, np.arange(500.0)),
    ],
)
def test_scaled_values_are_finite_and_cut_at_5(column: np.ndarray) -> None:
    values = scaled(column)
    assert np.isfinite(values).all()
    assert (abs(values) <= 5.0).all()


@pytest.mark.parametrize("absurd", [1e4, 1e100, 1e200, -1e308])
def test_one_absurd_value_does_not_kill_a_feature(absurd: float) -> None:
    column = np.random.default_rng(3).standard_normal(6000)
    column[3000] = absurd
    assert scaled(column)[3500:].std() > 0.15


def test_a_return_scale_is_the_root_mean_square_of_the_answers() -> None:
    returns = 3e-4 * np.random.default_rng(4).standard_normal(3000)
    scale = ReturnScale()
    for value in returns:
        scale.learn(value)
    assert scale.value == pytest.approx(math.sqrt((returns**2).mean()), rel=0.05)


def test_a_return_scale_is_above_zero_before_and_while_nothing_moves() -> None:
    scale = ReturnScale()
    assert scale.value == 1e-4
    for _ in range(100):
        scale.learn(0.0)
    assert scale.value == 1e-4
    scale.learn(1e-300)
    assert scale.value > 0.0


def test_one_bad_print_does_not_blow_up_the_scale() -> None:
    scale = ReturnScale()
    for value in 1e-4 * np.random.default_rng(5).standard_normal(10_000):
        scale.learn(value)
    before = scale.value
    scale.learn(30.0)
    assert scale.value < 1.02 * before


def test_states_are_restored_to_the_bit() -> None:
    scaler, scale, out = FeatureScaler(2), ReturnScale(), np.empty(2)
    for row in np.random.default_rng(6).standard_normal((100, 2)):
        scaler.scale(row, out)
        scale.learn(row[0])
    other, other_scale = FeatureScaler(2), ReturnScale()
    other.load(scaler.snapshot())
    other_scale.load(scale.snapshot())
    assert (other.digest(), other_scale.digest()) == (scaler.digest(), scale.digest())
    assert other_scale.value == scale.value
