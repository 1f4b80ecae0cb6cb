"""Scores of trained models against plain calculations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.dataset import Dataset
from jobs.training import evaluation
from tests.unit.jobs.training.rows import prices, rows

N = 4_000


def test_a_slope_and_its_error() -> None:
    """That of an ordinary regression through 0 where labels do not overlap, and rightly sized."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(200):
        f = random.standard_normal(N)
        y = 0.3 * f + random.standard_normal(N)
        slope = evaluation.slope(f, y, np.arange(N), 1)
        assert slope.estimate == pytest.approx((f @ y) / (f @ f))
        found.append((slope.estimate - 0.3) / slope.standard_error)
    assert abs(np.std(found) - 1.0) < 0.15
    assert evaluation.Slope(0.3, 0.1).trusted == pytest.approx(0.3 - 0.1645)
    assert evaluation.Slope(3.0, 0.1).trusted == 1.0 and evaluation.Slope(0.1, 0.1).trusted == 0.0


def test_overlapping_labels_make_a_slope_less_sure() -> None:
    """Twenty-fold labels of slow forecasts: errors as large as they are, and noise is rarely trusted."""
    random, h, trusted, found = np.random.default_rng(2), 20, 0, []
    for _ in range(150):
        y = np.convolve(random.standard_normal(N + h - 1), np.ones(h), "valid")
        f = np.convolve(random.standard_normal(N + h - 1), np.ones(h), "valid")
        slope = evaluation.slope(f, y, np.arange(N), h)
        found.append(slope.estimate / slope.standard_error)
        trusted += slope.trusted > 0.0
    assert 0.7 < np.std(found) < 1.3 and trusted / 150 < 0.1


def test_rows_of_one_moment_count_as_one() -> None:
    """A symbol that is there ten times is no surer than once."""
    random = np.random.default_rng(3)
    f, y = random.standard_normal(N), random.standard_normal(N)
    once = evaluation.slope(f, y, np.arange(N), 1)
    often = evaluation.slope(np.repeat(f, 10), np.repeat(y, 10), np.repeat(np.arange(N), 10), 1)
    assert often.estimate == pytest.approx(once.estimate)
    assert often.standard_error == pytest.approx(once.standard_error)


def test_nothing_said_is_nothing_trusted() -> None:
    """A forecast of 0 has no slope."""
    slope = evaluation.slope(np.zeros(50), np.ones(50), np.arange(50), 1)
    assert math.isnan(slope.estimate) and slope.trusted == 0.0


def test_the_mean_beside_naive() -> None:
    """Skill is the share of naive's squared error that is saved; the interval holds it."""
    data = rows(prices(3_000))
    data = data[data.known]
    target = data.target()
    said = 0.1 * target + 0.1 * np.random.default_rng(4).standard_normal(len(target))
    found = evaluation.judge_mean(said, data, seed=0)
    assert found["mse"] == pytest.approx(((target - said) ** 2).mean())
    assert found["skill"] == pytest.approx(1.0 - found["mse"] / found["mse_naive"])
    assert found["skill_low"] < found["skill"] < found["skill_high"]
    assert found == evaluation.judge_mean(said, data, seed=0)


def test_overlap_is_the_number_of_moments_in_a_label() -> None:
    """Also where several symbols have rows at one moment."""
    data = rows(prices(500), minutes=7)
    assert evaluation.overlap_of(data) == 7
    assert evaluation.overlap_of(Dataset.concat([data, data])) == 7


def test_intervals_and_directions() -> None:
    """Coverage, pinball and Brier scores by their definitions."""
    data = rows(prices(1_000))
    data = data[data.known]
    target = data.target()
    low, high = (float(np.quantile(target, tail)) for tail in (0.05, 0.95))
    ends = np.full(len(target), low), np.full(len(target), high)
    found = evaluation.judge_interval(*ends, data, 0.9, (low, high))
    assert found["coverage"] == pytest.approx(0.9, abs=0.003)
    assert found["pinball"] == found["pinball_fixed"]
    wide = evaluation.judge_interval(ends[0] - 1.0, ends[1] + 1.0, data, 0.9, (low, high))
    assert wide["pinball"] > wide["pinball_fixed"] and wide["coverage"] > 0.95
    assert evaluation.pinball(np.array([1.0, -1.0]), 0.1) == pytest.approx(0.5)
    rose = data.y > 0.0
    sure = evaluation.judge_up(rose.astype(float), data, 0.5)
    assert sure == {"brier": 0.0, "brier_fixed": 0.25}
