"""`python -m jobs.compact`: make one sorted file of each symbol's day, and move old days to the archive.

Exact: nothing that is read from the lake changes by it, to the last bit. It may run beside actors, readers
and other compactions, and be killed at any point: run it again, for example every hour. Days are compacted
once they ended `--settle` ago; what comes later for them is taken in by the next run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cluster import config
from cluster.storage import layout, schemas
from cluster.storage.compaction import Compaction, archive_day, compact_day
from cluster.storage.lake import Lake
from cluster.storage.layout import Partition
from cluster.storage.retention import apply_retention
from features import durations
from features.errors import ConfigError, DataError
from jobs import command_line
from jobs.command_line import say

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class CompactSpec:
    """Which partitions to compact, and which to archive."""

    symbols: tuple[str, ...] = ()
    """None given: all that are in the lake."""
    tables: tuple[str, ...] = tuple(schemas.TABLES)
    date: str | None = None
    """None: every day."""
    settle_ns: int = 3_600_000_000_000
    """A day that ended less than this ago is left alone."""
    include_today: bool = False
    """Compact every day, even those that go on."""
    archive_after_days: int | None = None
    """Days that ended longer ago are moved to the archive."""


@dataclass(slots=True)
class Summary:
    """What a run has done. Files and bytes are those of the partitions looked at."""

    partitions: int = 0
    """Looked at."""
    compacted: int = 0
    """Of these: where a file was written."""
    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    """In the files written."""
    bytes_before: int = 0
    bytes_after: int = 0
    superseded: int = 0
    """Rows that a later epoch has overruled: left out, or late fills now."""
    duplicates: int = 0
    """Rows left out because the same tick or trade is there otherwise."""
    archived: int = 0
    """Partitions moved."""
    expired: int = 0
    """Objects that the retention of the config has removed."""
    damaged: list[str] = field(default_factory=list)
    """What could not be compacted, and why."""
    seconds: float = 0.0

    def add(self, done: Compaction) -> None:
        """Count one partition."""
        self.compacted += done.compacted
        self.files_before += done.files_before
        self.files_after += done.files_after
        self.rows += done.rows
        self.bytes_before += done.bytes_before
        self.bytes_after += done.bytes_after
        self.superseded += done.superseded
        self.duplicates += done.duplicates


def compact(lake: Lake, spec: CompactSpec, now_ns: int) -> Summary:
    """Compact and archive what the spec says, as of `now_ns`; a damaged partition is left as it is."""
    summary, began_s = Summary(), time.monotonic()
    for partition in _partitions(lake, spec):
        if not spec.include_today and partition.end_ns + spec.settle_ns > now_ns:
            continue
        summary.partitions += 1
        place = f"{partition.table} {partition.venue} {partition.symbol} {partition.date}"
        try:
            done = compact_day(lake, partition.table, partition.venue, partition.symbol, partition.date)
        except DataError as error:
            summary.damaged.append(str(error))
            say(f"{place}: left as it is: {error}")
            continue
        summary.add(done)
        if done.compacted:
            say(f"{place}: {_described(done)}")
        if _is_old(partition, spec, now_ns) and archive_day(lake, partition):
            summary.archived += 1
            say(f"{place}: moved to {lake.catalogue.archive}")
    summary.seconds = round(time.monotonic() - began_s, 3)
    return summary


def _partitions(lake: Lake, spec: CompactSpec) -> Iterator[Partition]:
    """The partitions of the spec, symbol by symbol."""
    for venue, symbol in sorted(lake.symbols()):
        if spec.symbols and symbol not in spec.symbols:
            continue
        for table in spec.tables:
            for holding in lake.catalogue.holdings(table, venue, symbol, spec.date, spec.date):
                yield holding.partition


def _is_old(partition: Partition, spec: CompactSpec, now_ns: int) -> bool:
    days = spec.archive_after_days
    return days is not None and partition.end_ns + days * layout.DAY_NS <= now_ns


def _described(done: Compaction) -> str:
    text = f"{done.files_before} files to {done.files_after}, {done.rows:,} rows, "
    text += f"{done.bytes_before / _MIB:.2f} MiB to {done.bytes_after / _MIB:.2f} MiB"
    text += f", {done.superseded:,} superseded" if done.superseded else ""
    return text + (f", {done.duplicates:,} duplicates" if done.duplicates else "")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = command_line.parser("compact", __doc__ or "")
    command_line.add_lake(one)
    one.add_argument("--symbol", nargs="+", default=[], help="only these (all)")
    one.add_argument("--table", nargs="+", choices=list(schemas.TABLES), help="only these (all)")
    one.add_argument("--date", metavar="YYYY-MM-DD", help="only this day (all)")
    one.add_argument("--settle", default="1h", help="leave a day alone that ended less than this ago (1h)")
    one.add_argument("--include-today", action="store_true", help="compact days that have not ended too")
    one.add_argument("--archive-after", type=int, metavar="DAYS", help="move days that ended longer ago")
    one.add_argument("--archive-prefix", default="archive/", help="where to, in the same store (archive/)")
    return one


def run(arguments: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """The job as the command line asks for it: its result, and 1 where something was damaged."""
    if arguments.date is not None:
        layout.day_start_ns(arguments.date)
    if arguments.archive_after is not None and arguments.archive_after < 1:
        raise ConfigError(f"{arguments.archive_after} is below 1", "--archive-after", "give whole days")
    if not arguments.archive_prefix.endswith("/") or arguments.archive_prefix.startswith("/"):
        raise ConfigError(
            f"is no prefix: {arguments.archive_prefix!r}", "--archive-prefix", 'write "archive/"'
        )
    spec = CompactSpec(
        symbols=tuple(arguments.symbol),
        tables=tuple(arguments.table or schemas.TABLES),
        date=arguments.date,
        settle_ns=durations.parse_ns(arguments.settle, "--settle"),
        include_today=arguments.include_today,
        archive_after_days=arguments.archive_after,
    )
    lake = command_line.open_lake(arguments, arguments.archive_prefix)
    summary = compact(lake, spec, time.time_ns())
    if arguments.config is not None:
        retention = config.load(arguments.config).storage.retention
        summary.expired = sum(apply_retention(lake.store, retention, time.time_ns()).objects.values())
    if not arguments.json:
        say(
            f"{summary.partitions} partitions, {summary.compacted} compacted, {summary.archived} archived, "
            f"{summary.files_before} files to {summary.files_after}, "
            f"{summary.expired} objects had their time, in {summary.seconds:.1f} s"
        )
    return asdict(summary), 1 if summary.damaged else 0


if __name__ == "__main__":
    sys.exit(command_line.main(parser(), run))
