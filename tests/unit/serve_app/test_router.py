"""Sharing of actor calls, and what the router makes of the actors' answers."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from features.errors import NotWarm, UnknownHorizon, UnknownSymbol
from serve_app.errors import InvalidRequest, Recovering, SupervisorUnreachable
from serve_app.router import ForecastRouter
from tests.unit.serve_app.fake_directory import FakeDirectory, not_ready_answer, recovering_answer


async def until_asked(directory: FakeDirectory, symbol: str) -> None:
    while not directory.asked[symbol, "forecasts"]:
        await asyncio.sleep(0)


async def test_requests_in_flight_for_one_symbol_share_one_actor_call(directory: FakeDirectory) -> None:
    router = ForecastRouter(directory)
    directory.gate.clear()
    asked = [
        asyncio.create_task(router.forecast(symbol, horizon))
        for symbol in ("BTCUSDT", "btcusdt")
        for horizon in ("10s", "60s") * 50
    ]
    await until_asked(directory, "BTCUSDT")
    directory.gate.set()
    answers = await asyncio.gather(*asked)
    assert {json.loads(answer)["horizon"] for answer in answers} == {"10s", "60s"}
    assert directory.asked["BTCUSDT", "forecasts"] == 1
    await router.forecast("BTCUSDT", "10s")
    assert directory.asked["BTCUSDT", "forecasts"] == 2, "the next request asks again"


async def test_a_client_that_leaves_does_not_end_the_call_of_the_others(directory: FakeDirectory) -> None:
    router = ForecastRouter(directory)
    directory.gate.clear()
    leaving, staying = (asyncio.create_task(router.forecast("BTCUSDT", "10s")) for _ in range(2))
    await until_asked(directory, "BTCUSDT")
    leaving.cancel()
    directory.gate.set()
    assert json.loads(await staying)["symbol"] == "BTCUSDT"
    assert leaving.cancelled()
    assert directory.asked["BTCUSDT", "forecasts"] == 1


async def test_an_error_is_shared_by_those_who_wait_and_forgotten_after(directory: FakeDirectory) -> None:
    router = ForecastRouter(directory)
    good = directory.answers["BTCUSDT", "forecasts"]
    directory.answers["BTCUSDT", "forecasts"] = Recovering("BTCUSDT", 1.0, "restarting")
    directory.gate.clear()
    asked = [asyncio.create_task(router.forecast("BTCUSDT", "10s")) for _ in range(10)]
    await until_asked(directory, "BTCUSDT")
    directory.gate.set()
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, Recovering) for each in told)
    assert directory.asked["BTCUSDT", "forecasts"] == 1
    directory.answers["BTCUSDT", "forecasts"] = good
    assert await router.forecast("BTCUSDT", "10s")


async def test_many_symbols_are_asked_at_once_and_once_each() -> None:
    names = [f"COIN{i}" for i in range(100)]
    directory = FakeDirectory(*names)
    router = ForecastRouter(directory)
    directory.gate.clear()
    asked = [asyncio.create_task(router.batch(names, ["10s"])) for _ in range(5)]
    await until_asked(directory, "COIN99")
    assert all(directory.asked[name, "forecasts"] == 1 for name in names)
    directory.gate.set()
    for objects, refusals in await asyncio.gather(*asked):
        assert [json.loads(each)["symbol"] for each in objects] == names
        assert refusals == []
    assert set(directory.asked.values()) == {1}


async def test_in_a_batch_one_symbol_does_not_fail_the_others(directory: FakeDirectory) -> None:
    directory.answers["ETHUSDT", "forecasts"] = not_ready_answer("ETHUSDT", "few bars", 5.0)
    directory.answers["ABC", "forecasts"] = Recovering("ABC", 1.0)
    directory.answers["abc", "forecasts"] = recovering_answer("abc", "its feed is connecting")
    router = ForecastRouter(directory)
    symbols = ["NOPE", "BTCUSDT", "ETHUSDT", "btcusdt", "BTCUSDT", "ABC", "abc", "💩"]
    objects, refusals = await router.batch(symbols, ["60s", "5m", "60s"])
    assert [(json.loads(each)["symbol"], json.loads(each)["horizon"]) for each in objects] == [
        ("BTCUSDT", "60s")
    ]
    assert [(r.symbol, r.horizon, type(r.error)) for r in refusals] == [
        ("NOPE", None, UnknownSymbol),
        ("BTCUSDT", "5m", UnknownHorizon),
        ("ETHUSDT", None, NotWarm),
        ("ABC", None, Recovering),
        ("abc", None, Recovering),
        ("💩", None, InvalidRequest),
    ]


async def test_a_batch_fails_as_a_whole_only_if_no_symbol_could_be_asked(directory: FakeDirectory) -> None:
    router = ForecastRouter(directory)
    directory.unreachable = SupervisorUnreachable(1.0)
    with pytest.raises(SupervisorUnreachable):
        await router.batch(["BTCUSDT"], None)


async def test_a_symbol_that_starts_is_not_warm_and_one_that_fails_says_why(directory: FakeDirectory) -> None:
    for symbol, state in (("NEW", "starting"), ("BAD", "failed")):
        directory.watch(symbol, state, f"{state} for a reason")
        directory.answers[symbol, "forecasts"] = Recovering(symbol, 1.0, "its actor is not there")
    router = ForecastRouter(directory)
    with pytest.raises(NotWarm, match="starting for a reason"):
        await router.forecast("NEW", "10s")
    with pytest.raises(Recovering, match="failed for a reason") as refused:
        await router.forecast("BAD", "10s")
    assert refused.value.state == "failed"


async def test_numbers_that_json_has_not_become_null(directory: FakeDirectory) -> None:
    directory.answers["BTCUSDT", "features"]["values"] = {"a": math.nan, "b": math.inf, "c": 1.5}
    answer = json.loads(await ForecastRouter(directory).features("BTCUSDT"))
    assert answer["values"] == {"a": None, "b": None, "c": 1.5}


async def test_forecasts_go_on_while_the_supervisor_is_away(directory: FakeDirectory) -> None:
    now_s = [0.0]
    router = ForecastRouter(directory, now_s=lambda: now_s[0])
    await router.forecast("BTCUSDT", "10s")
    directory.unreachable = SupervisorUnreachable(1.0)
    now_s[0] = 1000.0
    assert await router.forecast("BTCUSDT", "10s")
    with pytest.raises(SupervisorUnreachable):
        await router.symbols()
