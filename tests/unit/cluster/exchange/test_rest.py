"""REST shows what was published, all of it and nothing else, in the venue's words."""

from __future__ import annotations

import itertools

import httpx
import pyarrow.parquet as pq
import pytest
import websockets

from cluster.exchange.tape import TapeSpec


async def play_all(exchange, until):
    """Let the tape run to its end for one listening client."""
    url = f"{exchange.websocket_url}/ws/{exchange.source.instruments[0].stream_symbol}@trade"
    async with websockets.connect(url, max_queue=None):
        await until(exchange.publisher.finished.is_set)


@pytest.fixture
async def played(start, write_trades, until):
    """An exchange at the end of a tape of 2500 trades per symbol, without a weight limit to speak of."""
    exchange = await start(write_trades(2500), weight_per_minute=10**6)
    await play_all(exchange, until)
    return exchange


async def test_paging_trades_gives_exactly_the_file(played, http: httpx.AsyncClient):
    path = played.settings.source.paths[0]
    rows = [row for row in pq.read_table(path).to_pylist() if row["symbol"] == "000001.SZ"]
    got, next_id = [], 1
    while True:
        query = {"symbol": "000001.SZ", "fromId": next_id, "limit": 1000}
        page = (await http.get(f"{played.rest_url}/api/v3/historicalTrades", params=query)).json()
        got += page
        next_id += len(page)
        if len(page) < 1000:
            break
    assert [trade["id"] for trade in got] == list(range(1, 2501))
    assert [float(trade["price"]) for trade in got] == [row["price"] for row in rows]
    assert [float(trade["qty"]) for trade in got] == [row["size"] for row in rows]
    assert [trade["time"] for trade in got] == [row["ts_ns"] // 10**6 for row in rows]
    assert [trade["isBuyerMaker"] for trade in got] == [
        None if row["side"] == 0 else row["side"] < 0 for row in rows
    ]


async def test_paging_aggregates_covers_every_trade_once(played, http: httpx.AsyncClient):
    got, next_id = [], 1
    while True:
        query = {"symbol": "BTC-USD", "fromId": next_id, "limit": 1000}
        page = (await http.get(f"{played.rest_url}/api/v3/aggTrades", params=query)).json()
        got += page
        next_id += len(page)
        if len(page) < 1000:
            break
    assert [entry["a"] for entry in got] == list(range(1, len(got) + 1))
    assert got[0]["f"] == 1 and got[-1]["l"] == 2500
    assert all(b["f"] == a["l"] + 1 for a, b in itertools.pairwise(got))


async def test_times_select_aggregates_inclusively_in_both_units(played, http: httpx.AsyncClient):
    history = played.history("BTC-USD")
    start_ms, end_ms = int(history.ts_ns[10]) // 10**6, int(history.ts_ns[20]) // 10**6
    url = f"{played.rest_url}/api/v3/aggTrades"
    query = {"symbol": "BTC-USD", "startTime": start_ms, "endTime": end_ms}
    rows = (await http.get(url, params=query)).json()
    assert {rows[0]["T"], rows[-1]["T"]} == {start_ms, end_ms}
    query = {"symbol": "BTC-USD", "startTime": start_ms * 1000, "endTime": end_ms * 1000}
    micro = (await http.get(url, params=query, headers={"X-MBX-TIME-UNIT": "MICROSECOND"})).json()
    assert [row["a"] for row in micro] == [row["a"] for row in rows]
    assert [row["T"] for row in micro] == [row["T"] * 1000 for row in rows]


async def test_newest_trades_come_last(played, http: httpx.AsyncClient):
    rows = (await http.get(f"{played.rest_url}/api/v3/trades?symbol=BTC-USD&limit=3")).json()
    assert [row["id"] for row in rows] == [2498, 2499, 2500]


async def test_klines_add_up_to_the_volume(played, http: httpx.AsyncClient):
    query = {"symbol": "BTC-USD", "interval": "1s", "limit": 1000}
    rows = (await http.get(f"{played.rest_url}/api/v3/klines", params=query)).json()
    assert sum(row[8] for row in rows) == 2500
    assert sum(float(row[5]) for row in rows) == pytest.approx(played.history("BTC-USD").size.sum())


async def test_exchange_info_time_and_ping_answer(played, http: httpx.AsyncClient):
    info = (await http.get(f"{played.rest_url}/api/v3/exchangeInfo")).json()
    assert {s["symbol"] for s in info["symbols"]} == {"BTC-USD", "000001.SZ"}
    assert info["rateLimits"][0]["limit"] == 10**6
    time = (await http.get(f"{played.rest_url}/api/v3/time")).json()
    assert time == {"serverTime": played.publisher.clock_ns // 10**6}
    assert (await http.get(f"{played.rest_url}/api/v3/ping")).json() == {}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("trades?symbol=NOSUCH", -1121),
        ("trades?symbol=btc%24", -1100),
        ("trades", -1102),
        ("trades?symbol=", -1105),
        ("trades?symbol=BTC-USD&limit=x", -1100),
        ("trades?symbol=BTC-USD&limit=0", -1130),
        ("trades?symbol=BTC-USD&colour=red", -1104),
        ("aggTrades?symbol=BTC-USD&fromId=1&startTime=1", -1128),
        ("aggTrades?symbol=BTC-USD&startTime=2&endTime=1", -1127),
        ("klines?symbol=BTC-USD&interval=7m", -1120),
        ("klines?symbol=BTC-USD", -1102),
    ],
)
async def test_bad_requests_get_the_venues_code(start, write_trades, http, query: str, code: int):
    exchange = await start(write_trades(1))
    answer = await http.get(f"{exchange.rest_url}/api/v3/{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_over_the_weight_limit_is_429_with_retry_after(start, write_trades, http):
    exchange = await start(write_trades(1), weight_per_minute=30)
    url = f"{exchange.rest_url}/api/v3/trades?symbol=BTC-USD"
    answers = [await http.get(url) for _ in range(3)]
    assert 429 in [answer.status_code for answer in answers]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == -1003
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert answers[0].headers["X-MBX-USED-WEIGHT-1M"] == "25"


async def test_nothing_is_shown_before_it_is_published(start, write_trades, http, receive):
    exchange = await start(source=TapeSpec((write_trades(2500),)), speed=1.0)
    url = f"{exchange.rest_url}/api/v3/historicalTrades?symbol=BTC-USD&fromId=1"
    assert (await http.get(url)).json() == []
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@trade") as websocket:
        seen = (await receive(websocket, 3))[-1]
        rows = (await http.get(url)).json()
        assert seen["t"] in [row["id"] for row in rows]
        clock_ms = (await http.get(f"{exchange.rest_url}/api/v3/time")).json()["serverTime"]
        assert all(row["time"] <= clock_ms for row in rows)
        assert len(rows) < 100
