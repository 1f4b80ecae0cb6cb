"""The arithmetic of the ledger: what one answered question adds to the scores, and how they read.

Used by `features.ledger` alone; docs/scores.md has every formula with its source.

Each score is kept on two tracks of the same layout. A track weighs the answer that is k answers
old by decay**k: with decay 1 it is the lifetime track, with less it is the recent one. All numbers
are running means, so that they stay exact for squared returns of 1e-16 after millions of answers.

The long-run variance of Newey and West (Bartlett weights, lag L) is the sum over all windows of
L + 1 neighbours of (sum of the window's deviations)**2, divided by n * (L + 1): the same number as
from L autocovariances, in O(1) per answer instead of O(L). `_fold_window` keeps the windows that
have closed, `_gain_variance` adds those that are still open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NAN = float("nan")

LARGEST_RETURN = 700.0
"""Log returns beyond this are no prices (exp overflows) but faults: treated like NaN."""
SMALLEST_SAMPLE = 10
"""Answers, and SMALLEST_SPANS horizons of answers, below which no significance is given."""
SMALLEST_SPANS = 10

# A horizon's part of the state: the voided questions, then one slot per model. A slot: three
# counters, the lifetime track, the recent track. A track: the fields below, then its window.
VOIDED, SLOTS = 0, 1
COUNT, INVALID, INVALID_INTERVALS, TRACKS = 0, 1, 2, 3
(
    WEIGHT,  # sum of the weights
    WEIGHT_SQUARES,  # sum of their squares
    SQUARED_ERROR,  # from here on weighted means
    ABSOLUTE_ERROR,
    ERROR,
    NAIVE_SQUARED_ERROR,
    NAIVE_ABSOLUTE_ERROR,
    GAIN,  # the naive forecast's squared error minus the model's
    HIT_WEIGHT,  # sum of the weights where a sign could be right or wrong
    HIT,
    INTERVAL_WEIGHT,  # sum of the weights where there was an interval
    COVERED,
    WIDTH,
    PINBALL_LOWER,
    PINBALL_UPPER,
    OLDEST,  # place of the oldest gain in the window
    WINDOW_SUM,  # discounted sum of the gains in the window
    SPAN,  # the same sum if every gain were 1
    CLOSED_WEIGHT,  # closed windows: sum of weights, mean, sum of squared deviations
    CLOSED_MEAN,
    CLOSED_SQUARES,
    WINDOW,  # the window's gains start here, a ring
) = range(22)


def track_size(window: int) -> int:
    """Floats in one track whose windows hold `window` answers."""
    return WINDOW + window


def slot_size(window: int) -> int:
    """Floats in one model's slot: its counters and both tracks."""
    return TRACKS + 2 * track_size(window)


def horizon_size(models: int, window: int) -> int:
    """Floats in one horizon's part of the state."""
    return SLOTS + models * slot_size(window)


@njit(cache=True, error_model="numpy")
def record_answer(
    part: Floats, window: int, decay: float, coverage: float, outcome: float, said: Floats
) -> None:
    """Score every model on one answered question. Called once per question, on the live path.

    `part` is the horizon's part of the state, changed in place. `said` has the rows forecast,
    lower and upper, one column per model, all log returns like `outcome`. Never fails: an unusable
    outcome voids the question, an unusable forecast counts as invalid for its model alone.
    """
    if not abs(outcome) <= LARGEST_RETURN:
        part[VOIDED] += 1.0
        return
    middle = TRACKS + WINDOW + window
    size = middle + WINDOW + window  # what slot_size says
    beyond = decay**window
    for model in range(said.shape[1]):
        start = SLOTS + model * size
        slot = part[start : start + size]
        forecast, lower, upper = said[0, model], said[1, model], said[2, model]
        if not abs(forecast) <= LARGEST_RETURN:
            slot[INVALID] += 1.0
            continue
        slot[COUNT] += 1.0
        has_interval = lower <= upper and abs(lower) <= LARGEST_RETURN and abs(upper) <= LARGEST_RETURN
        if not has_interval and not (math.isnan(lower) and math.isnan(upper)):
            slot[INVALID_INTERVALS] += 1.0
        # y*y - (y-f)*(y-f) without the cancellation that would eat a small forecast's digits.
        gain = forecast * (2.0 * outcome - forecast)
        for track, fade, out in ((slot[TRACKS:middle], 1.0, 1.0), (slot[middle:], decay, beyond)):
            _fold_errors(track, fade, outcome, forecast, gain)
            _fold_interval(track, fade, has_interval, coverage, outcome, lower, upper)
            _fold_window(track, fade, out, window, slot[COUNT], gain)


@njit(cache=True, error_model="numpy")
def _fold_errors(track: Floats, decay: float, outcome: float, forecast: float, gain: float) -> None:
    error = forecast - outcome
    weight = decay * track[WEIGHT] + 1.0
    track[WEIGHT] = weight
    track[WEIGHT_SQUARES] = decay * decay * track[WEIGHT_SQUARES] + 1.0
    track[SQUARED_ERROR] += (error * error - track[SQUARED_ERROR]) / weight
    track[ABSOLUTE_ERROR] += (abs(error) - track[ABSOLUTE_ERROR]) / weight
    track[ERROR] += (error - track[ERROR]) / weight
    track[NAIVE_SQUARED_ERROR] += (outcome * outcome - track[NAIVE_SQUARED_ERROR]) / weight
    track[NAIVE_ABSOLUTE_ERROR] += (abs(outcome) - track[NAIVE_ABSOLUTE_ERROR]) / weight
    track[GAIN] += (gain - track[GAIN]) / weight
    track[HIT_WEIGHT] *= decay
    if outcome != 0.0 and forecast != 0.0:
        track[HIT_WEIGHT] += 1.0
        hit = 1.0 if (outcome > 0.0) == (forecast > 0.0) else 0.0
        track[HIT] += (hit - track[HIT]) / track[HIT_WEIGHT]


@njit(cache=True, error_model="numpy")
def _fold_interval(
    track: Floats,
    decay: float,
    has_interval: bool,
    coverage: float,
    outcome: float,
    lower: float,
    upper: float,
) -> None:
    track[INTERVAL_WEIGHT] *= decay
    if not has_interval:
        return
    track[INTERVAL_WEIGHT] += 1.0
    weight = track[INTERVAL_WEIGHT]
    covered = 1.0 if lower <= outcome <= upper else 0.0
    outer = 0.5 * (1.0 - coverage)
    inner = 0.5 * (1.0 + coverage)
    below = outcome - lower
    above = outcome - upper
    pinball_lower = outer * below if below >= 0.0 else -inner * below
    pinball_upper = inner * above if above >= 0.0 else -outer * above
    track[COVERED] += (covered - track[COVERED]) / weight
    track[WIDTH] += (upper - lower - track[WIDTH]) / weight
    track[PINBALL_LOWER] += (pinball_lower - track[PINBALL_LOWER]) / weight
    track[PINBALL_UPPER] += (pinball_upper - track[PINBALL_UPPER]) / weight


@njit(cache=True, error_model="numpy")
def _fold_window(track: Floats, decay: float, beyond: float, window: int, count: float, gain: float) -> None:
    """Close the window that ends with this gain: the discounted sum of the last `window` gains.

    What the running sum loses to rounding stays below the gain that caused it, whose square is in
    the spread: it never shows. `beyond` is decay**window, the weight of the gain that leaves.
    """
    oldest = WINDOW + int(track[OLDEST])
    track[WINDOW_SUM] = decay * track[WINDOW_SUM] + gain - beyond * track[oldest]
    track[oldest] = gain
    track[OLDEST] = (track[OLDEST] + 1.0) % window
    if count <= window:  # the first windows hold fewer gains
        track[SPAN] = decay * track[SPAN] + 1.0
    # West (1979): weighted mean and spread of the windows' average gains; a window weighs span**2.
    squares = track[SPAN] * track[SPAN]
    total = decay * decay * track[CLOSED_WEIGHT] + squares
    average = track[WINDOW_SUM] / track[SPAN]
    step = average - track[CLOSED_MEAN]
    track[CLOSED_WEIGHT] = total
    track[CLOSED_MEAN] += step * (squares / total)
    added = squares * step * (average - track[CLOSED_MEAN])
    track[CLOSED_SQUARES] = decay * decay * track[CLOSED_SQUARES] + added


@njit(cache=True, error_model="numpy")
def _gain_variance(track: Floats, decay: float, window: int) -> float:
    """Variance of the weighted mean gain, from closed and still open windows. Needs `window` answers."""
    mean = track[GAIN]
    offset = track[CLOSED_MEAN] - mean
    total = track[CLOSED_SQUARES] + track[CLOSED_WEIGHT] * offset * offset
    # The open windows hold the last 1, 2, ... window - 1 gains and whatever comes next.
    latest = int(track[OLDEST]) - 1
    deviation = 0.0
    scale = 1.0
    for age in range(window - 1):
        deviation += scale * (track[WINDOW + (latest - age) % window] - mean)
        total += deviation * deviation
        scale *= decay
    return float(total / (window * track[WEIGHT] * track[WEIGHT]))


@dataclass(frozen=True, slots=True)
class Measures:
    """Every score of one track. NaN where there is nothing to tell yet. Formulas: docs/scores.md."""

    weight: float
    """Sum of the weights; the count of answers on the lifetime track."""
    sample: float
    """Effective number of answers, weight**2 / sum of squared weights (Kish)."""
    mse: float
    mse_naive: float
    mae: float
    mae_naive: float
    bias: float
    """Mean of forecast minus outcome: above 0, the forecasts are too high."""
    r2: float
    """1 - mse / mse_naive: the share of the naive forecast's squared error that is saved."""
    skill_low: float
    skill_high: float
    """95 % confidence interval of r2."""
    dm: float
    """Diebold-Mariano statistic; above 0, the model is better than naive."""
    dm_p: float
    """Its two-sided p-value."""
    hit_weight: float
    """Sum of the weights of answers where neither outcome nor forecast was 0."""
    hit_rate: float
    interval_weight: float
    """Sum of the weights of answers that came with an interval."""
    coverage: float
    mean_width: float
    pinball_lower: float
    pinball_upper: float
    interval_score: float


def read_measures(track: Floats, decay: float, horizon_bars: int, window: int, coverage: float) -> Measures:
    """The scores that a track holds. Called when somebody asks, never on the live path."""
    weight = float(track[WEIGHT])
    sample = weight * weight / float(track[WEIGHT_SQUARES]) if weight > 0.0 else 0.0
    naive = _mean(track, NAIVE_SQUARED_ERROR, weight)
    gain = _mean(track, GAIN, weight)
    r2 = gain / naive if naive > 0.0 else NAN
    error = NAN
    if sample >= max(SMALLEST_SAMPLE, SMALLEST_SPANS * horizon_bars):
        error = _gain_standard_error(track, decay, horizon_bars, window, sample)
    known = error > 0.0  # False for NaN
    margin = student_quantile_95(sample - 1.0) * error / naive if known and naive > 0.0 else NAN
    dm = gain / error if known else NAN
    hits = float(track[HIT_WEIGHT])
    intervals = float(track[INTERVAL_WEIGHT])
    pinball_lower = _mean(track, PINBALL_LOWER, intervals)
    pinball_upper = _mean(track, PINBALL_UPPER, intervals)
    return Measures(
        weight=weight,
        sample=sample,
        mse=_mean(track, SQUARED_ERROR, weight),
        mse_naive=naive,
        mae=_mean(track, ABSOLUTE_ERROR, weight),
        mae_naive=_mean(track, NAIVE_ABSOLUTE_ERROR, weight),
        bias=_mean(track, ERROR, weight),
        r2=r2,
        skill_low=r2 - margin,
        skill_high=r2 + margin,
        dm=dm,
        dm_p=student_two_sided(dm, sample - 1.0) if known else NAN,
        hit_weight=hits,
        hit_rate=_mean(track, HIT, hits),
        interval_weight=intervals,
        coverage=_mean(track, COVERED, intervals),
        mean_width=_mean(track, WIDTH, intervals),
        pinball_lower=pinball_lower,
        pinball_upper=pinball_upper,
        # Gneiting and Raftery's interval score is the two pinball losses over half of 1 - coverage.
        interval_score=2.0 / (1.0 - coverage) * (pinball_lower + pinball_upper),
    )


def _mean(track: Floats, field: int, weight: float) -> float:
    return float(track[field]) if weight > 0.0 else NAN


def _gain_standard_error(track: Floats, decay: float, horizon_bars: int, window: int, sample: float) -> float:
    """Standard error of the mean gain with the correction of Harvey, Leybourne and Newbold; NaN for none.

    Their factor (n + 1 - 2h + h(h-1)/n) / n is (n - h)(n - h + 1) / n**2 here, the same number.
    """
    error = math.sqrt(_gain_variance(track, decay, window))
    if error <= 1e-12 * abs(float(track[GAIN])):
        return NAN  # gains that are all the same up to rounding have no spread to test against
    return error * sample / math.sqrt((sample - horizon_bars) * (sample - horizon_bars + 1.0))


def student_two_sided(statistic: float, freedom: float) -> float:
    """P(|T| >= |statistic|) for Student's t with `freedom` degrees of freedom (need not be whole)."""
    square = statistic * statistic
    if freedom > 1e5:  # the normal law is closer than 1e-5, and the fraction would get slow
        return math.erfc(abs(statistic) / math.sqrt(2.0))
    a, b = 0.5 * freedom, 0.5
    x, rest = freedom / (freedom + square), square / (freedom + square)
    if rest == 0.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _beta_fraction(a, b, x) / a
    return 1.0 - front * _beta_fraction(b, a, rest) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method."""
    numerator = 1.0
    denominator = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = denominator
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            denominator = 1.0 / (1.0 + term * denominator)
            numerator = 1.0 + term / numerator
            change = numerator * denominator
            value *= change
        if abs(change - 1.0) < 1e-14:
            break
    return value


def student_quantile_95(freedom: float) -> float:
    """The t that |T| exceeds with probability 0.05, within 1e-4 from 9 degrees of freedom on.

    Expansion around the normal quantile: Abramowitz and Stegun 26.7.5.
    """
    z = 1.959963984540054
    g1 = (z**3 + z) / 4.0
    g2 = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    g3 = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    g4 = (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0
    return z + g1 / freedom + g2 / freedom**2 + g3 / freedom**3 + g4 / freedom**4
