"""One model of a training job: reads the rows, trains, and says what came of it.

Plain values, so that any process can do it: a task on Ray gets one of these and gives back bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import state
from features.dataset import Dataset
from features.engine import EngineSpec
from features.errors import DataError
from jobs.backtesting.job import data_digests
from jobs.backtesting.result import plain
from jobs.code_version import code_version
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.training.data import RECORDED, RECORDED_TABLES, Pooled, RowSource, training_set_digest
from jobs.training.spec import TrainSpec
from jobs.training.trainer import train

Pair = tuple[str, str]
SYMBOL, POOLED = "symbol", "pooled"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one training."""

    pairs: tuple[Pair, ...]
    package: bytes | None
    manifest: dict[str, Any]
    """Plain JSON values; where there is no package, with the reason as "skipped"."""


@dataclass(frozen=True)
class TrainJob:
    """Everything that one training needs, whatever symbols it is for."""

    lake: StoreSpec
    history: HistorySpec
    recorded: bool
    """Whether rows are those that live engines wrote down, not computed from the history."""
    engine: EngineSpec
    train: TrainSpec
    pooled: bool = False

    def open_history(self) -> History:
        """The history, for reading."""
        return History(Lake(open_store(self.lake)), self.history)

    def identity(self, pairs: tuple[Pair, ...], data: dict[str, str]) -> str:
        """Equal for trainings that give equal models: same settings, code and data.

        The number of threads is left out: it changes no bit.
        """
        settings = {
            "history": asdict(self.history) | {"symbols": None},
            "recorded": self.recorded,
            "engine": self.engine.to_json(),
            "train": asdict(replace(self.train, threads=1)),
            "pooled": self.pooled,
            "code": code_version("features", "jobs/training", "jobs/history"),
            "data": {f"{venue} {symbol}": data[f"{venue} {symbol}"] for venue, symbol in pairs},
        }
        return state.digest(json.dumps(settings, sort_keys=True).encode())[:32]

    def data_of(self, history: History, pairs: list[Pair]) -> dict[str, str]:
        """The identity of each symbol's data."""
        return data_digests(history, pairs, RECORDED_TABLES if self.recorded else None)

    def run(self, pairs: tuple[Pair, ...], report: Callable[[str], None]) -> Made:
        """Train on these symbols, one or a pool. Raises ConfigError and StoreError, but nothing for data."""
        source = RowSource(self.open_history(), self.engine, self.recorded)
        parts, used, problems = [], [], {}
        for venue, symbol in pairs:
            try:
                parts.append(source.read(venue, symbol))
                used.append((venue, symbol))
            except DataError as error:
                problems[symbol] = error.problem
        if not parts:
            reasons = [f"{symbol}: {problem}" for symbol, problem in problems.items()]
            return Made(pairs, None, self._about(pairs, {}) | {"skipped": "; ".join(reasons)})
        names = ", ".join(symbol for _, symbol in used)
        trained = train(
            Pooled(parts) if self.pooled else parts[0],
            source.feature_set,
            self.train,
            lambda text: report(f"{names}: {text}"),
            self.engine.bars.pace,
        )
        about = self._about(tuple(used), trained.horizons)
        about |= {"training_set_digest": training_set_digest(parts), "period": _period(parts)}
        if problems:
            about["left_out"] = problems
        if trained.package is None:
            return Made(pairs, None, about | {"skipped": trained.skipped})
        about["package_digest"] = trained.package.digest
        return Made(pairs, trained.package.to_bytes(), about)

    def _about(self, pairs: tuple[Pair, ...], horizons: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The manifest, as far as the settings and the metrics go."""
        found: dict[str, Any] = plain(
            {
                "library": self.train.library,
                "heads": list(self.train.heads),
                "coverage": self.train.coverage,
                "parameters": self.train.all_parameters(),
                "train": asdict(self.train) | {"parameters": dict(self.train.parameters)},
                "seed": self.train.seed,
                "scope": POOLED if self.pooled else SYMBOL,
                "symbols": [list(pair) for pair in pairs],
                "source": RECORDED if self.recorded else self.history.source,
                "features": list(self.engine.features),
                "bars": asdict(self.engine.bars),
                "first_forecast_bars": self.engine.first_forecast_bars,
                "rows": sum(one["rows"] for one in horizons.values()),
                "metrics": horizons,
                "code_version": code_version(),
            }
        )
        return found


def _period(parts: list[dict[str, Dataset]]) -> list[int] | None:
    """When the first question was made and the last one due, among those with an outcome; None for none."""
    known = [rows[rows.known] for part in parts for rows in part.values()]
    known = [rows for rows in known if len(rows)]
    if not known:
        return None
    return [min(int(rows.made_at_ns.min()) for rows in known), max(int(rows.due_ns.max()) for rows in known)]
