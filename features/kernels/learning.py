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

    Mean and variance are exponentially weighted with weight max(1/n, rate), n the values of the column
    so far. Once 50 are known, a value counts as at most 100 deviations from the mean, so that one bad
    print does not shrink a column for days. A missing value (not finite, or beyond 1e150, where squares
    end) teaches nothing and scales to 0, the mean. Scaled values are cut at ±bound. Returns the number
    of missing values.
    """
    missing = 0
    for j in range(len(row)):
        value = row[j]
        if not abs(value) < 1e150:
            out[j] = 0.0
            missing += 1
            continue
        count[j] += 1.0
        weight = max(1.0 / count[j], rate)
        difference = value - mean[j]
        if count[j] > 50.0 and variance[j] > 0.0:
            most = 100.0 * math.sqrt(variance[j])
            difference = min(max(difference, -most), most)
        mean[j] += weight * difference
        variance[j] += weight * ((1.0 - weight) * difference * difference - variance[j])
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
def ridge_learn(
    weights: Floats,
    inverse: Floats,
    gain: Floats,
    x: Floats,
    y: float,
    bound: float,
    memory: float,
    most: float,
) -> None:
    """One step of recursive least squares with forgetting factor `memory`, y cut at ±bound.

    `inverse` is the inverse of the regularised Gram matrix, kept symmetric; `gain` is scratch. Where
    its diagonal has grown beyond `most`, the penalty there is raised by 1/most.
    """
    k = len(x)
    error = min(max(y, -bound), bound) - ridge_predict(weights, x)
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
    for i in range(k + 1):
        if inverse[i, i] > most:
            _raise_penalty(weights, inverse, gain, i, 1.0 / most)


@njit(cache=True)
def _raise_penalty(weights: Floats, inverse: Floats, gain: Floats, i: int, amount: float) -> None:
    """Add `amount` to the penalty on weight i, as a rank-one update (Sherman & Morrison)."""
    n = len(weights)
    for j in range(n):
        gain[j] = inverse[j, i]
    denominator = 1.0 / amount + gain[i]
    step = weights[i] / denominator
    for j in range(n):
        weights[j] -= gain[j] * step
        shared = gain[j] / denominator
        for other in range(j + 1):
            value = inverse[j, other] - shared * gain[other]
            inverse[j, other] = value
            inverse[other, j] = value


# Rows of the state of a mixture, one column an expert.
(REGRET, VARIANCE, RANGE, RATE, WEIGHT, CROSS, POWER, NOISE, COUNT, TRUST) = range(10)
N_MIXTURE_ROWS = 10


@njit(cache=True, inline="always")
def _within(value: float, bound: float) -> float:
    """The value cut at ±bound; 0, the naive forecast, for one that is not finite."""
    return min(max(value, -bound), bound) if math.isfinite(value) else 0.0


@njit(cache=True)
def mix(state: Floats, forecasts: Floats, trusted: Floats, bound: float) -> float:
    """Weighted mean of the trusted forecasts, which are written to `trusted`.

    Forecasts are cut at ±bound; an expert whose forecast is not finite counts as the naive one (0).
    """
    total = 0.0
    for i in range(len(forecasts)):
        value = state[TRUST, i] * _within(forecasts[i], bound)
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
    bound: float,
    overlap: float,
    doubt: float,
    memory: float,
) -> None:
    """Learn from one answered question; all returns in units of the horizon's scale, cut at ±bound.

    Columns beyond the forecasts are of experts that were not asked: they share in the weights alone.
    See `features.models.experts` for what is computed and where it is from.
    """
    outcome = _within(outcome, bound)
    for i in range(len(forecasts)):
        _learn_regret(state, i, prior[i], trusted[i], mixed, outcome, overlap)
    weigh(state, prior)
    for i in range(len(forecasts)):
        _learn_trust(state, i, forecasts[i], outcome, bound, overlap, doubt, memory)


@njit(cache=True)
def learn_expert(
    state: Floats,
    i: int,
    prior: float,
    forecast: float,
    trusted: float,
    mixed: float,
    outcome: float,
    bound: float,
    overlap: float,
    doubt: float,
    memory: float,
) -> None:
    """`learn_mixture` for expert i alone, and without the weights: one that stood beside the mixture."""
    outcome = _within(outcome, bound)
    _learn_regret(state, i, prior, trusted, mixed, outcome, overlap)
    _learn_trust(state, i, forecast, outcome, bound, overlap, doubt, memory)


@njit(cache=True)
def weigh(state: Floats, prior: Floats) -> None:
    """The weights that follow from the regrets; they sum to 1."""
    n = len(prior)
    top = -math.inf
    for i in range(n):
        score = math.log(prior[i]) + math.log(state[RATE, i]) + state[RATE, i] * state[REGRET, i]
        state[WEIGHT, i] = score
        top = max(top, score)
    total = 0.0
    for i in range(n):
        state[WEIGHT, i] = math.exp(state[WEIGHT, i] - top)
        total += state[WEIGHT, i]
    for i in range(n):
        state[WEIGHT, i] /= total


@njit(cache=True)
def _learn_regret(
    state: Floats, i: int, prior: float, trusted: float, mixed: float, outcome: float, overlap: float
) -> None:
    """Regret of having listened to the mixture and not to expert i, linearised at the mixture."""
    regret = 2.0 * (mixed - outcome) * (mixed - trusted)
    state[VARIANCE, i] += regret * regret
    state[RANGE, i] = max(state[RANGE, i], abs(regret))
    if state[VARIANCE, i] > 0.0:
        rate = math.sqrt(-math.log(prior) / (state[VARIANCE, i] * math.sqrt(overlap)))
        rate = min(rate, 1.0 / (2.0 * state[RANGE, i] * math.sqrt(overlap)))
        state[RATE, i] = rate
    state[REGRET, i] += regret - state[RATE, i] * regret * regret


@njit(cache=True)
def _learn_trust(
    state: Floats,
    i: int,
    forecast: float,
    outcome: float,
    bound: float,
    overlap: float,
    doubt: float,
    memory: float,
) -> None:
    """How far expert i may be trusted: the lower bound of the slope of outcome on forecast."""
    if not math.isfinite(forecast):
        return
    value = _within(forecast, bound)
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
(LOWER, UPPER, ANSWERS, UP_BASE, UP_SLOPE, BUDGET) = range(6)
N_INTERVAL_STATE = 6


@njit(cache=True)
def learn_interval(
    state: Floats, score: float, low: float, high: float, miss: float, step: float, budget_rate: float
) -> None:
    """Move the two quantiles of the scaled residual `score` after one answer.

    `low`, `high` are the quantiles that were used when the forecast was made; the step shrinks from
    its first value, 0.5, to `step` as answers come in. Neither quantile crosses 0, the forecast: one
    that wandered beyond while there was nothing to miss would take as long to come back. What a side
    that rests at 0 can't miss, the budget, which both sides share by halves, gives to the other.
    """
    state[ANSWERS] += 1.0
    now = max(step, 0.5 / state[ANSWERS])
    below = 1.0 if score < low else 0.0
    above = 1.0 if score > high else 0.0
    budget = state[BUDGET] + budget_rate * (miss - below - above)
    # At most 2 * miss: then the one side that can miss has all of it.
    state[BUDGET] = min(max(budget, 0.2 * miss), 2.0 * miss)
    state[LOWER] = min(0.0, state[LOWER] - now * (below - 0.5 * state[BUDGET]))
    state[UPPER] = max(0.0, state[UPPER] + now * (above - 0.5 * state[BUDGET]))


@njit(cache=True)
def learn_p_up(state: Floats, signal: float, rose: float, rate: float) -> None:
    """One step of online logistic regression of "the price rose" on the forecast in scale units."""
    p = 1.0 / (1.0 + math.exp(-(state[UP_BASE] + state[UP_SLOPE] * signal)))
    state[UP_BASE] += rate * (rose - p)
    state[UP_SLOPE] += rate * (rose - p) * signal
