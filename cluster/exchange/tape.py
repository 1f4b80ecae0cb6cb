"""A tape: recorded trades and quotes from Parquet files, in the order in which they happened.

Columns: `symbol, ts_ns, price, size[, side, trade_id, suspicious]` for trades and
`symbol, ts_ns, bid, ask[, bid_size, ask_size, suspicious]` for quotes; others are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cluster.exchange.source import Events, Instrument
from features.errors import ConfigError, DataError
from features.ticks import DTYPE, NO_ID, Kind, Ticks

_DAY_NS = 86_400_000_000_000
_MINUTE_NS = 60_000_000_000
_TRADE_COLUMNS = ("symbol", "ts_ns", "price", "size")
_QUOTE_COLUMNS = ("symbol", "ts_ns", "bid", "ask")
_TICK_COLUMNS = ("ts_ns", "price", "size", "side", "trade_id", "bid", "ask", "bid_size", "ask_size", "kind")
_OPTIONAL = ("side", "trade_id", "suspicious", "bid_size", "ask_size")


@dataclass(frozen=True, slots=True)
class TapeSpec:
    """Which files to play and what to leave out.

    `session` is a daily window in UTC, "13:35-19:55" (start included, end not; it may run over
    midnight). `keep_source_ids` keeps the file's trade ids for symbols whose ids count up by one
    over the rows played; every other symbol gets 1, 2, 3 ...
    """

    paths: tuple[str, ...]
    symbols: tuple[str, ...] = ()
    session: str = ""
    keep_suspicious: bool = False
    keep_source_ids: bool = False
    block_rows: int = 4096
    live = False
    history_s = 0.0
    repeatable = True

    def open(self, now_ns: int) -> Tape:
        """Read the files. Raises DataError or ConfigError with the place and the fix."""
        del now_ns  # a tape has its own times
        window = parse_session(self.session)
        reader = _Reader(self.symbols, window, self.keep_suspicious)
        for path in self.paths:
            reader.read(Path(path))
        events = reader.events(self.keep_source_ids)
        pa.default_memory_pool().release_unused()  # 150 MB after a file of 1.5 million rows
        return Tape(events, reader.names, reader.left_out, self.block_rows)


class Tape:
    """Recorded events as a `Source`: one array in memory, handed out in slices."""

    name = "tape"

    def __init__(
        self, events: Events, symbols: Sequence[str], left_out: Mapping[str, int], block_rows: int
    ) -> None:
        self.instruments = tuple(Instrument(symbol) for symbol in symbols)
        self.events = events
        self.left_out = dict(left_out)
        self.start_ns = int(events.ticks.ts_ns[0])
        self._block_rows = block_rows
        self._ts_ns = np.ascontiguousarray(events.ticks.ts_ns)
        self._position = 0

    def next_events(self) -> Events | None:
        """The next rows, up to the end of the instant of the last one; None at the end."""
        start = self._position
        if start == len(self._ts_ns):
            return None
        last = min(start + self._block_rows, len(self._ts_ns)) - 1
        self._position = int(np.searchsorted(self._ts_ns, self._ts_ns[last], side="right"))
        return self.events[start : self._position]


def parse_session(text: str) -> tuple[int, int] | None:
    """ "HH:MM-HH:MM" as nanoseconds of the day, None for an empty text. Raises ConfigError."""
    if not text:
        return None
    try:
        start, end = (_time_of_day_ns(part) for part in text.split("-"))
    except ValueError:
        raise ConfigError(f"session {text!r} can't be read", fix='write it in UTC as "13:35-19:55"') from None
    if start == end:
        raise ConfigError(f"session {text!r} is empty", fix="let it end after its start")
    return start, end


def _time_of_day_ns(text: str) -> int:
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= hour <= 24 and 0 <= minute < 60 and hour * 60 + minute <= 24 * 60):
        raise ValueError(text)
    return (hour * 60 + minute) * _MINUTE_NS


class _Reader:
    """Collects the rows of several files, filtered, then orders them."""

    def __init__(
        self, symbols: tuple[str, ...], window: tuple[int, int] | None, keep_suspicious: bool
    ) -> None:
        self.names: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._wanted = symbols
        self._window = window
        self._keep_suspicious = keep_suspicious
        self._seen: set[str] = set()
        self._parts: list[dict[str, NDArray[Any]]] = []

    def read(self, path: Path) -> None:
        """Take in the rows of one file."""
        table = _read_table(path)
        quotes = "bid" in table.column_names and "price" not in table.column_names
        columns = {name: _numbers(table, name, path) for name in table.column_names if name != "symbol"}
        symbols = table.column("symbol").combine_chunks().dictionary_encode()
        names = symbols.dictionary.to_pylist()
        self._seen.update(name for name in names if name is not None)
        code = np.asarray(symbols.indices.fill_null(len(names)))
        columns["symbol"] = np.array([*(self._number(n) for n in names), -1], dtype=np.int32)[code]
        keep = self._filter(columns, ("bid", "ask") if quotes else ("price", "size"))
        rows = np.flatnonzero(keep)
        part = {name: column[rows] for name, column in columns.items() if name != "suspicious"}
        part["kind"] = np.full(len(rows), int(Kind.QUOTE if quotes else Kind.TRADE), dtype=np.int8)
        self._parts.append(part)

    def events(self, keep_source_ids: bool) -> Events:
        """All rows by time; those of one instant in the order read. Raises DataError if none are left."""
        missing = [symbol for symbol in self._wanted if symbol not in self._seen]
        if missing:
            raise DataError(
                f"no rows of {', '.join(missing)} in the files", fix=f"they hold {_listing(self._seen)}"
            )
        count = sum(len(part["ts_ns"]) for part in self._parts)
        if not count:
            raise DataError(
                f"no rows left to play (left out: {dict(self.left_out) or 'nothing'})",
                fix="check the session window, the symbols and the file",
            )
        order = np.argsort(np.concatenate([part["ts_ns"] for part in self._parts]), kind="stable")
        symbol = np.concatenate([part["symbol"] for part in self._parts])[order]
        symbol = self._drop_unused_names(symbol)
        ticks = self._ticks(order)
        ticks.records["trade_id"] = _trade_ids(symbol, ticks, keep_source_ids)
        ticks.records["received_ns"] = ticks.ts_ns
        return Events(symbol, ticks)

    def _number(self, name: str | None) -> int:
        """The number of a symbol, -1 for one that is not wanted."""
        if name is None or (self._wanted and name not in self._wanted):
            return -1
        if name not in self.names:
            if any(name.lower() == other.lower() for other in self.names):
                raise DataError(f"symbol {name!r} differs from another only in case", fix="select one")
            self.names.append(name)
        return self.names.index(name)

    def _filter(self, columns: Mapping[str, NDArray[Any]], positive: tuple[str, str]) -> NDArray[np.bool_]:
        """Which rows to play; counts the others by the first reason that applies."""
        keep = np.ones(len(columns["ts_ns"]), dtype=np.bool_)

        def leave_out(reason: str, bad: NDArray[np.bool_]) -> None:
            nonlocal keep
            self.left_out[reason] += int(np.count_nonzero(keep & bad))
            keep &= ~bad

        leave_out("symbol not selected", columns["symbol"] < 0)
        leave_out("no time", columns["ts_ns"] == np.iinfo(np.int64).min)
        if self._window:
            leave_out("outside session", ~_inside(columns["ts_ns"], self._window))
        if "suspicious" in columns and not self._keep_suspicious:
            leave_out("suspicious", columns["suspicious"] > 0)
        for name in positive:
            value = columns[name]
            leave_out(f"no {name} above zero", ~(np.isfinite(value) & (value > 0)))
        self.left_out += Counter()  # drops reasons that never applied
        return keep

    def _drop_unused_names(self, symbol: NDArray[np.int32]) -> NDArray[np.int32]:
        """Renumber so that only symbols with rows count as traded."""
        used, renumbered = np.unique(symbol, return_inverse=True)
        self.names = [self.names[number] for number in used]
        return renumbered.astype(np.int32)

    def _ticks(self, order: NDArray[np.int64]) -> Ticks:
        ticks = Ticks(np.zeros(len(order), dtype=DTYPE))
        for name in _TICK_COLUMNS:
            missing: float = {"side": 0, "trade_id": NO_ID}.get(name, np.nan)
            lengths = [len(part["kind"]) for part in self._parts]
            # Popped, so that a big tape is in memory once and not twice.
            columns = [part.pop(name, None) for part in self._parts]
            filled = [
                np.full(length, missing) if column is None else column
                for length, column in zip(lengths, columns, strict=True)
            ]
            ticks.records[name] = np.concatenate(filled)[order]
        return ticks


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError("no such file", where=str(path), fix="give the path of a Parquet file")
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            needed = _QUOTE_COLUMNS if "bid" in there and "price" not in there else _TRADE_COLUMNS
            missing = [name for name in needed if name not in there]
            if missing:
                raise DataError(
                    f"columns {missing} are missing; there are {there}",
                    where=str(path),
                    fix=f"trades need {list(_TRADE_COLUMNS)}, quotes need {list(_QUOTE_COLUMNS)}",
                )
            return file.read(columns=[*needed, *(n for n in _OPTIONAL if n in there and n not in needed)])
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"not a readable Parquet file ({reason})", where=str(path)) from None


def _numbers(table: pa.Table, name: str, path: Path) -> NDArray[Any]:
    """A column as float64 (NaN where null) or int64 (smallest number, -1 or 0 where null)."""
    column = table.column(name)
    integer = {"ts_ns": np.iinfo(np.int64).min, "trade_id": NO_ID, "side": 0, "suspicious": 0}
    kind = pa.int64() if name in integer else pa.float64()
    try:
        column = column.cast(kind)
    except pa.ArrowException:
        raise DataError(
            f"column {name!r} has type {column.type}", where=str(path), fix=f"make it {kind}"
        ) from None
    return np.asarray(pc.fill_null(column, integer.get(name, float("nan"))))


def _inside(ts_ns: NDArray[np.int64], window: tuple[int, int]) -> NDArray[np.bool_]:
    start, end = window
    of_day = ts_ns % _DAY_NS
    if start < end:
        return (of_day >= start) & (of_day < end)
    return (of_day >= start) | (of_day < end)


def _trade_ids(symbol: NDArray[np.int32], ticks: Ticks, keep_source_ids: bool) -> NDArray[np.int64]:
    """Consecutive ids per symbol; quotes have none. The file's own where asked for and consecutive."""
    ids = np.full(len(symbol), NO_ID, dtype=np.int64)
    trades = ticks.kind == int(Kind.TRADE)
    for number in range(int(symbol.max()) + 1):
        rows = np.flatnonzero(trades & (symbol == number))
        own = ticks.trade_id[rows]
        keep = keep_source_ids and len(own) > 0 and own[0] >= 0 and bool(np.all(np.diff(own) == 1))
        ids[rows] = own if keep else np.arange(1, len(rows) + 1)
    return ids


def _listing(names: set[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:20]) + (f" and {len(ordered) - 20} more" if len(ordered) > 20 else "")
