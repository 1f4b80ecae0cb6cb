"""One trial, fold by fold: learn, forecast, score, trade.

trial = Trial(spec, rows, periods, settings)
while not trial.done:
    trial.step()
trial.row()
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from features import plain
from features.errors import DataError
from features.trading.rules import RuleSpec
from jobs.sweeping.data import Rows
from jobs.sweeping.forecasters import forecaster_of
from jobs.sweeping.scoring import ForecastScore, Trading, total_return, yearly_sharpe
from jobs.sweeping.settings import SKILL, Periods, SweepSettings
from jobs.sweeping.trial_spec import TrialSpec


class Trial:
    """A trial under way. Equal arguments give an equal `row`, but for the seconds."""

    def __init__(
        self, spec: TrialSpec, rows: Sequence[Rows], periods: Periods, settings: SweepSettings
    ) -> None:
        """Raises DataError where no symbol has bars in the folds."""
        start_ns, end_ns = periods.folds[0][0], periods.folds[-1][1]
        self._rows = [one for one in rows if one.place(start_ns) < one.place(end_ns)]
        if not self._rows:
            raise DataError("no symbol has bars in the folds", "sweep", "hold out less")
        self._periods, self._settings = periods, settings
        self._score = ForecastScore()
        self._forecaster = forecaster_of(spec, self._rows, periods)
        rule = RuleSpec.parse(spec.rule)
        self._trading = Trading(rule, settings.trading, self._rows, periods.period)
        self.folds = 0
        """Folds that are done."""
        self.by_fold: list[float | None] = []
        """The objective over all folds up to each."""
        self._learn_s = self._score_s = 0.0

    @property
    def done(self) -> bool:
        """Whether all folds are."""
        return self.folds == len(self._periods.folds)

    def step(self) -> float:
        """Do the next fold; the objective over all folds so far, NaN where it can't be said."""
        start_ns, end_ns = self._periods.folds[self.folds]
        began = time.perf_counter()
        expected = self._forecaster.fold(start_ns, end_ns)
        learned = time.perf_counter()
        for rows, said in zip(self._rows, expected, strict=True):
            self._score.add(rows, slice(rows.place(start_ns), rows.place(end_ns)), said)
        self._trading.fold(start_ns, end_ns, expected)
        self.folds += 1
        value = self._score.skill
        if self._settings.objective != SKILL:
            value = yearly_sharpe(self._trading.returns())
        self.by_fold.append(plain.finite(value))
        self._learn_s += learned - began
        self._score_s += time.perf_counter() - learned
        return value

    def row(self) -> dict[str, Any]:
        """What came of it so far, as plain values."""
        returns = self._trading.returns()
        finite = np.where(np.isfinite(returns.values), returns.values, 0.0)
        return {
            "folds": self.folds,
            "objective": self.by_fold[-1] if self.by_fold else None,
            "by_fold": self.by_fold,
            "skill": plain.finite(self._score.skill),
            "hit_rate": plain.finite(self._score.hit_rate),
            "answers": self._score.count,
            "symbols": len(self._rows),
            "sharpe": plain.finite(yearly_sharpe(returns)),
            "total_return": plain.finite(total_return(returns)),
            "fills": self._trading.fills,
            "returns_end_ns": returns.end_ns.tolist(),
            "returns": finite.tolist(),
            "seconds": {
                "data": self._forecaster.data_s,
                "learn": self._learn_s - self._forecaster.data_s,
                "score": self._score_s,
            },
        }
