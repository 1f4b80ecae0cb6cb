"""The whole exchange: nothing lost under backpressure, every fault does what it says."""

from __future__ import annotations

import asyncio
import json
import math
import socket

import numpy as np
import pytest
import websockets

from cluster.exchange.market import MarketSpec
from cluster.exchange.server import ALL_SYMBOLS, ExchangeSettings
from cluster.exchange.tape import TapeSpec
from features.errors import ConfigError

START_NS = 1_700_000_000_000_000_000


async def order(http, exchange, **fault):
    answer = await http.post(f"{exchange.rest_url}/tickcast/faults", json=fault)
    assert answer.status_code == 202, answer.text


async def read_ids(websocket, last_id: int) -> list[int]:
    """Trade ids up to the last one; unreadable messages as -1."""
    ids = []
    async with asyncio.timeout(20):
        while not ids or ids[-1] != last_id:
            try:
                message = json.loads(await websocket.recv())
                float(message["p"])
                ids.append(message["t"])
            except ValueError:
                ids.append(-1)
    return ids


async def test_at_full_speed_the_tape_waits_for_a_slow_client_and_nothing_is_lost(start, write_trades, until):
    n = 150_000
    exchange = await start(write_trades(n, symbols=("BTC-USD",)))
    url = f"{exchange.websocket_url}/ws/btc-usd@trade"
    async with websockets.connect(url, compression=None, max_queue=16) as slow:
        ids, held_at = [json.loads(await slow.recv())["t"]], -1
        while held_at != exchange.publisher.published_trades:
            held_at = exchange.publisher.published_trades
            await asyncio.sleep(0.05)  # the client does nothing until the exchange stands still
        ids += [json.loads(await slow.recv())["t"] for _ in range(n - 1)]
    assert held_at < n
    assert ids == list(range(1, n + 1))
    await until(exchange.publisher.finished.is_set)


async def test_a_tape_starts_only_when_enough_streams_are_subscribed(start, write_trades, receive, http):
    exchange = await start(write_trades(3), wait_for=ALL_SYMBOLS)
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@trade") as one:
        state = (await http.get(f"{exchange.rest_url}/tickcast/state")).json()
        assert (state["started"], state["published"], state["subscribed_streams"]) == (False, 0, 1)
        async with websockets.connect(f"{exchange.websocket_url}/ws/000001.sz@trade") as two:
            assert [m["t"] for m in await receive(one, 3)] == [1, 2, 3]
            assert [m["t"] for m in await receive(two, 3)] == [1, 2, 3]


async def test_rest_and_connections_stay_after_the_tape_has_finished(start, write_trades, receive, http):
    exchange = await start(write_trades(3))
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@trade") as websocket:
        await receive(websocket, 3)
        await asyncio.wait_for(exchange.finished(), 5)
        await websocket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert (await receive(websocket, 1))[0]["result"] == ["btc-usd@trade"]
        state = (await http.get(f"{exchange.rest_url}/tickcast/state")).json()
    assert state["finished"] and state["speed"] == "max" and state["source"] == "tape"
    assert state["symbols"]["BTC-USD"] == {
        "published": 3,
        "first_id": 1,
        "last_id": 3,
        "quotes": 0,
        "subscribers": 1,
    }


async def test_speed_paces_and_idle_stretches_are_skipped(start, write_parquet, receive):
    path = write_parquet(symbol=["A"] * 3, ts_ns=[0, 10**9, 10**13], price=[1.0] * 3, size=[1.0] * 3)
    exchange = await start(path, speed=10.0, skip_idle_s=0.2)
    loop = asyncio.get_running_loop()
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade") as websocket:
        await receive(websocket, 1)
        first = loop.time()
        await receive(websocket, 2)
        assert 0.25 < loop.time() - first < 2.0


async def test_message_faults_change_the_stream_and_not_rest(start, write_trades, http):
    exchange = await start(write_trades(100, symbols=("A",)))
    for kind, count in (("drop", 2), ("duplicate", 1), ("reorder", 1), ("malformed", 1), ("garble", 1)):
        await order(http, exchange, kind=kind, count=count, symbol="A")
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade") as websocket:
        ids = await read_ids(websocket, 100)
    assert ids == [3, 3, -1, 4, -1, *range(7, 101)]
    page = (await http.get(f"{exchange.rest_url}/api/v3/historicalTrades?symbol=A&fromId=1")).json()
    assert [row["id"] for row in page] == list(range(1, 101))
    faults = {f["kind"]: f["trade_ids"] for f in exchange.state()["faults"]}
    assert faults["drop"] == [1, 2] and faults["duplicate"] == [3] and faults["reorder"] == [4]
    assert faults["malformed"] == [5] and faults["garble"] == [6]


async def test_a_dropped_connection_has_no_close_frame_and_is_counted(start, write_trades, http, until):
    exchange = await start(write_trades(10), wait_for=5)
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@trade") as websocket:
        await until(lambda: len(exchange.audience.connections) == 1)
        await order(http, exchange, kind="drop_connection", symbol="BTC-USD")
        await asyncio.wait_for(websocket.wait_closed(), 5)
        assert websocket.close_code == 1006
    assert exchange.state()["faults"][0]["count"] == 1


async def test_a_shutdown_notice_is_followed_by_the_end(start, write_trades, http, receive, until):
    exchange = await start(write_trades(10), wait_for=5)
    url = f"{exchange.websocket_url}/stream?streams=btc-usd@trade"
    async with websockets.connect(url) as websocket:
        await until(lambda: len(exchange.audience.connections) == 1)
        await order(http, exchange, kind="shutdown_notice", seconds=0.05)
        (notice,) = await receive(websocket, 1)
        assert (notice["stream"], notice["data"]["e"]) == ("!serverShutdown", "serverShutdown")
        await asyncio.wait_for(websocket.wait_closed(), 5)


async def test_connections_are_refused_and_rest_is_down_for_a_while(start, write_trades, http):
    exchange = await start(write_trades(10))
    await order(http, exchange, kind="refuse_connections", seconds=60)
    await order(http, exchange, kind="rest_down", seconds=60)
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"{exchange.websocket_url}/ws")
    assert (await http.get(f"{exchange.rest_url}/api/v3/ping")).status_code == 503
    state = (await http.get(f"{exchange.rest_url}/tickcast/state")).json()
    assert (state["connections_refused"], state["requests_while_down"]) == (1, 1)


@pytest.mark.parametrize("speed", [math.inf, 10_000.0])
async def test_a_stall_delays_and_loses_nothing(start, write_trades, speed: float):
    path = write_trades(500, symbols=("A",))
    exchange = await start(path, speed=speed, faults="stall:seconds=0.2@100trades")
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade") as websocket:
        assert await read_ids(websocket, 500) == list(range(1, 501))
    assert exchange.state()["faults"][0]["kind"] == "stall"


async def test_a_planned_fault_happens_at_its_trade(start, write_trades):
    exchange = await start(write_trades(100, symbols=("A",)), faults="drop:count=3@50trades")
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade") as websocket:
        ids = await read_ids(websocket, 100)
    assert sorted(set(range(1, 101)) - set(ids)) == [51, 52, 53]


async def test_a_bad_fault_is_refused_with_the_reason(start, write_trades, http):
    exchange = await start(write_trades(1))
    url = f"{exchange.rest_url}/tickcast/faults"
    assert "unknown fault" in (await http.post(url, json={"kind": "boom"})).json()["error"]
    assert "not traded here" in (await http.post(url, json={"kind": "drop", "symbol": "X"})).json()["error"]
    assert (await http.post(url, content=b"{")).status_code == 400


async def test_a_client_that_does_not_read_is_cut_at_a_finite_speed(start, write_trades, until):
    path = write_trades(150_000, symbols=("A",))
    exchange = await start(path, speed=1e9, backlog_bytes=100_000)
    url = f"{exchange.websocket_url}/ws/a@trade"
    async with websockets.connect(url, compression=None, max_queue=1, close_timeout=0.1):
        await until(lambda: exchange.audience.slow_clients_cut == 1)


async def test_a_generated_market_is_live_and_consistent_with_rest(start, receive, http):
    exchange = await start(source=MarketSpec(("BTCUSDT",), trades_per_s=200.0), speed=1.0)
    async with websockets.connect(f"{exchange.websocket_url}/ws/btcusdt@trade") as websocket:
        messages = await receive(websocket, 50)
    first = messages[0]["t"]
    assert [m["t"] for m in messages] == list(range(first, first + 50))
    query = {"symbol": "BTCUSDT", "fromId": first, "limit": 50}
    rows = (await http.get(f"{exchange.rest_url}/api/v3/historicalTrades", params=query)).json()
    assert [(r["id"], r["price"], r["qty"], r["time"]) for r in rows] == [
        (m["t"], m["p"], m["q"], m["T"]) for m in messages
    ]


async def test_a_taken_port_is_a_clear_error(start, write_trades):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for which in ("port", "rest_port"):
            with pytest.raises(ConfigError, match=f"port {port} can't be used"):
                await start(write_trades(1), **{which: port})


def test_settings_that_make_no_sense_are_refused():
    source = TapeSpec(("x",))
    for bad in ({"speed": 0.0}, {"speed": math.nan}, {"skip_idle_s": -1.0}, {"wait_for": -2}):
        with pytest.raises(ConfigError):
            ExchangeSettings(source, **bad)


async def test_every_trade_on_the_wire_is_the_files_float(start, shared):
    path = shared / "data" / "trades" / "binance_spot_ticks_2024-08-09.parquet"
    exchange = await start(source=TapeSpec((str(path),), symbols=("BTCUSDT",), keep_source_ids=True))
    url = f"{exchange.websocket_url}/ws/btcusdt@trade"
    async with websockets.connect(url, compression=None) as websocket:
        ticks = exchange.source.events.ticks
        got = [json.loads(await websocket.recv()) for _ in range(len(ticks))]
    assert np.array_equal(ticks.trade_id, [m["t"] for m in got])
    assert np.array_equal(ticks.price, [float(m["p"]) for m in got])
    assert np.array_equal(ticks.size, [float(m["q"]) for m in got])
    assert np.array_equal(ticks.side, [-1 if m["m"] else 1 for m in got])
