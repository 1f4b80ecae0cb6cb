"""Pages of trades from REST: what time heals is tried again, what it doesn't ends at once."""

from __future__ import annotations

import asyncio
import pickle
import random
import time

import pytest

from cluster import venues
from cluster.gap_filler import GapFiller, GapNotFilled, PageBudget
from cluster.gap_policy import GapPolicy
from cluster.venues.base import Trade
from tests.unit.cluster.feed_exchange import until
from tests.unit.cluster.rest_venue import (
    CUT,
    HANGS,
    START_MS,
    RestVenue,
    Says,
    filler,
    page,
    rest_threads,
)


def ids(trades: list[Trade]) -> list[int]:
    return [trade.trade_id for trade in trades]


async def test_a_page_holds_the_trades_asked_for_and_no_more() -> None:
    async with RestVenue() as venue:
        asked = filler(venue.url)
        before_ns = time.time_ns()
        trades = await asked.page(5, 7, 10.0)
        assert ids(trades) == [5, 6, 7]
        assert (trades[0].symbol, trades[0].price, trades[0].side) == ("BTCUSDT", 100.5, -1)
        assert trades[0].ts_ns == (START_MS + 5) * 1_000_000
        assert trades[0].received_ns >= before_ns
        assert len(await asked.page(1, 9_999, 10.0)) == 1000, "as many as the venue gives"
        assert ids(await asked.page(9_999, None, 10.0)) == [9_999, 10_000]
        assert await asked.page(10_001, None, 10.0) == [], "the end is no failure without a last id"
        asked.close()
    assert venue.asked == [(5, 3), (1, 1000), (9_999, 1000), (10_001, 1000)]
    assert len(venue.clients) == 1
    assert (asked.requests, dict(asked.failures)) == (4, {})


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Says(500, "oops"), "HTTP 500"),
        (Says(503, "down"), "HTTP 503"),
        (Says(429, '{"code":-1003,"msg":"Too much request weight used."}'), "HTTP 429"),
        (Says(418, "no"), "HTTP 418"),
        (Says(408, "slow"), "HTTP 408"),
        (CUT, "network"),
        (HANGS, "timeout"),
        (Says(200, "[{"), "unreadable"),
        (Says(200, "[]"), "nothing"),
        (page(1, 2), "nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_time_heals_is_tried_again(trouble: Says, kind: str) -> None:
    async with RestVenue(trouble, trouble, trouble) as venue:
        asked = filler(venue.url, request_timeout_s=0.1 if trouble is HANGS else 5.0)
        assert ids(await asked.page(5, 6, 10.0)) == [5, 6]
        assert dict(asked.failures) == {kind: 3}
        asked.close()
    assert venue.asked == [(5, 2)] * 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Says(400, '{"code":-1121,"msg":"Invalid symbol."}'), "HTTP 400, .*-1121.*Invalid symbol"),
        (Says(200, '{"code":-1121,"msg":"Invalid symbol."}'), "-1121.*Invalid symbol"),
        (Says(451, "not here"), "HTTP 451"),
        (Says(403, "[]"), "HTTP 403, without a reason"),
        (Says(301, "", {"Location": "https://elsewhere.invalid/"}), "HTTP 301"),
    ],
)
async def test_a_refusal_ends_it_at_once(answer: Says, words: str) -> None:
    async with RestVenue(answer) as venue:
        asked = filler(venue.url)
        with pytest.raises(GapNotFilled, match=words) as caught:
            await asked.page(5, 6, 60.0)
        assert caught.value.refused
        asked.close()
    assert len(venue.asked) == 1
    assert asked.failures.total() == 1


async def test_a_venue_that_is_behind_its_own_socket_is_asked_until_it_has_the_trades() -> None:
    async with RestVenue(last_id=4) as venue:

        def catch_up() -> None:
            venue.last_id = 6 if len(venue.asked) == 4 else 4

        venue.on_request = catch_up
        asked = filler(venue.url)
        assert ids(await asked.page(5, 8, 10.0)) == [5, 6]
        assert len(venue.asked) == 4
        asked.close()


async def test_trades_that_the_venue_no_longer_has_are_skipped_not_awaited() -> None:
    async with RestVenue(first_id=7) as venue:
        asked = filler(venue.url)
        assert ids(await asked.page(5, 8, 10.0)) == [7, 8, 9, 10]
        asked.close()


async def test_when_the_time_is_up_the_last_reason_is_given() -> None:
    async with RestVenue(*[Says(503)] * 10_000) as venue:
        asked = filler(venue.url, backoff_base_s=0.01, backoff_max_s=0.01)
        began_s = time.monotonic()
        with pytest.raises(GapNotFilled, match="HTTP 503") as caught:
            await asked.page(5, 6, 0.3)
        assert time.monotonic() - began_s < 3.0
        assert not caught.value.refused and caught.value.symbol == "BTCUSDT"
        assert len(venue.asked) > 3
        asked.close()


async def test_a_hanging_answer_ends_with_the_time() -> None:
    async with RestVenue(HANGS) as venue:
        asked = filler(venue.url, request_timeout_s=60.0)
        with pytest.raises(GapNotFilled, match="did not answer in time"):
            await asked.page(5, 6, 0.2)
        await until(lambda: rest_threads() == 0)


async def test_retry_after_is_obeyed() -> None:
    async with RestVenue(Says(429, "", {"Retry-After": "1"})) as venue:
        asked = filler(venue.url)
        assert ids(await asked.page(5, 5, 10.0)) == [5]
        assert venue.times_s[1] - venue.times_s[0] >= 0.99
        asked.close()


async def test_a_ban_that_outlasts_the_time_is_not_waited_for_nor_tested_again() -> None:
    async with RestVenue(Says(418, "", {"Retry-After": "120"})) as venue:
        asked = filler(venue.url)
        with pytest.raises(GapNotFilled, match="HTTP 418"):
            await asked.page(5, 5, 30.0)
        with pytest.raises(GapNotFilled, match="HTTP 418"):
            await asked.page(5, 5, 30.0)
        assert len(venue.asked) == 1
        asked.close()


async def test_pages_keep_to_the_budget() -> None:
    async with RestVenue() as venue:
        asked = filler(venue.url, page_burst=2, pages_per_s=10.0)
        began_s = time.monotonic()
        for first_id in range(1, 6):
            await asked.page(first_id, first_id, 10.0)
        assert time.monotonic() - began_s >= 0.3, "three pages beyond the burst, a tenth of a second each"
        asked.close()


def test_a_budget_allows_a_burst_and_then_a_rate() -> None:
    budget = PageBudget(per_s=4.0, burst=20)
    for _ in range(20):
        assert budget.wait_s(100.0) == 0.0
        budget.note()
    assert budget.wait_s(100.0) == pytest.approx(0.25)
    assert budget.wait_s(100.1) == pytest.approx(0.15), "asking costs nothing"
    assert budget.wait_s(100.25) == 0.0
    budget.note()
    assert budget.wait_s(100.25) == pytest.approx(0.25)
    assert budget.wait_s(1000.0) == 0.0
    for _ in range(20):
        budget.note()
    assert budget.wait_s(1000.0) == pytest.approx(0.25), "no more than a burst is saved up"


async def test_an_idle_connection_is_closed_and_opens_again() -> None:
    async with RestVenue() as venue:
        asked = filler(venue.url, idle_close_s=0.05)
        await asked.page(1, 1, 10.0)
        await until(lambda: rest_threads() == 0)
        assert ids(await asked.page(2, 2, 10.0)) == [2]
        assert len(venue.clients) == 2
        asked.close()
    await until(lambda: rest_threads() == 0)


async def test_cancelling_leaves_nothing_behind() -> None:
    async with RestVenue(HANGS) as venue:
        asked = filler(venue.url)
        asking = asyncio.create_task(asked.page(5, 6, 60.0))
        await until(lambda: len(venue.asked) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await until(lambda: rest_threads() == 0)
        assert ids(await asked.page(5, 6, 10.0)) == [5, 6], "and it can be asked again"
        asked.close()
    await until(lambda: rest_threads() == 0)


async def test_a_venue_without_trades_by_time_says_so() -> None:
    policy = GapPolicy()
    asked = GapFiller(venues.get("binance"), "BTCUSDT", None, policy, time.time_ns, random.Random(1))
    with pytest.raises(GapNotFilled, match="no trades by time"):
        await asked.recent(0, 1.0)


def test_what_was_not_filled_survives_pickling_and_says_what_to_do() -> None:
    error = pickle.loads(pickle.dumps(GapNotFilled("BTCUSDT", "HTTP 451", refused=True)))
    assert (error.symbol, error.reason, error.refused) == ("BTCUSDT", "HTTP 451", True)
    assert str(error) == (
        "BTCUSDT: missing trades can't be fetched: HTTP 451; check venue.rest_url and the venue's limits"
    )
