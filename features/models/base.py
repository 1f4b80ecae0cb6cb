"""What a learner is.

A learner sees scaled features and scaled returns, one question at a time: `predict(x)` when a
forecast is made, `learn(x, y)` with the same x when its answer is known. It never sees a row whose
answer lies in the future; the engine's question queue takes care of that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]


class Learner(ABC):
    """Forecasts the return over one horizon, in units of the horizon's typical return.

    Every input is finite: missing features are 0, features are cut at ±5, returns at ±20 units. The
    answer may be anything; the caller treats what is not finite as no forecast.
    """

    @abstractmethod
    def predict(self, x: Row) -> float:
        """Forecast for the scaled feature row x, shape (k,). Changes nothing."""

    @abstractmethod
    def learn(self, x: Row, y: float) -> None:
        """Learn that a forecast made at x has come out as y."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The whole state."""

    @abstractmethod
    def load(self, data: bytes) -> None:
        """Take over the state that `snapshot` of a learner with the same settings gave."""

    @abstractmethod
    def digest(self) -> str:
        """Hash of the state; equal for equal state, however it was reached."""
