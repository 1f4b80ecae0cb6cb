"""What every venue is to the rest of Tickcast: words, not wires.

A `Venue` knows one exchange's protocol and does nothing else: it says which address to open and
what to send, turns each received frame into events, and says how to ask for lost trades. It has
no socket and no clock, so that the live feed, the local exchange and the tests share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum
from typing import ClassVar, TypeAlias

import msgspec

EXCERPT_LENGTH = 120
"""How much of an unreadable message is kept, in characters."""


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade. `ts_ns` is the venue's time, `side` the aggressor's (`features.ticks.Side`)."""

    symbol: str
    ts_ns: int
    received_ns: int
    trade_id: int
    price: float
    size: float
    side: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask. An empty side of the book is NaN, never 0.

    `ts_ns` is the venue's time; where the venue sends none it is `received_ns`.
    """

    symbol: str
    ts_ns: int
    received_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class Ack(msgspec.Struct, frozen=True, gc=False):
    """The venue accepted a request; `subjects` are the streams it names, if it names any."""

    request_id: int | str | None
    subjects: tuple[str, ...] = ()


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The venue refused a request, in its own words."""

    code: int | str | None
    message: str
    request_id: int | str | None = None


class Shutdown(msgspec.Struct, frozen=True, gc=False):
    """The server will go down soon: open a second connection now. `ts_ns` is the venue's time."""

    ts_ns: int


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """The venue says that it is alive; `ts_ns` is its time, or our receive time if it sends none."""

    ts_ns: int
    received_ns: int


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A known message that Tickcast has no use for."""

    what: str


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """Not JSON, cut short, a field missing or of the wrong type, or a number that isn't one."""

    reason: str
    excerpt: str


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """Valid JSON of a kind that this version doesn't know."""

    what: str
    excerpt: str


class Connected(msgspec.Struct, frozen=True, gc=False):
    """Said by the feed, first on every connection: what follows came through a new connection.

    With no `Disconnected` since the last `Connected`, the connection before was still open when
    this one began: expect events twice, but no hole.
    """

    at_ns: int


class Disconnected(msgspec.Struct, frozen=True, gc=False):
    """Said by the feed, last on a connection that ended unasked: events may be missing from here on."""

    reason: str
    at_ns: int


Event: TypeAlias = (
    Trade
    | Quote
    | Ack
    | Refusal
    | Shutdown
    | Heartbeat
    | Ignored
    | Malformed
    | Unknown
    | Connected
    | Disconnected
)


class TradeIds(Enum):
    """What a venue's trade ids say about continuity."""

    CONSECUTIVE = "consecutive"
    """Each trade of a symbol has the id before plus one: a jump is a hole, and says how large."""
    UNIQUE = "unique"
    """Good for dropping duplicates; a jump means nothing."""
    NONE = "none"
    """No ids, or none that fit an integer: holes and duplicates can't be seen."""


class VenueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's documents promise and demand. Sources are in docs/venues.md."""

    websocket_base: str
    """Address that `websocket_url` starts from when no other is given."""
    rest_base: str
    """Address that `backfill_request` starts from when no other is given."""
    subscribes_in_url: bool
    """The address names the streams, so nothing has to be sent after the handshake."""
    trade_ids: TradeIds
    streams_per_connection: int
    connection_attempts: int
    """Connection attempts allowed per `connection_attempts_window_s`, for one IP address."""
    connection_attempts_window_s: float
    sent_messages_per_s: float
    """Messages that one connection may send; pings and pongs count."""
    backfill_page: int
    """The most trades that one backfill request may ask for."""
    silence_limit_s: float
    """No frame at all (pings count) for so long means that the connection is dead."""
    planned_lifetime_s: float | None
    """The venue cuts a connection of this age; None if it never does."""


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """A request to be sent by whoever owns the HTTP client and the rate limit."""

    method: str
    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Venue(ABC):
    """One exchange's protocol. Immutable, pure, and safe to share between feeds."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def facts(self) -> VenueFacts:
        """Limits, timing and addresses; constant for the life of the object."""

    @abstractmethod
    def normalise_symbol(self, symbol: str) -> str:
        """The symbol as the venue's messages write it: "btc/usdt" -> "BTCUSDT".

        Idempotent. Raises ConfigError for text that can't be a symbol of this venue.
        """

    @abstractmethod
    def websocket_url(self, symbols: Sequence[str], base: str | None = None) -> str:
        """The address to open for these symbols.

        Raises ConfigError for no symbols, or more than one connection may carry.
        """

    @abstractmethod
    def subscribe(self, symbols: Sequence[str], request_id: int) -> tuple[str, ...]:
        """The messages that subscribe an open connection; ids count up from `request_id`."""

    @abstractmethod
    def unsubscribe(self, symbols: Sequence[str], request_id: int) -> tuple[str, ...]:
        """The messages that undo `subscribe` of the same symbols."""

    @abstractmethod
    def parse(self, raw: bytes | str, received_ns: int) -> tuple[Event, ...]:
        """What one received frame says: at least one event, in the venue's order.

        Called for every frame. Never raises: what can't be read is `Malformed` or `Unknown`.
        """

    @abstractmethod
    def backfill_request(
        self, symbol: str, first_id: int, limit: int | None = None, base: str | None = None
    ) -> HttpRequest:
        """The request for up to `limit` trades from id `first_id` on, oldest first.

        A page shorter than `limit` (the venue's largest when None) is the last one.
        Raises ConfigError when the limit is outside 1 to `facts.backfill_page`.
        """

    def recent_request(
        self, symbol: str, since_ns: int, limit: int | None = None, base: str | None = None
    ) -> HttpRequest | None:
        """The request for up to `limit` trades from venue time `since_ns` on; None if there is none.

        For venues whose ids don't say what is missing. Where more than `limit` trades are that young,
        the answer holds the oldest or the newest of them, as the venue has it. Read by `parse_backfill`.
        Raises ConfigError when the limit is outside 1 to `facts.backfill_page`.
        """
        return None

    @abstractmethod
    def parse_backfill(self, body: bytes, symbol: str, received_ns: int) -> tuple[Trade, ...]:
        """The trades of one answer, in its order, with ids of the same kind as `parse` gives.

        Raises VenueError for the venue's error body and for an answer that can't be read whole:
        half a page would look like the end of the gap.
        """


def excerpt(raw: bytes | str) -> str:
    """The start of a message for a log line: bounded, and text whatever the bytes were."""
    if isinstance(raw, str):
        raw = raw[:EXCERPT_LENGTH].encode("utf-8", "replace")
    return raw[:EXCERPT_LENGTH].decode("utf-8", "replace")
