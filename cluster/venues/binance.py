"""Binance spot: public trades and best quotes over the combined websocket stream.

Source: github binance/binance-spot-api-docs, web-socket-streams.md and rest-api.md (2026-07-21),
checked against recorded messages of 2019 to 2024. Facts and their marks are in docs/venues.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, ConfigDict

from cluster.errors import VenueError
from cluster.venues.base import Event, HttpRequest, Trade, TradeIds, Venue, VenueFacts, excerpt
from cluster.venues.binance_messages import AggregateRow, MessageReader, TradeRow, trade_of_row
from features.errors import ConfigError

_WEBSOCKET_BASE = "wss://stream.binance.com:9443"
_REST_BASE = "https://api.binance.com"
_MARKET_DATA_BASE = "https://data-api.binance.vision"  # has aggTrades, not historicalTrades
_STREAMS_PER_MESSAGE = 200
_BACKFILL_PAGE = 1000
_SEPARATORS = str.maketrans("", "", "/-_ ")


class BinanceSpec(BaseModel):
    """Which of Binance's streams to watch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trade_stream: Literal["trade", "aggTrade"] = "trade"
    """Every single trade, or the fills of one taker order at one price as one trade."""
    quotes: bool = True
    """Also watch the best bid and ask (bookTicker)."""
    microseconds: bool = False
    """Ask for times in microseconds instead of milliseconds. Both are always understood."""
    verbatim_symbols: bool = False
    """Take symbols as they are written. For the local exchange, which keeps the names of its files."""


class _ErrorBody(msgspec.Struct):
    code: int
    msg: str


class Binance(Venue):
    """Binance spot.

    Only one of the two trade streams is read: the other one, should it arrive, is ignored, since
    it tells of the same trades and would count them twice.

    With aggTrade the trade id is the aggregate id `a`: it is what counts up by one per message
    and what the REST backfill pages by. The ids of the single trades inside it (`f` to `l`) are
    of another series; a lake holds one series or the other, never both.
    """

    name = "binance"

    def __init__(self, spec: BinanceSpec | None = None) -> None:
        self.spec = spec or BinanceSpec()
        self._aggregated = self.spec.trade_stream == "aggTrade"
        self._suffixes = (self.spec.trade_stream, *(("bookTicker",) if self.spec.quotes else ()))
        self._facts = VenueFacts(
            websocket_base=_WEBSOCKET_BASE,
            rest_base=_MARKET_DATA_BASE if self._aggregated else _REST_BASE,
            subscribes_in_url=True,
            trade_ids=TradeIds.CONSECUTIVE,
            streams_per_connection=1024,
            connection_attempts=300,
            connection_attempts_window_s=300.0,
            sent_messages_per_s=5.0,
            backfill_page=_BACKFILL_PAGE,
            silence_limit_s=60.0,
            planned_lifetime_s=86_400.0,
        )
        reader = MessageReader(self.spec.trade_stream, self.spec.quotes)
        self._read = reader.read
        row = AggregateRow if self._aggregated else TradeRow
        self._decode_page = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
        self._decode_error = msgspec.json.Decoder(_ErrorBody).decode

    @property
    def facts(self) -> VenueFacts:
        """Limits, timing and addresses as Binance documents them."""
        return self._facts

    def normalise_symbol(self, symbol: str) -> str:
        """Upper case without separators: "btc/usdt", "btc-usdt" and "BTC_USDT" are "BTCUSDT"."""
        if self.spec.verbatim_symbols and symbol and symbol.isprintable() and " " not in symbol:
            return symbol
        plain = symbol.translate(_SEPARATORS).upper()
        if not plain.isalnum():
            raise ConfigError(f"{symbol!r} is not a symbol", self.name, 'write it like "BTCUSDT"')
        return plain

    def websocket_url(self, symbols: Sequence[str], base: str | None = None) -> str:
        """The combined stream of all symbols: every payload then names the stream it came from."""
        streams = self._streams(symbols)
        limit = self._facts.streams_per_connection
        if not streams:
            raise ConfigError("no symbols to watch", self.name, "name at least one symbol")
        if len(streams) > limit:
            raise ConfigError(
                f"{len(streams)} streams on one connection; the limit is {limit}",
                self.name,
                f"use at most {limit // len(self._suffixes)} symbols per feed",
            )
        url = f"{(base or _WEBSOCKET_BASE).rstrip('/')}/stream?streams="
        url += "/".join(quote(stream, safe="@") for stream in streams)
        return f"{url}&timeUnit=MICROSECOND" if self.spec.microseconds else url

    def subscribe(self, symbols: Sequence[str], request_id: int) -> tuple[str, ...]:
        """SUBSCRIBE commands of up to 200 streams. An unknown symbol is acknowledged and stays silent."""
        return self._commands("SUBSCRIBE", symbols, request_id)

    def unsubscribe(self, symbols: Sequence[str], request_id: int) -> tuple[str, ...]:
        """UNSUBSCRIBE commands for the same streams as `subscribe`."""
        return self._commands("UNSUBSCRIBE", symbols, request_id)

    def parse(self, raw: bytes | str, received_ns: int) -> tuple[Event, ...]:
        """One event per frame. bookTicker carries no time, so its `ts_ns` is `received_ns`."""
        return (self._read(raw, received_ns),)

    def backfill_request(
        self, symbol: str, first_id: int, limit: int | None = None, base: str | None = None
    ) -> HttpRequest:
        """historicalTrades (weight 25) or aggTrades (weight 4) from `first_id` on, no key needed."""
        limit = _BACKFILL_PAGE if limit is None else limit
        if not 1 <= limit <= _BACKFILL_PAGE:
            raise ConfigError(f"backfill limit is {limit}", self.name, f"use 1 to {_BACKFILL_PAGE}")
        path = "aggTrades" if self._aggregated else "historicalTrades"
        return HttpRequest(
            method="GET",
            url=f"{(base or self._facts.rest_base).rstrip('/')}/api/v3/{path}",
            params=(
                ("symbol", self.normalise_symbol(symbol)),
                ("fromId", str(first_id)),
                ("limit", str(limit)),
            ),
            headers=(("X-MBX-TIME-UNIT", "MICROSECOND"),) if self.spec.microseconds else (),
        )

    def parse_backfill(self, body: bytes, symbol: str, received_ns: int) -> tuple[Trade, ...]:
        """The trades of one page; the error body {"code": -1121, "msg": ...} raises VenueError."""
        symbol = self.normalise_symbol(symbol)
        try:
            return tuple(trade_of_row(row, symbol, received_ns) for row in self._decode_page(body))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._refusal(body, error) from error

    def _refusal(self, body: bytes, error: Exception) -> VenueError:
        try:
            refused = self._decode_error(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return VenueError(self.name, None, f"unreadable answer ({error}): {excerpt(body)}")
        return VenueError(self.name, refused.code, refused.msg)

    def _streams(self, symbols: Sequence[str]) -> list[str]:
        wire = dict.fromkeys(self.normalise_symbol(symbol).lower() for symbol in symbols)
        return [f"{symbol}@{suffix}" for symbol in wire for suffix in self._suffixes]

    def _commands(self, method: str, symbols: Sequence[str], request_id: int) -> tuple[str, ...]:
        streams = self._streams(symbols)
        chunks = (
            streams[start : start + _STREAMS_PER_MESSAGE]
            for start in range(0, len(streams), _STREAMS_PER_MESSAGE)
        )
        return tuple(
            msgspec.json.encode({"method": method, "params": chunk, "id": number}).decode()
            for number, chunk in enumerate(chunks, start=request_id)
        )
