"""One horizon of an engine over many bars at once, through compiled loops.

Called by `features.bulk`. It works on the parts of a `HorizonForecaster` from outside, with the kernels that
the parts use themselves, and leaves them as if the bars had come one by one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.bars import Bars
from features.forecaster import LEARNED_BOUND, HorizonForecaster
from features.kernels import horizon as kernel
from features.labels import Closed
from features.ledger import Ledger
from features.models.base import Learner
from features.models.baselines import EwMean, Naive
from features.models.conformal import RETURN_BOUND
from features.models.ridge import ANSWER_BOUND, Ridge
from features.models.scaling import FIRST_RETURN, RETURN_RATE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Answered(NamedTuple):
    """Questions of one horizon that some bars have answered, oldest first."""

    bar: Ints
    """Place of the bar that answered each, shape (n,)."""
    made_at_ns: Ints
    due_ns: Ints
    values: Floats
    """Price, forecast, lower, upper and outcome, shape (n, 5)."""


def fits(forecaster: HorizonForecaster) -> bool:
    """Whether all that this horizon does is compiled: its learners are, and no trained model is heard."""
    kinds = all(type(learner) in (Naive, EwMean, Ridge) for learner in forecaster._learners)
    if not kinds or forecaster.models.active or forecaster._mixture.has_guest:
        return False
    _, rows, _ = forecaster._queue.open()
    return not rows[:, 1 + forecaster._models_said].any()


def run(
    forecaster: HorizonForecaster, ledger: Ledger, bars: Bars, rows: Floats, bar_scales: Floats, first: int
) -> tuple[Floats, Answered]:
    """Feed m bars to a horizon that `fits`; the forecasts (m, 4), from bar `first` on, and the answers.

    `rows` (m, k) are the scaled features at each bar, `bar_scales` (m,) the usual size of a bar's return.
    """
    queue, n, m = forecaster._queue, len(forecaster._learners), len(bars)
    times, notes, before = queue.open()
    held = len(times)
    times = np.concatenate([times, np.empty((m, 3), np.int64)])
    notes = np.concatenate([notes, np.zeros((m, notes.shape[1]))])
    kinds, numbers, experts = _pack(forecaster._learners, rows.shape[1])
    forecasts = np.full((m, 4), np.nan)
    answered, values = np.empty(held + m, np.int64), np.empty((held + m, 5))
    mixture, tracker, part = forecaster._mixture, forecaster._tracker, forecaster._index
    done, asked = kernel.run_horizon(
        np.ascontiguousarray(bars.end_ns),
        np.ascontiguousarray(bars.session),
        np.ascontiguousarray(bars.column("reference")),
        rows,
        bar_scales,
        first,
        forecaster.horizon_ns,
        before is not None,
        _settings(forecaster, ledger, before),
        kinds,
        numbers,
        experts,
        mixture._state,
        mixture._prior,
        tracker._state,
        tracker._scale,
        forecaster._scale._state,
        ledger._parts[part],
        ledger._windows[part],
        times,
        notes,
        held,
        forecasts,
        answered,
        values,
    )
    _unpack(forecaster._learners, experts, n)
    last = Closed(int(bars.end_ns[-1]), int(bars.session[-1]), float(bars.column("reference")[-1]))
    queue.replace(times[done:asked], notes[done:asked], last)
    return forecasts, Answered(answered[:done], times[:done, 0].copy(), times[:done, 1].copy(), values[:done])


def _settings(forecaster: HorizonForecaster, ledger: Ledger, before: Closed | None) -> Floats:
    """The numbers of a horizon in the kernel's order."""
    found = np.zeros(kernel.N_SETTINGS)
    tracker = forecaster._tracker
    bound, overlap, doubt, memory = forecaster._mixture._rules
    found[kernel.FIRST_RETURN], found[kernel.RETURN_RATE] = FIRST_RETURN, RETURN_RATE
    found[kernel.RETURN_BOUND], found[kernel.LEARNED_BOUND] = RETURN_BOUND, LEARNED_BOUND
    found[kernel.OUTCOME_BOUND], found[kernel.OVERLAP] = bound, overlap
    found[kernel.DOUBT], found[kernel.MEMORY] = doubt, memory
    found[kernel.ROOT_BARS] = forecaster._root_bars
    found[kernel.MISS] = 1.0 - tracker._spec.coverage
    found[kernel.STEP], found[kernel.BUDGET_RATE] = tracker._step, tracker._budget_rate
    found[kernel.SCALE_RATE], found[kernel.UP_RATE] = tracker._spec.scale_rate, tracker._spec.up_rate
    found[kernel.ENOUGH] = tracker._enough
    found[kernel.DECAY], found[kernel.COVERAGE] = ledger._decay, ledger.spec.coverage
    found[kernel.BEFORE_REFERENCE] = before.reference if before is not None else np.nan
    return found


def _pack(learners: list[Learner], features: int) -> tuple[Ints, Floats, Floats]:
    """Kinds, numbers and states of the learners: what each keeps in a plane of its own."""
    n, width = len(learners), max(2, features + 1)
    kinds, numbers = np.zeros(n, np.int64), np.zeros((n, kernel.N_NUMBERS))
    experts = np.zeros((n, 1 + width, width))
    for i, learner in enumerate(learners):
        if isinstance(learner, EwMean):
            kinds[i], numbers[i, 0] = kernel.EW_MEAN, learner._rate
            experts[i, 0, :2] = learner._state
        elif isinstance(learner, Ridge):
            kinds[i], numbers[i] = kernel.RIDGE, (ANSWER_BOUND, learner._memory, learner._most)
            experts[i, 0], experts[i, 1:] = learner._weights, learner._inverse
    return kinds, numbers, experts


def _unpack(learners: list[Learner], experts: Floats, n: int) -> None:
    """Give the learners their states back."""
    for i in range(n):
        learner = learners[i]
        if isinstance(learner, EwMean):
            learner._state[:] = experts[i, 0, :2]
        elif isinstance(learner, Ridge):
            learner._weights[:], learner._inverse[:] = experts[i, 0], experts[i, 1:]
