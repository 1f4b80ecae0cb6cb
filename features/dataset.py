"""Data sets for batch learners: the questions that an engine asks, with their answers, as arrays.

    dataset = build(bars, FeatureSet.parse(["log_return:1", "zscore:60"]), durations.parse_ns("5m"))
    dataset.x, dataset.target()

A row is a question that `SymbolEngine` would ask of the same bars: the same features, the same outcome, and
the same unit of scale that a trained model will be told when it is asked live, to the last bit. What a model
learns here is what it will meet there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bars import Bars
from features.engine import check_references
from features.errors import DataError
from features.forecaster import LEARNED_BOUND
from features.kernels import questions as kernel
from features.models.scaling import FIRST_RETURN, RETURN_RATE
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet

FIRST_FORECAST_BARS = 10
"""As `EngineSpec.first_forecast_bars` has it."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = tuple[Ints, Ints, Floats, Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """n questions of one horizon in the order in which they were asked; all arrays have n rows."""

    x: Floats
    """Features as they are, shape (n, k), NaN is missing."""
    y: Floats
    """Outcome as a log return; NaN where the question is void, or not answered yet."""
    scale: Floats
    """The horizon's usual size of a return, as known when asking; above 0."""
    made_at_ns: Ints
    due_ns: Ints
    session: Ints
    answered: Ints
    """Row of the bar at which the answer was known (row i was asked at bar i); -1: not yet."""

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | NDArray[np.bool_] | Ints) -> Dataset:
        """Some of the rows; `answered` keeps the places of before."""
        return Dataset(
            self.x[rows],
            self.y[rows],
            self.scale[rows],
            self.made_at_ns[rows],
            self.due_ns[rows],
            self.session[rows],
            self.answered[rows],
        )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have an outcome, shape (n,)."""
        return np.isfinite(self.y)

    def target(self) -> Floats:
        """Outcomes in units of scale, cut like those that online learners learn from; NaN stays NaN."""
        return np.clip(self.y / self.scale, -LEARNED_BOUND, LEARNED_BOUND)

    def digest(self) -> str:
        """Hash of all that is learned from, which the numbers of sessions are not."""
        total = hashlib.sha256(repr(self.x.shape).encode())
        for column in (self.x, self.y, self.scale, self.made_at_ns, self.due_ns):
            total.update(np.ascontiguousarray(column).tobytes())
        return total.hexdigest()

    @staticmethod
    def concat(parts: list[Dataset]) -> Dataset:
        """Rows of several data sets of the same features, one after the other; at least one.

        `answered` has the places in each part.
        """
        columns = ("x", "y", "scale", "made_at_ns", "due_ns", "session", "answered")
        return Dataset(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


class DatasetBuilder:
    """Gathers what data sets need of bars that come in pieces; any cut gives the same rows."""

    def __init__(self, feature_set: FeatureSet, first_forecast_bars: int = FIRST_FORECAST_BARS) -> None:
        """`first_forecast_bars` is that of the engine that the model is for."""
        self.feature_set = feature_set
        self._first = first_forecast_bars - 1
        self._pipeline = FeaturePipeline(feature_set)
        self._parts: list[Columns] = []

    def update(self, bars: Bars) -> None:
        """Take in bars, oldest first, and compute their features.

        Raises DataError, and takes in none of them, where an engine would.
        """
        check_references(bars)
        matrix = self._pipeline.update(bars).matrix
        self.add(bars.end_ns.copy(), bars.session.copy(), bars.column("reference").copy(), matrix)

    def add(self, end_ns: Ints, session: Ints, reference: Floats, matrix: Floats) -> None:
        """Take in bars whose features, shape (m, k), are known already: an engine has written them down."""
        if matrix.shape != (len(end_ns), len(self.feature_set.columns)):
            raise DataError(f"features have shape {matrix.shape}, not a row for each bar", "dataset")
        self._parts.append((end_ns, session, reference, matrix))

    def build(self, horizon_ns: int) -> Dataset:
        """The questions of a horizon at all bars so far."""
        end_ns, session, reference, matrix = self._columns()
        m = len(end_ns)
        first = min(self._first, m)
        outcomes, scales = np.full(m, np.nan), np.full(m, np.nan)
        answered = np.full(m, kernel.OPEN)
        kernel.answer_all(
            end_ns,
            session,
            reference,
            first,
            first,
            horizon_ns,
            FIRST_RETURN,
            RETURN_RATE,
            np.zeros(2),
            outcomes,
            scales,
            answered,
        )
        answered[answered > kernel.OPEN] -= first
        due_ns = end_ns + horizon_ns
        rows = Dataset(matrix, outcomes, scales, end_ns, due_ns, session, answered)
        return rows[first:]

    def _columns(self) -> Columns:
        """All bars so far as one piece, which replaces the pieces."""
        if not self._parts:
            empty = np.zeros(0, np.int64)
            return empty, empty, np.zeros(0), np.zeros((0, len(self.feature_set.columns)))
        if len(self._parts) > 1:
            ends, sessions, references, matrices = zip(*self._parts, strict=True)
            joined = (np.concatenate(column) for column in (ends, sessions, references))
            self._parts = [(*joined, np.concatenate(matrices))]  # type: ignore[list-item]
        return self._parts[0]


def build(
    bars: Bars, feature_set: FeatureSet, horizon_ns: int, first_forecast_bars: int = FIRST_FORECAST_BARS
) -> Dataset:
    """The questions of one horizon at these bars. Raises DataError for bars that an engine refuses."""
    builder = DatasetBuilder(feature_set, first_forecast_bars)
    builder.update(bars)
    return builder.build(horizon_ns)
