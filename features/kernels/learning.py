"""Kernels of online learning: scaling, ridge regression, mixing of experts, intervals.

Called by the classes in `features.models`; all state is in the arrays they pass.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True)
def scale_row(
    row: Floats, count: Floats, mean: Floats, variance: Floats, rate: float, bound: float, out: Floats
) -> int:
    """Learn location and scale of each column of `row`, then write the scaled row to `out`.

    Mean and variance are exponentially weighted with weight max(1/n, rate), n the finite values of
    the column so far. A missing (not finite) value teaches nothing and scales to 0, the mean. Scaled
    values are cut at ±bound. Returns the number of missing values.
    """
    missing = 0
    for j in range(len(row)):
        value = row[j]
        if not math.isfinite(value):
            out[j] = 0.0
            missing += 1
            continue
        count[j] += 1.0
        weight = max(1.0 / count[j], rate)
        difference = value - mean[j]
        mean[j] += weight * difference
        variance[j] += weight * (difference * (value - mean[j]) - variance[j])
        deviation = math.sqrt(variance[j])
        if deviation > 1e-12 * abs(mean[j]) and deviation > 1e-150:
            out[j] = min(max((value - mean[j]) / deviation, -bound), bound)
        else:
            out[j] = 0.0
    return missing


@njit(cache=True)
def ridge_predict(weights: Floats, x: Floats) -> float:
    """w·(x, 1)."""
    total = float(weights[len(x)])
    for j in range(len(x)):
        total += weights[j] * x[j]
    return float(total)


@njit(cache=True)
def ridge_learn(weights: Floats, inverse: Floats, gain: Floats, x: Floats, y: float, memory: float) -> None:
    """One step of recursive least squares with forgetting factor `memory`.

    `inverse` is the inverse of the regularised Gram matrix, kept symmetric; `gain` is scratch.
    """
    k = len(x)
    error = y - ridge_predict(weights, x)
    denominator = memory
    for i in range(k + 1):
        total = inverse[i, k]
        for j in range(k):
            total += inverse[i, j] * x[j]
        gain[i] = total
        denominator += total * (x[i] if i < k else 1.0)
    step = error / denominator
    for i in range(k + 1):
        weights[i] += gain[i] * step
    for i in range(k + 1):
        shared = gain[i] / denominator
        for j in range(i + 1):
            value = (inverse[i, j] - shared * gain[j]) / memory
            inverse[i, j] = value
            inverse[j, i] = value


# Rows of the state of a mixture, one column an expert.
(REGRET, VARIANCE, RANGE, RATE, WEIGHT, CROSS, POWER, NOISE, COUNT, TRUST) = range(10)
N_MIXTURE_ROWS = 10


@njit(cache=True)
def mix(state: Floats, forecasts: Floats, trusted: Floats) -> float:
    """Weighted mean of the trusted forecasts, which are written to `trusted`.

    An expert whose forecast is not finite counts as the naive one (0) this time.
    """
    total = 0.0
    for i in range(len(forecasts)):
        value = forecasts[i]
        value = state[TRUST, i] * value if math.isfinite(value) else 0.0
        trusted[i] = value
        total += state[WEIGHT, i] * value
    return total


@njit(cache=True)
def learn_mixture(
    state: Floats,
    prior: Floats,
    forecasts: Floats,
    trusted: Floats,
    mixed: float,
    outcome: float,
    overlap: float,
    doubt: float,
    memory: float,
) -> None:
    """Learn from one answered question; all returns in units of the horizon's scale.

    See `features.models.experts` for what is computed and where it is from.
    """
    n = len(prior)
    top = -math.inf
    for i in range(n):
        # Regret of having listened to the mixture and not to expert i, linearised at the mixture.
        regret = 2.0 * (mixed - outcome) * (mixed - trusted[i])
        state[VARIANCE, i] += regret * regret
        state[RANGE, i] = max(state[RANGE, i], abs(regret))
        if state[VARIANCE, i] > 0.0:
            rate = math.sqrt(-math.log(prior[i]) / (state[VARIANCE, i] * math.sqrt(overlap)))
            rate = min(rate, 1.0 / (2.0 * state[RANGE, i] * math.sqrt(overlap)))
            state[RATE, i] = rate
        state[REGRET, i] += regret - state[RATE, i] * regret * regret
        score = math.log(prior[i]) + math.log(state[RATE, i]) + state[RATE, i] * state[REGRET, i]
        state[WEIGHT, i] = score
        top = max(top, score)
    total = 0.0
    for i in range(n):
        state[WEIGHT, i] = math.exp(state[WEIGHT, i] - top)
        total += state[WEIGHT, i]
    for i in range(n):
        state[WEIGHT, i] /= total
    # How far each expert may be trusted: the lower bound of the slope of outcome on forecast.
    for i in range(n):
        value = forecasts[i]
        if not math.isfinite(value):
            continue
        cross = state[CROSS, i] * memory + value * outcome
        power = state[POWER, i] * memory + value * value
        slope = min(max(cross / power, 0.0), 1.0) if power > 0.0 else 0.0
        error = value * (outcome - slope * value)
        noise = state[NOISE, i] * memory + error * error
        state[CROSS, i] = cross
        state[POWER, i] = power
        state[NOISE, i] = noise
        state[COUNT, i] += 1.0
        if power > 0.0:
            # A standard error from few answers is itself unsure: twice as much doubt at three of them.
            few = math.sqrt(1.0 + 10.0 * overlap / state[COUNT, i])
            trust = (cross - doubt * few * math.sqrt(overlap * noise)) / power
            state[TRUST, i] = min(max(trust, 0.0), 1.0)


@njit(cache=True)
def learn_scale(state: Floats, value: float, rate: float) -> None:
    """Learn the root mean square of a stream: state is (n, mean square).

    The weight of a value is max(1/n, rate). Once 50 are known, a square counts for at most 100 times
    the mean square, so that one bad print does not widen everything for hours.
    """
    state[0] += 1.0
    square = value * value
    if state[0] > 50.0 and state[1] > 0.0:
        square = min(square, 100.0 * state[1])
    state[1] += max(1.0 / state[0], rate) * (square - state[1])


# Places in the state of an interval tracker.
(LOWER, UPPER, ANSWERS, UP_BASE, UP_SLOPE) = range(5)
N_INTERVAL_STATE = 5


@njit(cache=True)
def learn_interval(state: Floats, score: float, low: float, high: float, miss: float, step: float) -> None:
    """Move the two quantiles of the scaled residual `score` after one answer.

    `low`, `high` are the quantiles that were used when the forecast was made; the step shrinks from
    its first value, 0.5, to `step` as answers come in.
    """
    state[ANSWERS] += 1.0
    now = max(step, 0.5 / state[ANSWERS])
    state[LOWER] -= now * ((1.0 if score < low else 0.0) - 0.5 * miss)
    state[UPPER] += now * ((1.0 if score > high else 0.0) - 0.5 * miss)


@njit(cache=True)
def learn_p_up(state: Floats, signal: float, rose: float, rate: float) -> None:
    """One step of online logistic regression of "the price rose" on the forecast in scale units."""
    p = 1.0 / (1.0 + math.exp(-(state[UP_BASE] + state[UP_SLOPE] * signal)))
    state[UP_BASE] += rate * (rose - p)
    state[UP_SLOPE] += rate * (rose - p) * signal
