"""XGBoost boosters as `TreeEnsemble`; the only reader of its model format.

Follows the JSON model of XGBoost 3.2 (doc "Introduction to Model IO"). One output; numerical splits.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from features.errors import DataError
from features.kernels.trees import NAN_LEFT
from features.models.trees import XGBOOST, Tree, TreeEnsemble

_ROWS = 4096
_LOGISTIC = ("binary:logistic", "reg:logistic")
_PLAIN = ("reg:squarederror", "reg:quantileerror", "reg:pseudohubererror", "reg:absoluteerror")


def predict(booster: xgboost.Booster, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What XGBoost itself says of `rows` (n, k), NaN missing; shape (n,), float32 as float64."""
    said: NDArray[np.float64] = booster.inplace_predict(rows, missing=math.nan, validate_features=False)
    return said.astype(np.float64)


def convert(booster: xgboost.Booster, columns: tuple[str, ...]) -> TreeEnsemble:
    """The booster's trees; slice it first (`booster[:best + 1]`) to leave out the rounds after the best.

    Raises DataError for a model with several outputs, categories or another objective.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    if objective not in _LOGISTIC + _PLAIN:
        raise _refused(f"objective {objective!r}")
    if learner["gradient_booster"]["name"] != "gbtree":
        raise _refused(f"booster {learner['gradient_booster']['name']!r}")
    bases = json.loads(learner["learner_model_param"]["base_score"])
    if len(bases) != 1:
        raise _refused(f"{len(bases)} outputs")
    trees = [_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    if objective not in _LOGISTIC:
        return TreeEnsemble.build(XGBOOST, columns, trees, float(np.float32(bases[0])))
    return _with_margin(booster, columns, trees, np.float32(bases[0]))


def _with_margin(
    booster: xgboost.Booster, columns: tuple[str, ...], trees: list[Tree], base: np.float32
) -> TreeEnsemble:
    """An ensemble that starts from the log odds of `base`, which the library computes in float32.

    Its logarithm may round otherwise than ours: of the numbers around, that one is right with which the sums
    for many different rows are the library's.
    """
    middle = np.float32(-math.log(float(np.float32(1.0) / base - np.float32(1.0))))
    rows = _rows(trees, len(columns))
    said = booster.inplace_predict(
        rows, missing=math.nan, predict_type="margin", validate_features=False
    ).astype(np.float64)
    near = [np.nextafter(middle, np.float32(way)) for way in (-np.inf, np.inf)]
    for margin in (middle, *near):
        if np.array_equal(TreeEnsemble.build(XGBOOST, columns, trees, float(margin)).predict(rows), said):
            return TreeEnsemble.build(XGBOOST, columns, trees, float(margin), steepness=1.0)
    raise _refused(f"base score {base}")


def _rows(trees: list[Tree], k: int) -> NDArray[np.float64]:
    """Rows (n, k) that fall into leaves of all sorts: each column at a threshold of some tree, or NaN."""
    random = np.random.default_rng(0)
    column = np.concatenate([tree.column[tree.left >= 0] for tree in trees]) if trees else np.zeros(0)
    value = np.concatenate([tree.value[tree.left >= 0] for tree in trees]) if trees else np.zeros(0)
    rows = np.full((_ROWS, k), np.nan)
    for j in range(k):
        asked = value[column == j]
        if len(asked):
            rows[:, j] = random.choice(asked, _ROWS)
    rows[random.random(rows.shape) < 0.05] = np.nan
    return rows


def _tree(tree: dict[str, Any]) -> Tree:
    if any(tree["split_type"]):
        raise _refused("splits by category")
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise _refused("leaves with several values")
    left = np.array(tree["left_children"], np.int32)
    conditions = np.array(tree["split_conditions"], np.float32)
    # "Below t" is "at or below the number before t"; below minus infinity there is none.
    before = np.nextafter(conditions, np.float32(-np.inf))
    before[conditions == -np.inf] = np.nan
    return Tree(
        column=np.array(tree["split_indices"], np.int32),
        value=np.where(left < 0, conditions, before).astype(np.float64),
        left=left,
        right=np.array(tree["right_children"], np.int32),
        flags=np.where(np.array(tree["default_left"]) == 1, NAN_LEFT, 0).astype(np.int32),
    )


def _refused(what: str) -> DataError:
    return DataError(f"an XGBoost model with {what} can't be converted", "training")
