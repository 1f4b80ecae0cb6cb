"""Ridge regression, online: recursive least squares with a forgetting factor.

Minimises sum_i memory^(n-i) (y_i - w·x_i)² + memory^n * penalty * |w|² exactly, one rank-one update
an answer, O(k²). Source: Haykin, "Adaptive Filter Theory", 5th ed., chapter 10. What keeps it stable
without end is that the penalty does not fade below a millionth of what it was, or of 1 if that is
more: an input that stays 0, or two that never part, would let the inverse grow beyond all numbers.

Answers are cut at ±5 units, so that one leap does not rewrite the weights. Questions over a horizon
of h bars overlap, so that h answers carry little more than one: the penalty is multiplied by h to
keep the same caution at every horizon.
"""

from __future__ import annotations

import numpy as np

from features import state
from features.kernels import learning as kernel
from features.models.base import Learner, Row

ANSWER_BOUND = 5.0


class Ridge(Learner):
    """Linear forecaster with k weights and an intercept."""

    def __init__(self, k: int, penalty: float, memory: float) -> None:
        self._memory = memory
        self._weights = np.zeros(k + 1)
        self._inverse = np.eye(k + 1) / penalty
        self._most = 1e6 / max(penalty, 1.0)
        self._gain = np.empty(k + 1)

    def predict(self, x: Row) -> float:
        return float(kernel.ridge_predict(self._weights, x))

    def learn(self, x: Row, y: float) -> None:
        kernel.ridge_learn(
            self._weights, self._inverse, self._gain, x, y, ANSWER_BOUND, self._memory, self._most
        )

    def snapshot(self) -> bytes:
        return state.pack_arrays(weights=self._weights, inverse=self._inverse)

    def load(self, data: bytes) -> None:
        arrays = state.unpack_arrays(data)
        self._weights, self._inverse = arrays["weights"], arrays["inverse"]

    def digest(self) -> str:
        return state.digest(self._weights.tobytes(), self._inverse.tobytes())
