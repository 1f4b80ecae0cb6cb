"""The contract that every venue in names() keeps, and the registry itself."""

from __future__ import annotations

import pickle
from urllib.parse import urlsplit

import msgspec
import pytest

from cluster import venues
from cluster.errors import FeedError, VenueError
from cluster.venues.base import (
    EXCERPT_LENGTH,
    HttpRequest,
    Malformed,
    Quote,
    Trade,
    TradeIds,
    Unknown,
    Venue,
    VenueFacts,
    excerpt,
)
from cluster.venues.numbers import decimal, positive_decimal
from features.errors import ConfigError, TickcastError


@pytest.fixture(params=venues.names())
def venue(request: pytest.FixtureRequest) -> Venue:
    return venues.get(request.param)


def test_there_is_a_venue() -> None:
    assert "binance" in venues.names()


def test_a_venue_answers_to_its_own_name(venue: Venue) -> None:
    assert venues.get(venue.name).name == venue.name


def test_symbol_normalising_is_idempotent(venue: Venue) -> None:
    once = venue.normalise_symbol("btc/usdt")
    assert venue.normalise_symbol(once) == once
    assert venue.normalise_symbol("BTC-USDT") == once


@pytest.mark.parametrize("symbol", ["", "  ", "btc@trade", "btc?x=1", "a&b", "btc#", "a\nb"])
def test_text_that_cannot_be_a_symbol_is_refused(venue: Venue, symbol: str) -> None:
    with pytest.raises(ConfigError) as caught:
        venue.normalise_symbol(symbol)
    assert caught.value.where == venue.name


def test_unsubscribing_mirrors_subscribing(venue: Venue) -> None:
    symbols = [f"S{n}USDT" for n in range(450)]
    there, back = venue.subscribe(symbols, 5), venue.unsubscribe(symbols, 5)
    assert there and len(there) == len(back)
    for on, off in zip(there, back, strict=True):
        asked, undone = msgspec.json.decode(on), msgspec.json.decode(off)
        assert asked["method"] != undone["method"]
        assert {**asked, "method": ""} == {**undone, "method": ""}


def test_request_ids_count_up_from_the_one_given(venue: Venue) -> None:
    symbols = [f"S{n}USDT" for n in range(450)]
    ids = [msgspec.json.decode(message)["id"] for message in venue.subscribe(symbols, 5)]
    assert ids == list(range(5, 5 + len(ids)))


def test_the_address_is_a_websocket_on_the_base_given(venue: Venue) -> None:
    assert urlsplit(venue.websocket_url(["BTCUSDT"])).scheme == "wss"
    local = urlsplit(venue.websocket_url(["BTCUSDT"], "ws://127.0.0.1:9000/"))
    assert (local.scheme, local.netloc) == ("ws", "127.0.0.1:9000")
    assert "//" not in local.path


def test_no_symbols_and_too_many_symbols_are_refused(venue: Venue) -> None:
    with pytest.raises(ConfigError):
        venue.websocket_url([])
    with pytest.raises(ConfigError, match="limit"):
        venue.websocket_url([f"S{n}" for n in range(venue.facts.streams_per_connection + 1)])


def test_facts_are_complete_and_plausible(venue: Venue) -> None:
    facts = venue.facts
    assert isinstance(facts, VenueFacts) and isinstance(facts.trade_ids, TradeIds)
    assert facts.websocket_base.startswith("wss://") and facts.rest_base.startswith("https://")
    numbers = (
        facts.streams_per_connection,
        facts.connection_attempts,
        facts.connection_attempts_window_s,
        facts.sent_messages_per_s,
        facts.backfill_page,
        facts.silence_limit_s,
    )
    assert all(number > 0 for number in numbers)
    assert facts.planned_lifetime_s is None or facts.planned_lifetime_s > facts.silence_limit_s


def test_events_and_requests_are_frozen() -> None:
    for event in (
        Trade("S", 1, 2, 3, 4.0, 5.0, 1),
        Quote("S", 1, 2, 3.0, 4.0, 5.0, 6.0),
        Malformed("r", "e"),
    ):
        with pytest.raises(AttributeError):
            event.symbol = "other"  # type: ignore[union-attr]
        assert pickle.loads(pickle.dumps(event)) == event
    assert hash(HttpRequest("GET", "u", (("a", "b"),))) == hash(HttpRequest("GET", "u", (("a", "b"),)))


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{", b"null", b"[]", b"{}", b"\xff\xfe", b'{"stream":1,"data":2}', "\ud800", "pong"),
        *(b"[" * 3000, b'[{"e":[]}]', b'{"e":{}}', b"1e999", b'"' + b"x" * 100_000 + b'"', b"9" * 5000),
    ],
)
def test_nonsense_is_named_and_never_raises(venue: Venue, raw: bytes | str) -> None:
    (event,) = venue.parse(raw, 1)
    assert isinstance(event, Malformed | Unknown)
    assert len(event.excerpt) <= EXCERPT_LENGTH


def test_backfill_limits_are_the_venues(venue: Venue) -> None:
    assert venue.backfill_request("BTCUSDT", 1).url.startswith(venue.facts.rest_base)
    assert venue.backfill_request("BTCUSDT", 1, base="http://x/").url.startswith("http://x/api")
    for limit in (0, venue.facts.backfill_page + 1):
        with pytest.raises(ConfigError):
            venue.backfill_request("BTCUSDT", 1, limit)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'[{"id":1}]', b"[[1]]", b"[" * 3000, b"\xff"])
def test_an_unreadable_backfill_answer_is_a_venue_error(venue: Venue, body: bytes) -> None:
    with pytest.raises(VenueError) as caught:
        venue.parse_backfill(body, "BTCUSDT", 1)
    assert caught.value.code is None and caught.value.venue == venue.name


def test_an_unknown_venue_names_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        venues.get("Binanse")
    assert "did you mean 'binance'?" in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        venues.get("zzz")
    assert "did you mean" not in str(caught.value) and "binance" in str(caught.value)


def test_a_wrong_option_is_named_with_the_right_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        venues.get("binance", trade_streams="trade")
    assert "trade_streams" in caught.value.problem and "trade_stream," in caught.value.fix
    with pytest.raises(ConfigError, match="trade_stream"):
        venues.get("binance", trade_stream="trades")


def test_errors_survive_pickling_and_speak_plainly() -> None:
    refused = pickle.loads(pickle.dumps(VenueError("binance", -1121, "Invalid symbol.")))
    assert (refused.venue, refused.code, refused.message) == ("binance", -1121, "Invalid symbol.")
    assert str(refused) == "binance: the venue answered with error -1121: Invalid symbol."
    feed = pickle.loads(pickle.dumps(FeedError("p", "w", "f")))
    assert isinstance(feed, TickcastError) and str(feed) == "w: p; f"


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-1", "+1", "1_0", " 1", "1 ", "1\n", "1e5", "", ".", "٣", "0x1"]
)
def test_only_plain_decimals_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal"):
        decimal(text)


def test_a_decimal_is_the_nearest_float() -> None:
    assert decimal("61837.63000000") == 61837.63
    assert decimal("0.1") == 0.1
    with pytest.raises(ValueError, match="too large"):
        decimal("9" * 400)
    with pytest.raises(ValueError, match="not above 0"):
        positive_decimal("0.00000000")


def test_an_excerpt_is_bounded_text() -> None:
    assert excerpt(b"\xff" * 500) == "\ufffd" * EXCERPT_LENGTH
    assert excerpt("é" * 500).startswith("é") and len(excerpt("é" * 500)) <= EXCERPT_LENGTH
