"""Where everything in the lake lies: the keys, and what their names say.

    trades/venue=binance/symbol=BTCUSDT/date=2024-08-09/0000000000007-000000000000-000000000999-<digest>.parquet
    epochs/venue=binance/symbol=BTCUSDT/0000000000007.json
    checkpoints/venue=binance/symbol=BTCUSDT/0000000000007-000000001000.ckpt
    removals/venue=binance/symbol=BTCUSDT/trades
    imports/<digest>.json

Venue and symbol are percent-encoded, as Hive tools do; the date is the UTC day of the table's time
column, or the first day of its year where partitions span years. The name of a data file is its epoch,
the first and the last sequence in it ("late" where no row has one) and the first 16 hex digits of the
SHA-256 of its bytes, so that a name never stands for two contents and anybody can check every byte. A
file that a compaction wrote begins with "compact-".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from cluster.storage import schemas
from features.errors import DataError

DAY_NS = 86_400_000_000_000
DIGEST_LENGTH = 16
EPOCHS = "epochs"
CHECKPOINTS = "checkpoints"
_REMOVALS = "removals"
_IMPORTS = "imports"

_DATA_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<table>[a-z]+)/venue=(?P<venue>[^/]+)/symbol=(?P<symbol>[^/]+)/date=(?P<date>[0-9-]{10})/"
    r"(?P<name>(?P<compact>compact-)?(?P<epoch>[0-9]{13,})-"
    r"(?:(?P<first>[0-9]{12,})-(?P<last>[0-9]{12,})|late)-(?P<digest>[0-9a-f]{16})\.parquet)"
)
_EPOCH_FILE = re.compile(r"epochs/venue=[^/]+/symbol=[^/]+/([0-9]{13,})\.json")
_CHECKPOINT = re.compile(r"checkpoints/venue=[^/]+/symbol=[^/]+/([0-9]{13,})-([0-9]{12,})\.ckpt")
_VENUE_AND_SYMBOL = re.compile(r"(?:.*/)?[a-z]+/venue=([^/]+)/symbol=([^/]+)(?:/.*)?")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One table of one symbol in one period: a UTC day, or a year."""

    table: str
    venue: str
    symbol: str
    date: str
    """The first day of the period, YYYY-MM-DD."""

    @property
    def prefix(self) -> str:
        """What the keys of its files begin with."""
        return f"{symbol_prefix(self.table, self.venue, self.symbol)}date={self.date}/"

    @property
    def end_ns(self) -> int:
        """When the period is over, in ns since 1970 UTC."""
        return period_end_ns(self.table, self.date)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a partition, as its key says."""

    partition: Partition
    name: str
    epoch: int
    first: int | None
    """The lowest sequence in it; None where no row has one."""
    last: int | None
    digest: str
    compact: bool
    size: int
    """In bytes."""
    prefix: str = ""
    """What stands before the table: "" or the prefix of the archive."""

    @property
    def key(self) -> str:
        """Where it is in the store."""
        return f"{self.prefix}{self.partition.prefix}{self.name}"

    @property
    def place(self) -> tuple[int, int, int, str]:
        """The order in which files are read: by epoch, then by sequence; late files come last."""
        first, last = (self.first, self.last) if self.first is not None else (1 << 62, 1 << 62)
        return self.epoch, first, last or 0, self.digest


def symbol_prefix(table: str, venue: str, symbol: str) -> str:
    """What all keys of one symbol in one table begin with."""
    return f"{table}/venue={quote(venue, safe='')}/symbol={quote(symbol, safe='')}/"


def data_name(compact: bool, epoch: int, first: int | None, last: int | None, digest: str) -> str:
    """The name of a data file."""
    numbers = "late" if first is None or last is None else f"{first:012d}-{last:012d}"
    return f"{'compact-' if compact else ''}{epoch:013d}-{numbers}-{digest}.parquet"


def is_compact(name: str) -> bool:
    """Whether a compaction wrote the file of this name."""
    return name.startswith("compact-")


def parse_data_key(key: str, size: int = 0) -> DataFile | None:
    """The data file under this key; None where the key is not of this layout."""
    found = _DATA_FILE.fullmatch(key)
    if found is None:
        return None
    partition = Partition(found["table"], unquote(found["venue"]), unquote(found["symbol"]), found["date"])
    late = found["first"] is None
    return DataFile(
        partition,
        found["name"],
        int(found["epoch"]),
        None if late else int(found["first"]),
        None if late else int(found["last"]),
        found["digest"],
        found["compact"] is not None,
        size,
        found["prefix"],
    )


def epoch_key(venue: str, symbol: str, epoch: int) -> str:
    """Where the record of an epoch lies."""
    return f"{symbol_prefix(EPOCHS, venue, symbol)}{epoch:013d}.json"


def is_epoch_key(key: str) -> bool:
    """Whether an epoch's record lies here."""
    return _EPOCH_FILE.fullmatch(key) is not None


def checkpoint_key(venue: str, symbol: str, epoch: int, sequence: int) -> str:
    """Where a checkpoint lies."""
    return f"{symbol_prefix(CHECKPOINTS, venue, symbol)}{epoch:013d}-{sequence:012d}.ckpt"


def parse_checkpoint_key(key: str) -> tuple[int, int] | None:
    """Epoch and sequence of a checkpoint; None where the key is none of a checkpoint."""
    found = _CHECKPOINT.fullmatch(key)
    return (int(found[1]), int(found[2])) if found else None


def removal_key(table: str, venue: str, symbol: str) -> str:
    """Where it is noted who was the last to begin removing replaced files."""
    return f"{symbol_prefix(_REMOVALS, venue, symbol)}{table}"


def import_key(digest: str) -> str:
    """Where it is noted that a file of history has been imported."""
    return f"{_IMPORTS}/{digest}.json"


def parse_symbol_folder(path: str) -> tuple[str, str] | None:
    """Venue and symbol of a folder or key, None where it has none."""
    found = _VENUE_AND_SYMBOL.fullmatch(path)
    return (unquote(found[1]), unquote(found[2])) if found else None


def period_date(table: str, ns: int) -> str:
    """The date of the partition in which the rows of this time are."""
    date = date_of(ns)
    return f"{date[:4]}-01-01" if _spans_years(table) else date


def period_starts_ns(table: str, ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the partition of each of these times begins."""
    unit = "Y" if _spans_years(table) else "D"
    starts: NDArray[np.int64] = ns.astype("M8[ns]").astype(f"M8[{unit}]").astype("M8[ns]").astype(np.int64)
    return starts


def period_end_ns(table: str, date: str) -> int:
    """When the partition of this date is over. Raises DataError where the text is no day."""
    start_ns = day_start_ns(date)
    return day_start_ns(f"{int(date[:4]) + 1:04d}-01-01") if _spans_years(table) else start_ns + DAY_NS


def _spans_years(table: str) -> bool:
    # Of a table that a newer release has made we know the name alone.
    known = schemas.TABLES.get(table)
    return known is not None and known.period == "year"


def date_of(ns: int) -> str:
    """The UTC day of a time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=ns // DAY_NS)).strftime("%Y-%m-%d")


def day_start_ns(text: str) -> int:
    """Midnight UTC at which a day begins. Raises DataError where the text is no day."""
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY_NS
    except ValueError:
        raise DataError(f"{text!r} is no date", fix="write it like 2024-08-09") from None


def common_prefix(first_date: str | None, last_date: str | None) -> str:
    """What the names of the day folders from the first to the last have in common."""
    if first_date is None or last_date is None:
        return ""
    length = 0
    while length < len(first_date) and first_date[length] == last_date[length]:
        length += 1
    return "date=" + first_date[:length]
