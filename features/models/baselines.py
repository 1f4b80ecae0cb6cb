"""Baselines: what a forecast has to beat."""

from __future__ import annotations

import numpy as np

from features import state
from features.models.base import Learner, Row


class Naive(Learner):
    """No change: the yardstick of every score."""

    def predict(self, x: Row) -> float:
        return 0.0

    def learn(self, x: Row, y: float) -> None:
        pass

    def snapshot(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None:
        pass

    def digest(self) -> str:
        return state.digest()


class EwMean(Learner):
    """The exponentially weighted mean of past returns: drift, and nothing else.

    The weight of an answer is max(1/n, rate); the mean starts at 0.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._state = np.zeros(2)

    def predict(self, x: Row) -> float:
        return float(self._state[1])

    def learn(self, x: Row, y: float) -> None:
        self._state[0] += 1.0
        # The start at 0 counts for a hundred answers, so that the first few do not run away.
        self._state[1] += max(1.0 / (100.0 + self._state[0]), self._rate) * (y - self._state[1])

    def snapshot(self) -> bytes:
        return state.pack_arrays(state=self._state)

    def load(self, data: bytes) -> None:
        self._state = state.unpack_arrays(data)["state"]

    def digest(self) -> str:
        return state.digest(self._state.tobytes())
