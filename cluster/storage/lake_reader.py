"""Reads the lake: tables of any symbols and times, and the stream of one symbol as it was taken in.

    reader = LakeReader(open_store(StoreSpec(uri="lake")))
    bars = reader.read("bars", "binance", ["BTCUSDT"], start_ns, end_ns, columns=["end_ns", "close"])
    for sequence, ticks in reader.ticks("binance", "BTCUSDT", first=1_000_000):
        engine.update(ticks)

Whoever reads sees every row once, also while actors write and compactions replace files. A reader may be
used by several threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from cluster.storage import layout, schemas
from cluster.storage.catalogue import Catalogue
from cluster.storage.epochs import EpochRecord, EpochStore, Fence
from cluster.storage.objects import ObjectStore
from cluster.storage.parquet_files import FileAccess
from cluster.storage.schemas import Table
from cluster.storage.stream import StreamReader
from cluster.storage.table_reader import Selection, TableReader
from features.errors import DataError
from features.ticks import Ticks

_NAMES = ("venue", "symbol")


class LakeReader:
    """Everything that can be asked of a lake."""

    def __init__(self, store: ObjectStore, archive: str = "archive/") -> None:
        """`archive` is the prefix under which old days lie."""
        self.store = store
        self.catalogue = Catalogue(store, archive)
        self._epochs = EpochStore(store)

    def symbols(self, tables: Sequence[str] | None = None) -> set[tuple[str, str]]:
        """(venue, symbol) of all that is in the lake, archived or not; with `tables`, in one of these."""
        return self.catalogue.symbols(tables)

    def epochs(self, venue: str, symbol: str) -> list[EpochRecord]:
        """The incarnations of a symbol's actor, by epoch."""
        return self._epochs.records(venue, symbol)

    def fence(self, venue: str, symbol: str) -> Fence:
        """The rule of epochs for a symbol, as of now."""
        return Fence(self.epochs(venue, symbol))

    def end(self, venue: str, symbol: str, tables: Sequence[str] = schemas.STREAM) -> int:
        """One past the highest valid sequence in these tables, 0 if there is none.

        From names of files alone, archived ones too: only `ticks` can tell whether the stream has a hole
        before it.
        """
        listed = [
            file
            for table in tables
            for holding in self.catalogue.holdings(table, venue, symbol, archived=True)
            for file in holding.to_read
        ]
        fence = self.fence(venue, symbol)
        ends = [0]
        for file in listed:
            limit = fence.limit(file.epoch)
            if file.first is not None and file.last is not None and file.first < limit:
                ends.append(min(file.last + 1, limit))
        return max(ends)

    def verify(self, key: str) -> None:
        """Compare every byte of a data file with the digest in its name. Raises DataError, naming it."""
        file = layout.parse_data_key(key)
        if file is None:
            raise DataError("this is no data file of the lake", key, "see docs/lake.md for their names")
        FileAccess(self.store).verify(file)

    def ticks(
        self,
        venue: str,
        symbol: str,
        first: int = 0,
        last: int | None = None,
        verify: bool = False,
        archived: bool = False,
    ) -> Iterator[tuple[int, Ticks]]:
        """The stream as the engine was fed it, from sequence `first` to `last` inclusive, in batches.

        Each batch comes with the sequence of its first tick. Memory is bounded, whatever the length.
        Raises StreamHole, a DataError, after the last batch before a sequence that is not in the lake.
        """
        reader = StreamReader(self.store, self.catalogue, self._epochs, venue, symbol, verify, archived)
        return reader.read(first, last)

    def read(
        self,
        table: str,
        venue: str | None = None,
        symbols: str | Iterable[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        columns: Sequence[str] | None = None,
        verify: bool = False,
        archived: bool = False,
    ) -> pa.Table:
        """Rows with `start_ns` <= time < `end_ns`, sorted by symbol, time and sequence.

        None means all. Columns venue and symbol come first unless one of each was asked for; `columns` may
        also name them. `verify` checks every byte of the files read, `archived` reads the archive too.
        """
        kind = schemas.table(table)
        if symbols is not None:
            symbols = [symbols] if isinstance(symbols, str) else sorted(set(symbols))
        named = list(_NAMES) if columns is None and not (venue and symbols and len(symbols) == 1) else []
        inner = None
        if columns is not None:
            named = [name for name in columns if name in _NAMES]
            inner = _checked(kind, [name for name in columns if name not in _NAMES])
        chosen = Selection(kind, start_ns, end_ns, inner, verify, archived)
        reader = TableReader(self.store, self.catalogue, self._epochs, chosen)
        pairs = self._pairs(venue, symbols)
        parts = [_named(reader.read(*pair), named, *pair) for pair in pairs]
        for name in reader.unknown:
            raise DataError(f"{table} has no column {name!r} at these times", fix="see docs/lake.md")
        found = pa.concat_tables(
            parts or [_named(reader.nothing(), named, "", "")], promote_options="default"
        ).unify_dictionaries()
        return found if columns is None else found.select(list(columns))

    def _pairs(self, venue: str | None, symbols: Iterable[str] | None) -> list[tuple[str, str]]:
        """The venues and symbols to read, by symbol."""
        if venue is not None and symbols is not None:
            return [(venue, symbol) for symbol in symbols]
        wanted = None if symbols is None else set(symbols)
        found = [
            pair
            for pair in self.symbols()
            if (venue is None or pair[0] == venue) and (wanted is None or pair[1] in wanted)
        ]
        return sorted(found, key=lambda pair: (pair[1], pair[0]))


def _checked(kind: Table, columns: list[str]) -> list[str]:
    unknown = [name for name in columns if name not in kind.schema.names]
    if unknown and not kind.open:
        known = ", ".join((*kind.schema.names, *_NAMES))
        raise DataError(f"{kind.name} has no column {unknown[0]!r}", fix=f"it has {known}")
    return columns


def _named(rows: pa.Table, names: list[str], venue: str, symbol: str) -> pa.Table:
    """The rows with columns for venue and symbol before the others."""
    values = {"venue": venue, "symbol": symbol}
    for name in sorted(names):
        same = pa.DictionaryArray.from_arrays(np.zeros(rows.num_rows, np.int32), [values[name]])
        rows = rows.add_column(0, name, same)
    return rows
