"""A stretch of published events, turned into frames when somebody wants them.

Each (symbol, channel, dialect) is encoded at most once, however many connections take it, and not
at all if nobody does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from cluster.exchange import wire
from cluster.exchange.history import Aggregates
from cluster.exchange.source import Events, Instrument
from cluster.exchange.wire import Dialect
from features.ticks import Kind


class Channel(Enum):
    """What a stream carries; the value is the part of its name after the symbol."""

    TRADE = "@trade"
    AGGREGATE = "@aggTrade"
    BOOK_TICKER = "@bookTicker"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that has data: the number of its symbol, and its channel."""

    symbol: int
    channel: Channel


class Spoiling(Enum):
    """How a message is spoilt on purpose."""

    MALFORMED = "malformed"
    """The text breaks off: it is no JSON."""
    GARBLE = "garble"
    """Well-formed JSON whose decimals are no numbers."""


class Bulletin:
    """n events with consecutive book update ids from `first_update_id`.

    `aggregates` gives, per symbol number, the aggregate trades made from its trades here.
    """

    def __init__(
        self,
        events: Events,
        aggregates: Mapping[int, Aggregates],
        instruments: Sequence[Instrument],
        first_update_id: int = 1,
    ) -> None:
        self.events = events
        self._aggregates = aggregates
        self._instruments = instruments
        self._first_update_id = first_update_id
        self._spoilt: dict[int, Spoiling] = {}
        self._rows: dict[tuple[int, Kind], NDArray[np.int64]] = {}
        self._frames: dict[tuple[Stream, Dialect], tuple[list[int], list[str]]] = {}
        self._joined: dict[tuple[frozenset[Stream], Dialect], bytes] = {}

    def __len__(self) -> int:
        return len(self.events)

    def spoil(self, row: int, how: Spoiling) -> None:
        """Send the messages of one row spoilt. Call before anything is encoded."""
        self._spoilt[row] = how

    def data(self, streams: frozenset[Stream], dialect: Dialect) -> bytes:
        """The frames of these streams in the order of events."""
        key = (streams, dialect)
        data = self._joined.get(key)
        if data is None:
            if len(streams) == 1:
                (stream,) = streams
                text = "".join(self._encoded(stream, dialect)[1])
            else:
                text = "".join(self._slots(streams, dialect))
            data = self._joined[key] = text.encode("latin-1")
        return data

    def data_of(self, rows: Sequence[int], streams: frozenset[Stream], dialect: Dialect) -> bytes:
        """The frames of these streams for chosen rows, in the order of `rows`."""
        slots = self._slots(streams, dialect)
        return "".join([slots[row] for row in rows]).encode("latin-1")

    def rows(self, symbol: int, kind: Kind) -> NDArray[np.int64]:
        """Where the events of a symbol and kind are."""
        key = (symbol, kind)
        found = self._rows.get(key)
        if found is None:
            events = self.events
            found = np.flatnonzero((events.symbol == symbol) & (events.ticks.kind == int(kind)))
            self._rows[key] = found
        return found

    def _slots(self, streams: frozenset[Stream], dialect: Dialect) -> list[str]:
        """One text per row: all frames that the row gives."""
        slots = [""] * len(self)
        for stream in sorted(streams, key=lambda s: (s.symbol, s.channel.value)):
            for row, text in zip(*self._encoded(stream, dialect), strict=True):
                slots[row] += text
        return slots

    def _encoded(self, stream: Stream, dialect: Dialect) -> tuple[list[int], list[str]]:
        """Rows and frames of one stream."""
        key = (stream, dialect)
        encoded = self._frames.get(key)
        if encoded is None:
            rows, texts = self._texts(stream, dialect)
            if self._spoilt:
                texts = [_spoilt(text, self._spoilt.get(row)) for row, text in zip(rows, texts, strict=True)]
            encoded = self._frames[key] = (rows, list(map(wire.frame, texts)))
        return encoded

    def _texts(self, stream: Stream, dialect: Dialect) -> tuple[list[int], list[str]]:
        instrument = self._instruments[stream.symbol]
        quotes = stream.channel is Channel.BOOK_TICKER
        rows = self.rows(stream.symbol, Kind.QUOTE if quotes else Kind.TRADE)
        if quotes:
            update_ids = (rows + self._first_update_id).tolist()
            texts = wire.quote_texts(instrument.symbol, self.events.ticks[rows], update_ids)
        elif stream.channel is Channel.TRADE:
            texts = wire.trade_texts(instrument.symbol, self.events.ticks[rows], dialect.unit_ns)
        elif stream.symbol in self._aggregates:
            made = self._aggregates[stream.symbol]
            rows = rows[made.row]
            texts = wire.aggregate_texts(instrument.symbol, made, dialect.unit_ns)
        else:
            texts = []
        if dialect.combined:
            texts = wire.wrap(instrument.stream_symbol + stream.channel.value, texts)
        return rows.tolist(), texts


def _spoilt(text: str, how: Spoiling | None) -> str:
    if how is None:
        return text
    if how is Spoiling.MALFORMED:
        return text[: len(text) * 2 // 3]
    return text.replace('"p":"', '"p":"?').replace('"q":"', '"q":"?')
