"""Reads history of a lake, symbol by symbol, in order, in bounded memory.

history = History(lake, HistorySpec("candles:1m", "binance"))
for venue, symbol in history.symbols():
    for bars in history.bars(venue, symbol):
        engine.update_bars(bars)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.storage import layout
from cluster.storage.lake_reader import LakeReader
from features.bars import BarBuilder, Bars, BarSpec
from features.errors import ConfigError
from features.ticks import NAN, NO_ID, Kind, Ticks
from jobs.history.candles import CandleBars
from jobs.history.spec import DAY_NS, STREAM, HistorySpec

CHUNK_ROWS = 100_000
"""About so many bars or ticks are given at a time."""
WHOLE_BYTES = 16 * 2**20
"""Partitions up to this size are read at once: about a million candles."""
_YEAR_NS = 366 * DAY_NS
_CANDLE_COLUMNS = ("interval_ns", "end_ns", "open", "high", "low", "close", "volume", "trades")
_FLOATS = {"trades": ("price", "size"), "quotes": ("bid", "ask", "bid_size", "ask_size")}


class History:
    """The history that a spec asks for. May be read by several threads, each its own symbols."""

    def __init__(self, lake: LakeReader, spec: HistorySpec, archived: bool = False) -> None:
        """With `archived`, what was moved to the archive is read too."""
        self.lake = lake
        self.spec = spec
        self._archived = archived

    def symbols(self) -> list[tuple[str, str]]:
        """(venue, symbol) of all that the spec asks for, sorted; the period of some may hold no rows.

        Raises ConfigError where a symbol asked for is not in the lake, or nothing is.
        """
        spec = self.spec
        known = sorted(
            pair for pair in self.lake.symbols(spec.tables) if spec.venue is None or pair[0] == spec.venue
        )
        missing = sorted(set(spec.symbols) - {symbol for _, symbol in known})
        if missing or not known:
            names = ", ".join(symbol for _, symbol in known[:20])
            what = f"{', '.join(missing)} is not" if missing else "nothing is"
            raise ConfigError(
                f"{what} in this lake as {spec.source}",
                self.lake.store.uri,
                f"there are: {names or 'none'}",
            )
        return [pair for pair in known if not spec.symbols or pair[1] in spec.symbols]

    def bars(self, venue: str, symbol: str) -> Iterator[Bars]:
        """The candles of a symbol as closed bars, oldest first, about 100,000 at a time.

        Prices are adjusted, the reference price is the close. Sessions are numbered from 0 over all chunks;
        `jobs.history.candles` says where one ends and what is filled. Raises ConfigError where the source
        is ticks.
        """
        if not self.spec.interval_ns:
            raise ConfigError(f"source {self.spec.source} is ticks", "source", "read them with `ticks`")
        maker = CandleBars(self.spec)
        columns = [*_CANDLE_COLUMNS, "buy_volume", "adjustment"]
        interval_ns = self.spec.interval_ns
        longest_ns = min(CHUNK_ROWS * interval_ns, _YEAR_NS)
        for start_ns, end_ns in self._spans("candles", venue, symbol, longest_ns):
            rows = self.lake.read(
                "candles", venue, symbol, start_ns, end_ns, columns, archived=self._archived
            )
            ours = pc.equal(rows.column("interval_ns"), interval_ns)
            if not pc.all(ours).as_py():
                rows = rows.filter(ours)
            for first in range(0, rows.num_rows, CHUNK_ROWS):
                yield maker.update(rows.slice(first, CHUNK_ROWS))

    def gathered(self, venue: str, symbol: str, spec: BarSpec) -> Iterator[Bars]:
        """The bars of a symbol: as they are where the source is bars, else made of its ticks by `spec`.

        Raises what `bars` and `ticks` raise.
        """
        if self.spec.interval_ns:
            yield from self.bars(venue, symbol)
            return
        builder = BarBuilder(spec)
        for ticks in self.ticks(venue, symbol):
            yield builder.update(ticks)

    def ticks(self, venue: str, symbol: str) -> Iterator[Ticks]:
        """The ticks of a symbol, at most 100,000 at a time.

        Of source "trades": by venue time; at one instant trades come before quotes, as the book that a
        trade met is the one before it, and both in the order of their source. Of "stream": as the engine
        was fed them. Raises ConfigError where the source is bars, StreamHole where the stream has one.
        """
        if self.spec.interval_ns:
            raise ConfigError(f"source {self.spec.source} is bars", "source", "read them with `bars`")
        batches = self._stream(venue, symbol) if self.spec.source == STREAM else self._days(venue, symbol)
        for ticks in batches:
            for first in range(0, len(ticks), CHUNK_ROWS):
                yield ticks[first : first + CHUNK_ROWS]

    def _stream(self, venue: str, symbol: str) -> Iterator[Ticks]:
        start_ns, end_ns = self.spec.start_ns, self.spec.end_ns
        for _, ticks in self.lake.ticks(venue, symbol, archived=self._archived):
            inside = np.ones(len(ticks), np.bool_)
            if start_ns is not None:
                inside &= ticks.ts_ns >= start_ns
            if end_ns is not None:
                inside &= ticks.ts_ns < end_ns
            yield ticks if inside.all() else ticks[inside]

    def _days(self, venue: str, symbol: str) -> Iterator[Ticks]:
        spans = {span for table in self.spec.tables for span in self._spans(table, venue, symbol, DAY_NS)}
        for start_ns, end_ns in sorted(spans):
            parts = [
                _ticks(table, self.lake.read(table, venue, symbol, start_ns, end_ns, archived=self._archived))
                for table in self.spec.tables
            ]
            ticks = Ticks.concat(parts)
            yield ticks[np.argsort(ticks.ts_ns, kind="stable")]

    def _spans(self, table: str, venue: str, symbol: str, longest_ns: int) -> Iterator[tuple[int, int]]:
        """The times at which there may be rows, in order: whole partitions, large ones cut."""
        spec = self.spec
        first = None if spec.start_ns is None else layout.period_date(table, spec.start_ns)
        last = None if spec.end_ns is None else layout.period_date(table, spec.end_ns - 1)
        for one in self.lake.catalogue.holdings(table, venue, symbol, first, last, self._archived):
            start_ns, end_ns = layout.day_start_ns(one.partition.date), one.partition.end_ns
            at = start_ns if spec.start_ns is None else max(start_ns, spec.start_ns)
            end = end_ns if spec.end_ns is None else min(end_ns, spec.end_ns)
            small = sum(file.size for file in one.to_read) <= WHOLE_BYTES
            while at < end:
                until = end if small else min((at // longest_ns + 1) * longest_ns, end)
                yield at, until
                at = until


def _ticks(table: str, rows: pa.Table) -> Ticks:
    """Trades or quotes as ticks, in their order."""
    columns = {name: rows.column(name).to_numpy() for name in ("ts_ns", "received_ns")}
    if table == "trades":
        columns["trade_id"] = pc.fill_null(rows.column("trade_id"), NO_ID).to_numpy()
        columns["side"] = rows.column("side").to_numpy()
    for name in _FLOATS[table]:
        columns[name] = pc.fill_null(rows.column(name), NAN).to_numpy()
    kind = Kind.TRADE if table == "trades" else Kind.QUOTE
    return Ticks.from_columns(rows.num_rows, kind=int(kind), **columns)
