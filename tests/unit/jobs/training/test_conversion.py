"""Converted trees predict what the libraries predict, to the last bit."""

from __future__ import annotations

import math

import lightgbm
import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from features.errors import DataError
from features.kernels.trees import FLAG_BITS, LEAF
from features.models.trees import TreeEnsemble
from jobs.training import conversion, convert_lightgbm, convert_xgboost

COLUMNS = ("a", "b", "c", "d", "e")
XGBOOST_OBJECTIVES = [
    {"objective": "reg:squarederror"},
    {"objective": "reg:quantileerror", "quantile_alpha": 0.05},
    {"objective": "binary:logistic"},
    {"objective": "binary:logistic", "base_score": 0.5},
]
LIGHTGBM_OBJECTIVES = [
    {"objective": "regression"},
    {"objective": "quantile", "alpha": 0.95},
    {"objective": "binary"},
    {"objective": "binary", "sigmoid": 0.7},
    {"objective": "regression", "zero_as_missing": True},
    {"objective": "regression", "use_missing": False},
]


def _rows(seed: int, n: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, len(COLUMNS)))
    rows[:, 1] = rows[:, 1].round(1)  # few values: rows that lie on thresholds
    rows[random.random(rows.shape) < 0.1] = np.nan
    rows[random.random(rows.shape) < 0.05] = 0.0
    rows[:, 4] = random.integers(0, 3, n)  # nothing missing in it
    return rows


def _target(rows: NDArray[np.float64], objective: str) -> NDArray[np.float64]:
    noise = np.random.default_rng(5).standard_normal(len(rows))
    y = np.nan_to_num(rows[:, 0]) * 0.3 + np.isnan(rows[:, 2]) + 0.2 * rows[:, 4] + noise
    return (y > 0.5).astype(float) if "binary" in objective else y


def _questions(ensemble: TreeEnsemble) -> NDArray[np.float64]:
    """Rows of everything that may come: thresholds and their neighbours, NaN, ±inf, tiny and huge numbers."""
    random = np.random.default_rng(9)
    rows = _rows(8, 6_000)
    inner = ensemble.nodes[ensemble.nodes["test"] & LEAF == 0]
    for j in range(len(COLUMNS)):
        thresholds = inner["value"][inner["test"] >> FLAG_BITS == j]
        if len(thresholds):
            near = random.choice(thresholds, 2_000)
            near[:400] = np.nextafter(near[:400], np.inf)
            narrow = np.clip(near[400:800], -3e38, 3e38).astype(np.float32)
            near[400:800] = np.nextafter(narrow, np.float32(np.inf))
            rows[random.permutation(6_000)[:2_000], j] = near
    zero = float(np.float32(1e-35))  # the last value that LightGBM takes for 0
    odd = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, 1e-300, 1e300, -1e300, 3e38]
    odd += [zero, -zero, np.nextafter(zero, 1.0)]
    places = random.random(rows.shape) < 0.15
    rows[places] = random.choice(odd, int(places.sum()))
    return rows


@pytest.mark.parametrize("settings", XGBOOST_OBJECTIVES, ids=str)
def test_xgboost(settings: dict[str, object]) -> None:
    """Every prediction of XGBoost, in one batch and row by row, is ours."""
    rows = _rows(1, 3_000)
    data = xgboost.DMatrix(rows, _target(rows, str(settings["objective"])))
    booster = xgboost.train({"max_depth": 5, "nthread": 1, **settings}, data, 40)
    ensemble = convert_xgboost.convert(booster, COLUMNS)
    questions = _questions(ensemble)
    expected = convert_xgboost.predict(booster, questions)
    assert np.array_equal(ensemble.predict(questions), expected)
    conversion.check(ensemble, questions, expected)
    for row in range(0, 200, 7):
        one = convert_xgboost.predict(booster, questions[row : row + 1])
        assert ensemble.predict_row(questions[row]) == expected[row] == one[0]
    finite = questions[(np.abs(questions) < 1e38).all(axis=1) | np.isnan(questions).all(axis=1)]
    assert np.array_equal(ensemble.predict(finite), booster.predict(xgboost.DMatrix(finite)))


@pytest.mark.parametrize("settings", LIGHTGBM_OBJECTIVES, ids=str)
def test_lightgbm(settings: dict[str, object]) -> None:
    """Every prediction of LightGBM, in one batch and row by row, is ours."""
    rows = _rows(2, 3_000)
    data = lightgbm.Dataset(rows, _target(rows, str(settings["objective"])))
    booster = lightgbm.train({"num_leaves": 15, "num_threads": 1, "verbose": -1, **settings}, data, 40)
    ensemble = convert_lightgbm.convert(booster, COLUMNS)
    questions = _questions(ensemble)
    expected = convert_lightgbm.predict(booster, questions)
    assert np.array_equal(ensemble.predict(questions), expected)
    for row in range(0, 200, 7):
        one = convert_lightgbm.predict(booster, questions[row : row + 1])
        assert ensemble.predict_row(questions[row]) == expected[row] == one[0]


def test_the_first_rounds_alone() -> None:
    """What early stopping leaves out stays out."""
    rows = _rows(3, 500)
    y = _target(rows, "")
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(rows, y), 9)
    ensemble = convert_xgboost.convert(booster[:4], COLUMNS)
    assert ensemble.trees == 4
    limited = booster.predict(xgboost.DMatrix(rows), iteration_range=(0, 4))
    assert np.array_equal(ensemble.predict(rows), limited)
    other = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, y), 9)
    ensemble = convert_lightgbm.convert(other, COLUMNS, 4)
    assert ensemble.trees == 4
    assert np.array_equal(ensemble.predict(rows), convert_lightgbm.predict(other, rows, 4))


def test_a_model_that_learned_nothing() -> None:
    """Trees of one leaf, from a target that does not move."""
    rows = _rows(4, 100)
    y = np.full(100, 0.25)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, y), 2)
    assert convert_xgboost.convert(booster, COLUMNS).predict_row(rows[0]) == 0.25
    other = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, y), 2)
    assert convert_lightgbm.convert(other, COLUMNS).predict_row(rows[0]) == 0.25


def test_what_can_not_be_converted() -> None:
    """Models with other outputs than one number are refused by name."""
    rows = _rows(6, 200)
    y = np.abs(_target(rows, ""))
    several = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9], "nthread": 1}
    with pytest.raises(DataError, match="2 outputs"):
        convert_xgboost.convert(xgboost.train(several, xgboost.DMatrix(rows, y), 1), COLUMNS)
    with pytest.raises(DataError, match="count:poisson"):
        poisson = xgboost.train({"objective": "count:poisson"}, xgboost.DMatrix(rows, y), 1)
        convert_xgboost.convert(poisson, COLUMNS)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "verbose": -1}
    with pytest.raises(DataError, match="averaged output"):
        convert_lightgbm.convert(lightgbm.train(forest, lightgbm.Dataset(rows, y), 2), COLUMNS)
    with pytest.raises(DataError, match="poisson"):
        counts = {"objective": "poisson", "verbose": -1}
        convert_lightgbm.convert(lightgbm.train(counts, lightgbm.Dataset(rows, y), 1), COLUMNS)


def test_a_difference_is_an_error() -> None:
    """The check compares every row and says how many differ."""
    rows = _rows(7, 300)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, _target(rows, "")), 3)
    ensemble = convert_xgboost.convert(booster, COLUMNS)
    probe = conversion.probe_rows(rows, seed=1)
    assert probe.shape == (512, 5) and np.isnan(probe).any()
    expected = convert_xgboost.predict(booster, probe)
    conversion.check(ensemble, probe, expected)
    expected[3] = math.nextafter(expected[3], math.inf)
    with pytest.raises(DataError, match="on 1 of 512 rows"):
        conversion.check(ensemble, probe, expected)
