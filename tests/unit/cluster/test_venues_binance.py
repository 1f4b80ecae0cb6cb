"""Binance's messages, commands, addresses and backfill, one rule per test."""

from __future__ import annotations

import math

import msgspec
import pytest

from cluster import venues
from cluster.errors import VenueError
from cluster.venues.base import (
    Ack,
    Event,
    Ignored,
    Malformed,
    Quote,
    Refusal,
    Shutdown,
    Trade,
    TradeIds,
    Unknown,
)
from features.ticks import Side

RECEIVED_NS = 1_723_161_255_400_000_000
TRADE = (
    '{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",'
    '"T":1723161255342,"m":true,"M":true}'
)
AGGREGATE = (
    '{"e":"aggTrade","E":1617566591315,"s":"BTCUSDT","a":665076760,"p":"58001.03000000","q":"0.08620500",'
    '"f":745522877,"l":745522879,"T":1617566591314,"m":false,"M":true}'
)
BOOK = (
    '{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
    '"a":"61837.64000000","A":"1.54698000"}'
)
OLD_TRADE = (
    '{"e":"trade","E":1554076800945,"s":"BNBBTC","t":40756030,"p":"0.00426990","q":"33.82000000",'
    '"b":133829535,"a":133829504,"T":1554076800940,"m":false,"M":true}'
)


def read(raw: str | bytes, **options: object) -> Event:
    (event,) = venues.get("binance", **options).parse(raw, RECEIVED_NS)
    return event


def combined(stream: str, data: str) -> str:
    return f'{{"stream":"{stream}","data":{data}}}'


def test_a_trade_is_read_from_a_combined_and_from_a_raw_stream() -> None:
    expected = Trade("BTCUSDT", 1723161255342_000_000, RECEIVED_NS, 3735683259, 61837.63, 0.02, Side.SELLER)
    assert read(combined("btcusdt@trade", TRADE)) == expected
    assert read(TRADE) == expected
    assert read(TRADE.encode()) == expected


def test_the_fast_and_the_slow_path_agree() -> None:
    fast = read(combined("btcusdt@trade", TRADE))
    assert read(f'{{"data":{TRADE},"stream":"btcusdt@trade"}}') == fast
    assert read(combined("btcusdt@bookTicker", BOOK)) == read(BOOK)


def test_an_aggregate_trade_has_the_aggregate_id() -> None:
    event = read(combined("btcusdt@aggTrade", AGGREGATE), trade_stream="aggTrade")
    assert isinstance(event, Trade)
    assert (event.trade_id, event.side) == (665076760, Side.BUYER)


def test_a_trade_with_order_ids_as_before_2024_is_read() -> None:
    event = read(combined("bnbbtc@trade", OLD_TRADE))
    assert isinstance(event, Trade) and event.trade_id == 40756030


def test_the_other_trade_stream_is_ignored_so_that_no_trade_counts_twice() -> None:
    for wrap in (str, lambda data: combined("btcusdt@x", data)):
        assert read(wrap(AGGREGATE), trade_stream="trade") == Ignored("aggTrade")
        assert read(wrap(TRADE), trade_stream="aggTrade") == Ignored("trade")


def test_microseconds_and_milliseconds_are_told_apart_by_size() -> None:
    in_microseconds = TRADE.replace('"T":1723161255342', '"T":1723161255342123')
    event = read(in_microseconds)
    assert isinstance(event, Trade) and event.ts_ns == 1723161255342_123_000


def test_a_quote_takes_our_time_because_the_venue_sends_none() -> None:
    assert read(combined("btcusdt@bookTicker", BOOK)) == Quote(
        "BTCUSDT", RECEIVED_NS, RECEIVED_NS, 61837.63, 61837.64, 3.78826, 1.54698
    )


def test_an_empty_side_of_the_book_is_missing_and_not_zero() -> None:
    event = read(BOOK.replace("61837.63000000", "0.00000000"))
    assert isinstance(event, Quote)
    assert math.isnan(event.bid) and math.isnan(event.bid_size) and event.ask == 61837.64


def test_quotes_that_were_not_asked_for_are_ignored() -> None:
    assert read(BOOK, quotes=False) == Ignored("bookTicker")
    assert read(combined("btcusdt@bookTicker", BOOK), quotes=False) == Ignored("bookTicker")
    assert read(combined("!bookTicker", BOOK)) == Ignored("bookTicker")


def test_a_symbol_nobody_asked_for_is_read_as_it_stands() -> None:
    event = read(combined("newusdt@trade", TRADE.replace("BTCUSDT", "NEWUSDT")))
    assert isinstance(event, Trade) and event.symbol == "NEWUSDT"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"result":null,"id":1}', Ack(1)),
        ('{"result":["btcusdt@trade"],"id":"a"}', Ack("a", ("btcusdt@trade",))),
        ('{"code":2,"msg":"Invalid request","id":5}', Refusal(2, "Invalid request", 5)),
        ('{"error":{"code":3,"msg":"Invalid JSON"},"id":null}', Refusal(3, "Invalid JSON", None)),
        ('{"e":"serverShutdown","E":1770123456789}', Shutdown(1770123456789_000_000)),
        (
            '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
            Shutdown(1770123456789_000_000),
        ),
        ('{"e":"depthUpdate","s":"X","b":[],"a":[]}', Ignored("depthUpdate")),
        ('{"e":"kline","k":{}}', Ignored("kline")),
        ('{"e":"blockTrade"}', Ignored("blockTrade")),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', Ignored("depthSnapshot")),
        ('{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}', Ignored("24hrTicker")),
    ],
)
def test_control_and_unused_messages_are_named(raw: str, expected: Event) -> None:
    assert read(raw) == expected


@pytest.mark.parametrize(
    ("raw", "what"),
    [('{"e":"newThing"}', "newThing"), ('{"x":1}', "x"), ('{"stream":"s","data":7}', "s"), ("5", "JSON int")],
)
def test_valid_json_of_an_unknown_kind_is_unknown(raw: str, what: str) -> None:
    assert read(raw) == Unknown(what, raw)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"61837.63000000"', '"nan"'),
        ('"61837.63000000"', '"inf"'),
        ('"61837.63000000"', '"1_0"'),
        ('"61837.63000000"', '" 1"'),
        ('"61837.63000000"', '"-1.0"'),
        ('"61837.63000000"', '"0.00000000"'),
        ('"61837.63000000"', "61837.63"),
        ('"61837.63000000"', '"' + "9" * 400 + '"'),
        ('"0.02000000"', "null"),
        ('"t":3735683259', '"t":"3735683259"'),
        ('"t":3735683259', '"t":-1'),
        ('"t":3735683259', '"t":99999999999999999999'),
        ('"T":1723161255342', '"T":0'),
        ('"T":1723161255342', '"T":9223372036854775807'),
        ('"T":1723161255342', '"T":17231061255342'),
        ('"T":1723161255342', '"T":9223372036855'),
        ('"m":true', '"m":1'),
        ('"s":"BTCUSDT"', '"s":""'),
        ('"s":"BTCUSDT",', ""),
        ('"M":true}', '"M":true'),
    ],
)
def test_a_damaged_trade_is_malformed_on_both_paths(before: str, after: str) -> None:
    damaged = TRADE.replace(before, after, 1)
    assert damaged != TRADE
    for raw in (damaged, combined("btcusdt@trade", damaged)):
        event = read(raw)
        assert isinstance(event, Malformed) and event.reason and event.excerpt == raw[:120]


def test_every_truncation_of_every_kind_is_malformed() -> None:
    for whole in (combined("btcusdt@trade", TRADE), AGGREGATE, BOOK, '{"result":null,"id":1}'):
        for length in range(len(whole)):
            assert isinstance(read(whole[:length]), Malformed)


def test_the_address_names_the_streams_in_lower_case() -> None:
    binance = venues.get("binance", microseconds=True)
    assert binance.websocket_url(["BTC/USDT", "ethusdt", "BTCUSDT"]) == (
        "wss://stream.binance.com:9443/stream?streams="
        "btcusdt@trade/btcusdt@bookTicker/ethusdt@trade/ethusdt@bookTicker&timeUnit=MICROSECOND"
    )


def test_a_symbol_outside_ascii_is_encoded_in_the_address() -> None:
    url = venues.get("binance", quotes=False).websocket_url(["币安usdt"])
    assert url.isascii() and url.endswith("streams=%E5%B8%81%E5%AE%89usdt@trade")


def test_subscribing_names_one_trade_stream_and_the_quotes() -> None:
    (message,) = venues.get("binance", trade_stream="aggTrade").subscribe(["btcusdt"], 7)
    assert msgspec.json.decode(message) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@aggTrade", "btcusdt@bookTicker"],
        "id": 7,
    }


def test_trade_ids_count_up_by_one() -> None:
    assert venues.get("binance").facts.trade_ids is TradeIds.CONSECUTIVE


def test_a_backfill_request_pages_by_the_ids_that_are_streamed() -> None:
    single = venues.get("binance", microseconds=True).backfill_request("btcusdt", 42, 500)
    assert single.url == "https://api.binance.com/api/v3/historicalTrades"
    assert dict(single.params) == {"symbol": "BTCUSDT", "fromId": "42", "limit": "500"}
    assert dict(single.headers) == {"X-MBX-TIME-UNIT": "MICROSECOND"}
    aggregate = venues.get("binance", trade_stream="aggTrade").backfill_request("btcusdt", 42)
    assert aggregate.url == "https://data-api.binance.vision/api/v3/aggTrades"
    assert dict(aggregate.params)["limit"] == "1000" and aggregate.headers == ()


def test_a_backfilled_trade_equals_the_streamed_one() -> None:
    single = (
        b'[{"id":3735683259,"price":"61837.63000000","qty":"0.02000000","quoteQty":"1236.7526",'
        b'"time":1723161255342,"isBuyerMaker":true,"isBestMatch":true}]'
    )
    assert venues.get("binance").parse_backfill(single, "btc/usdt", RECEIVED_NS) == (read(TRADE),)
    aggregate = (
        b"[" + AGGREGATE.replace('"e":"aggTrade","E":1617566591315,"s":"BTCUSDT",', "").encode() + b"]"
    )
    binance = venues.get("binance", trade_stream="aggTrade")
    expected = read(AGGREGATE, trade_stream="aggTrade")
    assert binance.parse_backfill(aggregate, "BTCUSDT", RECEIVED_NS) == (expected,)
    assert binance.parse_backfill(b"[]", "BTCUSDT", RECEIVED_NS) == ()


def test_the_venues_error_body_is_raised_with_its_code() -> None:
    with pytest.raises(VenueError) as caught:
        venues.get("binance").parse_backfill(b'{"code":-1121,"msg":"Invalid symbol."}', "X", 1)
    assert (caught.value.code, caught.value.message) == (-1121, "Invalid symbol.")


def test_one_bad_row_refuses_the_whole_page() -> None:
    page = b'[{"a":1,"p":"2","q":"3","T":4,"m":true},{"a":2,"p":"0","q":"0","T":4,"m":true}]'
    with pytest.raises(VenueError, match="not above 0"):
        venues.get("binance", trade_stream="aggTrade").parse_backfill(page, "X", 1)
