"""Runs one symbol's chain over its history, keeps what it makes, and goes on where a killed run stopped.

The history is cut into pieces of fixed size. After each piece its rows are written, then a checkpoint: the
state of the chain and the number of parts that belong to it. A run that is started again restores the chain,
passes over what it has been fed, and writes the same rows under the same keys as an undisturbed one. The
summary comes last; a symbol that has one is not computed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa

from features import state
from features.bars import Bars
from features.errors import DataError, ModelMissing, ModelRefused, SnapshotError
from features.model_slots import Shelf, as_plain
from features.ticks import Kind, Ticks
from jobs.backtesting import rule_results
from jobs.backtesting.chain import SymbolChain
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.result_tables import SCHEMAS, scores, swap
from jobs.backtesting.retrain import Retrainer, Trainer
from jobs.backtesting.settings import BacktestSettings

PIECE_BARS = 32_768
PIECE_TICKS = 131_072
"""Bars or ticks between two checkpoints; they decide about memory and no bit of the result."""
_SNAPSHOT_VERSION = 1
_SAY_EVERY_S = 5.0

Report = Callable[[str], None]
"""Takes one line of progress."""


class Source(Protocol):
    """The history of one symbol: `jobs.history.reader.History`, bound to a venue and symbol."""

    @property
    def shelf(self) -> Shelf | None:
        """Where the models are that swaps in the history name; None where there are none."""

    def read(self) -> Iterator[Bars] | Iterator[Ticks]:
        """Its bars or ticks from the beginning, in order, in chunks of any size."""


def run_symbol(
    source: Source,
    results: Results,
    settings: BacktestSettings,
    venue: str,
    symbol: str,
    report: Report = lambda line: None,
    piece_rows: int = 0,
    trainer: Trainer | None = None,
) -> SymbolResult:
    """One symbol from its first bar to its last; the result, which is in `results` too.

    `trainer` is needed where the settings ask for retraining. What is wrong with the data is told in the
    result, and nothing is kept of it then. Raises StoreError where the store fails: run it again.
    """
    known = results.summary(venue, symbol)
    if known is not None:
        report(f"{symbol}: done before")
        return known
    try:
        return _SymbolRun(source, results, settings, venue, symbol, report, piece_rows, trainer).to_the_end()
    except (DataError, ModelMissing, ModelRefused) as error:
        report(f"{symbol}: {error}")
        return SymbolResult(venue, symbol, remark=str(error), failed=True)


class _SymbolRun:
    """One symbol under way."""

    def __init__(
        self,
        source: Source,
        results: Results,
        settings: BacktestSettings,
        venue: str,
        symbol: str,
        report: Report,
        piece_rows: int,
        trainer: Trainer | None,
    ) -> None:
        self._source, self._results, self._settings = source, results, settings
        self._venue, self._symbol, self._report = venue, symbol, report
        self._piece_rows = piece_rows
        self._chain = SymbolChain(settings, symbol, source.shelf)
        self._retrainer: Retrainer | None = None
        if settings.retrain is not None and trainer is not None:
            self._retrainer = Retrainer(settings.retrain, settings.engine_spec(symbol), trainer)
        self._fed = 0
        """Bars or ticks of the history that the chain has had."""
        self._parts = dict.fromkeys(SCHEMAS, 0)
        self._split = dict.fromkeys(("read", "engine", "train", "write"), 0.0)
        self._began = self._said = time.perf_counter()
        self._restore()

    def to_the_end(self) -> SymbolResult:
        """Feed what is left, then measure and write the summary."""
        batches = pieces(self._source.read(), self._fed, self._piece_rows)
        while True:
            with self._timed("read"):
                batch = next(batches, None)
            if batch is None:
                break
            for part in self._between_swaps(batch):
                with self._timed("engine"):
                    block, rows = self._chain.feed(part)
                    if self._retrainer is not None:
                        self._retrainer.take_in(block)
                with self._timed("write"):
                    self._write(rows)
            self._fed += len(batch)
            with self._timed("write"):
                self._results.put_checkpoint(self._venue, self._symbol, self._snapshot())
            self._say_how_far()
        return self._finish()

    def _between_swaps(self, batch: Bars | Ticks) -> Iterator[Bars | Ticks]:
        """A batch in parts, with a new model trained and swapped in before every part but the first."""
        retrainer = self._retrainer
        if retrainer is None:
            yield batch
            return
        if isinstance(batch, Ticks):
            # The models of a recorded stream are other ones.
            batch = batch[batch.kind != Kind.SWAP]
        while len(batch):
            if (rows := retrainer.rows_before(batch)) == 0:
                self._retrain(retrainer, batch)
                continue
            yield batch[:rows]
            batch = batch[rows:]

    def _retrain(self, retrainer: Retrainer, batch: Bars | Ticks) -> None:
        assert self._settings.retrain is not None
        with self._timed("train"):
            trained = retrainer.train(batch)
        if trained is None:
            return
        before = self._chain.swap(trained.version, trained.package)
        with self._timed("write"):
            self._write({"scores": scores(before), "swaps": swap(trained, self._settings.retrain.library)})
        self._report(f"{self._symbol}: model {trained.version}, trained on {trained.rows:,} rows")

    def _finish(self) -> SymbolResult:
        chain, counts = self._chain, self._chain.counts
        with self._timed("write"):
            self._write({"scores": scores(chain.engine.scores())})
            rules = rule_results.measured(
                self._results, self._venue, self._symbol, self._parts, chain.variants, self._settings
            )
        result = SymbolResult(
            venue=self._venue,
            symbol=self._symbol,
            bars=counts.bars,
            first_ns=counts.first_ns,
            last_ns=counts.last_ns,
            forecasts=counts.forecasts,
            answers=counts.answers,
            sessions=counts.sessions,
            remark=self._remark(),
            engine=chain.engine.digest(),
            rules=rules,
            scores=tuple(as_plain(one) for one in chain.engine.scores()),
            parts={name: count for name, count in self._parts.items() if count},
            seconds=sum(self._split.values()),
            split={name: round(seconds, 3) for name, seconds in self._split.items()},
        )
        self._results.put_summary(result)
        self._report(f"{self._symbol}: {counts.bars:,} bars, {counts.answers:,} answers; {_pace(result)}")
        return result

    def _remark(self) -> str:
        """Why there is less to see than a reader may expect."""
        counts, first = self._chain.counts, self._settings.engine.first_forecast_bars
        if not counts.bars:
            return "no bars in this period"
        if not counts.forecasts:
            plural = "" if counts.bars == 1 else "s"
            return f"{counts.bars} bar{plural}; the first forecast is made after {first}"
        if not counts.answers:
            return "no horizon has passed within a session: nothing to score"
        if not counts.moves:
            return "the price never moved"
        if not counts.known:
            return "no feature was ever known"
        return ""

    def _write(self, rows: Mapping[str, pa.Table]) -> None:
        for name, table in rows.items():
            if table.num_rows:
                self._results.write(name, self._venue, self._symbol, self._parts[name], table)
                self._parts[name] += 1

    def _snapshot(self) -> bytes:
        progress = {"fed": self._fed, "parts": self._parts, "split": self._split}
        blocks = {"chain": self._chain.snapshot(), "progress": json.dumps(progress).encode()}
        if self._retrainer is not None:
            blocks["retrainer"] = self._retrainer.snapshot()
        return state.pack("backtest", _SNAPSHOT_VERSION, self._settings.digest(), blocks)

    def _restore(self) -> None:
        data = self._results.checkpoint(self._venue, self._symbol)
        if data is None:
            return
        try:
            blocks = state.unpack("backtest", _SNAPSHOT_VERSION, self._settings.digest(), data)
            chain = SymbolChain.restore(self._settings, self._symbol, blocks["chain"], self._source.shelf)
            if self._retrainer is not None:
                self._retrainer.load(blocks["retrainer"])
        except SnapshotError as error:
            self._report(f"{self._symbol}: from the beginning, as its checkpoint can't be used: {error}")
            return
        progress = json.loads(blocks["progress"])
        self._chain, self._fed = chain, progress["fed"]
        self._parts |= progress["parts"]
        self._split |= progress["split"]
        self._report(f"{self._symbol}: goes on after {self._chain.counts.bars:,} bars")

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._split[name] += time.perf_counter() - began

    def _say_how_far(self) -> None:
        now = time.perf_counter()
        if now - self._said < _SAY_EVERY_S:
            return
        self._said = now
        counts = self._chain.counts
        at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(counts.last_ns // 1_000_000_000))
        self._report(f"{self._symbol}: {counts.bars:,} bars, up to {at}")


def pieces(batches: Iterator[Any], skip: int, rows: int = 0) -> Iterator[Any]:
    """Batches of bars or ticks cut anew into pieces of `rows`, without the first `skip` rows.

    0 rows: as many as fit the kind. The last piece may be shorter; a batch without rows gives none.
    """
    held: list[Any] = []
    count = 0
    for batch in batches:
        left_out = min(skip, len(batch))
        skip -= left_out
        if left_out == len(batch):
            continue
        size = rows or (PIECE_TICKS if isinstance(batch, Ticks) else PIECE_BARS)
        held.append(batch[left_out:])
        count += len(batch) - left_out
        while count >= size:
            joined = type(batch).concat(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield type(held[0]).concat(held)


def _pace(result: SymbolResult) -> str:
    pace = result.bars / result.seconds if result.seconds else 0.0
    return f"{result.seconds:.1f} s, {pace:,.0f} bars/s"
