"""Connections that end, go silent, or are refused. Against a real server on 127.0.0.1."""

from __future__ import annotations

import asyncio
import random
import socket
import time

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection

from cluster import venues
from cluster.errors import FeedError
from cluster.feed import Feed, FeedPolicy, FeedState
from cluster.venues.base import Disconnected, Event, VenueFacts
from cluster.venues.binance import Binance, BinanceSpec
from tests.unit.cluster.feed_exchange import Exchange, Watch, ids, says, shape, stay, then, trade, until


class ChangedBinance(Binance):
    """Binance with other facts."""

    def __init__(self, **changes: object) -> None:
        super().__init__(BinanceSpec(quotes=False))
        self._changed = msgspec.structs.replace(super().facts, **changes)

    @property
    def facts(self) -> VenueFacts:
        return self._changed


async def test_a_cut_is_told_in_order_and_followed_by_a_new_connection() -> None:
    cut = then((trade(1), trade(2)), lambda ws: ws.close(1001))
    async with Exchange(cut, says(trade(5))) as exchange, Watch(exchange.url) as watch:
        await watch.trades(3)
        assert shape(watch.events) == "CttDCt"
        (gone,) = [event for event in watch.events if isinstance(event, Disconnected)]
        assert gone.reason == "closed 1001"
        counters = watch.feed.counters
        assert (counters.reconnects, counters.connections, counters.switches) == (1, 2, 0)
        assert counters.disconnects == {"closed 1001": 1}


async def test_a_lost_network_is_a_disconnect() -> None:
    cut = then((trade(1),), lambda ws: ws.transport.abort())
    async with Exchange(cut, says(trade(2))) as exchange, Watch(exchange.url) as watch:
        await watch.trades(1)
        await until(lambda: watch.feed.counters.reconnects == 1)
        assert watch.feed.counters.disconnects == {"network": 1}


async def test_a_silent_connection_is_replaced() -> None:
    async with Exchange(stay, says(trade(1))) as exchange, Watch(exchange.url, stale_after_s=0.1) as watch:
        await watch.trades(1)
        assert shape(watch.events)[:3] == "CDC"
        assert watch.feed.counters.disconnects["stale"] >= 1
        assert watch.feed.counters.stale >= 1


async def test_a_connection_that_answers_pings_is_not_stale() -> None:
    async with (
        Exchange(says(trade(1))) as exchange,
        Watch(exchange.url, stale_after_s=0.5, ping_interval_s=0.05, ping_timeout_s=5) as watch,
    ):
        await watch.trades(1)
        opened_s = time.monotonic()
        await until(lambda: time.monotonic() > opened_s + 0.8)
        assert shape(watch.events) == "Ct"


async def test_a_ping_without_an_answer_ends_the_connection() -> None:
    async def deaf(ws: ServerConnection) -> None:
        await ws.send(trade(1))
        ws.transport.pause_reading()
        await stay(ws)

    limits = {"ping_interval_s": 0.05, "ping_timeout_s": 0.05, "stale_after_s": 60.0}
    async with Exchange(deaf, says(trade(2))) as exchange, Watch(exchange.url, **limits) as watch:
        await watch.trades(2)
        assert watch.feed.counters.disconnects["ping_timeout"] >= 1


async def test_an_oversized_message_ends_the_connection() -> None:
    big = says("x" * 5000)
    async with (
        Exchange(big, says(trade(1))) as exchange,
        Watch(exchange.url, max_message_bytes=1000) as watch,
    ):
        await watch.trades(1)
        assert watch.feed.counters.disconnects == {"gave up 1009": 1}


async def test_connections_without_data_do_not_make_the_waits_short_again() -> None:
    hang_up = then(('{"result":null,"id":1}',), lambda ws: ws.close(1011))
    async with (
        Exchange(hang_up, hang_up, hang_up, hang_up, says(trade(1))) as exchange,
        Watch(exchange.url, backoff_base_s=0.05) as watch,
    ):
        await watch.trades(1)
    pauses = [b - a for a, b in zip(exchange.request_times_s, exchange.request_times_s[1:], strict=False)]
    assert [pause >= least for pause, least in zip(pauses, (0, 0.05, 0.1, 0.2), strict=True)] == [True] * 4


async def test_a_connection_with_data_makes_the_next_reconnect_immediate() -> None:
    cut = then((trade(1),), lambda ws: ws.close(1001))
    async with (
        Exchange(cut, cut, cut, says(trade(2))) as exchange,
        Watch(exchange.url, backoff_base_s=30.0) as watch,
    ):
        await watch.trades(4)
        assert watch.feed.counters.reconnects == 3


async def test_a_venue_without_streams_in_the_url_is_sent_its_subscription_each_time() -> None:
    asked: list[str | bytes] = []

    async def hang_up(ws: ServerConnection) -> None:
        asked.append(await ws.recv())
        await ws.close()

    async def answer(ws: ServerConnection) -> None:
        asked.append(await ws.recv())
        await ws.send(trade(1))
        await stay(ws)

    venue = ChangedBinance(subscribes_in_url=False, sent_messages_per_s=100.0)
    async with Exchange(hang_up, answer) as exchange, Watch(exchange.url, venue) as watch:
        await watch.trades(1)
    assert asked == list(venue.subscribe(["BTCUSDT"], 1)) * 2


async def test_attempts_keep_to_the_venues_limit() -> None:
    hang_up = then((trade(1),), lambda ws: ws.close())
    venue = ChangedBinance(connection_attempts=2, connection_attempts_window_s=0.3)
    async with Exchange(hang_up) as exchange, Watch(exchange.url, venue) as watch:
        await until(lambda: len(exchange.request_times_s) >= 5)
        await watch.end()
    times = exchange.request_times_s
    assert all(later - earlier >= 0.15 for earlier, later in zip(times, times[2:], strict=False))


async def test_a_given_admission_is_awaited_before_every_attempt() -> None:
    admitted = 0

    async def admit() -> None:
        nonlocal admitted
        admitted += 1

    async def consume(batch: list[Event]) -> None:
        if 2 in ids(batch):
            feed.close()

    cut = then((trade(1),), lambda ws: ws.close())
    async with Exchange(cut, says(trade(2))) as exchange:
        feed = Feed(
            venues.get("binance"), ["a"], FeedPolicy(), exchange.url, time.time_ns, random.Random(1), admit
        )
        async with asyncio.timeout(5):
            await feed.run(consume)
    assert admitted == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 451])
async def test_a_refusal_that_time_does_not_heal_ends_the_feed(status: int) -> None:
    async with Exchange(refusals=((status, {}),)) as exchange:
        watch = Watch(exchange.url)
        with pytest.raises(FeedError, match=f"HTTP {status}"):
            await watch.feed.run(watch.consume)
        assert watch.feed.counters.attempts == 1
        assert watch.feed.state is FeedState.CLOSED


@pytest.mark.parametrize("status", [429, 418, 500, 503])
async def test_a_refusal_that_time_heals_is_tried_again(status: int) -> None:
    async with Exchange(says(trade(1)), refusals=((status, {}),) * 2) as exchange:
        async with Watch(exchange.url) as watch:
            await watch.trades(1)
        assert watch.feed.counters.disconnects == {f"handshake: HTTP {status}": 2}
        assert shape(watch.events) == "Ct"


async def test_retry_after_is_honoured() -> None:
    refused = (429, {"Retry-After": "Thu, 01 Jan 1970 00:00:10 GMT"})
    async with Exchange(says(trade(1)), refusals=(refused,)) as exchange:
        watch = Watch(exchange.url)
        watch.clock_ns = lambda: 9_800_000_000
        async with watch:
            await until(lambda: watch.feed.state is FeedState.BACKING_OFF)
            await watch.trades(1)
    first, second = exchange.request_times_s
    assert second - first >= 0.19


async def test_an_unreachable_server_is_tried_until_close() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with Watch(f"ws://127.0.0.1:{taken.getsockname()[1]}") as watch:
            await until(lambda: watch.feed.counters.attempts >= 3)
            await watch.end()
    assert watch.events == []
    assert watch.feed.counters.disconnects["handshake: ConnectionRefusedError"] >= 2


async def test_closing_cuts_a_long_wait_short() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        async with Watch(url, backoff_first_s=600.0, backoff_base_s=600.0, backoff_max_s=600.0) as watch:
            await until(lambda: watch.feed.state is FeedState.BACKING_OFF)
            await watch.end()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:80", "ws://"])
async def test_a_bad_address_ends_the_feed(url: str) -> None:
    watch = Watch(url)
    with pytest.raises(FeedError) as caught:
        await watch.feed.run(watch.consume)
    assert caught.value.where == "binance" and caught.value.fix
