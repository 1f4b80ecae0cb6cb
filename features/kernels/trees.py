"""Kernels of gradient boosted trees. Called by `features.models.trees.TreeEnsemble`.

All trees lie in one array of nodes of 16 bytes: first the roots, then the children in pairs, so that the
right one is at `left + 1`. What a node asks is in `test`: the column times 8, plus the flags below. `value`
is the threshold, at or below which one goes left. A leaf is its own left child, and `value` is what it gives.

Rows are first cast as the library casts them, into scratch. Sums run tree by tree in the order of training,
in the precision of the library, so a row gives the same bits alone and among a million.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODE = np.dtype([("value", "<f8"), ("left", "<i4"), ("test", "<i4")])
NAN_LEFT, ZERO_TURNS, LEAF = 1, 2, 4
FLAG_BITS = 3
"""NaN goes left at nodes with NAN_LEFT, right at others. At nodes with ZERO_TURNS a 0, which then stands for
missing, goes where it would not go as a number."""

_SINGLE_MOST = float(np.float32(88.7))
_TINY = float(np.float32(1e-35))


@njit(cache=True, inline="always")
def _cast(row: Floats, single: bool, x: Floats) -> None:
    """XGBoost sees float32. LightGBM drops what is within 1e-35 of 0, as if it were absent."""
    for j in range(len(row)):
        value = row[j]
        if single:
            x[j] = np.float64(np.float32(value))
        else:
            x[j] = 0.0 if abs(value) <= _TINY else value


@njit(cache=True, inline="always")
def _step(nodes: Any, at: int, x: Floats) -> int:
    """The node after node `at` for a cast row; a leaf stays where it is. Without a branch to mispredict."""
    node = nodes[at]
    test = node["test"]
    value = x[test >> FLAG_BITS]
    nan_left = (value != value) & ((test & NAN_LEFT) != 0)
    turns = (value == 0.0) & ((test & ZERO_TURNS) != 0)
    left = ((value <= node["value"]) ^ turns) | nan_left
    return int(node["left"] + ((not left) & ((test & LEAF) == 0)))


@njit(cache=True, inline="always")
def _descend(nodes: Any, first: int, last: int, x: Floats) -> tuple[float, float, float, float]:
    """What four trees from root `first` on give for a cast row; beyond root `last`, the last one's.

    A node waits for its parent's answer: four descents at once keep the processor busy.
    """
    a, b, c, d = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
    while True:
        e, f, g, h = _step(nodes, a, x), _step(nodes, b, x), _step(nodes, c, x), _step(nodes, d, x)
        if (e == a) & (f == b) & (g == c) & (h == d):
            break
        a, b, c, d = e, f, g, h
    return nodes[a]["value"], nodes[b]["value"], nodes[c]["value"], nodes[d]["value"]


@njit(cache=True)
def _one(nodes: Any, trees: int, base: float, single: bool, steepness: float, x: Floats) -> float:
    """What all trees say of a cast row."""
    total, narrow = base, np.float32(base)
    for first in range(0, trees, 4):
        found = _descend(nodes, first, trees - 1, x)
        for i in range(min(4, trees - first)):
            total += found[i]
            narrow += np.float32(found[i])
    if not single:
        return float(1.0 / (1.0 + math.exp(-steepness * total)) if steepness > 0.0 else total)
    if steepness > 0.0:
        power = min(-narrow, np.float32(_SINGLE_MOST))
        narrow = np.float32(1.0) / (math.exp(power) + np.float32(1.0))
    return float(narrow)


@njit(cache=True)
def predict_row(nodes: Any, trees: int, base: float, single: bool, steepness: float, row: Floats) -> float:
    """What the ensemble says of one row, shape (k,). Called at every bar, on the live path.

    `single` asks for the arithmetic of XGBoost, else it is LightGBM's. With `steepness` above 0 the sum s
    becomes the probability 1 / (1 + exp(-steepness * s)); XGBoost knows steepness 1 alone.
    """
    x = np.empty(len(row))
    _cast(row, single, x)
    return float(_one(nodes, trees, base, single, steepness, x))


@njit(cache=True, nogil=True)
def predict_rows(
    nodes: Any, trees: int, base: float, single: bool, steepness: float, rows: Floats, out: Floats
) -> None:
    """`predict_row` for each of `rows` (n, k), into `out` (n,)."""
    x = np.empty(rows.shape[1])
    for i in range(rows.shape[0]):
        _cast(rows[i], single, x)
        out[i] = _one(nodes, trees, base, single, steepness, x)
