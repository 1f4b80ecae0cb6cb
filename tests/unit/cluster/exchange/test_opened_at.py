"""An exchange that opened before its process began: its past is published, and it goes on on schedule."""

from __future__ import annotations

import asyncio
import math
import time

import numpy as np
import pytest
import websockets

from cluster.exchange.market import MarketSpec
from cluster.exchange.server import ALL_SYMBOLS, ExchangeSettings, LocalExchange
from cluster.exchange.tape import TapeSpec
from features.errors import ConfigError

SECOND_NS = 1_000_000_000
OPENED_NS = 1_800_000_000 * SECOND_NS


def after(seconds: float, settings: ExchangeSettings) -> LocalExchange:
    """An exchange whose process begins, and stays, so long after the opening."""
    return LocalExchange(settings, lambda: 50.0, lambda: OPENED_NS + int(seconds * 1e9))


def columns(exchange: LocalExchange) -> list[np.ndarray]:
    """Everything that REST could show of trades."""
    out = []
    for history in exchange.publisher.histories:
        made = history.aggregates(0, history.aggregate_count)
        out += [history.trade_id, history.ts_ns, history.price, history.size, history.side]
        out += [made.aggregate_id, made.first_id, made.last_id, made.size]
    return out


@pytest.mark.parametrize("seconds", [0.0, 0.19, 0.2, 7.0, 500.0])
async def test_all_that_was_due_before_now_is_published_at_once(write_trades, seconds: float):
    settings = ExchangeSettings(TapeSpec((write_trades(100),), block_rows=8), opened_at_ns=OPENED_NS)
    async with after(seconds, settings) as exchange:
        ts_ns = exchange.source.events.ticks.ts_ns
        expected = int(np.count_nonzero(ts_ns - ts_ns[0] <= seconds * 1e9))
        assert exchange.publisher.published_trades == expected > 0
        assert exchange.publisher.clock_ns == ts_ns[expected - 1]


async def test_speed_and_skipped_idle_stretches_count_for_the_past(write_parquet):
    ts_ns = [0, 10 * SECOND_NS, 10_000 * SECOND_NS, 10_020 * SECOND_NS, 10_040 * SECOND_NS]
    path = write_parquet(symbol=["A"] * 5, ts_ns=ts_ns, price=[1.0] * 5, size=[1.0] * 5)
    settings = ExchangeSettings(TapeSpec((path,)), speed=10.0, skip_idle_s=3.0, opened_at_ns=OPENED_NS)
    for seconds, published in ((0.9, 1), (1.1, 2), (3.9, 2), (4.1, 3), (6.1, 4), (8.1, 5)):
        async with after(seconds, settings) as exchange:
            assert exchange.publisher.published_trades == published


async def test_the_past_equals_what_was_published_live(start, write_trades, until):
    path = write_trades(150)
    first = await start(path, speed=100.0, wait_for=0)
    await until(first.publisher.finished.is_set)
    again = await start(path, speed=100.0, opened_at_ns=first.state()["opened_at_ns"])
    await until(again.publisher.finished.is_set)
    for one, other in zip(columns(first), columns(again), strict=True):
        assert np.array_equal(one, other)


async def test_clients_get_what_comes_and_rest_has_what_was(start, write_trades, receive, http):
    path = write_trades(200, symbols=("A",))
    opened_ns = time.time_ns() - 9 * SECOND_NS
    exchange = await start(path, speed=1.0, opened_at_ns=opened_ns, wait_for=ALL_SYMBOLS)
    past = exchange.publisher.past_trades
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade") as websocket:
        came = [message["t"] for message in await receive(websocket, 4)]
    assert came[0] > past >= 90
    assert came == list(range(came[0], came[0] + 4))
    rows = (await http.get(f"{exchange.rest_url}/api/v3/historicalTrades?symbol=A&fromId=1")).json()
    assert [row["id"] for row in rows][: came[-1]] == list(range(1, came[-1] + 1))


async def test_book_tickers_keep_their_update_ids(start, write_parquet, receive):
    path = write_parquet(symbol=["A"] * 40, ts_ns=np.arange(40) * 10**8, bid=[1.0] * 40, ask=[2.0] * 40)
    exchange = await start(path, speed=1.0, opened_at_ns=time.time_ns() - 2 * SECOND_NS)
    past = exchange.state()["symbols"]["A"]["quotes"]
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@bookTicker") as websocket:
        (message,) = await receive(websocket, 1)
    assert message["u"] > past >= 20


async def test_an_exchange_that_opens_later_waits_until_then(start, write_trades, receive):
    opens_ns = time.time_ns() + SECOND_NS // 2
    exchange = await start(write_trades(10), speed=1.0, opened_at_ns=opens_ns)
    async with websockets.connect(f"{exchange.websocket_url}/ws/btc-usd@trade") as websocket:
        state = exchange.state()
        assert (state["started"], state["published"], state["opened_at_ns"]) == (False, 0, opens_ns)
        assert (await receive(websocket, 1))[0]["t"] == 1
    assert time.time_ns() >= opens_ns


async def test_planned_faults_of_the_past_are_left_out(start, write_trades, until):
    plan = "drop:count=2@10trades, drop:count=2@150trades, duplicate@0.5s, duplicate@1.5s"
    path = write_trades(200, symbols=("A",))
    opened_ns = time.time_ns() - SECOND_NS
    exchange = await start(path, speed=10.0, faults=plan, opened_at_ns=opened_ns)
    assert 100 <= exchange.publisher.past_trades < 150
    await until(exchange.publisher.finished.is_set)
    ids = {entry["kind"]: entry["trade_ids"] for entry in exchange.state()["faults"]}
    assert sorted(ids) == ["drop", "duplicate"]
    assert len(ids["duplicate"]) == 1
    assert len(ids["drop"]) == 2 and ids["drop"][0] > 150


async def test_a_generated_market_carries_on_with_the_same_events(start, until):
    market = MarketSpec(("A", "B"), seed=3, trades_per_s=40.0, start_ns=OPENED_NS)
    first = await start(source=market, speed=200.0)
    await until(lambda: first.publisher.published_trades > 2_000)
    opened_ns = first.state()["opened_at_ns"]
    again = await start(source=market, speed=200.0, opened_at_ns=opened_ns)
    assert again.publisher.past_trades > 2_000
    for one, other in zip(first.publisher.histories, again.publisher.histories, strict=True):
        count = min(len(one), len(other))
        assert np.array_equal(one.price[:count], other.price[:count])
        assert np.array_equal(one.ts_ns[:count], other.ts_ns[:count])
    ahead = again.publisher.published_trades - first.publisher.published_trades
    assert abs(ahead) < 40 * 2 * 200  # a second of the two, at this speed


async def test_a_market_with_a_past_opens_again_with_the_same_past(start, until):
    market = MarketSpec(("A",), start_ns=OPENED_NS - 60 * SECOND_NS, history_s=60.0)
    for seconds in (0.0, 5.0):
        async with after(seconds, ExchangeSettings(market, opened_at_ns=OPENED_NS)) as exchange:
            assert exchange.publisher.clock_ns <= OPENED_NS + int(seconds * 1e9)
            assert exchange.publisher.clock_ns > OPENED_NS + int((seconds - 1) * 1e9)


async def test_the_state_says_when_it_opened(start, write_trades, until):
    before_ns = time.time_ns()
    exchange = await start(write_trades(10, symbols=("A",)), speed=1.0)
    assert exchange.state()["opened_at_ns"] is None
    async with websockets.connect(f"{exchange.websocket_url}/ws/a@trade"):
        await asyncio.wait_for(exchange.publisher.started.wait(), 5)
        assert exchange.state()["symbols"]["A"]["subscribers"] == 1
    state = exchange.state()
    assert before_ns < state["opened_at_ns"] <= time.time_ns()
    assert state["start_ns"] == exchange.source.events.ticks.ts_ns[0]


@pytest.mark.parametrize(
    ("bad", "fix"),
    [
        ({"source": TapeSpec(("x",)), "speed": math.inf}, "speed"),
        ({"source": TapeSpec(("x",)), "opened_at_ns": -1}, "nanoseconds"),
        ({"source": MarketSpec(("A",))}, "start_ns"),
    ],
)
def test_an_opening_that_makes_no_sense_is_refused(bad: dict, fix: str):
    with pytest.raises(ConfigError) as error:
        ExchangeSettings(**{"opened_at_ns": OPENED_NS, **bad})
    assert fix in error.value.fix
