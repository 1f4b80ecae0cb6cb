"""Rows for tests of training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features import dataset
from features.bars import Bars
from features.dataset import Dataset
from features.spec import FeatureSet

MINUTE_NS = 60_000_000_000
FEATURES = FeatureSet.parse(["log_return:1", "log_return:3", "zscore:5"])
QUICK = {"rounds": 40, "early_stop": 5}


def prices(n: int, seed: int = 0, pull: float = 0.0) -> NDArray[np.float64]:
    """A walk whose next step is `pull` times the last one, and noise."""
    steps = np.random.default_rng(seed).standard_normal(n) * 1e-3
    for i in range(1, n):
        steps[i] += pull * steps[i - 1]
    return 100.0 * np.exp(np.cumsum(steps))


def rows(close: NDArray[np.float64], minutes: int = 1, features: FeatureSet = FEATURES) -> Dataset:
    """The questions at minutes with these closes."""
    ends = np.arange(1, len(close) + 1, dtype=np.int64) * MINUTE_NS
    bars = Bars.from_columns(ends - MINUTE_NS, ends, close=close)
    return dataset.build(bars, features, minutes * MINUTE_NS)
