"""Benchmark: backtests from Parquet, stage by stage, and how they scale over workers.

Eight generated symbols of minute candles lie in a lake. One process reads them; reads them and computes
features; runs the whole chain (features, two horizons, four learners each, scores, one rule) over them, with
the compiled loops and bar by bar. Then two processes compute features side by side, and the job runs on Ray
Data with one worker and with two.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import bulk
from features.bars import Bars, BarSpec
from features.engine import EngineSpec, SymbolEngine
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from features.trading.spec import TradingSpec
from jobs.backtesting import on_ray
from jobs.backtesting.job import BacktestJob
from jobs.backtesting.ray_session import ray_session
from jobs.backtesting.settings import ANY, CANDLE_FEATURES, BacktestSettings, VariantSpec
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from tests.bench.minute_lake import SYMBOLS, VENUE, minute_lake
from tests.bench.suite import Benchmark, Column, Effort, Sample, Table

_MINUTE_NS = 60_000_000_000
_FEW = ("log_return:1", "ema_gap:20", "rsi:14", "zscore:60", "realised_vol:30")
_HORIZONS = ("5m", "1h")
_HISTORY = HistorySpec("candles:1m")


def _settings() -> BacktestSettings:
    engine = EngineSpec(ANY, BarSpec("time", _MINUTE_NS), CANDLE_FEATURES, _HORIZONS)
    return BacktestSettings(engine, (VariantSpec.parse("forecast:2", _HORIZONS),), TradingSpec())


def _read(place: StoreSpec, symbol: str) -> Iterator[Bars]:
    return History(Lake(open_store(place)), _HISTORY).bars(VENUE, symbol)


def _features(place: StoreSpec, symbol: str, names: tuple[str, ...]) -> int:
    """Features of one symbol from Parquet; the number of bars."""
    pipeline = FeaturePipeline(FeatureSet.parse(list(names)))
    return sum(len(pipeline.update(bars)) for bars in _read(place, symbol))


def _one_process(effort: Effort) -> Sample:
    sample = Sample()
    bars = effort.pick(500_000, 20_000)
    with minute_lake(bars) as place:
        _features(place, "S0", _FEW)
        _add(sample, "read", bars, lambda: sum(len(part) for part in _read(place, "S0")))
        _add(sample, f"read, {len(_FEW)} features", bars, lambda: _features(place, "S0", _FEW))
        every = len(CANDLE_FEATURES)
        _add(sample, f"read, {every} features", bars, lambda: _features(place, "S0", CANDLE_FEATURES))
        job = BacktestJob(place, place, _HISTORY, _settings(), "bench")
        job.run(VENUE, "S7", lambda line: None)
        _add(sample, "whole backtest", bars, lambda: job.run(VENUE, "S0", lambda line: None))
        some = next(_read(place, "S0"))[: effort.pick(20_000, 2_000)]
        for name, feed in (("compiled", bulk.run), ("bar by bar", SymbolEngine.update_bars)):
            engine = SymbolEngine(_settings().engine_spec("S0"))
            _add(sample, f"engine, {name}", len(some), partial(feed, engine, some))
    return sample


def _two_processes(effort: Effort) -> Sample:
    """Features of two symbols at a time, each process warm before the clock starts."""
    sample = Sample()
    bars = effort.pick(1_000_000, 20_000)
    context = multiprocessing.get_context("spawn")
    with minute_lake(bars) as place, context.Pool(2) as pool:
        for names in (_FEW, CANDLE_FEATURES):
            tasks = [(place, f"S{number}", names) for number in range(4)]
            pool.starmap(_features, tasks[:2], chunksize=1)
            began = time.perf_counter()
            done = sum(pool.starmap(_features, tasks, chunksize=1))
            row = f"two processes: read, {len(names)} features"
            sample.add(row, rate=done / (time.perf_counter() - began) / 1e6)
    return sample


def _scaling(effort: Effort) -> Sample:
    """The job on Ray Data with one worker and with two; workers are warm."""
    sample = Sample()
    bars = effort.pick(250_000, 5_000)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    os.environ.pop("RAY_ADDRESS", None)
    with minute_lake(bars) as place, ray_session(2):
        rates = {}
        pairs = [(VENUE, f"S{number}") for number in range(SYMBOLS)]
        for workers in (2, 1, 2):  # the first is to warm up
            job = BacktestJob(place, place, _HISTORY, _settings(), f"bench{workers}{len(rates)}")
            began = time.perf_counter()
            done = sum(result.bars for result in on_ray.run(job, pairs, workers))
            rates[workers] = done / (time.perf_counter() - began)
        for workers, rate in rates.items():
            sample.add(f"{workers} on Ray Data", rate=rate / 1e6, efficiency=rate / workers / rates[1])
    return sample


def _add(sample: Sample, row: str, bars: int, work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    sample.add(row, rate=bars / (time.perf_counter() - began) / 1e6)


BENCHMARK = Benchmark(
    name="backtest",
    title="backtests over minute candles, from Parquet",
    cases={"one process": _one_process, "two processes": _two_processes, "scaling": _scaling},
    tables=(
        Table(
            "Stages, in one process",
            (Column("rate", "M bars/s", spread=True),),
            (
                "read",
                f"read, {len(_FEW)} features",
                f"read, {len(CANDLE_FEATURES)} features",
                "whole backtest",
                "engine, compiled",
                "engine, bar by bar",
            ),
        ),
        Table(
            "Features on two cores", (Column("rate", "M bars/s", spread=True),), (), "what", "two processes: "
        ),
        Table(
            "Workers",
            (Column("rate", "M bars/s", spread=True), Column("efficiency", "efficiency", spread=True)),
            ("1 on Ray Data", "2 on Ray Data"),
        ),
    ),
)
