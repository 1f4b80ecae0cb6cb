"""Many bars at once: what `SymbolEngine.update_bars` does, as columns.

    block = bulk.run(engine, bars)
    block.expected[0], block.answers.outcome

Called by whoever feeds history to an engine and wants arrays, not an object for every forecast.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bars import Bars
from features.engine import Step, SymbolEngine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FORECAST = ("expected_return", "lower", "upper", "p_up")
_ANSWER_TIMES = ("made_at_ns", "due_ns")
_ANSWER = ("price", "forecast", "lower", "upper", "outcome")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """n answered questions in the order in which the engine gives them; returns are log returns."""

    horizon: Ints
    """Place in the engine's horizons, shape (n,) like all of these."""
    made_at_ns: Ints
    due_ns: Ints
    price: Floats
    forecast: Floats
    lower: Floats
    upper: Floats
    outcome: Floats
    """NaN where the question is void."""

    def __len__(self) -> int:
        return len(self.horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What m bars brought about.

    `expected`, `lower`, `upper` and `p_up` have shape (horizons, m), NaN where no forecast was made: the log
    return expected over the horizon, the bounds of the price at its end, the probability of a rise.
    """

    bars: Bars
    features: Floats
    """A row a bar, shape (m, features), NaN where not warm."""
    expected: Floats
    lower: Floats
    upper: Floats
    p_up: Floats
    answers: Answers

    @property
    def forecasts(self) -> int:
        """Number of forecasts made, over all horizons."""
        return int(np.count_nonzero(~np.isnan(self.expected)))


def run(engine: SymbolEngine, bars: Bars) -> Block:
    """Feed closed bars, oldest first. Raises DataError, and takes in none of them, like `update_bars`."""
    return of_step(engine, engine.update_bars(bars))


def of_step(engine: SymbolEngine, step: Step) -> Block:
    """What an engine's step holds, as columns."""
    horizons, m = len(engine.horizons), len(step.bars)
    # The engine asks at every bar from its first forecast on, all horizons in turn.
    asked = len(step.forecasts) // horizons
    said = np.full((len(_FORECAST), horizons, m), np.nan)
    if asked:
        rows = np.array([attrgetter(*_FORECAST)(one) for one in step.forecasts])
        said[:, :, m - asked :] = rows.reshape(asked, horizons, len(_FORECAST)).transpose(2, 1, 0)
    expected, lower, upper, p_up = said
    return Block(step.bars, step.features, expected, lower, upper, p_up, _answers(engine, step))


def _answers(engine: SymbolEngine, step: Step) -> Answers:
    places = {name: place for place, name in enumerate(engine.horizons)}
    n = len(step.answers)
    columns: dict[str, Any] = {
        name: np.fromiter(map(attrgetter(name), step.answers), np.int64, n) for name in _ANSWER_TIMES
    }
    for name in _ANSWER:
        columns[name] = np.fromiter(map(attrgetter(name), step.answers), np.float64, n)
    return Answers(np.fromiter((places[one.horizon] for one in step.answers), np.int64, n), **columns)
