"""Merges the files of one partition into one sorted file on local disk, in bounded memory.

Every input is fetched once, and checked against the digest in its name: what a compaction writes has a
good digest of its own, so it must not take in what was damaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.storage import layout, rules, schemas
from cluster.storage.cursor import Cursor, bounds
from cluster.storage.epochs import Fence
from cluster.storage.layout import DataFile, Partition
from cluster.storage.parallel import at_once
from cluster.storage.parquet_files import (
    OTHER_DIGEST,
    ROWS_PER_GROUP,
    FileAccess,
    FileWriter,
    Group,
    LakeFile,
    damaged,
    path_digest,
)
from cluster.storage.schemas import SEQUENCE, Table

_WINDOW = 2 * ROWS_PER_GROUP
"""Rows that are sorted at a time."""
_EPOCH = "__epoch"


@dataclass(frozen=True, slots=True)
class Merged:
    """The file that a merge has made."""

    path: Path
    name: str
    rows: int
    superseded: int
    """Rows that a later epoch has overruled: left out, or late fills now."""
    duplicates: int
    """Rows left out because the same tick or trade is there otherwise."""


@dataclass(slots=True)
class _Input:
    """One fetched file. It is open only while it is read: a day may have thousands."""

    file: DataFile
    path: Path
    where: str
    groups: list[Group]
    schema: pa.Schema
    may_hold_late: bool

    def open(self) -> LakeFile:
        return LakeFile(self.file, pa.memory_map(str(self.path)), self.where)


@dataclass(slots=True)
class _Counts:
    """What a merge has seen so far."""

    rows: int = 0
    superseded: int = 0
    duplicates: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)
    """Epochs with their numbers of rows, in the order written."""
    first: int | None = None
    last: int | None = None

    def add(self, sequence: NDArray[np.int64], epoch: NDArray[np.int64]) -> None:
        """Count rows that are written. A late row counts to the epoch before it: it has none."""
        self.rows += len(sequence)
        if not len(sequence):
            return
        valid = np.flatnonzero(sequence >= 0)
        if len(valid):
            low, high = int(sequence[valid].min()), int(sequence[valid].max())
            self.first = low if self.first is None else min(low, self.first)
            self.last = high if self.last is None else max(high, self.last)
        before = self.runs[-1][0] if self.runs else -1
        # The place of the newest valid row up to each row; 0 stands for "none yet".
        newest = np.zeros(len(sequence), np.int64)
        newest[valid] = valid + 1
        newest = np.maximum.accumulate(newest)
        known = np.concatenate([[before], epoch])[newest]
        edges = np.flatnonzero(np.diff(known)) + 1
        for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(known)], strict=True):
            self._extend(int(known[start]), end - start)

    def _extend(self, epoch: int, rows: int) -> None:
        if self.runs and self.runs[-1][0] in (epoch, -1):
            rows += self.runs.pop()[1]
        if rows:
            self.runs.append((epoch, rows))


def merge(
    access: FileAccess,
    partition: Partition,
    files: Sequence[DataFile],
    fence: Fence,
    folder: Path,
    replaces: frozenset[str],
    generation: int,
) -> Merged:
    """One file in `folder` with the rows of all files, in the order of the table, the rules applied.

    Raises DataError for a damaged input, ObjectMissing where a compaction has replaced one meanwhile.
    """
    table = schemas.table(partition.table)
    inputs = at_once(lambda numbered: _fetch(access, *numbered, table, fence, folder), enumerate(files))
    schema = pa.unify_schemas([table.schema, *(source.schema for source in inputs)])
    late = rules.LateTrades(_wanted_late(inputs, table, fence))
    counts, path = _Counts(), folder / "merged.parquet"
    writer = _GroupWriter(FileWriter(path, table, schema))
    for rows in _windows(inputs, table, fence, counts):
        kept = _sorted(table, rows, late, counts)
        counts.add(rules.numbers(kept, SEQUENCE), rules.numbers(kept, _EPOCH))
        writer.write(_aligned(kept, schema))
    epoch = max([one for one, _ in counts.runs if one >= 0] or [file.epoch for file in files])
    writer.close(
        epoch=str(epoch),
        venue=partition.venue,
        symbol=partition.symbol,
        epochs=json.dumps([(one if one >= 0 else epoch, rows) for one, rows in counts.runs]),
        replaces=json.dumps(sorted(replaces)),
        generation=str(generation),
    )
    name = layout.data_name(True, epoch, counts.first, counts.last, path_digest(path))
    return Merged(path, name, counts.rows, counts.superseded, counts.duplicates)


def _fetch(
    access: FileAccess, number: int, file: DataFile, table: Table, fence: Fence, folder: Path
) -> _Input:
    path = folder / f"{number}.parquet"
    with path.open("wb") as target:
        for chunk in access.chunks(file):
            target.write(chunk)
    where = access.where(file)
    if path_digest(path) != file.digest:
        raise damaged(where, OTHER_DIGEST)
    fetched = _Input(file, path, where, [], table.schema, False)
    opened = fetched.open()
    fetched.groups = opened.groups(table.order[0])
    fetched.schema = opened.schema
    fetched.may_hold_late = opened.may_hold_late(fence)
    opened.close()
    return fetched


def _wanted_late(inputs: list[_Input], table: Table, fence: Fence) -> NDArray[np.int64]:
    """Ids that late trades have and trades of the stream have not, ascending."""
    none = np.zeros(0, np.int64)
    if table.name != "trades" or not any(source.may_hold_late for source in inputs):
        return none
    suspects = [source for source in inputs if source.may_hold_late]
    parts = [rules.late_ids(rows) for rows in _numbers_of(suspects, table, fence)]
    wanted = np.unique(np.concatenate([none, *parts]))
    for rows in _numbers_of(inputs, table, fence):
        wanted = np.setdiff1d(wanted, rules.stream_ids(rows))
    return wanted


def _numbers_of(inputs: list[_Input], table: Table, fence: Fence) -> Iterator[pa.Table]:
    """Sequences and ids of all rows, a row group at a time."""
    for source in inputs:
        file = source.open()
        for group in source.groups:
            rows = file.read([group], [SEQUENCE, "trade_id"])
            yield rules.fenced(table, rows, file.limits([group], fence))[0]
        file.close()


def _windows(inputs: list[_Input], table: Table, fence: Fence, counts: _Counts) -> Iterator[pa.Table]:
    """All rows with their epochs, in windows of the table's first sort column."""

    def cursor(source: _Input) -> Cursor:
        def load(groups: Sequence[Group]) -> pa.Table:
            file = source.open()
            rows, limits, epochs = file.read(groups), file.limits(groups, fence), file.epochs(groups)
            file.close()
            every = np.full(rows.num_rows, epochs) if isinstance(epochs, int) else epochs
            rows, count = rules.fenced(table, rows.append_column(_EPOCH, pa.array(every, pa.int64())), limits)
            counts.superseded += count
            return rows

        return Cursor(table.order[0], source.groups, load)

    cursors = [cursor(source) for source in inputs]
    for bound in bounds([group for source in inputs for group in source.groups], _WINDOW):
        parts = [rows for one in cursors if (rows := one.below(bound)) is not None]
        if parts:
            yield pa.concat_tables(parts, promote_options="default")


def _sorted(table: Table, rows: pa.Table, late: rules.LateTrades, counts: _Counts) -> pa.Table:
    """One window in the order of the table, each row once."""
    rows = rules.in_order_of(table, rows, *table.order)
    if table.is_stream:
        rows, copies = rules.without_copies(rows, table.time)
        counts.duplicates += copies
    if table.name == "trades":
        # A trade that is in the stream twice stays twice: the engine was fed it twice.
        rows, copies = late.keep(rows)
        counts.duplicates += copies
    if table.key:
        rows, copies = rules.last_of_each(rows, table.key)
        counts.duplicates += copies
    return rows


def _aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly these columns; features that were not computed then are null."""
    there = set(rows.column_names)
    columns = [
        rows.column(one.name) if one.name in there else pa.nulls(rows.num_rows, one.type) for one in schema
    ]
    return pa.table(columns, schema=schema)


class _GroupWriter:
    """Writes windows of any size as full row groups."""

    def __init__(self, writer: FileWriter) -> None:
        self._writer = writer
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self._rows += rows.num_rows
        if self._rows >= ROWS_PER_GROUP:
            whole = pa.concat_tables(self._waiting)
            full = self._rows - self._rows % ROWS_PER_GROUP
            self._writer.write(whole.slice(0, full))
            self._waiting, self._rows = [whole.slice(full)], self._rows - full

    def close(self, **metadata: str) -> None:
        if self._rows:
            self._writer.write(pa.concat_tables(self._waiting))
        self._writer.close(**metadata)
