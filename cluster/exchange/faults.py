"""Faults in the messages: which trades are dropped, doubled, swapped, held back or spoilt.

A trade that goes wrong here has still been published: REST serves it. A fault acts on a row, so on
the trade's `@trade` message and on the `@aggTrade` message that the trade completes.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cluster.exchange.bulletin import Bulletin, Spoiling
from features.errors import ConfigError
from features.ticks import Kind

_IDS_KEPT = 10_000


class FaultKind(Enum):
    """What can go wrong on command."""

    DROP = "drop"
    """`count` trades are not sent."""
    DUPLICATE = "duplicate"
    """`count` trades are sent twice in a row."""
    REORDER = "reorder"
    """`count` times a trade is sent after the symbol's next one."""
    MALFORMED = "malformed"
    """`count` trades are sent as text that breaks off."""
    GARBLE = "garble"
    """`count` trades are sent as JSON whose price and size are no numbers."""
    STALL = "stall"
    """Nothing is sent for `seconds`; then all that was held back, in order."""
    DROP_CONNECTION = "drop_connection"
    """`count` connections are cut without a close frame, the oldest first."""
    SHUTDOWN_NOTICE = "shutdown_notice"
    """All connections get the notice and are closed after `seconds`."""
    REFUSE_CONNECTIONS = "refuse_connections"
    """New connections are answered with 503 for `seconds`."""
    REST_DOWN = "rest_down"
    """REST answers 503 for `seconds`."""


PER_TRADE = (
    FaultKind.DROP,
    FaultKind.DUPLICATE,
    FaultKind.REORDER,
    FaultKind.MALFORMED,
    FaultKind.GARBLE,
)
TIMED = (FaultKind.STALL, FaultKind.SHUTDOWN_NOTICE, FaultKind.REFUSE_CONNECTIONS, FaultKind.REST_DOWN)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault. `symbol` limits it to a symbol where that makes sense; empty means any."""

    kind: FaultKind
    count: int = 1
    symbol: str = ""
    seconds: float = 5.0

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> FaultSpec:
        """From the JSON of a command: kind, and optionally count, symbol, seconds. Raises ConfigError."""
        unknown = sorted(set(fields) - {"kind", "count", "symbol", "seconds"})
        if unknown:
            raise ConfigError(f"unknown fields {unknown}", fix="known are kind, count, symbol, seconds")
        try:
            kind = FaultKind(fields.get("kind"))
        except ValueError:
            known = ", ".join(kind.value for kind in FaultKind)
            raise ConfigError(f"unknown fault {fields.get('kind')!r}", fix=f"use one of: {known}") from None
        count, seconds, symbol = fields.get("count", 1), fields.get("seconds", 5.0), fields.get("symbol")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ConfigError(f"count {count!r} can't be used", fix="give a whole number above zero")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise ConfigError(f"seconds {seconds!r} can't be used", fix="give a number above zero")
        if symbol is not None and not isinstance(symbol, str):
            raise ConfigError(f"symbol {symbol!r} is not a text", fix="leave it out for any symbol")
        return cls(kind, count, symbol or "", float(seconds))


class FaultLedger:
    """What has been done wrong: counts per kind and symbol, and the ids of the trades concerned."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[FaultKind, str]] = Counter()
        self._ids: dict[tuple[FaultKind, str], deque[int]] = {}

    def record(self, kind: FaultKind, symbol: str = "", trade_id: int | None = None, count: int = 1) -> None:
        """Count a fault that has just happened. The newest 10,000 ids are kept per kind and symbol."""
        self._counts[kind, symbol] += count
        if trade_id is not None:
            self._ids.setdefault((kind, symbol), deque(maxlen=_IDS_KEPT)).append(trade_id)

    def count(self, kind: FaultKind) -> int:
        """How often a fault has happened, over all symbols."""
        return sum(count for (other, _), count in self._counts.items() if other is kind)

    def report(self) -> list[dict[str, Any]]:
        """One entry per kind and symbol: kind, symbol, count, trade_ids."""
        return [
            {
                "kind": kind.value,
                "symbol": symbol,
                "count": count,
                "trade_ids": list(self._ids.get((kind, symbol), ())),
            }
            for (kind, symbol), count in self._counts.items()
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """What to send of a bulletin: its rows in this order, or all of them in theirs (None)."""

    bulletin: Bulletin
    rows: list[int] | None = None


@dataclass(slots=True)
class _Armed:
    """A fault that waits for trades."""

    kind: FaultKind
    symbol: int | None
    left: int


class MessageFaults:
    """Turns each bulletin into deliveries, with the faults that are armed. Time is an argument."""

    def __init__(self, symbols: list[str], ledger: FaultLedger) -> None:
        self._symbols = symbols
        self._ledger = ledger
        self._armed: list[_Armed] = []
        self._late: dict[int, tuple[Bulletin, int]] = {}
        self._stalled_until: dict[int | None, float] = {}
        self._held: list[tuple[Bulletin, int]] = []

    def arm(self, spec: FaultSpec, now_s: float) -> None:
        """Let a fault act on the next trades (or, a stall, on the next seconds)."""
        symbol = self._symbols.index(spec.symbol) if spec.symbol else None
        if spec.kind is FaultKind.STALL:
            self._stalled_until[symbol] = max(self._stalled_until.get(symbol, 0.0), now_s + spec.seconds)
            self._ledger.record(FaultKind.STALL, spec.symbol)
        else:
            self._armed.append(_Armed(spec.kind, symbol, spec.count))

    @property
    def stall_ends_s(self) -> float | None:
        """When the next stall ends, None if there is none."""
        return min(self._stalled_until.values(), default=None)

    def waiting(self) -> list[dict[str, Any]]:
        """The faults that are not carried out yet: kind, symbol ("" for any) and count of trades to come.

        A reordered trade waits until it is sent.
        """
        counts: Counter[tuple[FaultKind, str]] = Counter()
        for armed in self._armed:
            counts[armed.kind, "" if armed.symbol is None else self._symbols[armed.symbol]] += armed.left
        for symbol in self._late:
            counts[FaultKind.REORDER, self._symbols[symbol]] += 1
        return [
            {"kind": kind.value, "symbol": symbol, "count": count} for (kind, symbol), count in counts.items()
        ]

    def apply(self, bulletin: Bulletin) -> list[Delivery]:
        """What to send now. Call `release` first."""
        if not (self._armed or self._stalled_until or self._late):
            return [Delivery(bulletin)]
        out: list[tuple[Bulletin, int]] = []
        ticks = bulletin.events.ticks
        columns = (bulletin.events.symbol.tolist(), ticks.kind.tolist(), ticks.trade_id.tolist())
        for row, (symbol, kind, trade_id) in enumerate(zip(*columns, strict=True)):
            trade = kind == Kind.TRADE
            sent = self._trade(bulletin, row, symbol, trade_id) if trade else [(bulletin, row)]
            stalled = None in self._stalled_until or symbol in self._stalled_until
            (self._held if stalled else out).extend(sent)
        return _grouped(out)

    def release(self, now_s: float) -> list[Delivery]:
        """What was held back by stalls that are over."""
        over = [symbol for symbol, until in self._stalled_until.items() if until <= now_s]
        if not over:
            return []
        for symbol in over:
            del self._stalled_until[symbol]
        held, self._held = self._held, []
        out: list[tuple[Bulletin, int]] = []
        for bulletin, row in held:
            symbol = int(bulletin.events.symbol[row])
            stalled = None in self._stalled_until or symbol in self._stalled_until
            (self._held if stalled else out).append((bulletin, row))
        return _grouped(out)

    def flush(self) -> list[Delivery]:
        """The trades that still wait for a next one to be swapped with; called when there is none."""
        late = list(self._late.values())
        self._late.clear()
        return _grouped(late)

    def _trade(self, bulletin: Bulletin, row: int, symbol: int, trade_id: int) -> list[tuple[Bulletin, int]]:
        """What is sent for one trade, in order."""
        fault = self._take(symbol)
        if fault:
            self._ledger.record(fault, self._symbols[symbol], trade_id)
        this = (bulletin, row)
        match fault:
            case FaultKind.DROP:
                return []
            case FaultKind.REORDER:
                self._late[symbol] = this
                return []
            case FaultKind.DUPLICATE:
                sent = [this, this]
            case FaultKind.MALFORMED | FaultKind.GARBLE:
                bulletin.spoil(row, Spoiling(fault.value))
                sent = [this]
            case _:
                sent = [this]
        if symbol in self._late:
            sent.append(self._late.pop(symbol))
        return sent

    def _take(self, symbol: int) -> FaultKind | None:
        """The first armed fault that concerns the symbol; it has one trade less to act on."""
        for armed in self._armed:
            if armed.symbol not in (None, symbol):
                continue
            if armed.kind is FaultKind.REORDER and symbol in self._late:
                continue
            armed.left -= 1
            if not armed.left:
                self._armed.remove(armed)
            return armed.kind
        return None


def _grouped(rows: list[tuple[Bulletin, int]]) -> list[Delivery]:
    """Neighbours of one bulletin as one delivery."""
    out: list[Delivery] = []
    for bulletin, row in rows:
        if out and out[-1].bulletin is bulletin and out[-1].rows is not None:
            out[-1].rows.append(row)
        else:
            out.append(Delivery(bulletin, [row]))
    return out
