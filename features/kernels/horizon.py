"""The loop of one horizon over many bars at once: answer, score, learn, ask.

Called by `features.bulk`. Does what `features.forecaster` does a bar at a time, with the same kernels in the
same order, so that not one bit differs; without objects on the way it is many times as fast.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernels.learning import (
    learn_interval,
    learn_mixture,
    learn_p_up,
    learn_scale,
    mix,
    ridge_learn,
    ridge_predict,
    scale_row,
)
from features.scores import VOIDED, record_answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Kinds of experts, and what their numbers mean.
NAIVE, EW_MEAN, RIDGE = range(3)
"""NAIVE has no numbers; EW_MEAN: (rate); RIDGE: (answer bound, memory, most)."""
N_NUMBERS = 3

# Places in the numbers of a horizon.
(
    FIRST_RETURN,
    RETURN_RATE,
    RETURN_BOUND,
    OUTCOME_BOUND,
    OVERLAP,
    DOUBT,
    MEMORY,
    MISS,
    STEP,
    BUDGET_RATE,
    SCALE_RATE,
    UP_RATE,
    ENOUGH,
    DECAY,
    COVERAGE,
    LEARNED_BOUND,
    BEFORE_REFERENCE,
    ROOT_BARS,
) = range(18)
N_SETTINGS = 18

# Columns of the forecasts and of the answers.
EXPECTED, LOWER, UPPER, P_UP = range(4)
PRICE, FORECAST, ANSWER_LOWER, ANSWER_UPPER, OUTCOME = range(5)
# Places in a question's note: scale, mixed, expected, the seven numbers of the interval; the experts follow.
_SCALE, _MIXED, _EXPECTED, _LOWER, _UPPER, _P_UP, _LOW, _HIGH, _SPREAD, _SIGNAL = range(10)
FIXED = 10


@njit(cache=True)
def scale_rows(
    matrix: Floats, count: Floats, mean: Floats, variance: Floats, rate: float, bound: float, out: Floats
) -> None:
    """`scale_row` for every row of `matrix`, shape (m, k), in order."""
    for i in range(len(matrix)):
        scale_row(matrix[i], count, mean, variance, rate, bound, out[i])


@njit(cache=True)
def bar_scales(
    sessions: Ints,
    references: Floats,
    session: int,
    reference: float,
    state: Floats,
    rate: float,
    first: float,
    out: Floats,
) -> None:
    """The usual size of a return from bar to bar as it is known at each bar, that bar included.

    `session` and `reference` are those of the bar before.
    """
    for i in range(len(sessions)):
        if session == sessions[i] and reference > 0.0:
            learn_scale(state, _log_return(reference, references[i]), rate)
        session, reference = sessions[i], references[i]
        root = math.sqrt(state[1])
        out[i] = root if root != 0.0 else first


@njit(cache=True)
def run_horizon(
    ends: Ints,
    sessions: Ints,
    references: Floats,
    rows: Floats,
    bar_scale: Floats,
    first: int,
    horizon_ns: int,
    has_before: bool,
    settings: Floats,
    kinds: Ints,
    numbers: Floats,
    experts: Floats,
    mixture: Floats,
    prior: Floats,
    tracker: Floats,
    tracker_scale: Floats,
    scale: Floats,
    part: Floats,
    window: int,
    times: Ints,
    notes: Floats,
    tail: int,
    forecasts: Floats,
    answered: Ints,
    answers: Floats,
) -> tuple[int, int]:
    """Feed m bars to one horizon; the number of questions answered, and that of all there were.

    `rows` (m, k) are scaled features, `first` is the first bar that asks. `times` and `notes` hold `tail`
    open questions, oldest first, and have room for m more. `forecasts` (m, 4) is filled where something is
    asked (the bounds are prices), `answered` with the bar of each answer, `answers` with its five numbers.
    """
    n = len(kinds)
    gain = np.empty(experts.shape[2])
    said = np.full((3, n + 1), np.nan)
    before = settings[BEFORE_REFERENCE]
    head = 0
    for i in range(len(ends)):
        while head < tail:
            if times[head, 2] == sessions[i]:
                if times[head, 1] > ends[i]:
                    break
                reference = references[i] if times[head, 1] == ends[i] or not has_before else before
            else:
                reference = math.nan
            outcome = _log_return(notes[head, 0], reference)
            note = notes[head, 1:]
            answered[head] = i
            answers[head, PRICE] = notes[head, 0]
            answers[head, FORECAST] = note[_EXPECTED]
            answers[head, ANSWER_LOWER] = note[_LOWER]
            answers[head, ANSWER_UPPER] = note[_UPPER]
            answers[head, OUTCOME] = outcome
            head += 1
            if not math.isfinite(outcome):
                part[VOIDED] += 1.0
                continue
            _settle(
                note, outcome, settings, kinds, numbers, experts, mixture, prior, tracker, tracker_scale,
                scale, part, window, said, gain, rows.shape[1],
            )  # fmt: skip
        before, has_before = references[i], True
        if i >= first:
            times[tail, 0] = ends[i]
            times[tail, 1] = ends[i] + horizon_ns
            times[tail, 2] = sessions[i]
            notes[tail, 0] = references[i]
            _ask(
                notes[tail, 1:], rows[i], bar_scale[i], settings, kinds, numbers, experts, mixture,
                tracker, tracker_scale, scale, references[i], forecasts[i],
            )  # fmt: skip
            tail += 1
    return head, tail


@njit(cache=True)
def _ask(
    note: Floats,
    row: Floats,
    bar_scale: float,
    settings: Floats,
    kinds: Ints,
    numbers: Floats,
    experts: Floats,
    mixture: Floats,
    tracker: Floats,
    tracker_scale: Floats,
    scale: Floats,
    reference: float,
    out: Floats,
) -> None:
    """Forecast, and write the question's note. As `HorizonForecaster.ask` and `IntervalTracker.interval`."""
    n = len(kinds)
    root = math.sqrt(scale[1])
    unit = root if root != 0.0 else settings[FIRST_RETURN]
    forecasts = note[FIXED : FIXED + n]
    for j in range(n):
        if kinds[j] == NAIVE:
            forecasts[j] = 0.0
        elif kinds[j] == EW_MEAN:
            forecasts[j] = experts[j, 0, 1]
        else:
            forecasts[j] = ridge_predict(experts[j, 0], row)
    mixed = mix(mixture, forecasts, note[FIXED + n : FIXED + 2 * n], settings[OUTCOME_BOUND])
    bound = settings[RETURN_BOUND]
    expected = min(max(mixed * unit, -bound), bound)
    spread = math.sqrt(tracker_scale[1])
    if tracker_scale[0] < settings[ENOUGH]:
        spread = max(spread, bar_scale * settings[ROOT_BARS])
    low, high, base, slope = tracker[0], tracker[1], tracker[3], tracker[4]
    signal = min(max(expected / spread, -5.0), 5.0) if spread > 0.0 else 0.0
    p_up = 1.0 / (1.0 + math.exp(-(base + slope * signal)))
    lower = max(expected + low * spread, -bound)
    upper = min(expected + high * spread, bound)
    note[_SCALE], note[_MIXED], note[_EXPECTED] = unit, mixed, expected
    note[_LOWER], note[_UPPER], note[_P_UP] = lower, upper, p_up
    note[_LOW], note[_HIGH], note[_SPREAD], note[_SIGNAL] = low, high, spread, signal
    note[FIXED + 2 * n : FIXED + 2 * n + len(row)] = row
    out[EXPECTED], out[P_UP] = expected, p_up
    out[LOWER], out[UPPER] = reference * math.exp(lower), reference * math.exp(upper)


@njit(cache=True)
def _settle(
    note: Floats,
    outcome: float,
    settings: Floats,
    kinds: Ints,
    numbers: Floats,
    experts: Floats,
    mixture: Floats,
    prior: Floats,
    tracker: Floats,
    tracker_scale: Floats,
    scale: Floats,
    part: Floats,
    window: int,
    said: Floats,
    gain: Floats,
    features: int,
) -> None:
    """Score one answer, then learn from it. As `HorizonForecaster` and `IntervalTracker.learn` do."""
    n = len(kinds)
    unit, mixed, expected = note[_SCALE], note[_MIXED], note[_EXPECTED]
    forecasts, row = note[FIXED : FIXED + n], note[FIXED + 2 * n : FIXED + 2 * n + features]
    for j in range(n):
        said[0, j] = forecasts[j] * unit
    said[0, n], said[1, n], said[2, n] = expected, note[_LOWER], note[_UPPER]
    record_answer(part, window, settings[DECAY], settings[COVERAGE], outcome, said)
    scaled = outcome / unit
    learn_mixture(
        mixture,
        prior,
        forecasts,
        note[FIXED + n : FIXED + 2 * n],
        mixed,
        scaled,
        settings[OUTCOME_BOUND],
        settings[OVERLAP],
        settings[DOUBT],
        settings[MEMORY],
    )
    residual = outcome - expected
    spread = note[_SPREAD]
    if spread > 0.0:
        score = min(max(residual / spread, -100.0), 100.0)
        learn_interval(
            tracker, score, note[_LOW], note[_HIGH], settings[MISS], settings[STEP], settings[BUDGET_RATE]
        )
    learn_p_up(tracker, note[_SIGNAL], 1.0 if outcome > 0.0 else 0.0, settings[UP_RATE])
    learn_scale(tracker_scale, residual, settings[SCALE_RATE])
    bounded = min(max(scaled, -settings[LEARNED_BOUND]), settings[LEARNED_BOUND])
    for j in range(n):
        if kinds[j] == EW_MEAN:
            state = experts[j, 0]
            state[0] += 1.0
            state[1] += max(1.0 / (100.0 + state[0]), numbers[j, 0]) * (bounded - state[1])
        elif kinds[j] == RIDGE:
            ridge_learn(
                experts[j, 0],
                experts[j, 1:],
                gain,
                row,
                bounded,
                numbers[j, 0],
                numbers[j, 1],
                numbers[j, 2],
            )
    learn_scale(scale, outcome, settings[RETURN_RATE])


@njit(cache=True, inline="always")
def _log_return(before: float, after: float) -> float:
    """Log of after over before; NaN where one of them is no price."""
    ratio = after / before if before > 0.0 else math.nan
    return math.log(ratio) if 0.0 < ratio < math.inf else math.nan
