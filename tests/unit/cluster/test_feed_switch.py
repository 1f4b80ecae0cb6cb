"""Planned changes of connection: the new one first, then the old one, and no hole between."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection

from cluster.errors import FeedError
from cluster.feed import FeedState
from tests.unit.cluster.feed_exchange import (
    SHUTDOWN,
    Exchange,
    Script,
    Watch,
    ids,
    says,
    shape,
    stay,
    trade,
    until,
)


class Market:
    """One stream of trades that every open connection sees live, as on a real exchange."""

    def __init__(self) -> None:
        self._listeners: set[ServerConnection] = set()
        self._next_id = 0

    async def listen(self, ws: ServerConnection) -> None:
        self._listeners.add(ws)
        try:
            await stay(ws)
        finally:
            self._listeners.discard(ws)

    async def tick(self) -> None:
        while True:
            for ws in tuple(self._listeners):
                if ws.close_code is None:
                    await ws.send(trade(self._next_id))
            self._next_id += bool(self._listeners)
            await asyncio.sleep(0.001)


def after_notice(market: Market) -> Script:
    async def script(ws: ServerConnection) -> None:
        await ws.send(SHUTDOWN)
        await market.listen(ws)

    return script


async def test_a_shutdown_notice_switches_over_without_a_hole() -> None:
    market = Market()
    async with Exchange(after_notice(market), market.listen) as exchange, Watch(exchange.url) as watch:
        ticking = asyncio.create_task(market.tick())
        await until(lambda: watch.feed.counters.switches == 1)
        seen = len(ids(watch.events))
        await watch.trades(seen + 50)
        ticking.cancel()
        assert exchange.connections[0].close_code == 1000
        assert watch.feed.state is FeedState.LIVE
        counters = watch.feed.counters
        await watch.end()
    order = shape(watch.events)
    assert "D" not in order and order.count("C") == 2
    numbers = ids(watch.events)
    kept = list(dict.fromkeys(numbers))
    assert kept == list(range(len(kept))), "every trade is there, in order, once duplicates are dropped"
    assert len(numbers) > len(kept), "both connections were open at the same time"
    assert (counters.shutdowns, counters.reconnects, counters.set_aside) == (1, 0, 0)
    switch = order.rindex("C")
    assert numbers[: order[:switch].count("t")] == sorted(numbers[: order[:switch].count("t")])


async def test_an_old_connection_is_rotated_before_the_venue_cuts_it() -> None:
    market = Market()
    async with Exchange(market.listen) as exchange, Watch(exchange.url, rotate_after_s=0.15) as watch:
        ticking = asyncio.create_task(market.tick())
        await until(lambda: watch.feed.counters.switches == 3)
        await watch.end()
        ticking.cancel()
    kept = list(dict.fromkeys(ids(watch.events)))
    assert kept == list(range(len(kept)))
    assert "D" not in shape(watch.events)


async def test_a_replacement_without_data_takes_over_after_its_time() -> None:
    quiet = says()
    async with Exchange(says(trade(1), SHUTDOWN), quiet) as exchange:
        async with Watch(exchange.url, proof_timeout_s=0.05) as watch:
            await until(lambda: watch.feed.counters.switches == 1)
        assert shape(watch.events) == "Ct?C"


async def test_a_replacement_that_dies_is_set_aside_and_tried_again() -> None:
    async def dies(ws: ServerConnection) -> None:
        await ws.send(trade(1))
        await ws.close(1011)

    async with Exchange(says(trade(1), SHUTDOWN), dies, says(trade(1), trade(2))) as exchange:
        async with Watch(exchange.url, overlap_s=0.2) as watch:
            await watch.trades(3)
            assert len(exchange.connections) == 3
        assert ids(watch.events) == [1, 1, 2]
        assert shape(watch.events) == "Ct?Ctt"
        assert watch.feed.counters.set_aside == 3


async def test_an_old_connection_that_dies_during_the_switch_is_a_disconnect() -> None:
    opened = asyncio.Event()

    async def going_down(ws: ServerConnection) -> None:
        await ws.send(trade(1))
        await ws.send(SHUTDOWN)
        await opened.wait()
        await ws.close(1001)

    async def quiet_at_first(ws: ServerConnection) -> None:
        opened.set()
        await exchange.connections[0].wait_closed()
        await ws.send(trade(2))
        await stay(ws)

    async with Exchange(going_down, quiet_at_first) as exchange:
        async with Watch(exchange.url) as watch:
            await watch.trades(2)
        assert shape(watch.events) == "Ct?DCt"
        assert (watch.feed.counters.reconnects, watch.feed.counters.switches) == (1, 0)


async def test_a_refused_replacement_leaves_the_old_connection_its_life() -> None:
    refuse = asyncio.Event()

    async def going_down(ws: ServerConnection) -> None:
        exchange._refusals.append((403, {}))
        await ws.send(SHUTDOWN)
        await refuse.wait()
        await ws.send(trade(1))
        await ws.close(1001)

    async with Exchange(going_down) as exchange:
        watch = Watch(exchange.url)
        running = asyncio.create_task(watch.feed.run(watch.consume))
        await until(lambda: watch.feed.counters.disconnects["handshake: HTTP 403"] == 1)
        refuse.set()
        with pytest.raises(FeedError, match="HTTP 403"):
            await asyncio.wait_for(running, 5)
    assert shape(watch.events) == "C?tD"


async def test_closing_during_a_switch_ends_both_connections() -> None:
    async with Exchange(says(trade(1), SHUTDOWN), says()) as exchange:
        async with Watch(exchange.url) as watch:
            await until(lambda: len(exchange.connections) == 2)
            await watch.end()
        for connection in exchange.connections:
            await asyncio.wait_for(connection.wait_closed(), 5)
        assert exchange.connections[0].close_code == 1000
        assert ids(watch.events) == [1]


async def test_a_consumer_that_is_behind_gets_the_old_connection_first() -> None:
    async with Exchange(says(*map(trade, range(50)), SHUTDOWN), says(*map(trade, range(40, 90)))) as exchange:
        async with Watch(exchange.url, max_batch=4) as watch:
            watch.gate.clear()
            await until(lambda: watch.feed.counters.switches == 1)
            assert watch.feed.state is FeedState.LIVE
            watch.gate.set()
            await watch.trades(100)
        assert ids(watch.events) == [*range(50), *range(40, 90)]
