"""Questions of one horizon over many bars at once. Called by `features.dataset`.

Does what `features.labels.QuestionQueue` and `features.models.scaling.ReturnScale` do a bar at a time, in the
same order and with the same arithmetic.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernels.learning import learn_scale

OPEN = -1
"""The bar that answers a question which no bar has answered yet."""


@njit(cache=True)
def answer_all(
    ends: NDArray[np.int64],
    sessions: NDArray[np.int64],
    references: NDArray[np.float64],
    first: int,
    head: int,
    horizon_ns: int,
    first_return: float,
    rate: float,
    state: NDArray[np.float64],
    outcomes: NDArray[np.float64],
    scales: NDArray[np.float64],
    answered: NDArray[np.int64],
) -> int:
    """Ask at every bar from `first` on. All arrays have shape (m,), `state` is that of a `ReturnScale`, (2,).

    Questions from `head` on, at most `first`, are open; at the very beginning both are the first bar that
    asks. Returns the first question that is open then; places before `head` stay as they are.

    Fills `outcomes` with the log return of each question, NaN where it is void or open; `scales` with the
    usual size of a return as it was known when asking; `answered` with the bar that answered it or made it
    void, OPEN where none has.
    """
    for i in range(first, len(ends)):
        while head < i:
            outcome = math.nan
            if sessions[head] == sessions[i]:
                due = ends[head] + horizon_ns
                if due > ends[i]:
                    break
                before, after = references[head], references[i] if due == ends[i] else references[i - 1]
                ratio = after / before if before > 0.0 else math.nan
                outcome = math.log(ratio) if 0.0 < ratio < math.inf else math.nan
            outcomes[head] = outcome
            answered[head] = i
            head += 1
            if math.isfinite(outcome):
                learn_scale(state, outcome, rate)
        root = math.sqrt(state[1])
        scales[i] = root if root != 0.0 else first_return
    return head
