"""The bytes on the wire: decimals, stream payloads and websocket frames.

Payloads follow binance-spot-api-docs `web-socket-streams.md`, with two extensions for data that the
venue never has: `"m": null` where the aggressor is unknown, and the text "NaN" for a size that a
recorded quote does not have.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from cluster.exchange.history import Aggregates
from features.ticks import Ticks

MILLISECOND_NS = 1_000_000
MICROSECOND_NS = 1_000

_IS_BUYER_MAKER = {1: "false", -1: "true", 0: "null"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one connection wants its messages: wrapped with the stream's name or not, and the time unit."""

    combined: bool = False
    unit_ns: int = MILLISECOND_NS


def decimal(value: float) -> str:
    """Shortest decimal text without an exponent that reads back as exactly this float64."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def buyer_is_maker(side: int) -> bool | None:
    """The venue's flag for an aggressor side: None where the side is unknown."""
    return None if side == 0 else side < 0


def trade_texts(symbol: str, trades: Ticks, unit_ns: int) -> list[str]:
    """The `@trade` payload of every trade."""
    name = json.dumps(symbol)
    return [
        f'{{"e":"trade","E":{time},"s":{name},"t":{trade_id},"p":"{price}","q":"{size}",'
        f'"T":{time},"m":{maker},"M":true}}'
        for time, trade_id, price, size, maker in zip(
            (trades.ts_ns // unit_ns).tolist(),
            trades.trade_id.tolist(),
            map(decimal, trades.price.tolist()),
            map(decimal, trades.size.tolist()),
            map(_IS_BUYER_MAKER.__getitem__, trades.side.tolist()),
            strict=True,
        )
    ]


def aggregate_texts(symbol: str, made: Aggregates, unit_ns: int) -> list[str]:
    """The `@aggTrade` payload of every aggregate trade."""
    name = json.dumps(symbol)
    return [
        f'{{"e":"aggTrade","E":{time},"s":{name},"a":{number},"p":"{price}","q":"{size}",'
        f'"f":{first},"l":{last},"T":{time},"m":{maker},"M":true}}'
        for time, number, price, size, first, last, maker in zip(
            (made.ts_ns // unit_ns).tolist(),
            made.aggregate_id.tolist(),
            map(decimal, made.price.tolist()),
            map(decimal, made.size.tolist()),
            made.first_id.tolist(),
            made.last_id.tolist(),
            map(_IS_BUYER_MAKER.__getitem__, made.side.tolist()),
            strict=True,
        )
    ]


def quote_texts(symbol: str, quotes: Ticks, update_ids: Iterable[int]) -> list[str]:
    """The `@bookTicker` payload of every quote."""
    name = json.dumps(symbol)
    return [
        f'{{"u":{update_id},"s":{name},"b":"{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}"}}'
        for update_id, bid, bid_size, ask, ask_size in zip(
            update_ids,
            map(decimal, quotes.bid.tolist()),
            map(_size, quotes.bid_size.tolist()),
            map(decimal, quotes.ask.tolist()),
            map(_size, quotes.ask_size.tolist()),
            strict=True,
        )
    ]


def wrap(stream: str, texts: list[str]) -> list[str]:
    """Payloads as the combined endpoint sends them: with the name of their stream."""
    head = f'{{"stream":{json.dumps(stream)},"data":'
    return [f"{head}{text}}}" for text in texts]


def shutdown_notice(ts_ns: int, dialect: Dialect) -> str:
    """The notice that this connection will be closed soon."""
    text = f'{{"e":"serverShutdown","E":{ts_ns // dialect.unit_ns}}}'
    return wrap("!serverShutdown", [text])[0] if dialect.combined else text


def frame(text: str) -> str:
    """An ASCII text as an unmasked websocket text frame (RFC 6455 section 5.2), as latin-1 text.

    Frames stay text so that any number of them can be joined and encoded in one go, which is what
    full speed needs.
    """
    length = len(text)
    if length < 126:
        return f"\x81{chr(length)}{text}"
    return f"\x81\x7e{chr(length >> 8)}{chr(length & 255)}{text}"


def _size(value: float) -> str:
    return decimal(value) if value == value else "NaN"
