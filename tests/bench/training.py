"""Benchmark: trained models asked one row at a time and many, and what a training spends its time on.

Trees are trained by the libraries on generated rows, then the libraries and our kernel predict the same rows,
each with one thread; the converted trees give the same bits. A row of a data set costs its features, then a
question and its answer for each horizon.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.bars import Bars
from features.dataset import DatasetBuilder
from features.engine import DEFAULT_FEATURES
from features.models.trees import TreeEnsemble
from features.spec import FeatureSet
from jobs.backtesting.settings import CANDLE_FEATURES
from jobs.training.spec import TrainSpec
from jobs.training.trainer import train
from tests.bench import sources
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table
from tests.bench.timing import best_ns

_COLUMNS = len(FeatureSet.parse(DEFAULT_FEATURES).columns)
_DEPTHS = {"100 trees of depth 3": (100, 3), "400 trees of depth 5": (400, 5)}
_MINUTE_NS = 60_000_000_000
Rows = NDArray[np.float64]


def _rows(n: int) -> tuple[Rows, Rows]:
    random = np.random.default_rng(11)
    x = random.standard_normal((n, _COLUMNS))
    x[random.random(x.shape) < 0.02] = np.nan
    return x, np.nan_to_num(x[:, :5]).sum(axis=1) * 0.2 + random.standard_normal(n)


def _xgboost(x: Rows, y: Rows, trees: int, depth: int) -> tuple[TreeEnsemble, Callable[[Rows], Any]]:
    import xgboost

    from jobs.training import convert_xgboost

    settings = {"max_depth": depth, "nthread": 1, "learning_rate": 0.05}
    booster = xgboost.train(settings, xgboost.QuantileDMatrix(x, y, nthread=1), num_boost_round=trees)
    ensemble = convert_xgboost.convert(booster, tuple(map(str, range(_COLUMNS))))
    return ensemble, partial(convert_xgboost.predict, booster)


def _lightgbm(x: Rows, y: Rows, trees: int, depth: int) -> tuple[TreeEnsemble, Callable[[Rows], Any]]:
    import lightgbm

    from jobs.training import convert_lightgbm

    settings = {"num_leaves": 2**depth, "max_depth": depth, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, y), trees)
    ensemble = convert_lightgbm.convert(booster, tuple(map(str, range(_COLUMNS))))
    return ensemble, partial(booster.predict, num_threads=1)


_LIBRARIES = {"XGBoost": _xgboost, "LightGBM": _lightgbm}


def _prediction(library: str, size: str, effort: Effort) -> Sample:
    x, y = _rows(effort.pick(20_000, 2_000))
    ensemble, theirs = _LIBRARIES[library](x, y, *_DEPTHS[size])
    assert np.array_equal(ensemble.predict(x), theirs(x))
    singles, sample = [x[i : i + 1] for i in range(effort.pick(500, 50))], Sample()
    rows = [one[0] for one in singles]
    ways: dict[str, tuple[Callable[[Rows], Any], Callable[[Rows], Any], list[Rows]]] = {
        "Tickcast": (ensemble.predict_row, ensemble.predict, rows),
        library: (theirs, theirs, singles),
    }
    for who, (one_row, many, alone) in ways.items():

        def run(one_row: Callable[[Rows], Any] = one_row, alone: list[Rows] = alone) -> None:
            for row in alone:
                one_row(row)

        sample.add(
            f"{library}, {size}: {who}",
            row_us=best_ns(run, len(alone)) / 1e3,
            batch_us=best_ns(partial(many, x), len(x)) / 1e3,
        )
    return sample


def _bars(n: int) -> Bars:
    close, volume = sources.prices(n)
    ends = sources.START_NS // _MINUTE_NS * _MINUTE_NS + _MINUTE_NS * np.arange(1, n + 1)
    return Bars.from_columns(ends - _MINUTE_NS, ends, close=close, volume=volume)


def _dataset(effort: Effort) -> Sample:
    n = effort.pick(500_000, 20_000)
    bars, sample = _bars(n), Sample()
    for name, features in (("candle features", CANDLE_FEATURES), ("default features", DEFAULT_FEATURES)):
        feature_set = FeatureSet.parse(features)
        builders: list[DatasetBuilder] = []

        def compute(feature_set: FeatureSet = feature_set, builders: list[DatasetBuilder] = builders) -> None:
            builders[:] = [DatasetBuilder(feature_set)]
            builders[0].update(bars)

        sample.add(f"{name} ({len(feature_set.columns)} columns)", rows_s=1e9 / best_ns(compute, n))
        ask = partial(builders[0].build, 5 * _MINUTE_NS)
        sample.add("questions and answers of a horizon", rows_s=1e9 / best_ns(ask, n))
    return sample


def _training(library: str, effort: Effort) -> Sample:
    n, sample = effort.pick(100_000, 3_000), Sample()
    feature_set = FeatureSet.parse(CANDLE_FEATURES)
    builder = DatasetBuilder(feature_set)
    bars = _bars(n)
    DatasetBuilder(feature_set).update(bars[:100])
    began = time.perf_counter()
    builder.update(bars)
    rows = builder.build(5 * _MINUTE_NS)
    read = time.perf_counter()
    spec = TrainSpec(library=library, rounds=100, early_stop=100)
    trained = train({"5m": rows}, feature_set, spec)
    assert trained.package is not None
    learned = time.perf_counter() - read
    sample.add(
        library, rows_s=read - began, learning_s=learned, share=100.0 * learned / (learned + read - began)
    )
    return sample


_CASES: dict[str, Case] = {
    **{
        f"{library}, {size}": partial(_prediction, library, size)
        for library in _LIBRARIES
        for size in _DEPTHS
    },
    "data set": _dataset,
    **{f"training, {library}": partial(_training, library) for library in ("xgboost", "lightgbm")},
}


def _table(library: str, size: str) -> Table:
    row = f"{library}, {size}: "
    return Table(
        f"{library}, {size}, {_COLUMNS} columns",
        (
            Column("row_us", "µs, one row", against=row + library, spread=True),
            Column("batch_us", "µs a row, many", against=row + library),
        ),
        prefix=row,
    )


BENCHMARK = Benchmark(
    name="training",
    title="trained models and their data sets, one thread",
    cases=_CASES,
    tables=(
        *(_table(library, size) for library in _LIBRARIES for size in _DEPTHS),
        Table(
            "Data sets from bars in memory",
            (Column("rows_s", "rows/s"),),
            rows=(
                *(
                    f"{name} ({len(FeatureSet.parse(features).columns)} columns)"
                    for name, features in (
                        ("candle features", CANDLE_FEATURES),
                        ("default features", DEFAULT_FEATURES),
                    )
                ),
                "questions and answers of a horizon",
            ),
        ),
        Table(
            "One model of four heads, 100 rounds each, on 100,000 minutes",
            (
                Column("rows_s", "s for its rows"),
                Column("learning_s", "s to learn and judge"),
                Column("share", "% of it learning"),
            ),
            rows=("xgboost", "lightgbm"),
        ),
    ),
    rounds=3,
)
