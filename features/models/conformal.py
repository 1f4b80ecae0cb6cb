"""Prediction intervals that keep their coverage, whatever the market does.

Adaptive conformal inference by quantile tracking: the residual is scaled by its recent size, and the
two quantiles of the scaled residual move by a fixed step after each answer, out by step * (1 - b/2)
on a miss, in by step * b/2 otherwise. With the budget b = m = 1 - coverage, the share of misses on
either side would exceed m/2 by at most (range + step) / (step * n) after n answers, for any sequence of
prices. The forecast itself is always inside, so a side to which less than m/2 of the outcomes fall
can't be missed that often; b therefore moves, slowly and between m/5 and 2 m, so that both sides
together keep m.
Sources: Gibbs & Candès 2021, "Adaptive conformal inference under distribution shift", NeurIPS;
Angelopoulos, Candès & Tibshirani 2023, "Conformal PID control for time series prediction", NeurIPS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from features import state
from features.kernels import learning as kernel

RETURN_BOUND = 50.0
"""No forecast and no bound of an interval lies beyond this log return: its price would be no number."""


@dataclass(frozen=True, slots=True)
class IntervalSpec:
    """Settings of the intervals."""

    coverage: float = 0.9
    step: float = 0.06
    """Step of the quantiles in units of scale, for questions that do not overlap."""
    budget_rate: float = 0.0015
    """Rate at which the share of misses aimed at makes up for misses that did not come."""
    scale_rate: float = 0.001
    """Smallest weight of an answer in the residual's scale."""
    up_rate: float = 0.002
    """Learning rate of the probability that the price rises."""


class Interval(NamedTuple):
    """An interval as it was given out, with what its tracker needs to learn from the answer."""

    lower: float
    upper: float
    p_up: float
    low: float
    high: float
    scale: float
    signal: float


class IntervalTracker:
    """Intervals and the probability of a rise, for the forecasts of one horizon (log returns)."""

    def __init__(self, spec: IntervalSpec, overlap: int) -> None:
        self._spec = spec
        self._step = spec.step / math.sqrt(overlap)
        self._budget_rate = spec.budget_rate / math.sqrt(overlap)
        self._enough = 5.0 * overlap
        self._state = np.zeros(kernel.N_INTERVAL_STATE)
        self._state[kernel.LOWER], self._state[kernel.UPPER] = -2.0, 2.0
        self._state[kernel.BUDGET] = 1.0 - spec.coverage
        self._scale = np.zeros(2)

    def interval(self, forecast: float, expected_scale: float) -> Interval:
        """The interval around a forecast, which is within ±RETURN_BOUND, and so is the interval.

        `expected_scale` is the size of residual to expect when too few answers have come to know it: it
        is the least scale until the answers of five whole horizons are in.
        """
        scale = math.sqrt(self._scale[1])
        if self._scale[0] < self._enough:
            scale = max(scale, expected_scale)
        low, high, _, base, slope, _ = self._state.tolist()
        signal = min(max(forecast / scale, -5.0), 5.0) if scale > 0.0 else 0.0
        p_up = 1.0 / (1.0 + math.exp(-(base + slope * signal)))
        lower = max(forecast + low * scale, -RETURN_BOUND)
        upper = min(forecast + high * scale, RETURN_BOUND)
        return Interval(lower, upper, p_up, low, high, scale, signal)

    def learn(self, forecast: float, given: Interval, outcome: float) -> None:
        """Learn from one answered question."""
        residual = outcome - forecast
        if given.scale > 0.0:
            score = min(max(residual / given.scale, -100.0), 100.0)
            kernel.learn_interval(
                self._state,
                score,
                given.low,
                given.high,
                1.0 - self._spec.coverage,
                self._step,
                self._budget_rate,
            )
        kernel.learn_p_up(self._state, given.signal, 1.0 if outcome > 0.0 else 0.0, self._spec.up_rate)
        kernel.learn_scale(self._scale, residual, self._spec.scale_rate)

    def snapshot(self) -> bytes:
        """The whole state."""
        return state.pack_arrays(state=self._state, scale=self._scale)

    def load(self, data: bytes) -> None:
        """Take over a state."""
        arrays = state.unpack_arrays(data)
        self._state, self._scale = arrays["state"], arrays["scale"]

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._state.tobytes(), self._scale.tobytes())
