"""Scaling: learners see features and returns in units of what is usual."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features import state
from features.kernels import learning as kernel

ROW_RATE = 1e-4
ROW_BOUND = 5.0
RETURN_RATE = 2e-4
FIRST_RETURN = 1e-4


class FeatureScaler:
    """Gives each feature mean 0 and deviation 1 by exponentially weighted moments, cut at ±5.

    Half of the weight lies in the last 7,000 bars; a missing feature becomes 0, the mean.
    """

    def __init__(self, features: int) -> None:
        self._moments = np.zeros((3, features))

    def scale(self, row: NDArray[np.float64], out: NDArray[np.float64]) -> int:
        """Learn from a row (k,), then write it scaled to `out` (k,). Returns how many were missing."""
        count, mean, variance = self._moments
        return int(kernel.scale_row(row, count, mean, variance, ROW_RATE, ROW_BOUND, out))

    def snapshot(self) -> bytes:
        """The whole state."""
        return state.pack_arrays(moments=self._moments)

    def load(self, data: bytes) -> None:
        """Take over a state."""
        self._moments = state.unpack_arrays(data)["moments"]

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._moments.tobytes())


class ReturnScale:
    """The usual size of a return over one horizon: root mean square of the answers, slowly forgetting."""

    def __init__(self) -> None:
        self._state = np.zeros(2)

    @property
    def value(self) -> float:
        """Above zero always; one basis point until a price has moved."""
        return math.sqrt(self._state[1]) or FIRST_RETURN

    def learn(self, outcome: float) -> None:
        """Learn from one answer."""
        kernel.learn_scale(self._state, outcome, RETURN_RATE)

    def snapshot(self) -> bytes:
        """The whole state."""
        return state.pack_arrays(state=self._state)

    def load(self, data: bytes) -> None:
        """Take over a state."""
        self._state = state.unpack_arrays(data)["state"]

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._state.tobytes())
