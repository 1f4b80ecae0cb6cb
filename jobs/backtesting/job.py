"""A backtest as it goes to other processes: where its data are, what is done, where the results go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.registry import Registry, RegistryShelf
from cluster.storage import layout
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import state
from features.bars import Bars
from features.model_slots import Shelf
from features.ticks import Ticks
from jobs.backtesting.boosters import trainer_of
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.settings import BacktestSettings
from jobs.backtesting.symbol_run import Report, run_symbol
from jobs.history.reader import History
from jobs.history.spec import STREAM, HistorySpec


@dataclass(frozen=True)
class BacktestJob:
    """Everything that one symbol's run needs. Plain values: any process can open it."""

    lake: StoreSpec
    results: StoreSpec
    history: HistorySpec
    settings: BacktestSettings
    run_id: str

    def open_results(self) -> Results:
        """Where the run keeps what it makes."""
        return Results(open_store(self.results), self.run_id)

    def run(self, venue: str, symbol: str, report: Report) -> SymbolResult:
        """One symbol from its first bar to its last. Raises StoreError."""
        history = History(Lake(open_store(self.lake)), self.history)
        source = LakeSource(history, venue, symbol)
        retrain = self.settings.retrain
        trainer = None if retrain is None else trainer_of(retrain, self.settings.engine.coverage)
        results = self.open_results()
        return run_symbol(source, results, self.settings, venue, symbol, report, trainer=trainer)


@dataclass(frozen=True)
class LakeSource:
    """One symbol's history in a lake."""

    history: History
    venue: str
    symbol: str

    @property
    def shelf(self) -> Shelf | None:
        """The registry of the lake, for a recorded stream; other sources have no swaps."""
        if self.history.spec.source != STREAM:
            return None
        store = self.history.lake.store
        return RegistryShelf(lambda: Registry(store))

    def read(self) -> Iterator[Bars] | Iterator[Ticks]:
        """Its bars where the source is candles, else its ticks."""
        if self.history.spec.interval_ns:
            return self.history.bars(self.venue, self.symbol)
        return self.history.ticks(self.venue, self.symbol)


def data_digests(
    history: History, pairs: list[tuple[str, str]], tables: tuple[str, ...] | None = None
) -> dict[str, str]:
    """The identity of each symbol's data by "venue symbol": a hash of the names of its files.

    `tables` are those of the history unless others are given. A file's name holds the digest of its bytes, so
    that equal names are equal data. Nothing is read.
    """
    spec = history.spec
    found = {}
    for venue, symbol in pairs:
        names = []
        for table in tables or spec.tables:
            first, last = (
                None if ns is None else layout.period_date(table, ns)
                for ns in (spec.start_ns, None if spec.end_ns is None else spec.end_ns - 1)
            )
            for holding in history.lake.catalogue.holdings(table, venue, symbol, first, last):
                names += [file.key for file in holding.to_read]
        found[f"{venue} {symbol}"] = state.digest(*(name.encode() for name in sorted(names)))
    return found
