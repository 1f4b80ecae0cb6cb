"""LightGBM boosters as `TreeEnsemble`; the only reader of its model format.

Follows `Booster.dump_model` of LightGBM 4.7. One output; numerical splits.
"""

from __future__ import annotations

import math
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from features.errors import DataError
from features.kernels.trees import NAN_LEFT, ZERO_TURNS
from features.models.trees import LIGHTGBM, Tree, TreeEnsemble

_PLAIN = ("regression", "quantile", "huber", "regression_l1", "fair")


def predict(
    booster: lightgbm.Booster, rows: NDArray[np.float64], rounds: int | None = None
) -> NDArray[np.float64]:
    """What LightGBM itself says of `rows` (n, k) after `rounds`, or after all; shape (n,)."""
    return np.asarray(booster.predict(rows, num_iteration=-1 if rounds is None else rounds), np.float64)


def convert(booster: lightgbm.Booster, columns: tuple[str, ...], rounds: int | None = None) -> TreeEnsemble:
    """The booster's trees, the first `rounds` or all of them.

    Raises DataError for a model with several outputs, categories, averaged output or another objective.
    """
    model = booster.dump_model(num_iteration=-1 if rounds is None else rounds)
    name, *settings = model["objective"].split()
    steepness = 0.0
    if name == "binary":
        steepness = float(dict(setting.split(":") for setting in settings if ":" in setting)["sigmoid"])
    elif name not in _PLAIN or "sqrt" in settings:
        raise _refused(f"objective {model['objective']!r}")
    if model["num_tree_per_iteration"] != 1:
        raise _refused(f"{model['num_tree_per_iteration']} outputs")
    if model["average_output"]:
        raise _refused("averaged output")
    trees = [_tree(tree["tree_structure"]) for tree in model["tree_info"]]
    return TreeEnsemble.build(LIGHTGBM, columns, trees, 0.0, steepness)


def _tree(root: dict[str, Any]) -> Tree:
    nodes = [root]
    rows: list[tuple[int, float, int, int, int]] = []
    for node in nodes:  # grows as it goes
        if "leaf_value" in node:
            rows.append((0, float(node["leaf_value"]), -1, -1, 0))
            continue
        if node["decision_type"] != "<=":
            raise _refused(f"splits by {node['decision_type']!r}")
        threshold, first = _threshold(node["threshold"]), len(nodes)
        flags = _flags(node["missing_type"], bool(node["default_left"]), threshold)
        rows.append((node["split_feature"], threshold, first, first + 1, flags))
        nodes += [node["left_child"], node["right_child"]]
    table = np.array(rows)
    column, left, right, flag = (table[:, j].astype(np.int32) for j in (0, 2, 3, 4))
    return Tree(column, table[:, 1], left, right, flag)


def _threshold(dumped: float) -> float:
    """The threshold in the model. A dump shows infinity, which parts missing values from others, as 1e300."""
    return math.copysign(math.inf, dumped) if abs(dumped) >= 1e300 else float(dumped)


def _flags(missing: str, default_left: bool, threshold: float) -> int:
    """Where NaN and 0 go. Of missing type None, NaN is 0; of Zero, both are missing; of NaN, NaN alone."""
    zero_left = threshold >= 0.0
    if missing == "None":
        return NAN_LEFT if zero_left else 0
    turns = missing == "Zero" and default_left != zero_left
    return (NAN_LEFT if default_left else 0) | (ZERO_TURNS if turns else 0)


def _refused(what: str) -> DataError:
    return DataError(f"a LightGBM model with {what} can't be converted", "training")
