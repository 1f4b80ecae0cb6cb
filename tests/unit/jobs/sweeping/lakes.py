"""Small lakes of candles for tests of sweeps, and settings to run them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from jobs.backtesting.job import data_digests
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.sweeping.defaults import default_space
from jobs.sweeping.job import SweepJob
from jobs.sweeping.settings import SweepSettings
from jobs.sweeping.space import parse_space
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS, candles

VENUE = "test"
SPACE: dict[str, Any] = {
    "sampling": ["1m", "2m"],
    "horizon": ["4m", "6m"],
    "features": {"one": ["log_return:1"], "two": ["log_return:1", "zscore:4"]},
    "model": {
        "ridge": {"penalty": "loguniform(1, 1000)", "memory": 0.999},
        "lightgbm": {"rounds": 5, "num_leaves": "int(2, 6)"},
    },
    "rule": {"forecast": {"limit_bps": "uniform(0, 1)"}, "long": {}},
}


def walk(n: int, seed: int) -> pa.Table:
    """n minutes whose next move leans on the last."""
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 1e-3, n)
    moves[1:] += 0.5 * moves[:-1]
    close = 100.0 * np.exp(np.cumsum(moves))
    before = np.concatenate([[100.0], close[:-1]])
    ends = START_NS + MINUTE_NS * np.arange(1, n + 1)
    high, low = np.maximum(before, close), np.minimum(before, close)
    return candles(ends, open=before, high=high, low=low, close=close, volume=random.lognormal(0.0, 1.0, n))


def lake_of(folder: Path, **symbols: pa.Table) -> Lake:
    """A lake in this folder with these candles."""
    store = open_store(StoreSpec(uri=str(folder)))
    store.prepare()
    lake = Lake(store)
    for symbol, rows in symbols.items():
        lake.write("candles", VENUE, symbol, 0, rows)
    return lake


def settings(**changes: Any) -> SweepSettings:
    """Few trials over the small space."""
    given = changes.pop("space", SPACE)
    known: dict[str, Any] = {"trials": 6, "round_trials": 3, "folds": 2, "seed": 5, "embargo": "2m"}
    space = parse_space(given, changes.pop("words", []), default_space(HistorySpec("candles:1m")))
    return SweepSettings(space=space, **(known | changes))


def job_of(folder: Path, out: Path, made: SweepSettings) -> SweepJob:
    """A sweep over all symbols of the lake in this folder."""
    lake = StoreSpec(uri=str(folder))
    open_store(StoreSpec(uri=str(out))).prepare()
    spec = HistorySpec("candles:1m", VENUE)
    history = History(Lake(open_store(lake)), spec)
    digests = data_digests(history, history.symbols())
    return SweepJob(lake, StoreSpec(uri=str(out)), None, spec, made, digests, made.run_id({}, digests))
