"""Handing over: order, batches, memory, counting, closing. Against a real server on 127.0.0.1."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from websockets.asyncio.server import ServerConnection

from cluster import venues
from cluster.errors import FeedError
from cluster.feed import Feed, FeedPolicy, FeedState
from cluster.venues.base import Connected, Event, Malformed, Refusal, Trade
from features.errors import ConfigError
from tests.unit.cluster.feed_exchange import Exchange, Watch, ids, says, shape, stay, trade, until


async def test_everything_arrives_once_and_in_order_across_batches() -> None:
    messages = [trade(number) for number in range(5000)]
    async with Exchange(says(*messages)) as exchange, Watch(exchange.url, max_batch=7) as watch:
        await watch.trades(5000)
        await watch.end()
    assert ids(watch.events) == list(range(5000))
    assert shape(watch.events) == "C" + "t" * 5000
    assert all(1 <= size <= 7 for size in watch.batches)
    assert watch.feed.counters.batches == len(watch.batches)


async def test_messages_waiting_together_come_as_one_batch() -> None:
    async with Exchange(says(*map(trade, range(300)))) as exchange, Watch(exchange.url) as watch:
        watch.gate.clear()
        await until(lambda: watch.feed.counters.messages == 300)
        watch.gate.set()
        await watch.trades(300)
    assert max(watch.batches) >= 290


async def test_both_clocks_are_on_every_trade() -> None:
    async with Exchange(says(trade(1))) as exchange, Watch(exchange.url) as watch:
        watch.clock_ns = lambda: 42
        await watch.trades(1)
    (event,) = [event for event in watch.events if isinstance(event, Trade)]
    assert (event.ts_ns, event.received_ns) == (1723161255342_000_000, 42)
    assert watch.events[0] == Connected(42)


async def test_a_slow_consumer_makes_the_venue_wait_and_loses_nothing() -> None:
    count, buffer = 60_000, 100
    sent = 0

    async def flood(ws: ServerConnection) -> None:
        nonlocal sent
        for number in range(count):
            await ws.send(trade(number))
            sent = number
        await stay(ws)

    limits = {"stale_after_s": 0.4, "ping_interval_s": 0.2, "ping_timeout_s": 0.2}
    async with (
        Exchange(flood) as exchange,
        Watch(exchange.url, buffer_messages=buffer, max_batch=50, **limits) as watch,
    ):
        watch.gate.clear()
        before = -1

        async def standstill() -> None:
            nonlocal before
            while before != sent:
                before = sent
                await asyncio.sleep(0.6)  # longer than the silence limit: waiting is not silence

        await until(lambda: watch.feed.counters.messages >= buffer)
        await standstill()
        assert sent < count - 1, "the server must have been held up"
        assert watch.feed.counters.messages <= buffer + 50 + 1
        assert watch.feed.counters.reconnects == 0
        watch.gate.set()
        await watch.trades(count)
        assert ids(watch.events) == list(range(count))
        assert not watch.feed.counters.disconnects


async def test_every_outcome_is_counted_and_bad_frames_do_not_end_the_connection() -> None:
    refusal = '{"code":2,"msg":"Invalid request","id":1}'
    frames = (
        trade(1),
        "not json",
        b"\xff\xfe",
        '{"new":1}',
        refusal,
        '{"e":"kline"}',
        '{"result":null,"id":1}',
    )
    async with Exchange(says(*frames, trade(2))) as exchange, Watch(exchange.url) as watch:
        await watch.trades(2)
        counters = watch.feed.counters
        assert len(exchange.connections) == 1
    assert (counters.messages, counters.trades, counters.malformed, counters.unknown) == (8, 2, 2, 1)
    assert (counters.refusals, counters.ignored, counters.acks) == (1, 1, 1)
    assert counters.bytes == sum(len(frame) for frame in (*frames, trade(2)))
    assert Refusal(2, "Invalid request", 1) in watch.events
    assert any(isinstance(event, Malformed) and event.excerpt == "not json" for event in watch.events)
    plain = counters.as_dict()
    assert plain["last_unreadable"][0] == "Malformed: not json"
    assert plain["last_refusals"] == ["2: Invalid request"]


async def test_close_sends_a_close_frame_and_hands_over_all_that_was_received() -> None:
    async with Exchange(says(*map(trade, range(500)))) as exchange, Watch(exchange.url, max_batch=3) as watch:
        watch.gate.clear()
        await until(lambda: watch.feed.counters.messages == 500)
        watch.feed.close()
        await until(lambda: exchange.connections[0].close_code == 1000)
        assert not watch.task.done()
        watch.gate.set()
        await watch.end()
        assert ids(watch.events) == list(range(500))
        assert shape(watch.events).endswith("t"), "an end we asked for is not a disconnect"
        assert watch.feed.state is FeedState.CLOSED
        assert watch.feed.connected_since_ns is None


async def test_close_may_be_called_from_inside_consume() -> None:
    async with Exchange(says(trade(1))) as exchange:
        feed = Feed(venues.get("binance"), ["a"], FeedPolicy(), exchange.url, time.time_ns, random.Random(1))

        async def consume(batch: list[Event]) -> None:
            if ids(batch):
                feed.close()

        async with asyncio.timeout(5):
            await feed.run(consume)
        assert exchange.connections[0].close_code == 1000


async def test_close_before_run_means_that_run_returns_at_once() -> None:
    async with Exchange() as exchange:
        watch = Watch(exchange.url)
        watch.feed.close()
        await watch.feed.run(watch.consume)
        assert watch.events == [] and exchange.requests == []


async def test_a_feed_runs_once() -> None:
    async with Exchange() as exchange, Watch(exchange.url) as watch:
        await until(lambda: bool(watch.events))
        with pytest.raises(FeedError, match="runs once"):
            await watch.feed.run(watch.consume)


async def test_what_consume_raises_ends_the_feed_and_its_connection() -> None:
    async def consume(batch: list[Event]) -> None:
        raise KeyError("mine")

    async with Exchange(says(trade(1))) as exchange:
        watch = Watch(exchange.url)
        with pytest.raises(KeyError, match="mine"):
            await watch.feed.run(consume)
        assert watch.feed.state is FeedState.CLOSED
        await asyncio.wait_for(exchange.connections[0].wait_closed(), 5)


async def test_cancelling_run_closes_the_connection() -> None:
    async with Exchange(says(trade(1))) as exchange, Watch(exchange.url) as watch:
        await watch.trades(1)
        watch.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch.task
        assert watch.feed.state is FeedState.CLOSED
        await asyncio.wait_for(exchange.connections[0].wait_closed(), 5)


async def test_a_connection_is_live_only_after_the_first_data() -> None:
    speak = asyncio.Event()

    async def script(ws: ServerConnection) -> None:
        await ws.send('{"result":null,"id":1}')
        await speak.wait()
        await ws.send(trade(1))
        await stay(ws)

    async with Exchange(script) as exchange:
        watch = Watch(exchange.url)
        assert watch.feed.state is FeedState.CLOSED
        async with watch:
            await until(lambda: watch.feed.counters.acks == 1)
            assert watch.feed.state is FeedState.CONNECTING
            assert watch.feed.connected_since_ns is not None
            speak.set()
            await watch.trades(1)
            assert watch.feed.state is FeedState.LIVE


async def test_no_symbols_are_refused_when_the_feed_is_made() -> None:
    with pytest.raises(ConfigError):
        Feed(venues.get("binance"), [], FeedPolicy(), None, time.time_ns, random.Random(1))


def test_a_policy_is_frozen_and_refuses_unknown_and_absurd_settings() -> None:
    policy = FeedPolicy()
    with pytest.raises(ValueError, match="frozen"):
        policy.jitter = 0.5
    for wrong in (
        {"stale_after": 1},
        {"jitter": 2},
        {"open_timeout_s": 0},
        {"ping_interval_s": float("nan")},
    ):
        with pytest.raises(ValueError):
            FeedPolicy(**wrong)
