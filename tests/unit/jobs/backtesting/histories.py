"""Small histories for tests of backtests, and settings to run them with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from cluster.errors import StoreUnreachable
from cluster.storage.folder_store import FolderStore
from features.bars import Bars, BarSpec
from features.engine import EngineSpec
from features.ticks import Ticks
from features.trading.spec import TradingSpec
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.result_tables import SCHEMAS
from jobs.backtesting.settings import ANY, BacktestSettings, VariantSpec

MINUTE = 60_000_000_000
START_NS = 1_700_000_000 // 60 * MINUTE
HORIZONS = ("1m", "3m")
RULES = ("forecast:0", "forecast_size:5@3m", "crossover:2,5", "long")


@dataclass
class Given:
    """A history that is given as batches; stands in for a reader of the lake."""

    batches: list[Bars] | list[Ticks]
    shelf: None = None

    def read(self) -> Iterator[Any]:
        """Its batches."""
        return iter(self.batches)


def candles(n: int, seed: int = 0, session_bars: int = 0) -> Bars:
    """n minutes of random candles whose next move leans on the last; a session ends every `session_bars`."""
    random = np.random.default_rng(seed)
    moves = random.normal(0.0, 1e-3, n)
    moves[1:] += 0.3 * moves[:-1]
    close = np.round(100.0 * np.exp(np.cumsum(moves)), 2)
    before = np.concatenate([[100.0], close[:-1]])
    spread = np.round(np.abs(random.normal(0.0, 0.03, n)), 2)
    ends = START_NS + MINUTE * np.arange(1, n + 1)
    sessions = np.arange(n) // session_bars if session_bars else np.zeros(n, np.int64)
    return Bars.from_columns(
        ends - MINUTE,
        ends,
        open=before,
        high=np.maximum(before, close) + spread,
        low=np.minimum(before, close) - spread,
        close=close,
        volume=np.round(random.lognormal(0.0, 1.0, n), 3),
        session=sessions,
    )


def settings(**changes: Any) -> BacktestSettings:
    """Few features, two horizons, three learners, four rules."""
    engine: dict[str, Any] = {
        "symbol": ANY,
        "bars": BarSpec("time", MINUTE),
        "features": ("log_return:1", "zscore:4", "rsi:3"),
        "horizons": HORIZONS,
        "models": ("naive", "ew_mean:0.01", "ridge:5,0.999"),
        "first_forecast_bars": 3,
    }
    own = {name: changes.pop(name) for name in ("rules", "trading", "retrain") if name in changes}
    spec = EngineSpec(**(engine | changes))
    variants = tuple(VariantSpec.parse(text, spec.horizons) for text in own.get("rules", RULES))
    return BacktestSettings(spec, variants, own.get("trading", TradingSpec()), own.get("retrain"))


def rows(results: Results, result: SymbolResult) -> dict[str, list[bytes]]:
    """Every row of every table, as bits, by table and, in tables of rules, by rule."""
    found: dict[str, list[bytes]] = {}
    for name in SCHEMAS:
        table = results.read(name, result.venue, result.symbol)
        if "rule" not in table.column_names:
            found[name] = as_bits(table)
            continue
        rules = np.array(table["rule"].to_pylist())
        for rule in dict.fromkeys(rules.tolist()):
            found[f"{name} {rule}"] = as_bits(table.filter(pa.array(rules == rule)))
    return found


def as_bits(table: pa.Table) -> list[bytes]:
    """The rows of a table, each as bytes that tell every bit; null is told from every number."""
    columns = []
    for name in table.column_names:
        column = table[name]
        if pa.types.is_floating(column.type):
            numbers = np.ascontiguousarray(column.to_numpy()).view(np.int64)
            columns.append(np.where(np.asarray(column.is_null()), -1, numbers).tolist())
        else:
            columns.append(column.to_pylist())
    return [repr(row).encode() for row in zip(*columns, strict=True)]


class Failing(FolderStore):
    """A store that fails at its n-th put, once."""

    def arm(self, puts: int) -> None:
        """Let the put after `puts` more fail."""
        self._left = puts

    def put(self, key: str, data: bytes) -> None:
        """Store, or raise."""
        self._left = getattr(self, "_left", 1 << 60) - 1
        if self._left == -1:
            raise StoreUnreachable("the power is off", self.uri)
        super().put(key, data)
