"""Benchmark 1: bars, features and the engine's arithmetic, without sockets or Ray.

Batch: whole history in one call. Single: one tick or bar a call, as live. Compilation is outside the
timed part everywhere. Everybody's numbers are compared with a plain reference: `worst error` is the
largest difference on rows 300 to 5,000, in standard deviations of that output.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from features.bars import BarBuilder, Bars, BarSpec
from features.engine import DEFAULT_FEATURES, EngineSpec, SymbolEngine
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from tests.bench import kernel_libraries as libraries
from tests.bench import kernel_rivals as rivals
from tests.bench import sources
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table
from tests.bench.timing import best_ns

_CHECKED = slice(rivals.TEN_WARM, 5_000)
_SECOND_NS = 1_000_000_000
_WINDOW = 61
"""Bars that hold all windows of the default feature set."""


def _worst_error(found: Any, wanted: Any) -> float:
    """Largest difference over outputs (k, n), each in its own standard deviations; NaN: one is missing."""
    worst = 0.0
    for mine, theirs in zip(found, wanted, strict=True):
        a, b = np.asarray(mine, float)[_CHECKED], np.asarray(theirs, float)[_CHECKED]
        worst = max(worst, float(np.max(np.abs(a - b))) / (float(np.std(b)) or 1.0))
    return worst


def _row(name: str, **metrics: float) -> Sample:
    sample = Sample()
    sample.add(name, **metrics)
    return sample


# Bars


def _bar_batch(who: str, effort: Effort) -> Sample:
    n = effort.pick(2_000_000, 100_000)
    made = sources.ticks(n)
    ts, price, size, side = (np.ascontiguousarray(x) for x in (made.ts_ns, made.price, made.size, made.side))
    if who == "Tickcast":
        spec = BarSpec.parse("time:1s")
        return _row(f"bars, batch: {who}", ns=best_ns(lambda: BarBuilder(spec).update(made), n))
    if who == "hand-written loop":
        out = np.empty((n, len(rivals.BAR_ROWS)))
        run = partial(rivals.second_bars, ts, price, size, side, _SECOND_NS, out)
    else:
        run = libraries.bars_by_pandas(ts, price, size, side)
    return _row(f"bars, batch: {who}", ns=best_ns(run, n))


def _bar_single(who: str, effort: Effort) -> Sample:
    n = effort.pick(200_000, 10_000)
    made = sources.ticks(n)
    if who == "Tickcast":
        singles = [made[i : i + 1] for i in range(n)]

        def run() -> None:
            update = BarBuilder(BarSpec.parse("time:1s")).update
            for one in singles:
                update(one)

    else:
        ts, price, size, side = (x.tolist() for x in (made.ts_ns, made.price, made.size, made.side))
        bar = np.full(11, np.nan)

        def run() -> None:
            step = rivals.second_bar_step
            for at in range(n):
                step(bar, ts[at], price[at], size[at], side[at], _SECOND_NS)

    return _row(f"bars, single: {who}", ns=best_ns(run, n))


# Ten indicators


def _ten_bars(n: int) -> tuple[Any, Any, Bars]:
    price, volume = sources.prices(n)
    ends = sources.START_NS + np.arange(1, n + 1) * _SECOND_NS
    return price, volume, Bars.from_columns(ends - _SECOND_NS, ends, close=price, volume=volume)


def _ten_batch(who: str, effort: Effort) -> Sample:
    n = effort.pick(500_000, 20_000)
    price, volume, bars = _ten_bars(n)
    if who == "Tickcast":
        feature_set = FeatureSet.parse(list(rivals.TEN))

        def run() -> Any:
            return FeaturePipeline(feature_set).update(bars).matrix.T

    elif who == "hand-written loops":
        out = np.empty((10, n))

        def run() -> Any:
            rivals.ten_averages(price, volume, out)
            rivals.extremes(price, 100, out[7], out[8])
            return out

    else:
        make = libraries.ten_by_pandas if who == "pandas" else libraries.ten_by_talib
        run = make(price, volume)
    error = _worst_error(run(), libraries.ten_by_numpy(price[:6_000], volume[:6_000]))
    return _row(f"ten, batch: {who}", ns=best_ns(run, n), error=error)


def _ten_single(who: str, effort: Effort) -> Sample:
    n = effort.pick(30_000, 6_000)
    price, volume, bars = _ten_bars(n)
    if who == "Tickcast":
        update = FeaturePipeline(FeatureSet.parse(list(rivals.TEN))).update
        singles = [bars[i : i + 1] for i in range(n)]
        found, ns = _timed(lambda i: update(singles[i]).matrix[0], n)
    else:
        step = _ten_step(who)
        prices, volumes = price.tolist(), volume.tolist()
        found, ns = _timed(lambda i: step(prices[i], volumes[i]), n)
    error = _worst_error(found, libraries.ten_by_numpy(price[:6_000], volume[:6_000]))
    return _row(f"ten, single: {who}", ns=ns, error=error)


def _ten_step(who: str) -> libraries.Step:
    if who == "talipp":
        return libraries.ten_by_talipp()
    if who == "River stats":
        return libraries.ten_by_river()
    state, rings, count = np.zeros(14), np.zeros((3, 256)), 0

    def step(price: float, volume: float) -> tuple[float, ...]:
        nonlocal count
        values: tuple[float, ...] = rivals.ten_step(state, rings, count, price, volume)
        count += 1
        return values

    return step


def _timed(step: Callable[[int], Any], n: int) -> tuple[Any, float]:
    """Outputs of the first 5,000 items, not timed, and nanoseconds for each item after."""
    first = _CHECKED.stop
    found = np.array([step(i) for i in range(first)], dtype=float).T
    began = time.perf_counter_ns()
    for i in range(first, n):
        step(i)
    return found, (time.perf_counter_ns() - began) / (n - first)


# The default feature set


def _default_bars(n: int) -> Bars:
    bars = BarBuilder(BarSpec.parse("time:1s")).update(sources.ticks(n * 8 + 1_000))[:n]
    return Bars(np.ascontiguousarray(bars.times), np.ascontiguousarray(bars.values))


def _default_batch(who: str, effort: Effort) -> Sample:
    bars = _default_bars(effort.pick(250_000, 10_000))
    n = len(bars)
    if who == "Tickcast":
        feature_set = FeatureSet.parse(list(DEFAULT_FEATURES))

        def run() -> Any:
            return FeaturePipeline(feature_set).update(bars).matrix.T

    elif who == "hand-written loops":
        out = np.zeros((31, n))

        def run() -> Any:
            rivals.default_features(bars.values, out)
            return out

    else:
        run = libraries.default_by_pandas(bars.values)
    wanted = libraries.default_by_pandas(np.ascontiguousarray(bars.values[:, :6_000]))()
    return _row(f"default, batch: {who}", ns=best_ns(run, n), error=_worst_error(run(), wanted))


def _default_single(who: str, effort: Effort) -> Sample:
    slow = who == "pandas over the last 61 bars"
    n = effort.pick(5_300 if slow else 30_000, 5_020 if slow else 6_000)
    bars = _default_bars(n)
    if who == "Tickcast":
        update = FeaturePipeline(FeatureSet.parse(list(DEFAULT_FEATURES))).update
        singles = [bars[i : i + 1] for i in range(n)]
        _, ns = _timed(lambda i: update(singles[i]).matrix[0], n)
    else:
        out = np.zeros((31, _WINDOW))

        def step(i: int) -> Any:
            window = bars.values[:, max(i - _WINDOW + 1, 0) : i + 1]
            if slow:
                return [column.iloc[-1] for column in libraries.default_by_pandas(window)()]
            rivals.default_features(np.ascontiguousarray(window), out)
            return out[:, -1]

        step(n - 1)
        began = time.perf_counter_ns()
        for i in range(_CHECKED.stop, n):
            step(i)
        ns = (time.perf_counter_ns() - began) / (n - _CHECKED.stop)
    return _row(f"default, single: {who}", ns=ns)


# The whole engine


def _engine(who: str, effort: Effort) -> Sample:
    n = effort.pick(6_000, 1_500)
    bars = _default_bars(n)
    if who == "River scaler and linear regression":
        return _row(f"engine: {who}", ns=_river_learning(bars))
    models = ("naive", "ew_mean", "ridge:100", "ridge:1000")
    engine = SymbolEngine(EngineSpec("BENCH", models=models))
    half = n // 2
    engine.update_bars(bars[:half])
    began = time.perf_counter_ns()
    if who == "Tickcast, batch":
        engine.update_bars(bars[half:])
    else:
        for i in range(half, n):
            engine.update_bars(bars[i : i + 1])
    return _row(f"engine: {who}", ns=(time.perf_counter_ns() - began) / (n - half))


def _river_learning(bars: Bars) -> float:
    """Predict and learn over two horizons with River, features given: nanoseconds a bar."""
    from river import linear_model, preprocessing

    matrix = FeaturePipeline(FeatureSet.parse(list(DEFAULT_FEATURES))).update(bars).matrix[61:]
    names = [f"f{i}" for i in range(matrix.shape[1])]
    rows = [dict(zip(names, row, strict=True)) for row in matrix.tolist()]
    price = np.log(bars.column("reference")[61:])
    horizons = (10, 60)
    models = [preprocessing.StandardScaler() | linear_model.LinearRegression() for _ in horizons]
    outcomes = [((price[h:] - price[:-h]) * 1e4).tolist() for h in horizons]
    began = time.perf_counter_ns()
    for i in range(60, len(rows)):
        for model, horizon, outcome in zip(models, horizons, outcomes, strict=True):
            model.learn_one(rows[i - horizon], outcome[i - horizon])
            model.predict_one(rows[i])
    return (time.perf_counter_ns() - began) / (len(rows) - 60)


_GROUPS: tuple[tuple[str, Callable[[str, Effort], Sample], tuple[str, ...]], ...] = (
    ("bars, batch", _bar_batch, ("Tickcast", "hand-written loop", "pandas groupby")),
    ("bars, single", _bar_single, ("Tickcast", "hand-written step")),
    ("ten, batch", _ten_batch, ("Tickcast", "hand-written loops", "TA-Lib", "pandas")),
    ("ten, single", _ten_single, ("Tickcast", "hand-written step", "River stats", "talipp")),
    ("default, batch", _default_batch, ("Tickcast", "hand-written loops", "pandas")),
    (
        "default, single",
        _default_single,
        ("Tickcast", "hand-written loops over the last 61 bars", "pandas over the last 61 bars"),
    ),
    ("engine", _engine, ("Tickcast, single", "Tickcast, batch", "River scaler and linear regression")),
)
_CASES: dict[str, Case] = {
    f"{group}: {who}": partial(case, who) for group, case, names in _GROUPS for who in names
}


def _table(group: str, title: str, unit: str, checked: bool) -> Table:
    names = next(names for name, _, names in _GROUPS if name == group)
    rows = tuple(f"{group}: {who}" for who in names)
    columns = [Column("ns", unit, against=rows[1], spread=True)]
    if group == "engine":
        columns = [Column("ns", unit, against=rows[2], spread=True)]
    if checked:
        columns.append(Column("error", "worst error"))
    return Table(title, tuple(columns), rows, "who", f"{group}: ")


BENCHMARK = Benchmark(
    name="kernels",
    title="bars, features and learning in one process, one thread",
    cases=_CASES,
    tables=(
        _table("bars, batch", "Second bars from a whole history of trades", "ns a tick", False),
        _table("bars, single", "Second bars, one trade a call", "ns a tick", False),
        _table("ten, batch", "Ten indicators over a whole history of bars", "ns a bar", True),
        _table("ten, single", "Ten indicators, one bar a call", "ns a bar", True),
        _table("default, batch", "The default feature set (31 columns) over a history", "ns a bar", True),
        _table("default, single", "The default feature set, one bar a call", "ns a bar", False),
        _table("engine", "A closed bar through the whole engine: 2 horizons, 4 models", "ns a bar", False),
    ),
    rounds=3,
)
