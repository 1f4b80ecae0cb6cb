"""From a trained booster to our own trees, and the proof that nothing was lost.

ensemble = convert_xgboost.convert(booster, columns)
check(ensemble, rows, convert_xgboost.predict(booster, rows))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.errors import DataError
from features.models.trees import TreeEnsemble

_ROWS = 512


def probe_rows(rows: NDArray[np.float64], seed: int, count: int = _ROWS) -> NDArray[np.float64]:
    """Rows to compare two predictors on: a sample of `rows` (n, k), some of it damaged, from a seed.

    Every second row has columns taken from other rows, so that combinations occur that training has not
    seen; every third has missing values. Shape (count, k); zeros where there are no rows.
    """
    random = np.random.default_rng(seed)
    n, k = rows.shape
    if not n:
        return np.zeros((count, k))
    found = rows[random.integers(0, n, count)].copy()
    mixed = rows[random.integers(0, n, (count, k)), np.arange(k)]
    found[1::2] = mixed[1::2]
    missing = random.random((count, k)) < 0.2
    missing[np.arange(count) % 3 != 0] = False
    found[missing] = np.nan
    return found


def check(ensemble: TreeEnsemble, rows: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    """Raise DataError unless the ensemble says of `rows` exactly what the library has said."""
    ours = ensemble.predict(rows)
    wrong = np.flatnonzero(ours != expected)
    if len(wrong):
        at = int(wrong[0])
        raise DataError(
            f"converted trees differ from {ensemble.library} on {len(wrong)} of {len(rows)} rows, "
            f"{ours[at]!r} for {expected[at]!r}",
            "training",
            f"this version of {ensemble.library} predicts in another way; install the pinned one",
        )
