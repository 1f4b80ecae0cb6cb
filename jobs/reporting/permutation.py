"""What features are worth over the bars of a backtest: how much worse forecasts get when one is shuffled.

    found = permuted(engine, [source.read, ...])

The learners of a run are mixed anew at every bar and can't be asked again. So boosted trees are trained for
the report on the first part of the period, as `jobs.train` does it, and judged on the last part, with each
feature's column shuffled in turn (Breiman 2001, "Random forests", Machine Learning 45). It says what these
features hold for such a model, not what the run has made of them; where the model does not beat naive,
nothing. Bounded: see the limits below. Equal histories give equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features import durations
from features.bars import BarBuilder, Bars
from features.dataset import Dataset, DatasetBuilder
from features.engine import EngineSpec
from features.errors import DataError
from features.models.trees import TreeEnsemble
from features.scores import student_quantile_95
from features.spec import FeatureSet
from features.ticks import Ticks
from jobs.training import boosting
from jobs.training.parts import Parts, cut
from jobs.training.spec import MEAN, TrainSpec

Floats = NDArray[np.float64]
History = Callable[[], Iterator[Bars] | Iterator[Ticks]]
"""Gives the bars or ticks of one symbol from the beginning."""

MOST_SYMBOLS = 12
MOST_BARS = 200_000
"""Of each symbol, from its first on."""
MOST_ROWS = 60_000
"""Questions of all symbols together, evenly spread."""
_SHUFFLES = 3
_BLOCKS = 20
_VALID = 0.4
"""Of the time: half of it stops the training, half judges."""


@dataclass(frozen=True, slots=True)
class Permuted:
    """What shuffling each feature does at one horizon. Shares of naive's mean squared error."""

    horizon: str
    columns: tuple[str, ...]
    drop: Floats
    """By how much the skill falls when a column is shuffled, (k,)."""
    error: Floats
    """Half of its 95 % interval, from blocks of time."""
    skill: float
    """Of the model with nothing shuffled."""
    skill_error: float
    symbols: int
    trained: int
    """Rows trained on."""
    judged: int
    problem: str = ""
    """Why there are no numbers; "" where there are."""

    @property
    def is_worth_something(self) -> bool:
        """Whether the model beats naive, so that its features can mean anything."""
        return self.skill - self.skill_error > 0.0


def permuted(engine: EngineSpec, histories: Sequence[History], seed: int = 0) -> list[Permuted]:
    """One result for each horizon of the engine, from the first `MOST_SYMBOLS` histories."""
    feature_set = FeatureSet.parse(list(engine.features))
    builders = [_gather(engine, feature_set, history) for history in histories[:MOST_SYMBOLS]]
    return [_at_horizon(engine, feature_set, builders, horizon, seed) for horizon in engine.horizons]


def _gather(engine: EngineSpec, feature_set: FeatureSet, history: History) -> DatasetBuilder:
    builder = DatasetBuilder(feature_set, engine.first_forecast_bars)
    closing = BarBuilder(engine.bars)
    left = MOST_BARS
    for batch in history():
        bars = (closing.update(batch) if isinstance(batch, Ticks) else batch)[:left]
        if len(bars):
            builder.update(bars)
        left -= len(bars)
        if left <= 0:
            break
    return builder


def _at_horizon(
    engine: EngineSpec, feature_set: FeatureSet, builders: list[DatasetBuilder], horizon: str, seed: int
) -> Permuted:
    horizon_ns = durations.parse_ns(horizon)
    spec = TrainSpec(
        library="lightgbm", heads=(MEAN,), valid_fraction=_VALID, embargo_ns=horizon_ns, rounds=150, seed=seed
    )
    columns = feature_set.columns
    try:
        if not builders:
            raise DataError("there is no symbol", "importance")
        rows = Dataset.concat([_thinned(one.build(horizon_ns), len(builders)) for one in builders])
        parts = cut(rows, spec)
    except DataError as error:
        none = np.zeros(0)
        return Permuted(horizon, (), none, none, np.nan, np.nan, len(builders), 0, 0, error.problem)
    trees = boosting.fit(MEAN, parts, columns, spec)
    drop, error_of, skill, skill_error = _judge(trees, parts, np.random.default_rng(seed))
    trained, judged = len(parts.train), len(parts.judge)
    return Permuted(horizon, columns, drop, error_of, skill, skill_error, len(builders), trained, judged)


def _thinned(rows: Dataset, symbols: int) -> Dataset:
    """Every so many rows, so that all symbols together have at most `MOST_ROWS`."""
    known = rows[rows.known]
    return known[:: max(1, -(-len(known) * symbols // MOST_ROWS))]


def _judge(
    trees: TreeEnsemble, parts: Parts, random: np.random.Generator
) -> tuple[Floats, Floats, float, float]:
    """The falls of the skill and their errors, (k,) each, and the skill and its error."""
    x, y = boosting.clean(parts.judge.x), parts.judge.target()
    naive = float(np.mean(y * y))
    if naive == 0.0:
        nothing = np.zeros(x.shape[1])
        return nothing, nothing, 0.0, 0.0
    loss = (y - trees.predict(x)) ** 2
    drop, error = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    used = set(trees.importance())
    for place, column in enumerate(trees.columns):
        if column not in used:
            continue  # no split asks for it: shuffling changes nothing
        shuffled, worse = x.copy(), np.zeros(len(y))
        for _ in range(_SHUFFLES):
            shuffled[:, place] = x[random.permutation(len(x)), place]
            worse += ((y - trees.predict(shuffled)) ** 2 - loss) / _SHUFFLES
        drop[place], error[place] = _mean(worse / naive)
    skill, skill_error = _mean((y * y - loss) / naive)
    return drop, error, skill, skill_error


def _mean(values: Floats) -> tuple[float, float]:
    """The mean of rows in order of time, and half of its 95 % interval from blocks of them."""
    blocks = np.array([block.mean() for block in np.array_split(values, _BLOCKS)])
    half = student_quantile_95(_BLOCKS - 1) * float(blocks.std(ddof=1)) / np.sqrt(_BLOCKS)
    return float(values.mean()), float(half)
