"""Bars: ticks gathered by time, count, volume or dollars.

    spec = BarSpec.parse("time:1s")
    builder = BarBuilder(spec)
    bars = builder.update(ticks)        # the bars that these ticks closed, maybe none

Rules, the same live and in history:

- A time bar covers [start, end), aligned to multiples of the interval since 1970 UTC. It closes on
  the first event at or past its end: a trade, a quote or a heartbeat. An event bar (tick, volume,
  dollar) closes with the trade that reaches its threshold; a trade is never split over two bars.
- An interval without events gives a forward-filled bar: all prices are the last close, all flows 0,
  `filled` is 1. After `max_fill` such bars in a row the session ends and no more are made; the next
  price opens a new session. Event bars end a session when events are further apart than
  `session_gap_ns`. A gap event ends it at once, after closing the bar that was open.
- A trade's venue time decides its bar. A trade that comes after its bar has closed is `late`: closed
  bars never change, so its size, count and side enter the open bar, its price enters nothing. A trade
  older than the one that set the close, but of the open bar, is `out_of_order`: it may widen high and
  low, it never moves the close. Time bars tell the two apart by the start of the open bar, event bars
  by the trade that set the close of the bar before. Both are judged within a session; the price that
  opens one is never either.
- A quote always becomes the book, whenever it comes: it is the venue's newest word. A crossed book
  gives no mid. A side that is missing, zero or not finite leaves that side as it was. Quotes before a
  session's first price count for no bar. Where the mid is the price, a quote's mid is late or out of
  order like a trade's price.
- A trade whose price is not above zero, or whose size is negative, or that has either not finite, is
  `rejected`: it changes nothing and closes nothing. Prices below 1e-100 count as zero, prices and
  sizes from 1e100 as not finite. A trade of size zero is a price without flow.
- A trade without aggressor side gets one by the quote rule, else by the tick rule: the sign of the
  last change of price (Lee & Ready 1991, "Inferring trade direction from intraday data", Journal of
  Finance 46). One that is late or out of order gets none: the book of its moment is gone.
- A gap and the end of a session forget price, book and sides.
- The reference price is the mid of the book where there is an uncrossed one, else the last price.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import durations, state
from features.errors import DataError, SpecError
from features.kernels import bars as kernel
from features.ticks import NO_ID, Kind, Ticks

BAR_COLUMNS: tuple[str, ...] = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "buy_volume",
    "sell_volume",
    "trades",
    "buys",
    "sells",
    "vwap",
    "realised_variance",
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "reference",
    "last_side",
    "last_buy",
    "last_sell",
    "quotes",
    "filled",
)
"""Rows of `Bars.values`. `buy_`/`sell_` are by aggressor; `realised_variance` is the sum of squared log
returns from price to price; `last_buy`/`last_sell` are the last prices a buyer/seller aggressed at,
`last_side` the last known aggressor; book columns are those at the close and NaN until known."""

_KINDS = {
    "time": kernel.TIME,
    "tick": kernel.TICK,
    "volume": kernel.VOLUME,
    "dollar": kernel.DOLLAR,
}
_COUNTERS = {
    "trades": kernel.C_TRADES,
    "quotes": kernel.C_QUOTES,
    "heartbeats": kernel.C_HEARTBEATS,
    "gaps": kernel.C_GAPS,
    "late": kernel.C_LATE,
    "out_of_order": kernel.C_OUT_OF_ORDER,
    "rejected": kernel.C_REJECTED,
    "crossed": kernel.C_CROSSED,
    "bars": kernel.C_BARS,
    "filled": kernel.C_FILLED,
}
_SNAPSHOT_VERSION = 1
_FIRST_ROOM, _MOST_ROOM = 64, 8192


@dataclass(frozen=True, slots=True)
class BarSpec:
    """How ticks become bars. `size` is ns for time bars, else trades, units or quote currency."""

    kind: str = "time"
    size: float = 1_000_000_000
    max_fill: int = 300
    """Forward-filled bars in a row before a session of time bars ends."""
    session_gap_ns: int = 1_800_000_000_000
    """Silence that ends a session of event bars."""
    price: str = "trade"
    """What moves the close: "trade", or "mid" for instruments that only quote."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise _unknown(self.kind)
        if not 0 < self.size < math.inf:
            raise SpecError(f"bar size {self.size} is not above zero and finite", "bars")
        if self.kind == "time" and self.size != int(self.size):
            raise SpecError(f"bar size {self.size} is not whole nanoseconds", "bars")
        # One form of equal numbers: 1 and 1.0 print differently, and the print is the identity.
        object.__setattr__(self, "size", float(self.size))
        if self.max_fill < 1:
            raise SpecError(f"max_fill {self.max_fill} is below 1", "bars.max_fill")
        if self.session_gap_ns < 1:
            raise SpecError(f"session_gap_ns {self.session_gap_ns} is below 1", "bars.session_gap_ns")
        if self.price not in ("trade", "mid"):
            raise SpecError(f"unknown bar price {self.price!r}", "bars.price", "use trade or mid")

    @classmethod
    def parse(cls, text: str, **more: Any) -> BarSpec:
        """Read "time:1s", "tick:100", "volume:50" or "dollar:1e6"."""
        kind, _, size = text.partition(":")
        if kind not in _KINDS:
            raise _unknown(kind)
        if kind == "time":
            return cls(kind, durations.parse_ns(size, "bars"), **more)
        try:
            number = float(size)
        except ValueError:
            raise SpecError(
                f"bar size {size!r} is not a number", "bars", f'write for example "{kind}:100"'
            ) from None
        return cls(kind, number, **more)

    @property
    def interval_ns(self) -> int:
        """Length of a time bar; 0 for event bars."""
        return int(self.size) if self.kind == "time" else 0

    @property
    def pace(self) -> str:
        """How long a bar is, as `parse` reads it: "time:1s", "tick:100"."""
        size = durations.text(self.interval_ns) if self.kind == "time" else f"{self.size:g}"
        return f"{self.kind}:{size}"

    def digest(self) -> str:
        """Identity of the rules: bars of equal digest are comparable."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """m closed bars in order: `times` int64 (5, m), `values` float64 (len(BAR_COLUMNS), m)."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.times.shape[1])

    def __getitem__(self, rows: slice) -> Bars:
        return Bars(self.times[:, rows], self.values[:, rows])

    @property
    def start_ns(self) -> NDArray[np.int64]:
        """Start of each bar, event time."""
        return self._time(0)

    @property
    def end_ns(self) -> NDArray[np.int64]:
        """End of each bar: the event time at which its values are known."""
        return self._time(1)

    @property
    def session(self) -> NDArray[np.int64]:
        """Number of the session; returns and windows never reach across sessions."""
        return self._time(2)

    @property
    def last_event_ns(self) -> NDArray[np.int64]:
        """Event time of the newest trade or quote that the bar, or one before it in its session, has seen."""
        return self._time(3)

    @property
    def last_trade_id(self) -> NDArray[np.int64]:
        """Id of the trade newest by event time that the bar, or one before it, has seen; -1: it had none."""
        return self._time(4)

    def _time(self, row: int) -> NDArray[np.int64]:
        times: NDArray[np.int64] = self.times[row]
        return times

    def column(self, name: str) -> NDArray[np.float64]:
        """One of `BAR_COLUMNS`, shape (m,)."""
        column: NDArray[np.float64] = self.values[BAR_COLUMNS.index(name)]
        return column

    @classmethod
    def from_columns(cls, start_ns: Any, end_ns: Any, **columns: Any) -> Bars:
        """Bars that somebody else built (daily or minute history); needs at least close.

        Missing open, high, low, vwap and reference are the close, missing flows are 0, the book is
        unknown. One session, unless `session` is given. Raises DataError for an unknown column, one of
        another length, or no close.
        """
        m = len(start_ns)
        given = {"end_ns": end_ns} | columns
        for name, column in given.items():
            if name not in (*BAR_COLUMNS, "end_ns", "session"):
                raise DataError(f"unknown bar column {name!r}", fix=f"known are {', '.join(BAR_COLUMNS)}")
            if np.ndim(column) and np.shape(column) != (m,):
                raise DataError(f"bar column {name!r} has shape {np.shape(column)}, not ({m},)")
        if "close" not in columns:
            raise DataError("bars have no column 'close'")
        times = np.zeros((kernel.N_TIMES, m), dtype=np.int64)
        times[0], times[1], times[3], times[4] = start_ns, end_ns, end_ns, NO_ID
        times[2] = columns.pop("session", 0)
        values = np.zeros((len(BAR_COLUMNS), m))
        for row, name in enumerate(BAR_COLUMNS):
            if name in columns:
                values[row] = columns[name]
            elif name in ("open", "high", "low", "vwap", "reference"):
                values[row] = columns["close"]
            elif name in ("bid", "ask", "bid_size", "ask_size", "last_buy", "last_sell"):
                values[row] = np.nan
        return cls(times, values)

    @staticmethod
    def concat(parts: list[Bars]) -> Bars:
        """One run of bars from several, in the order given."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Bars(np.zeros((kernel.N_TIMES, 0), np.int64), np.zeros((len(BAR_COLUMNS), 0)))
        return Bars(
            np.concatenate([p.times for p in parts], axis=1),
            np.concatenate([p.values for p in parts], axis=1),
        )


class BarBuilder:
    """Turns ticks into bars; the state is the open bar. Not for several threads."""

    def __init__(self, spec: BarSpec) -> None:
        self.spec = spec
        self._floats = np.full(kernel.N_FLOATS, np.nan)
        self._floats[kernel.LAST_SIDE] = 0.0
        self._ints = np.zeros(kernel.N_INTS, np.int64)
        self._ints[kernel.LAST_ID] = NO_ID
        self._ints[kernel.TRADE_TS] = kernel.NEVER
        self._allocate(_FIRST_ROOM)
        self._none = Bars.concat([])
        self._rules = (
            _KINDS[spec.kind],
            max(1, spec.interval_ns),
            float(spec.size),
            spec.max_fill,
            spec.session_gap_ns,
            spec.price == "mid",
        )

    def update(self, ticks: Ticks) -> Bars:
        """Feed a batch; returns copies of the bars it closed, oldest first. Swaps are passed over."""
        bars, at = self.advance(ticks, 0)
        while at < len(ticks):
            more, at = self.advance(ticks, at + 1)
            bars = Bars.concat([bars, more])
        return bars

    def advance(self, ticks: Ticks, at: int) -> tuple[Bars, int]:
        """Feed a batch from place `at` to its end, or up to the next swap, which is not fed.

        Returns copies of the bars that were closed, and the place of the swap, or the length of the batch.
        """
        parts: list[Bars] = []
        n = len(ticks)
        records = _plain(ticks.records)
        if n - at > len(self._times) < _MOST_ROOM:
            self._allocate(min(n - at, _MOST_ROOM))
        while True:
            at, made = kernel.build_bars(
                *self._rules, self._floats, self._ints, records, at, self._times, self._values
            )
            if made:
                # The kernel writes bar by bar; whoever reads bars reads column by column.
                parts.append(Bars(self._times[:made].T.copy(), self._values[:made].T.copy()))
            if at >= n or records[at]["kind"] == Kind.SWAP:
                return (Bars.concat(parts) if parts else self._none), at

    @property
    def counters(self) -> dict[str, int]:
        """Events and bars so far, by kind; what the rules above call late, rejected and so on."""
        return {name: int(self._ints[place]) for name, place in _COUNTERS.items()}

    @property
    def open_bar_end_ns(self) -> int | None:
        """When the open time bar ends; None before a session's first price and for event bars."""
        if self.spec.kind != "time" or not self._ints[kernel.STARTED]:
            return None
        return int(self._ints[kernel.BAR_END])

    @property
    def last_price(self) -> float:
        """Price of the newest trade (or mid), NaN before the first of a session."""
        return float(self._floats[kernel.LAST_PRICE])

    @property
    def last_event_ns(self) -> int:
        """Newest venue time of a trade or quote of the session; 0 before the first."""
        return int(self._ints[kernel.LAST_TS])

    def snapshot(self) -> bytes:
        """The whole state, to be restored by a builder of the same spec."""
        arrays = state.pack_arrays(floats=self._floats, ints=self._ints)
        return state.pack("bars", _SNAPSHOT_VERSION, self.spec.digest(), {"arrays": arrays})

    @classmethod
    def restore(cls, spec: BarSpec, data: bytes) -> BarBuilder:
        """The builder as it was. Raises SnapshotError for damaged, newer or other bars' data."""
        blocks = state.unpack("bars", _SNAPSHOT_VERSION, spec.digest(), data)
        arrays = state.unpack_arrays(blocks["arrays"])
        builder = cls(spec)
        builder._floats, builder._ints = arrays["floats"], arrays["ints"]
        return builder

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._floats.tobytes(), self._ints.tobytes())

    def _allocate(self, room: int) -> None:
        self._times = np.empty((room, kernel.N_TIMES), np.int64)
        self._values = np.empty((room, kernel.N_ROWS))


def _plain(records: NDArray[np.void]) -> NDArray[np.void]:
    """The records in the one layout that the kernel is compiled for; slices with a step are copied."""
    flags = records.flags
    return records if flags.c_contiguous and flags.writeable else records.copy()


def _unknown(kind: str) -> SpecError:
    return SpecError(f"unknown bar kind {kind!r}", "bars", f"use one of: {', '.join(_KINDS)}")
