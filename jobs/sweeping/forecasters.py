"""What a trial's model expects, fold by fold, of every symbol.

Online learners go through the live engine, from the first bar on, on features that are there already: each
forecast is made before its answer is learned. Boosted trees are trained anew for each fold, on the rows of
all symbols whose answers were known before it began, less the embargo.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from features import bulk
from features.bars import Bars
from features.dataset import Dataset
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError
from features.models.package import ModelPackage
from features.pipeline import FeaturePipeline, Features
from features.spec import FeatureSet
from features.walk_forward import before
from jobs.sweeping.data import Rows
from jobs.sweeping.settings import Periods
from jobs.sweeping.trial_spec import TrialSpec
from jobs.training.boosting import clean
from jobs.training.spec import HEADS, MEAN
from jobs.training.trainer import train

Floats = NDArray[np.float64]
_ENGINE_BASE = "naive"


class Forecaster(Protocol):
    """Goes through the folds in their order."""

    data_s: float
    """Seconds that went into rows, not into learning."""

    def fold(self, start_ns: int, end_ns: int) -> list[Floats]:
        """Log returns expected at the bars of each symbol that end in [start, end); NaN is no forecast.

        Raises DataError where there is nothing to learn from.
        """


class Known(FeaturePipeline):
    """Features that have been computed before, given out in order."""

    def __init__(self, feature_set: FeatureSet, matrix: Floats) -> None:
        super().__init__(feature_set)
        self._matrix = matrix
        self._at = 0

    def update(self, bars: Bars) -> Features:
        """The rows of the next bars."""
        rows = self._matrix[self._at : self._at + len(bars)]
        self._at += len(bars)
        # Which rows are warm is for people who watch; nothing that is scored depends on it.
        ages = np.full(len(rows), self.feature_set.warm_bars)
        return Features(np.array(rows, order="C"), ages, self.feature_set.warm_bars)


class OnlineForecaster:
    """The live engine of each symbol, with one learner beside naive."""

    def __init__(self, spec: TrialSpec, rows: Sequence[Rows]) -> None:
        self.data_s = 0.0
        self._rows = rows
        self._at = [0] * len(rows)
        models = (_ENGINE_BASE,) if spec.model == _ENGINE_BASE else (_ENGINE_BASE, spec.model)
        self._engines = []
        for one in rows:
            engine = SymbolEngine(
                EngineSpec(one.symbol, spec.bars, spec.features, (spec.horizon,), models, challengers=0)
            )
            engine.pipeline = Known(engine.feature_set, one.x)
            self._engines.append(engine)

    def fold(self, start_ns: int, end_ns: int) -> list[Floats]:
        """What the engines have expected; they learn on from every answer."""
        return [self._symbol(place, start_ns, end_ns) for place in range(len(self._rows))]

    def _symbol(self, place: int, start_ns: int, end_ns: int) -> Floats:
        rows, at = self._rows[place], self._at[place]
        start, end = rows.place(start_ns), rows.place(end_ns)
        self._at[place] = end
        expected: Floats = bulk.run(self._engines[place], rows.bars[at:end]).expected[0]
        return expected[start - at :]


class TreeForecaster:
    """One model for all symbols, trained at the start of each fold.

    In a trial its forecasts are multiplied by the slope that the last rows of training show, cut to [0, 1]. A
    package that may be published trusts the lower bound of that slope alone, which is mostly 0 where there is
    little to learn: all trials would be equal, and there would be nothing to search by.
    """

    def __init__(self, spec: TrialSpec, rows: Sequence[Rows], periods: Periods) -> None:
        self.data_s = 0.0
        self._spec, self._rows, self._periods = spec, rows, periods

    def fold(self, start_ns: int, end_ns: int) -> list[Floats]:
        """What a model expects that is trained on what is known by `start_ns`."""
        package, shown = self._train(start_ns, (MEAN,))
        slope = min(max(shown["slope"]["estimate"], 0.0), 1.0)
        slope = slope if math.isfinite(slope) else 0.0
        return [self._say(package, slope, one, start_ns, end_ns) for one in self._rows]

    def publishable(self, start_ns: int, end_ns: int) -> tuple[ModelPackage, list[Floats]]:
        """A whole model, trained on what is known by `start_ns`, and what it expects from then on."""
        package, _ = self._train(start_ns, HEADS)
        slope = package.horizons[self._spec.horizon].slope
        return package, [self._say(package, slope, one, start_ns, end_ns) for one in self._rows]

    def _train(self, start_ns: int, heads: tuple[str, ...]) -> tuple[ModelPackage, dict[str, Any]]:
        began = time.perf_counter()
        known = Dataset.concat([self._known(one, start_ns) for one in self._rows])
        self.data_s += time.perf_counter() - began
        trained = train(
            {self._spec.horizon: known},
            self._spec.feature_set,
            self._spec.train_spec(heads, self._periods.embargo_ns),
            bars=self._spec.bars.pace,
        )
        if trained.package is None:
            raise DataError(str(trained.skipped), "training", "hold out less, or train on more")
        return trained.package, trained.horizons[self._spec.horizon]

    def _known(self, rows: Rows, start_ns: int) -> Dataset:
        ends = rows.bars.end_ns
        chosen = np.isfinite(rows.y) & before(ends + rows.horizon_ns, start_ns, self._periods.embargo_ns)
        if self._periods.window_ns:
            chosen &= ends >= start_ns - self._periods.window_ns
        return rows.dataset(chosen)

    def _say(self, package: ModelPackage, slope: float, rows: Rows, start_ns: int, end_ns: int) -> Floats:
        part = slice(rows.place(start_ns), rows.place(end_ns))
        said = package.horizons[self._spec.horizon].mean.predict(clean(rows.x[part]))
        return slope * said * rows.scale[part]


def forecaster_of(spec: TrialSpec, rows: Sequence[Rows], periods: Periods) -> Forecaster:
    """The forecaster of a trial."""
    return TreeForecaster(spec, rows, periods) if spec.is_batch else OnlineForecaster(spec, rows)
