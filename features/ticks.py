"""Ticks: what a venue said. The only currency of the tick path.

One `Ticks` is a batch in order of arrival: a handful of events from a socket, or a day read from
Parquet. Every later stage (bars, features, the engine) takes batches of any size and gives the
same bits however the stream was cut.

A batch is one NumPy array of fixed 80-byte records with the columns as views on it: a kernel
takes it as a single argument, a log writes it as it stands.

Missing is NaN (prices, sizes) or -1 (ids); it is never 0. `ts_ns` is the venue's clock,
`received_ns` is ours; neither is ever written over the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import DataError

NO_ID = -1
NAN = float("nan")


class Kind(IntEnum):
    """What an event is."""

    TRADE = 0
    """A trade: price, size, side."""
    QUOTE = 1
    """The best bid and ask changed: bid, ask, bid_size, ask_size."""
    HEARTBEAT = 2
    """Time passed: our clock says that the venue has reached ts_ns. Closes bars."""
    GAP = 3
    """Events before this one were lost for good: what depends on them starts anew."""
    SWAP = 4
    """From here on another trained model is in a slot of the engine: the slot is in `side`, the version in
    `trade_id` (0: none). No bar takes notice of it."""


class Side(IntEnum):
    """Who was the aggressor of a trade."""

    SELLER = -1
    UNKNOWN = 0
    BUYER = 1


DTYPE = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("received_ns", "<i8"),
        ("trade_id", "<i8"),
        ("price", "<f8"),
        ("size", "<f8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("kind", "<i1"),
        ("side", "<i1"),
        ("reserved", "<i2"),
        ("reserved2", "<i4"),
    ]
)
"""One tick: 74 bytes of columns, little endian, and 6 to the next multiple of 8. The latter are fields
that are always 0, because NumPy leaves unnamed padding undefined when it copies."""

COLUMNS: tuple[str, ...] = tuple(name for name in DTYPE.names or () if not name.startswith("reserved"))
_RECORD = struct.Struct("<qqqddddddbb6x")


_MISSING: dict[str, Any] = {
    "ts_ns": 0,
    "received_ns": 0,
    "trade_id": NO_ID,
    "price": NAN,
    "size": NAN,
    "bid": NAN,
    "ask": NAN,
    "bid_size": NAN,
    "ask_size": NAN,
    "kind": int(Kind.TRADE),
    "side": int(Side.UNKNOWN),
}


@dataclass(frozen=True, slots=True, eq=False)
class Ticks:
    """A batch of n events in order of arrival: `records` has shape (n,) and dtype `DTYPE`."""

    records: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Ticks:
        """The chosen rows: a slice is a view, a mask or an index array is a copy."""
        return Ticks(self.records[rows])

    @property
    def ts_ns(self) -> NDArray[np.int64]:
        """Event time by the venue's clock, ns since 1970 UTC."""
        return self.records["ts_ns"]

    @property
    def received_ns(self) -> NDArray[np.int64]:
        """Time of receipt by our clock, ns since 1970 UTC."""
        return self.records["received_ns"]

    @property
    def trade_id(self) -> NDArray[np.int64]:
        """The venue's id of a trade, -1 where there is none. Of a swap: the version."""
        return self.records["trade_id"]

    @property
    def price(self) -> NDArray[np.float64]:
        """Price of a trade: the float64 nearest to the decimal on the wire."""
        return self.records["price"]

    @property
    def size(self) -> NDArray[np.float64]:
        """Size of a trade, in units of the base asset or shares."""
        return self.records["size"]

    @property
    def side(self) -> NDArray[np.int8]:
        """Aggressor of a trade, see `Side`. Of a swap: the slot."""
        return self.records["side"]

    @property
    def kind(self) -> NDArray[np.int8]:
        """What each event is, see `Kind`."""
        return self.records["kind"]

    @property
    def bid(self) -> NDArray[np.float64]:
        """Best bid of a quote."""
        return self.records["bid"]

    @property
    def ask(self) -> NDArray[np.float64]:
        """Best ask of a quote."""
        return self.records["ask"]

    @property
    def bid_size(self) -> NDArray[np.float64]:
        """Size at the best bid."""
        return self.records["bid_size"]

    @property
    def ask_size(self) -> NDArray[np.float64]:
        """Size at the best ask."""
        return self.records["ask_size"]

    @classmethod
    def from_columns(cls, n: int, **columns: Any) -> Ticks:
        """A batch of n events from the columns at hand; those left out are missing.

        Raises DataError for an unknown column or one of another length.
        """
        unknown = set(columns) - set(COLUMNS)
        if unknown:
            raise DataError(f"unknown tick columns {sorted(unknown)}", fix=f"known are {list(COLUMNS)}")
        records = np.zeros(n, dtype=DTYPE)
        for name in COLUMNS:
            column = np.asarray(columns.get(name, _MISSING[name]))
            if column.ndim and column.shape != (n,):
                raise DataError(f"tick column {name!r} has shape {column.shape}, not ({n},)")
            records[name] = column
        return cls(records)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Ticks:
        """The batch that `to_bytes` wrote.

        Raises DataError when the length is not a whole number of records.
        """
        if len(data) % DTYPE.itemsize:
            raise DataError(f"{len(data)} bytes are not a whole number of {DTYPE.itemsize}-byte ticks")
        return cls(np.frombuffer(data, dtype=DTYPE).copy())

    def to_bytes(self) -> bytes:
        """The batch as fixed records: exact, and the same on every machine."""
        return self.records.tobytes()

    @staticmethod
    def concat(batches: Sequence[Ticks]) -> Ticks:
        """One batch from several, in the order given."""
        if len(batches) == 1:
            return batches[0]
        return Ticks(np.concatenate([np.zeros(0, dtype=DTYPE), *(b.records for b in batches)]))


class TickBuffer:
    """Collects single events and hands them over as one batch.

    Used by whoever turns messages into ticks. Appending packs one record into a growing byte
    buffer, several times cheaper than writing eleven NumPy scalars; `take` cuts it into columns.
    """

    __slots__ = ("_buffer", "_capacity", "_count")

    def __init__(self, capacity: int = 1024) -> None:
        self._buffer = bytearray(capacity * _RECORD.size)
        self._capacity = capacity
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def trade(
        self, ts_ns: int, received_ns: int, trade_id: int, price: float, size: float, side: int
    ) -> None:
        """Append a trade; `side` is the aggressor's (+1 buyer, -1 seller, 0 unknown)."""
        self._append(ts_ns, received_ns, trade_id, price, size, NAN, NAN, NAN, NAN, 0, side)

    def quote(
        self, ts_ns: int, received_ns: int, bid: float, ask: float, bid_size: float, ask_size: float
    ) -> None:
        """Append a change of the best bid and ask."""
        self._append(ts_ns, received_ns, NO_ID, NAN, NAN, bid, ask, bid_size, ask_size, 1, 0)

    def heartbeat(self, ts_ns: int, received_ns: int) -> None:
        """Append "the venue's clock has reached ts_ns"."""
        self._append(ts_ns, received_ns, NO_ID, NAN, NAN, NAN, NAN, NAN, NAN, 2, 0)

    def gap(self, ts_ns: int, received_ns: int) -> None:
        """Append "events before ts_ns were lost for good"."""
        self._append(ts_ns, received_ns, NO_ID, NAN, NAN, NAN, NAN, NAN, NAN, 3, 0)

    def swap(self, ts_ns: int, received_ns: int, slot: int, version: int) -> None:
        """Append "from here on this version of a model is in this slot", 0 for none."""
        self._append(ts_ns, received_ns, version, NAN, NAN, NAN, NAN, NAN, NAN, 4, slot)

    def take(self) -> Ticks:
        """All events so far as one batch; the buffer is empty afterwards."""
        batch = Ticks.from_bytes(memoryview(self._buffer)[: self._count * _RECORD.size])
        self._count = 0
        return batch

    def put_back(self, batch: Ticks) -> None:
        """Undo `take`: the batch comes out first again, before what has been appended since."""
        data = batch.to_bytes() + self._buffer[: self._count * _RECORD.size]
        self._count += len(batch)
        self._capacity = max(self._capacity, self._count)
        self._buffer = bytearray(data.ljust(self._capacity * _RECORD.size, b"\0"))

    def _append(self, *values: Any) -> None:
        if self._count == self._capacity:
            self._buffer.extend(bytes(len(self._buffer)))
            self._capacity *= 2
        _RECORD.pack_into(self._buffer, self._count * _RECORD.size, *values)
        self._count += 1


def in_time_order(batches: Iterable[Ticks]) -> Ticks:
    """One batch sorted by venue time; events of one instant keep the order they came in."""
    joined = Ticks.concat(list(batches))
    return joined[np.argsort(joined.ts_ns, kind="stable")]
