"""Trains one head with XGBoost or LightGBM, and gives its trees.

    ensemble = fit("mean", parts, columns, spec)

Equal rows, settings and seed give equal trees. Rows are weighed equally. The number of trees is that with
which the rows of `parts.stop` are met best.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.dataset import Dataset
from features.errors import ConfigError
from features.models.trees import XGBOOST, TreeEnsemble
from jobs.training.conversion import check, probe_rows
from jobs.training.parts import Parts
from jobs.training.spec import UP, TrainSpec

Floats = NDArray[np.float64]
LOWER, UPPER = "lower", "upper"

_LARGEST = 3e38
"""Features beyond it are no float32; XGBoost refuses them, and nothing sensible is there."""


def fit(head: str, parts: Parts, columns: tuple[str, ...], spec: TrainSpec) -> TreeEnsemble:
    """The trees of one head: "mean", "lower", "upper" or "up".

    They have been compared with the library on rows of all sorts. Raises ConfigError where the library
    refuses its parameters.
    """
    fitted = _fit_xgboost if spec.library == XGBOOST else _fit_lightgbm
    rows = [(clean(part.x), target(head, part)) for part in (parts.train, parts.stop)]
    return fitted(head, rows, columns, spec)


def clean(x: Floats) -> Floats:
    """Features with NaN for what is no number of use."""
    return np.where(np.abs(x) < _LARGEST, x, np.nan)


def target(head: str, rows: Dataset) -> Floats:
    """What a head learns: the outcome in units of scale, or whether the price rose."""
    return (rows.y > 0.0).astype(np.float64) if head == UP else rows.target()


def quantile(head: str, coverage: float) -> float:
    """The quantile that an end of the interval stands for."""
    return 0.5 * (1.0 - coverage) if head == LOWER else 0.5 * (1.0 + coverage)


def _least_in_leaf(rows: int) -> int:
    return max(5, min(100, rows // 50))


def _fit_xgboost(
    head: str, rows: list[tuple[Floats, Floats]], columns: tuple[str, ...], spec: TrainSpec
) -> TreeEnsemble:
    import xgboost

    from jobs.training import convert_xgboost

    settings: dict[str, Any] = {
        "objective": "reg:squarederror",
        "min_child_weight": _least_in_leaf(len(rows[0][0])) * (0.25 if head == UP else 1.0),
        "tree_method": "hist",
        "device": spec.device,
        "nthread": spec.threads,
        "seed": spec.seed,
        "verbosity": 0,
    }
    if head == UP:
        settings["objective"] = "binary:logistic"
    elif head in (LOWER, UPPER):
        settings |= {"objective": "reg:quantileerror", "quantile_alpha": quantile(head, spec.coverage)}
    settings |= spec.all_parameters()
    try:
        data = xgboost.QuantileDMatrix(*rows[0], nthread=spec.threads, max_bin=int(settings["max_bin"]))
        stop = xgboost.QuantileDMatrix(*rows[1], nthread=spec.threads, ref=data)
        patience = xgboost.callback.EarlyStopping(rounds=spec.early_stop, save_best=False)
        booster = xgboost.train(
            settings,
            data,
            num_boost_round=spec.rounds,
            evals=[(stop, "stop")],
            callbacks=[patience],
            verbose_eval=False,
        )
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        raise _refused(spec, error) from None
    booster = booster[: booster.best_iteration + 1]
    booster.set_param({"nthread": spec.threads, "device": "cpu"})
    ensemble = convert_xgboost.convert(booster, columns)
    probe = probe_rows(rows[0][0], spec.seed)
    check(ensemble, probe, convert_xgboost.predict(booster, probe))
    return ensemble


def _fit_lightgbm(
    head: str, rows: list[tuple[Floats, Floats]], columns: tuple[str, ...], spec: TrainSpec
) -> TreeEnsemble:
    import lightgbm

    from jobs.training import convert_lightgbm

    settings: dict[str, Any] = {
        "objective": "regression",
        "min_data_in_leaf": _least_in_leaf(len(rows[0][0])),
        "num_threads": spec.threads,
        "seed": spec.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if head == UP:
        settings["objective"] = "binary"
    elif head in (LOWER, UPPER):
        settings |= {"objective": "quantile", "alpha": quantile(head, spec.coverage)}
    settings |= spec.all_parameters()
    try:
        data = lightgbm.Dataset(*rows[0])
        stop = lightgbm.Dataset(*rows[1], reference=data)
        patience = lightgbm.early_stopping(spec.early_stop, verbose=False)
        booster = lightgbm.train(settings, data, spec.rounds, valid_sets=[stop], callbacks=[patience])
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        raise _refused(spec, error) from None
    rounds = booster.best_iteration or None
    ensemble = convert_lightgbm.convert(booster, columns, rounds)
    probe = probe_rows(rows[0][0], spec.seed)
    check(ensemble, probe, convert_lightgbm.predict(booster, probe, rounds))
    return ensemble


def _refused(spec: TrainSpec, error: Exception) -> ConfigError:
    lines = [line for line in str(error).splitlines() if line.strip()]
    problem = lines[0] if lines else type(error).__name__
    return ConfigError(f"{spec.library} refuses: {problem}", "training", "look at --parameter")


def constant(values: Floats, tail: float) -> float:
    """The quantile of what was trained on: the best guess without any feature; NaN for no values."""
    return float(np.quantile(values, tail)) if len(values) else math.nan
