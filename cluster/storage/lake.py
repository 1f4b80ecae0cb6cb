"""The lake: what actors took in and what became of it, as Parquet files in an object store.

    lake = Lake(open_store(StoreSpec(uri="lake")))
    lake.put_epoch(record)                                  # once for each incarnation of an actor
    lake.write("trades", "binance", "BTCUSDT", epoch, rows)
    lake.put_checkpoint("binance", "BTCUSDT", epoch, sequence, data)

Every write may be repeated: the same rows give the same bytes, and the same bytes the same key. Nothing
is locked; rows of an actor that a later one has replaced are told by their epoch (cluster/storage/epochs.py).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cluster.storage import layout, rules, schemas
from cluster.storage.epochs import EpochRecord
from cluster.storage.lake_reader import LakeReader
from cluster.storage.layout import DAY_NS, Partition
from cluster.storage.parquet_files import FileWriter, digest
from cluster.storage.schemas import SEQUENCE, Table
from features.errors import DataError


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint in the lake."""

    venue: str
    symbol: str
    epoch: int
    sequence: int
    """Number of ticks in the state: the sequence of the first tick to be fed to it."""
    size: int
    """In bytes."""


class Lake(LakeReader):
    """A lake that can also be written."""

    def write(self, table: str, venue: str, symbol: str, epoch: int, rows: pa.Table) -> list[str]:
        """Store rows of one epoch, a file for each day or year; returns the keys, of no rows none.

        Raises DataError for rows that are not those of the table.
        """
        kind = schemas.table(table)
        _check_names(venue, symbol, epoch)
        rows = rules.in_order(schemas.conform(kind, rows), SEQUENCE)
        starts = layout.period_starts_ns(table, rules.numbers(rows, kind.time))
        keys = []
        for start_ns in np.unique(starts).tolist():
            part = rows.filter(pa.array(starts == start_ns))
            partition = Partition(table, venue, symbol, layout.date_of(start_ns))
            data = _encoded(kind, part, partition, epoch)
            name = layout.data_name(False, epoch, *rules.span(part), digest(data))
            keys.append(partition.prefix + name)
            self.store.put(keys[-1], data)
        return keys

    def put_epoch(self, record: EpochRecord) -> None:
        """Record the beginning of an incarnation, before any row of it; again is harmless.

        Raises DataError where the epoch is that of another one.
        """
        _check_names(record.venue, record.symbol, record.epoch)
        self._epochs.put(record)

    def put_checkpoint(self, venue: str, symbol: str, epoch: int, sequence: int, data: bytes) -> None:
        """Store an actor's state after the first `sequence` ticks of the stream."""
        _check_names(venue, symbol, epoch)
        self.store.put(layout.checkpoint_key(venue, symbol, epoch, sequence), data)

    def checkpoints(self, venue: str, symbol: str) -> list[CheckpointInfo]:
        """The valid checkpoints, newest first: those of a past that a later epoch has overruled are not."""
        fence = self.fence(venue, symbol)
        found = []
        for one in self.store.list(layout.symbol_prefix(layout.CHECKPOINTS, venue, symbol)):
            named = layout.parse_checkpoint_key(one.key)
            # It holds the ticks below its sequence: a later epoch may begin right there.
            if named and named[1] <= fence.limit(named[0]):
                found.append(CheckpointInfo(venue, symbol, *named, one.size))
        return sorted(found, key=lambda one: (one.sequence, one.epoch), reverse=True)

    def prune_checkpoints(self, venue: str, symbol: str, keep: int = 3) -> int:
        """Remove checkpoints that nobody goes back to; the number removed.

        The newest `keep` stay for restarts, and the last of every UTC day (of its put) for whoever
        replays a period from the middle.
        """
        found = list(self.store.list(layout.symbol_prefix(layout.CHECKPOINTS, venue, symbol)))
        found.sort(key=lambda one: one.modified_ns)
        last_of_day = {one.modified_ns // DAY_NS: one.key for one in found}
        newest = {one.key for one in found[-keep:]}
        old = [one.key for one in found if one.key not in newest | set(last_of_day.values())]
        self.store.delete(old)
        return len(old)

    def get_checkpoint(self, info: CheckpointInfo) -> bytes:
        """The state that was stored. Raises ObjectMissing."""
        return self.store.get(layout.checkpoint_key(info.venue, info.symbol, info.epoch, info.sequence))


def _encoded(table: Table, rows: pa.Table, partition: Partition, epoch: int) -> bytes:
    target = io.BytesIO()
    writer = FileWriter(target, table, rows.schema)
    writer.write(rows)
    writer.close(epoch=str(epoch), venue=partition.venue, symbol=partition.symbol)
    return target.getvalue()


def _check_names(venue: str, symbol: str, epoch: int) -> None:
    if not venue or not symbol:
        raise DataError("a venue or symbol without a name", "lake", "name both")
    if not 0 <= epoch < 1 << 63:
        raise DataError(f"{epoch} is no epoch", "lake", "use a number from 0 to 2**63 - 1 that grows")
