"""Logs as a symbol's actor would write them, for tests of what comes after: restarts and the lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.checkpoint import Checkpoint
from cluster.storage import frames, segments
from cluster.storage.frames import Header
from cluster.storage.log_policy import LogPolicy
from cluster.storage.tick_log import TickLog
from cluster.trade_order import TradeOrder
from cluster.venues.base import Trade
from features.engine import EngineSpec, SymbolEngine
from features.model_slots import Shelf
from features.ticks import Kind, TickBuffer, Ticks
from tests.unit.features.engine_runs import market

SPEC = EngineSpec("AAA", horizons=("5s",), models=("naive", "ridge:100"), first_forecast_bars=3)
POLICY = LogPolicy(roll_bytes=60_000, roll_after_s=3600.0)


def stream(count: int, seed: int = 0) -> Ticks:
    """So many ticks whose trades have the ids 1, 2, 3 …"""
    found = market(count, seed)[:count]
    records = found.records.copy()
    trades = records["kind"] == Kind.TRADE
    records["trade_id"][trades] = range(1, int(trades.sum()) + 1)
    return Ticks(records)


@dataclass
class Writer:
    """What an actor does with ticks, step by step, without sockets."""

    folder: Path
    epoch: int = 1
    spec: EngineSpec = SPEC
    fresh: bool = True
    shelf: Shelf | None = None

    def __post_init__(self) -> None:
        self.log = TickLog(self.folder, POLICY)
        found = self.log.recover()
        self.engine = SymbolEngine(self.spec, self.shelf)
        self.order = TradeOrder(self.spec.symbol, 1000)
        self.log.begin(
            Header(
                version=frames.VERSION,
                venue="binance",
                symbol=self.spec.symbol,
                epoch=self.epoch,
                first_sequence=found.next_sequence,
                created_ns=self.epoch,
                epoch_sequence=found.next_sequence,
                epoch_ns=self.epoch,
                fresh=self.fresh,
                engine=self.spec.to_json(),
                features=self.engine.feature_set.columns,
            )
        )

    def take(self, ticks: Ticks, size: int = 10, write_output: bool = True) -> Writer:
        """Take ticks in, in batches."""
        for start in range(0, len(ticks), size):
            batch = ticks[start : start + size]
            self.order.accept(as_trades(batch, self.spec.symbol))
            sequence = self.log.append_ticks(batch, self.order.counters())
            step = self.engine.update(batch)
            if len(step.bars) and write_output:
                self.log.append_output(sequence + len(batch) - 1, step)
        return self

    def checkpoint(self) -> Writer:
        """Save the state of this moment."""
        data = Checkpoint.of(self.engine, self.order.snapshot(), b"answers").pack()
        segments.write_checkpoint(self.folder, self.log.next_sequence, self.epoch, data)
        return self

    def roll(self) -> Writer:
        """Close the segment and begin another."""
        self.log.roll_if_due(1e12)
        return self

    def die(self) -> None:
        """End as a killed process does: nothing is closed in order."""
        import os

        os.close(self.log._fd)
        os.close(self.log._lock)


def with_swaps(ticks: Ticks, *swaps: tuple[int, int, int]) -> Ticks:
    """The ticks with swaps among them: (place in what comes out, slot, version), in order of place."""
    parts, taken, placed = [], 0, 0
    for place, slot, version in swaps:
        buffer = TickBuffer()
        at_ns = int(ticks.ts_ns[place - placed - 1])
        buffer.swap(at_ns, at_ns, slot, version)
        parts += [ticks[taken : place - placed], buffer.take()]
        taken, placed = place - placed, placed + 1
    return Ticks.concat([*parts, ticks[taken:]])


def as_trades(ticks: Ticks, symbol: str) -> list[Trade]:
    """The trades among ticks as events."""
    rows = ticks[ticks.kind == Kind.TRADE].records.tolist()
    return [Trade(symbol, row[0], row[1], row[2], row[3], row[4], row[10]) for row in rows]
