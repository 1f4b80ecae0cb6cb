"""Whatever a socket delivers, parse names it; and what it reads is what was written."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import venues
from cluster.errors import VenueError
from cluster.venues.base import EXCERPT_LENGTH, Event, Malformed, Quote, Trade, Unknown, Venue

ALL_VENUES = pytest.mark.parametrize(
    "venue", [venues.get(name) for name in venues.names()], ids=venues.names()
)
SAMPLES = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":3,"p":"61837.63","q":"0.02",'
    b'"T":1723161255342,"m":true,"M":true}}',
    b'{"stream":"btcusdt@bookTicker","data":{"u":5,"s":"BTCUSDT","b":"1.5","B":"3","a":"1.6","A":"2"}}',
    b'{"e":"serverShutdown","E":1770123456789}',
    b'{"code":2,"msg":"Invalid request","id":5}',
    b'{"result":["btcusdt@trade"],"id":1}',
)
KEYS = [*"estpqTmubBaAEk", "id", "result", "code", "msg"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)
decimals = st.decimals(min_value=0, max_value=10**9, places=8, allow_nan=False, allow_infinity=False).map(
    lambda d: f"{d:f}"
)


def check(events: tuple[Event, ...]) -> None:
    """At least one event; excerpts are bounded; no number is infinite; ids fit an int64."""
    assert events
    for event in events:
        if isinstance(event, Malformed | Unknown):
            assert len(event.excerpt) <= EXCERPT_LENGTH
        if isinstance(event, Trade):
            assert math.isfinite(event.price) and event.price > 0 and math.isfinite(event.size)
            assert 0 <= event.trade_id < 2**63 and 0 < event.ts_ns < 2**63
        if isinstance(event, Quote):
            values = (event.bid, event.ask, event.bid_size, event.ask_size)
            assert not any(math.isinf(value) for value in values)


@ALL_VENUES
@given(raw=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_and_any_text_are_named(venue: Venue, raw: bytes | str) -> None:
    check(venue.parse(raw, 1))


@ALL_VENUES
@settings(max_examples=300)
@given(data=st.data(), sample=st.sampled_from(SAMPLES))
def test_damaged_messages_are_named(venue: Venue, data: st.DataObject, sample: bytes) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 12)))
    check(venue.parse(sample[:start] + data.draw(st.binary(max_size=12)) + sample[end:], 1))


@ALL_VENUES
@settings(max_examples=300)
@given(value=json_values, stream=st.sampled_from(["", "btcusdt@trade", "x@bookTicker", "!serverShutdown"]))
def test_any_json_is_named(venue: Venue, value: Any, stream: str) -> None:
    message = {"stream": stream, "data": value} if stream else value
    check(venue.parse(json.dumps(message), 1))
    if isinstance(value, dict):
        for kind in ("trade", "aggTrade", "serverShutdown", "depthUpdate"):
            check(venue.parse(json.dumps({**value, "e": kind}), 1))


@ALL_VENUES
@given(body=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_backfill_answer_is_read_or_refused_by_name(venue: Venue, body: bytes) -> None:
    try:
        check((*venue.parse_backfill(body, "BTCUSDT", 1), Malformed("", "")))
    except VenueError as refused:
        assert refused.venue == venue.name


@given(
    price=decimals.filter(lambda text: float(text) > 0),
    size=decimals,
    number=st.integers(0, 2**63 - 1),
    time_ms=st.integers(1, (2**63 - 1) // 10**6),
    maker=st.booleans(),
)
def test_a_binance_trade_is_read_exactly_on_both_paths(
    price: str, size: str, number: int, time_ms: int, maker: bool
) -> None:
    binance = venues.get("binance")
    data = {"e": "trade", "s": "BTCUSDT", "t": number, "p": price, "q": size, "T": time_ms, "m": maker}
    expected = Trade("BTCUSDT", time_ms * 1_000_000, 9, number, float(price), float(size), -1 if maker else 1)
    tight = json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":"))
    assert binance.parse(tight, 9) == (expected,)
    assert binance.parse(json.dumps({"data": data, "stream": "btcusdt@trade"}), 9) == (expected,)
    assert binance.parse(json.dumps(data), 9) == (expected,)
