"""The stream of one symbol, put together from trades, quotes and marks in order of sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.errors import ObjectMissing
from cluster.storage import rules, schemas
from cluster.storage.catalogue import ATTEMPTS, Catalogue
from cluster.storage.cursor import Cursor
from cluster.storage.epochs import EpochStore, Fence
from cluster.storage.layout import DataFile
from cluster.storage.objects import ObjectStore
from cluster.storage.parallel import at_once
from cluster.storage.parquet_files import FileAccess, Group, LakeFile
from cluster.storage.schemas import SEQUENCE
from features.errors import DataError
from features.ticks import NAN, Kind, Ticks

_WINDOW = 262_144
"""Ticks that are put together at a time."""
_KINDS = {"trades": Kind.TRADE, "quotes": Kind.QUOTE}
_FLOATS = {"trades": ("price", "size"), "quotes": ("bid", "ask", "bid_size", "ask_size")}
_MARKS = {"heartbeat": Kind.HEARTBEAT, "gap": Kind.GAP, "swap": Kind.SWAP}


class StreamHole(DataError):
    """Sequences `first` to `last` are not in the lake; what comes before them is."""

    def __init__(self, first: int, last: int, where: str) -> None:
        Exception.__init__(self, first, last, where)
        self.first = first
        self.last = last
        self.problem = f"sequences {first} to {last} of the stream are missing"
        self.where = where
        self.fix = (
            "ask for archived data too if they are old; else the actor that took them in still has them"
        )


class StreamReader:
    """Reads the stream of one symbol."""

    def __init__(
        self,
        store: ObjectStore,
        catalogue: Catalogue,
        epochs: EpochStore,
        venue: str,
        symbol: str,
        verify: bool,
        archived: bool,
    ) -> None:
        self._access = FileAccess(store)
        self._catalogue = catalogue
        self._epochs = epochs
        self._venue, self._symbol = venue, symbol
        self._verify, self._archived = verify, archived
        self._where = f"{store.uri}, {venue} {symbol}"

    def read(self, first: int, last: int | None) -> Iterator[tuple[int, Ticks]]:
        """Batches with the sequence of their first tick. Raises StreamHole."""
        at, attempts = first, 0
        while last is None or at <= last:
            try:
                for ticks in self._pass(at, last):
                    yield at, ticks
                    at, attempts = at + len(ticks), 0
                return
            except StreamHole:
                # A segment may have come between the listings of two tables: look once more.
                attempts += 1
                if attempts > 1:
                    raise
            except ObjectMissing:
                # A compaction has replaced a file: go on from here with those that are there now.
                attempts += 1
                if attempts == ATTEMPTS:
                    raise self._catalogue.restless() from None

    def _pass(self, at: int, last: int | None) -> Iterator[Ticks]:
        """The stream from `at` on, with the files that are there now."""
        listed = self._listed()
        # After the listing: whoever wrote a tick had put the record of his epoch before it.
        fence = Fence(self._epochs.records(self._venue, self._symbol))
        waiting, end = _in_range(listed, fence, at, last)
        stop = end if last is None else last + 1
        open_files: list[tuple[LakeFile, Cursor]] = []
        try:
            while at < stop:
                bound = min(at + _WINDOW, stop)
                due = [file for file in waiting if (file.first or 0) < bound]
                waiting = waiting[len(due) :]
                opened = at_once(lambda file: self._access.open(file, self._verify), due)
                open_files += [(file, self._cursor(file, fence, at)) for file in opened]
                sequence, ticks = self._window(open_files, bound)
                whole = int(np.count_nonzero(sequence == np.arange(at, at + len(sequence))))
                if whole:
                    yield ticks[:whole]
                    at += whole
                if at < bound:
                    later = [cursor.lowest for _, cursor in open_files] + [file.first for file in waiting]
                    known = [*sequence[whole:].tolist(), *(low for low in later if low is not None)]
                    raise StreamHole(at, min(known, default=stop) - 1, self._where)
                open_files = [one for one in open_files if not _let_go(*one)]
        finally:
            for file, _ in open_files:
                file.close()

    def _listed(self) -> list[DataFile]:
        """All files of the stream."""
        holdings = (
            holding
            for table in schemas.STREAM
            for holding in self._catalogue.holdings(table, self._venue, self._symbol, archived=self._archived)
        )
        return [file for holding in holdings for file in holding.to_read]

    def _cursor(self, file: LakeFile, fence: Fence, at: int) -> Cursor:
        table = schemas.table(file.file.partition.table)

        def load(groups: Sequence[Group]) -> pa.Table:
            rows, _ = rules.fenced(table, file.read(groups), file.limits(groups, fence))
            wanted = rules.numbers(rows, SEQUENCE) >= at
            return rows if wanted.all() else rows.filter(pa.array(wanted))

        return Cursor(SEQUENCE, (group for group in file.groups(SEQUENCE) if group.high >= at), load)

    def _window(self, files: list[tuple[LakeFile, Cursor]], bound: int) -> tuple[NDArray[np.int64], Ticks]:
        """The ticks below `bound` that have not been read yet, each once, with their sequences."""
        parts = [
            (file.file.partition.table, rows)
            for file, cursor in files
            if (rows := cursor.below(bound)) is not None
        ]
        sequence = np.concatenate(
            [np.zeros(0, np.int64), *(rules.numbers(rows, SEQUENCE) for _, rows in parts)]
        )
        ticks = Ticks.concat([_ticks(table, rows) for table, rows in parts])
        order = np.argsort(sequence, kind="stable")
        sequence, ticks = sequence[order], ticks[order]
        again = np.flatnonzero(sequence[1:] == sequence[:-1]) + 1
        if not len(again):
            return sequence, ticks
        data = np.frombuffer(ticks.to_bytes(), np.uint8).reshape(len(ticks), -1)
        other = np.flatnonzero((data[again] != data[again - 1]).any(axis=1))
        if len(other):
            raise DataError(
                f"sequence {sequence[again[other[0]]]} stands for two different ticks",
                self._where,
                "two actors have written with one epoch: start each with an epoch of its own",
            )
        once = np.ones(len(ticks), np.bool_)
        once[again] = False
        return sequence[once], ticks[once]


def _in_range(files: list[DataFile], fence: Fence, at: int, last: int | None) -> tuple[list[DataFile], int]:
    """The files that may hold valid ticks of the range, by first sequence; one past the highest."""
    found, end = [], 0
    for file in files:
        limit = fence.limit(file.epoch)
        if file.first is None or file.last is None or file.first >= limit or file.last < at:
            continue
        if last is None or file.first <= last:
            found.append(file)
            end = max(end, min(file.last + 1, limit))
    return sorted(found, key=lambda file: file.first or 0), end


def _ticks(table: str, rows: pa.Table) -> Ticks:
    """Rows of one of the stream's tables as ticks, in their order."""
    n = rows.num_rows
    columns = {name: rules.numbers(rows, name) for name in ("ts_ns", "received_ns")}
    if table == "marks":
        kinds = rows.column("kind").to_pylist()
        unknown = set(kinds) - set(_MARKS)
        if unknown:
            raise DataError(f"marks hold the unknown kind {min(unknown)!r}", fix="use a newer release")
        kind = np.array([_MARKS[one] for one in kinds], np.int8)
        if "slot" in rows.column_names:
            columns |= {
                "side": pc.fill_null(rows.column("slot"), 0).to_numpy().astype(np.int8),
                "trade_id": rules.numbers(rows, "version"),
            }
        return Ticks.from_columns(n, kind=kind, **columns)
    if table == "trades":
        columns |= {"trade_id": rules.numbers(rows, "trade_id"), "side": rows.column("side").to_numpy()}
    for name in _FLOATS[table]:
        columns[name] = pc.fill_null(rows.column(name), NAN).to_numpy()
    return Ticks.from_columns(n, kind=int(_KINDS[table]), **columns)


def _let_go(file: LakeFile, cursor: Cursor) -> bool:
    """Whether a file has been read to its end; it is closed then."""
    if cursor.lowest is not None:
        return False
    file.close()
    return True
