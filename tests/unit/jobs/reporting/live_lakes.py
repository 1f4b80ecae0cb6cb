"""A small lake as actors leave it, for tests of reports."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from cluster.checkpoint import Checkpoint
from cluster.gap_policy import GapPolicy
from cluster.storage.epochs import EpochRecord
from cluster.storage.folder_store import FolderStore
from cluster.storage.frames import OutputFrame
from cluster.storage.lake import Lake
from cluster.storage.segment_tables import tables_of_outputs
from cluster.trade_order import order_of
from cluster.venues import get
from features.engine import EngineSpec, SymbolEngine
from features.ticks import Ticks
from tests.unit.cluster.storage.lake_rows import tick_tables
from tests.unit.features.engine_runs import market, small_spec

VENUE = "binance"
EPOCH = 1_000


def live_lake(
    folder: Path, ticks: int = 4_000, symbols: tuple[str, ...] = ("AAA",)
) -> tuple[Lake, dict[str, SymbolEngine]]:
    """A lake with one life of each symbol, its checkpoint and some notes; the engines as they were left."""
    store = FolderStore(folder)
    store.prepare()
    lake = Lake(store)
    engines = {}
    for place, symbol in enumerate(symbols):
        fed = market(ticks, seed=place, gaps=2)
        engines[symbol] = _live(lake, replace(small_spec(), symbol=symbol), fed)
    return lake, engines


def _live(lake: Lake, spec: EngineSpec, fed: Ticks) -> SymbolEngine:
    engine = SymbolEngine(spec)
    start_ns = int(fed.ts_ns[0])
    settings = json.loads(json.dumps(asdict(spec)))
    lake.put_epoch(EpochRecord(VENUE, spec.symbol, EPOCH, 0, start_ns, settings, True))
    for name, rows in tick_tables(0, fed).items():
        if rows.num_rows:
            lake.write(name, VENUE, spec.symbol, EPOCH, rows)
    step = engine.update(fed)
    frame = OutputFrame(len(fed) - 1, step.bars, step.features, step.forecasts, step.answers)
    for name, rows in tables_of_outputs([frame], engine.feature_set.columns).items():
        lake.write(name, VENUE, spec.symbol, EPOCH, rows)
    lake.write("continuity", VENUE, spec.symbol, EPOCH, notes(start_ns))
    order = order_of(get(VENUE), spec.symbol, GapPolicy())
    order.counts.seen = len(fed)
    saved = Checkpoint.of(engine, order.snapshot(), b"")
    lake.put_checkpoint(VENUE, spec.symbol, EPOCH, len(fed), saved.pack())
    return engine


def notes(start_ns: int) -> pa.Table:
    """Two gaps, of which one is filled and one given up, and a third that stays open."""
    events = ["gap_found", "gap_filled", "gap_found", "gap_given_up", "gap_found", "reordered"]
    n = len(events)
    return pa.table(
        {
            "sequence": pa.nulls(n, pa.int64()),
            "at_ns": start_ns + np.arange(1, n + 1) * 10**9,
            "event": events,
            "first_id": [10, 10, 40, 40, 90, 95],
            "last_id": [14, 14, 46, 46, 91, 95],
            "trades": [5, 5, 7, 7, 2, 1],
            "detail": [""] * (n - 1) + ["<b>&"],
        }
    )
