"""The websocket side over a real socket: paths, acks, order, limits."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from cluster.exchange.websocket_door import DoorLimits


async def test_raw_and_combined_clients_get_the_same_trades(start, write_trades, receive):
    exchange = await start(write_trades(50), wait_for=3)
    combined = f"{exchange.websocket_url}/stream?streams=btc-usd@trade/000001.sz@trade"
    async with (
        websockets.connect(combined) as one,
        websockets.connect(f"{exchange.websocket_url}/ws/000001.sz@trade?timeUnit=MICROSECOND") as two,
        websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@aggTrade", max_queue=None),
    ):
        wrapped = await receive(one, 100)
        mine = [m["data"] for m in wrapped if m["stream"] == "000001.sz@trade"]
        raw = await receive(two, 50)
    assert [m["t"] for m in mine] == list(range(1, 51))
    assert [m | {"E": 0, "T": 0} for m in raw] == [m | {"E": 0, "T": 0} for m in mine]
    assert [m["T"] for m in raw] == [m["T"] * 1000 for m in mine]
    times = [m["data"]["T"] for m in wrapped]
    assert times == sorted(times)


async def test_the_ack_comes_before_the_first_trade(start, write_trades, receive):
    exchange = await start(write_trades(5))
    async with websockets.connect(f"{exchange.websocket_url}/ws") as websocket:
        await websocket.send('{"method":"SUBSCRIBE","params":["btc-usd@trade","no@trade"],"id":9}')
        messages = await receive(websocket, 6)
    assert messages[0] == {"result": None, "id": 9}
    assert [m["t"] for m in messages[1:]] == [1, 2, 3, 4, 5]


async def test_aggregates_on_the_stream_equal_those_of_rest(start, write_trades, receive, http):
    exchange = await start(write_trades(50))
    query = f"{exchange.rest_url}/api/v3/aggTrades?symbol=BTC-USD"
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@aggTrade") as websocket:
        first = await receive(websocket, 1)
        rows = (await http.get(query)).json()
        streamed = first + await receive(websocket, len(rows) - 1)
    assert [{k: m[k] for k in rows[0]} for m in streamed] == rows


async def test_quotes_come_as_book_tickers(start, write_parquet, receive):
    path = write_parquet(
        symbol=["EURUSD"] * 2,
        ts_ns=[1, 2],
        bid=[1.1, 1.2],
        ask=[1.3, 1.4],
        bid_size=[5.0, 6.0],
        ask_size=[7.0, 8.0],
    )
    exchange = await start(path)
    async with websockets.connect(f"{exchange.websocket_url}/ws/eurusd@bookTicker") as websocket:
        messages = await receive(websocket, 2)
    assert messages[0] == {"u": 1, "s": "EURUSD", "b": "1.1", "B": "5.0", "a": "1.3", "A": "7.0"}
    assert messages[1]["u"] == 2


@pytest.mark.parametrize(("path", "status"), [("/nosuch", 404), ("/ws/a@trade/b@trade/c@trade", 400)])
async def test_a_wrong_url_is_refused(start, write_trades, path: str, status: int):
    exchange = await start(write_trades(1), limits=DoorLimits(streams_per_connection=2))
    with pytest.raises(websockets.InvalidStatus) as error:
        await websockets.connect(exchange.websocket_url + path)
    assert error.value.response.status_code == status


async def test_more_than_five_messages_a_second_end_the_connection(start, write_trades):
    exchange = await start(write_trades(1))
    async with websockets.connect(f"{exchange.websocket_url}/ws") as websocket:
        for number in range(6):
            await websocket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        await asyncio.wait_for(websocket.wait_closed(), 5)
        assert websocket.close_code == 1008


async def test_a_connection_ends_after_its_lifetime_and_is_pinged_before(start, write_trades):
    exchange = await start(write_trades(1), limits=DoorLimits(lifetime_s=0.3, ping_interval_s=0.05))
    async with websockets.connect(f"{exchange.websocket_url}/ws", ping_interval=None) as websocket:
        (server_side,) = exchange.audience.connections
        await asyncio.wait_for(websocket.wait_closed(), 5)
        assert websocket.close_code == 1001
        assert server_side.latency > 0  # a ping of the server's was answered
