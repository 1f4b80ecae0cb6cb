"""Compaction: the many small files of a symbol's day become one sorted file, exact in every bit.

A compaction merges the files that hold the rows, publishes the result, and only then removes what it
replaces. It may be killed at any point: what it had published stands beside what it had not removed yet,
readers ignore the latter, and a later run removes it. Any number of compactions may run at a time, on any
number of machines, beside actors that write and readers that read: see cluster/storage/cover.py.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ObjectMissing, StoreError
from cluster.storage import cover, layout, schemas
from cluster.storage.catalogue import ATTEMPTS, Holding
from cluster.storage.epochs import Fence
from cluster.storage.lake import Lake
from cluster.storage.layout import Partition
from cluster.storage.merge import Merged, merge
from cluster.storage.parquet_files import FileAccess


@dataclass(frozen=True, slots=True)
class Compaction:
    """What was done to a partition."""

    partition: Partition
    compacted: bool = False
    """Whether a file was written."""
    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    """In the file written."""
    bytes_before: int = 0
    bytes_after: int = 0
    superseded: int = 0
    """Rows that a later epoch has overruled: left out, or late fills now."""
    duplicates: int = 0
    """Rows left out because the same tick or trade is there otherwise."""


def compact_day(lake: Lake, table: str, venue: str, symbol: str, date: str) -> Compaction:
    """Make one file of a partition, unless it is one already, and remove what is replaced.

    Raises DataError, changing nothing, where a file is damaged.
    """
    partition = Partition(schemas.table(table).name, venue, symbol, date)
    layout.day_start_ns(date)
    for _ in range(ATTEMPTS):
        try:
            return _compact(lake, partition)
        except ObjectMissing:
            continue  # another compaction has replaced what we were about to read
    raise lake.catalogue.restless()


def archive_day(lake: Lake, partition: Partition) -> bool:
    """Move a compacted partition to the archive; False where it is not one compacted file."""
    holding = _holding(lake, partition)
    if holding is None or len(holding.files) != 1 or not holding.to_read[0].compact:
        return False
    key = holding.to_read[0].key
    try:
        lake.store.move(key, lake.catalogue.archive + key)
    except ObjectMissing:
        return False
    return True


def _compact(lake: Lake, partition: Partition) -> Compaction:
    holding = _holding(lake, partition)
    if holding is None:
        return Compaction(partition)
    count, size = len(holding.files), sum(file.size for file in holding.files.values())
    fence = lake.fence(partition.venue, partition.symbol)
    if _is_compact(holding, fence):
        removed, freed = _remove_replaced(lake, partition, holding.to_read[0].name) if count > 1 else (0, 0)
        return Compaction(partition, False, count, count - removed, 0, size, size - freed)
    try:
        with tempfile.TemporaryDirectory(prefix="tickcast-compact-") as folder:
            merged = _merge(lake, holding, fence, Path(folder))
            written = merged.path.stat().st_size
            lake.store.put_file(partition.prefix + merged.name, merged.path)
    except OSError as error:
        fix = "make room for a day's files there, or set TMPDIR to another folder"
        raise StoreError(f"merging failed: {error.strerror or error}", tempfile.gettempdir(), fix) from error
    removed, freed = _remove_replaced(lake, partition, merged.name)
    return Compaction(
        partition,
        True,
        count,
        count + 1 - removed,
        merged.rows,
        size,
        size + written - freed,
        merged.superseded,
        merged.duplicates,
    )


def _holding(lake: Lake, partition: Partition, archived: bool = False) -> Holding | None:
    found = lake.catalogue.holdings(
        partition.table, partition.venue, partition.symbol, partition.date, partition.date, archived
    )
    return found[0] if found else None


def _is_compact(holding: Holding, fence: Fence) -> bool:
    """Whether all is in one compacted file, and no epoch has begun since that overrules rows of it."""
    files = holding.to_read
    if len(files) != 1 or not files[0].compact:
        return False
    return files[0].last is None or files[0].last < fence.limit(files[0].epoch)


def _merge(lake: Lake, holding: Holding, fence: Fence, folder: Path) -> Merged:
    claims = lake.catalogue.claims(holding).values()
    replaces = frozenset(holding.files).union(*(claim.replaces for claim in claims))
    generation = 1 + max((claim.generation for claim in claims), default=0)
    return merge(
        FileAccess(lake.store), holding.partition, holding.to_read, fence, folder, replaces, generation
    )


def _remove_replaced(lake: Lake, partition: Partition, name: str) -> tuple[int, int]:
    """Remove what the compacted file of this name replaces, if it may; how many files and bytes.

    The listing begins after the file has been published, and shows the archive too: `cover` says why.
    """
    holding = _holding(lake, partition, archived=True)
    if holding is None or name not in holding.cover.claims:
        return 0, 0
    removable = cover.may_delete(name, holding.cover) or ()
    files = [holding.files[one] for one in removable if not holding.files[one].prefix]
    if files:
        lake.catalogue.announce_removal(partition, name)
        lake.store.delete(file.key for file in files)
    return len(files), sum(file.size for file in files)
