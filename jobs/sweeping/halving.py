"""Which trials are not worth their remaining folds: successive halving, told in rounds.

As ASHA has it (Li et al. 2020, "A system for massively parallel hyperparameter tuning", MLSys): after 1, 3,
9 … folds a trial goes on only if it is among the best third of those that have come so far. There it is
compared with whoever came before, so that the result hangs on which process is quicker; here it is compared
with the trials of earlier rounds alone, which are finished, so that a sweep is the same however it is run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REDUCTION = 3
LEAST_TRIALS = 5
"""Trials of earlier rounds below which nobody is stopped."""


class Halving:
    """What earlier rounds had reached after how many folds."""

    def __init__(self, folds: int) -> None:
        """`folds` is the number that a whole trial has."""
        rungs = []
        at = 1
        while at < folds:
            rungs.append(at)
            at *= REDUCTION
        self._reached: dict[int, list[float]] = {rung: [] for rung in rungs}

    def take_in(self, by_fold: Sequence[float | None]) -> None:
        """Take in a trial of a round that is finished: its objective after each fold that it did."""
        for rung, reached in self._reached.items():
            if len(by_fold) >= rung:
                value = by_fold[rung - 1]
                reached.append(-np.inf if value is None else value)

    def stops(self, folds: int, value: float) -> bool:
        """Whether a trial that has reached `value` after so many folds is to end there; NaN always is."""
        reached = self._reached.get(folds)
        if reached is None or len(reached) < LEAST_TRIALS:
            return False
        # The best third of the earlier trials sets the mark; a tie passes.
        mark = sorted(reached, reverse=True)[max(1, len(reached) // REDUCTION) - 1]
        return not value >= mark
