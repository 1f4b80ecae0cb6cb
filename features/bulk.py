"""Many bars at once: what `SymbolEngine.update_bars` does, as columns.

    block = bulk.run(engine, bars)
    block.expected[0], block.answers.outcome

Called by whoever feeds history to an engine and wants arrays, not an object for every forecast. Afterwards
the engine is in the same state, to the last bit, as after `update_bars`, and the block has the same numbers.
Where it can, it goes through compiled loops (features/bulk_horizon.py), which is many times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import bulk_horizon
from features.bars import Bars
from features.bulk_horizon import Answered
from features.engine import Step, SymbolEngine, check_references
from features.kernels import horizon as kernel
from features.labels import Closed
from features.models.scaling import FIRST_RETURN, RETURN_RATE, ROW_BOUND, ROW_RATE
from features.ticks import Kind, Ticks

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
    forecasters = engine._forecasters
    if not len(bars) or not all(bulk_horizon.fits(forecaster) for forecaster in forecasters):
        return of_step(engine, engine.update_bars(bars))
    check_references(bars)
    features = engine.pipeline.update(bars)
    rows, scales = _scaled(engine, features.matrix), _bar_scales(engine, bars)
    first = max(0, engine.spec.first_forecast_bars - 1 - engine.bars_seen)
    engine.bars_seen += len(bars)
    said = np.empty((len(_FORECAST), len(forecasters), len(bars)))
    answered = []
    for place, forecaster in enumerate(forecasters):
        forecasts, answers = bulk_horizon.run(forecaster, engine.ledger, bars, rows, scales, first)
        said[:, place] = forecasts.T
        answered.append(answers)
    expected, lower, upper, p_up = said
    return Block(bars, features.matrix, expected, lower, upper, p_up, _in_order(answered))


def feed(engine: SymbolEngine, ticks: Ticks) -> Block:
    """Feed ticks in order of arrival: what `SymbolEngine.update` does, as columns. Raises what it raises."""
    if np.any(ticks.kind == Kind.SWAP):
        return of_step(engine, engine.update(ticks))
    return run(engine, engine.builder.update(ticks))


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


def _scaled(engine: SymbolEngine, matrix: Floats) -> Floats:
    """The scaled features of each row, which the engine's scaler learns from."""
    rows = np.empty(matrix.shape)
    count, mean, variance = engine._scaler._moments
    kernel.scale_rows(matrix, count, mean, variance, ROW_RATE, ROW_BOUND, rows)
    if len(rows):
        engine._scaled[:] = rows[-1]
    return rows


def _bar_scales(engine: SymbolEngine, bars: Bars) -> Floats:
    """The usual size of a return from bar to bar as it is known at each bar."""
    scales = np.empty(len(bars))
    sessions, references = bars.session, bars.column("reference")
    last = engine._last
    kernel.bar_scales(
        np.ascontiguousarray(sessions),
        np.ascontiguousarray(references),
        last.session,
        last.reference,
        engine._bar_scale._state,
        RETURN_RATE,
        FIRST_RETURN,
        scales,
    )
    engine._last = Closed(int(bars.end_ns[-1]), int(sessions[-1]), float(references[-1]))
    return scales


def _in_order(answered: list[Answered]) -> Answers:
    """All horizons' answers in the order in which an engine gives them: by bar, then by horizon."""
    place = np.repeat(np.arange(len(answered)), [len(one.bar) for one in answered])
    bar = np.concatenate([one.bar for one in answered])
    order = np.lexsort((place, bar))
    made_at_ns, due_ns = (
        np.concatenate([getattr(one, name) for one in answered])[order] for name in _ANSWER_TIMES
    )
    values = np.concatenate([one.values for one in answered])[order]
    return Answers(place[order], made_at_ns, due_ns, *(np.ascontiguousarray(column) for column in values.T))
