"""Reading Binance's messages: one typed decode for the common ones, a closer look at the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from cluster.venues.base import (
    Ack,
    Event,
    Ignored,
    Malformed,
    Quote,
    Refusal,
    Shutdown,
    Trade,
    Unknown,
    excerpt,
)
from cluster.venues.numbers import decimal, positive_decimal
from features.ticks import NAN, Side

_BUYER, _SELLER, _UNKNOWN = int(Side.BUYER), int(Side.SELLER), int(Side.UNKNOWN)
_LARGEST = 2**63 - 1
_MICROSECONDS_FROM = 10**14
"""Times from here on are in microseconds (as such, 1973); below, in milliseconds (as such, year 5138)."""
_STREAM_NAME_ENDS = 96
"""A combined payload names its stream within this many bytes; if not, the slow path reads it."""
_WHAT_LENGTH = 60
_REASON_LENGTH = 200
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

_Id = Annotated[int, Meta(ge=0, le=_LARGEST)]
_Time = Annotated[int, Meta(gt=0, le=_LARGEST // 1000)]
_Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
_Payload = TypeVar("_Payload")

_IGNORED_EVENTS = frozenset(
    {
        "depthUpdate",
        "kline",
        "24hrTicker",
        "24hrMiniTicker",
        "1hTicker",
        "4hTicker",
        "1dTicker",
        "avgPrice",
        "blockTrade",  # since 2026-05-12; not part of @trade
    }
)


class _TradeMessage(msgspec.Struct):
    """`@trade`. Messages before 2024-06 also hold the order ids `b` and `a`; they are skipped."""

    e: Literal["trade"]
    s: _Symbol
    t: _Id
    p: str
    q: str
    T: _Time
    m: bool | None


class _AggregateMessage(msgspec.Struct):
    """`@aggTrade`."""

    e: Literal["aggTrade"]
    s: _Symbol
    a: _Id
    p: str
    q: str
    T: _Time
    m: bool | None


class _QuoteMessage(msgspec.Struct):
    """`@bookTicker`: no event name and no time."""

    u: _Id
    s: _Symbol
    b: str
    B: str
    a: str
    A: str


class _ShutdownMessage(msgspec.Struct):
    E: _Time


class _Combined(msgspec.Struct, Generic[_Payload]):
    stream: str
    data: _Payload


class TradeRow(msgspec.Struct):
    """A row of REST historicalTrades."""

    id: _Id
    price: str
    qty: str
    time: _Time
    isBuyerMaker: bool | None


class AggregateRow(msgspec.Struct):
    """A row of REST aggTrades."""

    a: _Id
    p: str
    q: str
    T: _Time
    m: bool | None


def trade_of_row(row: TradeRow | AggregateRow, symbol: str, received_ns: int) -> Trade:
    """The trade in a REST row. Raises ValueError for a price or size that isn't one."""
    if isinstance(row, AggregateRow):
        return _trade(symbol, row.T, received_ns, row.a, row.p, row.q, row.m)
    return _trade(symbol, row.time, received_ns, row.id, row.price, row.qty, row.isBuyerMaker)


class MessageReader:
    """Turns each frame into one event, for one choice of streams."""

    def __init__(self, trade_stream: str, quotes: bool) -> None:
        self._trade_stream = trade_stream
        self._quotes = quotes
        self._trade_mark = f'@{trade_stream}"'.encode()
        aggregated = trade_stream == "aggTrade"
        self._trade_type: type[Any] = _AggregateMessage if aggregated else _TradeMessage
        self._trade_event: Callable[[Any, int], Trade] = _aggregate_event if aggregated else _trade_event
        combined = _Combined[self._trade_type]  # type: ignore[name-defined]
        self._decode_trade = msgspec.json.Decoder(combined).decode
        self._decode_quote = msgspec.json.Decoder(_Combined[_QuoteMessage]).decode
        self._decode_any = msgspec.json.Decoder().decode

    def read(self, raw: bytes | str, received_ns: int) -> Event:
        """The event in one frame. Never raises.

        The stream name near the front only picks the decoder that is tried first; that decoder
        checks everything it uses, and whatever it refuses is read again by `_classify`, which
        finds out what it is.
        """
        try:
            data = raw.encode() if isinstance(raw, str) else raw
            if data.find(self._trade_mark, 0, _STREAM_NAME_ENDS) > 0:
                return self._trade_event(self._decode_trade(data).data, received_ns)
            if self._quotes and data.find(b'@bookTicker"', 0, _STREAM_NAME_ENDS) > 0:
                return _quote_event(self._decode_quote(data).data, received_ns)
        except _UNREADABLE:
            pass
        try:
            return self._classify(self._decode_any(raw), raw, received_ns)
        except _UNREADABLE as error:
            return Malformed(str(error)[:_REASON_LENGTH], excerpt(raw))

    def _classify(self, message: Any, raw: bytes | str, received_ns: int) -> Event:
        stream, payload = "", message
        if isinstance(message, dict):
            if "stream" in message and "data" in message:
                stream, payload = str(message["stream"]), message["data"]
            elif (answer := _answer(message)) is not None:
                return answer
        if isinstance(payload, dict):
            return self._event(payload, stream, raw, received_ns)
        if isinstance(payload, list) and payload:
            kinds = {str(item.get("e")) if isinstance(item, dict) else "" for item in payload}
            if kinds <= _IGNORED_EVENTS:
                return Ignored("+".join(sorted(kinds)))
        return Unknown(_name(stream or f"JSON {type(payload).__name__}"), excerpt(raw))

    def _event(self, payload: dict[str, Any], stream: str, raw: bytes | str, received_ns: int) -> Event:
        kind = payload.get("e")
        if kind == self._trade_stream:
            return self._trade_event(msgspec.convert(payload, self._trade_type), received_ns)
        if kind in ("trade", "aggTrade"):
            return Ignored(kind)
        if kind == "serverShutdown" or stream == "!serverShutdown":
            return Shutdown(_nanoseconds(msgspec.convert(payload, _ShutdownMessage).E))
        if isinstance(kind, str):
            return Ignored(kind) if kind in _IGNORED_EVENTS else Unknown(_name(kind), excerpt(raw))
        if kind is None and "lastUpdateId" in payload:
            return Ignored("depthSnapshot")
        if kind is None and ({"u", "B", "A"} <= payload.keys() or stream.endswith("@bookTicker")):
            if stream == "!bookTicker" or not self._quotes:
                return Ignored("bookTicker")
            return _quote_event(msgspec.convert(payload, _QuoteMessage), received_ns)
        return Unknown(_name(stream or ",".join(payload)), excerpt(raw))


def _answer(message: dict[str, Any]) -> Ack | Refusal | None:
    """The answer to a command, in both shapes of an error that have been seen; None if it is none."""
    number = message.get("id")
    request_id = number if isinstance(number, int | str) and not isinstance(number, bool) else None
    refused = message.get("error", message)
    if isinstance(refused, dict) and "code" in refused and "msg" in refused:
        code = refused["code"]
        shown = code if isinstance(code, int | str) else None
        return Refusal(shown, str(refused["msg"])[:_REASON_LENGTH], request_id)
    if "result" in message and "id" in message:
        result = message["result"]
        streams = tuple(s for s in result if isinstance(s, str)) if isinstance(result, list) else ()
        return Ack(request_id, streams)
    return None


def _trade_event(message: _TradeMessage, received_ns: int) -> Trade:
    return _trade(message.s, message.T, received_ns, message.t, message.p, message.q, message.m)


def _aggregate_event(message: _AggregateMessage, received_ns: int) -> Trade:
    return _trade(message.s, message.T, received_ns, message.a, message.p, message.q, message.m)


def _trade(
    symbol: str, time: int, received_ns: int, number: int, price: str, size: str, buyer_is_maker: bool | None
) -> Trade:
    side = _UNKNOWN if buyer_is_maker is None else _SELLER if buyer_is_maker else _BUYER
    return Trade(
        symbol, _nanoseconds(time), received_ns, number, positive_decimal(price), decimal(size), side
    )


def _quote_event(message: _QuoteMessage, received_ns: int) -> Quote:
    bid, ask = decimal(message.b), decimal(message.a)
    bid_size, ask_size = decimal(message.B), decimal(message.A)
    if bid == 0.0:  # an empty side of the book
        bid = bid_size = NAN
    if ask == 0.0:
        ask = ask_size = NAN
    return Quote(message.s, received_ns, received_ns, bid, ask, bid_size, ask_size)


def _nanoseconds(time: int) -> int:
    found = time * 1_000 if time >= _MICROSECONDS_FROM else time * 1_000_000
    if found > _LARGEST:
        raise ValueError(f"time {time} is beyond the year 2262")
    return found


def _name(what: str) -> str:
    return what[:_WHAT_LENGTH]
