"""Rows for tests of the lake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from cluster.storage.epochs import EpochRecord
from cluster.storage.lake import Lake
from features.bars import BAR_COLUMNS
from features.engine import SymbolEngine
from features.ticks import Kind, Ticks

VENUE, SYMBOL = "binance", "BTC/USDT"
DAY_NS = 86_400 * 10**9
MIDNIGHT_NS = 1_723_161_600 * 10**9
"""2024-08-09 00:00 UTC."""
DATE, DATE_BEFORE = "2024-08-09", "2024-08-08"


def trades(sequence: list[int | None], **columns: Any) -> pa.Table:
    """Trades a millisecond apart from MIDNIGHT_NS on, with the numbers given."""
    n = len(sequence)
    at = MIDNIGHT_NS + np.arange(n, dtype=np.int64) * 10**6
    found: dict[str, Any] = {
        "sequence": pa.array(sequence, pa.int64()),
        "ts_ns": at,
        "received_ns": at + 5,
        "trade_id": [100 + (i if number is None else number) for i, number in enumerate(sequence)],
        "price": np.arange(n) + 0.1,
        "size": np.full(n, 0.5),
        "side": np.ones(n, np.int8),
    }
    found |= columns
    return pa.table(found)


def features(sequence: list[int], **columns: Any) -> pa.Table:
    """Feature rows a second apart from MIDNIGHT_NS on."""
    at = MIDNIGHT_NS + np.arange(len(sequence), dtype=np.int64) * 10**9
    return pa.table({"sequence": sequence, "end_ns": at, **columns})


def record(epoch: int, first_sequence: int, symbol: str = SYMBOL, fresh: bool = False) -> EpochRecord:
    """The beginning of an incarnation."""
    return EpochRecord(VENUE, symbol, epoch, first_sequence, epoch, {"symbol": symbol}, fresh)


def tick_tables(first: int, ticks: Ticks) -> dict[str, pa.Table]:
    """Ticks numbered from `first` on, as rows of the stream's tables."""
    sequence = np.arange(first, first + len(ticks), dtype=np.int64)

    def rows(which: Any, names: tuple[str, ...]) -> dict[str, Any]:
        return {"sequence": sequence[which]} | {name: ticks.records[name][which] for name in names}

    clocks = ("ts_ns", "received_ns")
    is_trade, is_quote = ticks.kind == Kind.TRADE, ticks.kind == Kind.QUOTE
    is_mark = ~(is_trade | is_quote)
    ids = ticks.trade_id[is_trade]
    names = {int(Kind.HEARTBEAT): "heartbeat", int(Kind.GAP): "gap", int(Kind.SWAP): "swap"}
    no_swap = ticks.kind[is_mark] != Kind.SWAP
    return {
        "trades": pa.table(
            rows(is_trade, (*clocks, "price", "size", "side")) | {"trade_id": pa.array(ids, mask=ids < 0)}
        ),
        "quotes": pa.table(rows(is_quote, (*clocks, "bid", "ask", "bid_size", "ask_size"))),
        "marks": pa.table(
            rows(is_mark, clocks)
            | {"kind": pa.array([names[kind] for kind in ticks.kind[is_mark].tolist()], pa.string())}
            | {"slot": pa.array(ticks.side[is_mark], mask=no_swap)}
            | {"version": pa.array(ticks.trade_id[is_mark], mask=no_swap)}
        ),
    }


def write_ticks(lake: Lake, epoch: int, first: int, ticks: Ticks, symbol: str = SYMBOL) -> list[str]:
    """Write ticks as an actor's archiver does; the keys."""
    tables = tick_tables(first, ticks)
    return [key for name, rows in tables.items() for key in lake.write(name, VENUE, symbol, epoch, rows)]


def output_tables(engine: SymbolEngine, first: int, ticks: Ticks) -> dict[str, pa.Table]:
    """Bars and features that an engine makes of a batch, as rows of the lake."""
    step = engine.update(ticks)
    bars = step.bars
    sequence = np.full(len(bars), first + len(ticks) - 1, np.int64)
    times = {name: getattr(bars, name) for name in ("start_ns", "end_ns", "session", "last_event_ns")}
    ids = bars.last_trade_id
    columns = {name: bars.column(name) for name in BAR_COLUMNS}
    named = dict(zip(engine.feature_set.columns, step.features.T, strict=True))
    return {
        "bars": pa.table(
            {"sequence": sequence, **times, "last_trade_id": pa.array(ids, mask=ids < 0), **columns}
        ),
        "features": pa.table({"sequence": sequence, "end_ns": bars.end_ns, **named}),
    }
