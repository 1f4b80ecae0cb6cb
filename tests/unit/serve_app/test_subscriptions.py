"""Forecasts that are followed are answered from memory, and never longer than their actor is well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from serve_app import subscriptions
from serve_app.errors import Recovering
from serve_app.router import ForecastRouter
from tests.unit.serve_app.fake_directory import (
    FakeDirectory,
    forecasts_answer,
    not_ready_answer,
    recovering_answer,
)

HORIZONS = ["10s", "60s"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def calls(directory: FakeDirectory) -> int:
    return directory.asked["BTCUSDT", "forecasts"]


async def followed(directory: FakeDirectory) -> ForecastRouter:
    """A router that has the forecasts of BTCUSDT at hand."""
    router = ForecastRouter(directory)
    await router.forecast("BTCUSDT", "10s")
    directory.push("BTCUSDT", forecasts_answer("BTCUSDT", HORIZONS) | {"sequence": 6})
    await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 2)
    return router


async def test_once_followed_no_actor_is_called(directory: FakeDirectory) -> None:
    router = await followed(directory)
    before = calls(directory)
    for _ in range(100):
        assert json.loads(await router.forecast("BTCUSDT", "10s"))["symbol"] == "BTCUSDT"
    assert calls(directory) == before


async def test_a_newer_forecast_replaces_the_one_at_hand(directory: FakeDirectory) -> None:
    router = await followed(directory)
    newer = forecasts_answer("BTCUSDT", HORIZONS) | {"sequence": 7}
    newer["by_horizon"] = {h: b'{"symbol":"BTCUSDT","horizon":"%b","price":1}' % h.encode() for h in HORIZONS}
    directory.push("BTCUSDT", newer)
    await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 3)
    assert json.loads(await router.forecast("BTCUSDT", "60s"))["price"] == 1


async def test_an_actor_that_fails_is_asked_itself_from_then_on(directory: FakeDirectory) -> None:
    router = await followed(directory)
    before = calls(directory)
    directory.push("BTCUSDT", Recovering("BTCUSDT", 1.0, "restarting"))
    await until(lambda: len(router._subscriptions) == 0)
    await router.forecast("BTCUSDT", "10s")
    assert calls(directory) == before + 1


async def test_a_symbol_that_is_not_warm_any_more_is_asked_for_its_reasons(directory: FakeDirectory) -> None:
    router = await followed(directory)
    before = calls(directory)
    directory.push("BTCUSDT", not_ready_answer("BTCUSDT", "begins anew", 3.0) | {"sequence": 8})
    await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 3)
    await router.forecast("BTCUSDT", "10s")
    assert calls(directory) == before + 1


async def test_a_symbol_that_has_caught_up_is_answered_at_once_with_the_forecasts_of_before(
    directory: FakeDirectory,
) -> None:
    good = directory.answers["BTCUSDT", "forecasts"]
    waits = recovering_answer("BTCUSDT", "trades 5 to 9 are missing")
    assert good["sequence"] == waits["sequence"]
    router = ForecastRouter(directory)
    directory.answers["BTCUSDT", "forecasts"] = waits
    directory.push("BTCUSDT", waits)
    for _ in range(2):
        with pytest.raises(Recovering, match="trades 5 to 9 are missing"):
            await router.forecast("BTCUSDT", "10s")
        await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 2)
    directory.answers["BTCUSDT", "forecasts"] = good
    for _ in range(2):
        assert json.loads(await router.forecast("BTCUSDT", "10s"))["symbol"] == "BTCUSDT"
    assert calls(directory) == 4
    directory.end_poll("BTCUSDT", good)
    await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 3)
    assert json.loads(await router.forecast("BTCUSDT", "10s"))["symbol"] == "BTCUSDT"
    assert calls(directory) == 4, "from memory again"


async def test_a_poll_that_ends_without_newer_forecasts_leaves_those_at_hand(
    directory: FakeDirectory,
) -> None:
    router = await followed(directory)
    at_hand = router._subscriptions.newest("BTCUSDT")
    directory.end_poll("BTCUSDT", forecasts_answer("BTCUSDT", HORIZONS) | {"sequence": 6})
    await until(lambda: directory.asked["BTCUSDT", "next_forecasts"] == 3)
    assert router._subscriptions.newest("BTCUSDT") is at_hand


async def test_a_symbol_that_nobody_asks_for_is_not_followed(directory: FakeDirectory) -> None:
    now_s = 0.0
    router = ForecastRouter(directory, now_s=lambda: now_s)
    await router.forecast("BTCUSDT", "10s")
    now_s = subscriptions.UNUSED_S + 1.0
    directory.push("BTCUSDT", forecasts_answer("BTCUSDT", HORIZONS) | {"sequence": 6})
    await until(lambda: len(router._subscriptions) == 0)
