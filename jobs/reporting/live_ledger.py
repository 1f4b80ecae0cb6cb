"""The live ledger of a period: its answers in the lake, scored again by the ledger's own arithmetic.

    found = read_symbol(lake, "binance", "BTCUSDT", start_ns, end_ns)
    found.scores, found.chunks["10s"]

Answers are scored in the order in which they came, so that over the whole life of an engine the scores of the
forecast are those of the live ledger, to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.checkpoint import Checkpoint
from cluster.errors import StoreError
from cluster.registry import Registry, RegistryShelf
from cluster.storage import layout
from cluster.storage.lake import Lake
from features import durations
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError, ModelMissing, ModelRefused, SnapshotError
from features.forecaster import MIXTURE
from features.ledger import Ledger, LedgerSpec
from features.model_slots import as_plain
from jobs.reporting.answers import AnswerRows, Chunks
from jobs.reporting.forecasts import Score

_ANSWERS = ["horizon", "made_at_ns", "due_ns", "forecast", "lower", "upper", "outcome"]
_ASKED = ["horizon", "made_at_ns", "p_up"]


@dataclass(frozen=True, slots=True)
class LiveSymbol:
    """What the live ledger of one symbol and period holds."""

    venue: str
    symbol: str
    engine: EngineSpec
    """Settings of the newest engine."""
    lives: int
    """Engines that began without an earlier state, ever."""
    scores: Sequence[Score]
    """Of the forecast, horizon by horizon."""
    chunks: dict[str, Chunks]
    """Its answers by horizon."""
    answers: int
    first_ns: int
    """When the first answer was asked for; 0 without one."""
    last_ns: int
    """When the last one came due."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What the newest checkpoint in the lake knows of all models, over the whole life of the ledger."""

    scores: Sequence[Score]
    sequence: int
    """Ticks that it had seen."""
    order: bytes
    """The order of trades, as its owner's snapshot."""


def read_symbol(
    lake: Lake, venue: str, symbol: str, start_ns: int | None, end_ns: int | None
) -> LiveSymbol | None:
    """One symbol's ledger over a period, `start_ns` <= due < `end_ns`; None where no actor ever ran."""
    records = lake.epochs(venue, symbol)
    if not records:
        return None
    engine = EngineSpec.from_json(json.dumps(records[-1].engine))
    source = _Source(lake, venue, symbol, start_ns, end_ns)
    bars = {horizon: engine.horizon_bars(horizon) for horizon in engine.horizons}
    ledger = Ledger(
        LedgerSpec((MIXTURE,), tuple(bars.values()), tuple(bars), engine.coverage, engine.ledger_half_life, 2)
    )
    first_ns = last_ns = answers = 0
    for horizon in bars:
        place = engine.horizons.index(horizon)
        for rows in source.read(horizon, with_p_up=False):
            if not len(rows):
                continue
            score(ledger, place, rows)
            answers += int(np.count_nonzero(np.isfinite(rows.outcome)))
            due = rows.made_at_ns[-1] + durations.parse_ns(horizon)
            first_ns = min(first_ns or int(rows.made_at_ns[0]), int(rows.made_at_ns[0]))
            last_ns = max(last_ns, int(due))
    scores = [one.as_dict() for one in ledger.scores()]
    chunks: dict[str, Chunks] = {horizon: _Bound(source, horizon).read for horizon in bars}
    lives = sum(one.fresh for one in records)
    return LiveSymbol(venue, symbol, engine, lives, scores, chunks, answers, first_ns, last_ns)


def score(ledger: Ledger, horizon: int, rows: AnswerRows) -> None:
    """Record answers of one horizon in the order given; those without an outcome are void."""
    void = int(np.count_nonzero(~np.isfinite(rows.outcome)))
    known = rows[np.isfinite(rows.outcome)]
    columns = (known.outcome, known.forecast, known.lower, known.upper)
    for outcome, forecast, lower, upper in zip(*(column.tolist() for column in columns), strict=True):
        ledger.record(horizon, outcome, (forecast,), (lower,), (upper,))
    ledger.void(horizon, void)


def newest_checkpoint(lake: Lake, venue: str, symbol: str) -> Saved | None:
    """What the newest checkpoint that can be read knows; None where there is none."""
    shelf = RegistryShelf(lambda: Registry(lake.store))
    specs = [EngineSpec.from_json(json.dumps(one.engine)) for one in reversed(lake.epochs(venue, symbol))]
    for info in lake.checkpoints(venue, symbol)[:3]:
        for spec in dict.fromkeys(specs):
            try:
                saved = Checkpoint.unpack(lake.get_checkpoint(info))
                engine = SymbolEngine.restore(spec, saved.engine, shelf)
            except (SnapshotError, ModelMissing, ModelRefused, DataError, StoreError):
                continue
            return Saved([as_plain(one) for one in engine.scores()], info.sequence, saved.order)
    return None


def days(
    lake: Lake, table: str, venue: str, symbol: str, start_ns: int | None, end_ns: int | None
) -> Iterator[tuple[int, int]]:
    """The UTC days on which a table has rows, cut to a period, as starts and ends."""
    first = None if start_ns is None else layout.period_date(table, start_ns)
    last = None if end_ns is None else layout.period_date(table, end_ns - 1)
    for one in lake.catalogue.holdings(table, venue, symbol, first, last):
        day_ns = layout.day_start_ns(one.partition.date)
        low, high = max(day_ns, start_ns or day_ns), one.partition.end_ns
        yield low, high if end_ns is None else min(high, end_ns)


class _Source:
    """The answers of one symbol and period, a day at a time, with what was said of a rise."""

    def __init__(self, lake: Lake, venue: str, symbol: str, start_ns: int | None, end_ns: int | None) -> None:
        self._lake, self._pair, self._period = lake, (venue, symbol), (start_ns, end_ns)

    def read(self, horizon: str, with_p_up: bool = True) -> Iterator[AnswerRows]:
        """The rows of one horizon, in order."""
        for low, high in days(self._lake, "answers", *self._pair, *self._period):
            rows = self._rows("answers", low, high, _ANSWERS, horizon)
            made = rows["made_at_ns"].to_numpy()
            p_up = self._p_up(horizon, made) if with_p_up and len(made) else np.full(len(made), np.nan)
            names = ("forecast", "lower", "upper", "outcome")
            forecast, lower, upper, outcome = (_floats(rows, name) for name in names)
            yield AnswerRows(made, forecast, lower, upper, outcome, p_up)

    def _p_up(self, horizon: str, made_at_ns: Any) -> Any:
        """What the forecasts made at these times said of a rise; NaN where one is not in the lake."""
        low, high = int(made_at_ns.min()), int(made_at_ns.max()) + 1
        asked = self._rows("forecasts", low, high, _ASKED, horizon)
        at = asked["made_at_ns"].to_numpy()
        if not len(at):
            return np.full(len(made_at_ns), np.nan)
        place = np.searchsorted(at, made_at_ns, side="right") - 1
        found = _floats(asked, "p_up")[place]
        return np.where((place >= 0) & (at[place] == made_at_ns), found, np.nan)

    def _rows(self, table: str, low: int, high: int, columns: list[str], horizon: str) -> pa.Table:
        venue, symbol = self._pair
        rows = self._lake.read(table, venue, [symbol], low, high, columns)
        return rows.filter(pc.equal(rows["horizon"], horizon))


@dataclass(frozen=True, slots=True)
class _Bound:
    """One horizon of a source."""

    source: _Source
    horizon: str

    def read(self) -> Iterator[AnswerRows]:
        """The rows, from the beginning."""
        return self.source.read(self.horizon)


def _floats(rows: pa.Table, name: str) -> Any:
    return rows[name].to_numpy().astype(np.float64)
