"""When REST is asked, how long, for what, and what happens to what it can't give."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cluster.event_order import FedEvent
from cluster.gap_keeper import GapKeeper
from cluster.gap_policy import GapPolicy
from cluster.trade_order import TradeOrder
from cluster.venues.base import Connected, Disconnected, Event, Quote, Trade
from tests.unit.cluster.feed_exchange import until
from tests.unit.cluster.rest_venue import (
    HANGS,
    QUICK,
    START_MS,
    RestVenue,
    Says,
    filler,
    rest_threads,
)
from tests.unit.cluster.trade_orders import shape

SYMBOL = "BTCUSDT"
_CUT = Disconnected("network", 1)
_DOWN = [Says(503)] * 100_000
QUICK_GAPS = {"reorder_wait_s": 0.01, "catch_up_after_s": 0.02, "repair_every_s": 60.0}


class Kept:
    """A keeper with its order; `out` is what went to the engine, `stored` what came too late."""

    def __init__(self, venue: RestVenue, **policy: Any) -> None:
        policy = {**QUICK_GAPS, **QUICK, **policy}
        self.policy = GapPolicy(**policy)
        self.order = TradeOrder(SYMBOL, self.policy.hold_limit)
        self.filler = filler(venue.url, **policy)
        self.keeper = GapKeeper(self.order, self.filler, self.policy, self.feed_on, self.store)
        self.out: list[FedEvent] = []
        self.stored: list[int] = []
        self.began_s = time.monotonic()

    def feed_on(self, fed: list[FedEvent]) -> None:
        assert fed, "never called for nothing"
        self.out += fed

    def store(self, trades: list[Trade]) -> None:
        self.stored += [one.trade_id for one in trades]

    def says(self, *events: Event | int) -> list[Any]:
        """The socket says these; numbers are trades received now."""
        made = [trade(one) if isinstance(one, int) else one for one in events]
        fed = self.keeper.accept(made)
        self.out += fed
        return shape(fed)

    async def until_id(self, last_id: int) -> None:
        await until(lambda: self.order.last_id >= last_id)

    async def __aenter__(self) -> Kept:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.keeper.close()
        await until(lambda: rest_threads() == 0)


def trade(number: int, received_ns: int | None = None) -> Trade:
    ts_ns = (START_MS + number) * 1_000_000
    return Trade(
        SYMBOL, ts_ns, time.time_ns() if received_ns is None else received_ns, number, 100.5, 0.25, -1
    )


async def test_messages_in_another_order_need_no_rest() -> None:
    async with RestVenue() as venue, Kept(venue, reorder_wait_s=0.05) as kept:
        assert kept.says(Connected(1), 1, 3) == [1]
        assert kept.keeper.reason == "trades 2 to 2 are missing"
        assert kept.says(2) == [2, 3]
        assert kept.keeper.caught_up
        # The keeper looks once the time is over, and finds nothing to do.
        await asyncio.sleep(0.1)
        assert venue.asked == [] and kept.order.counts.gaps_found == 0
        assert 0.0 < kept.keeper.longest_wait_s < 0.05


async def test_what_does_not_come_by_itself_is_asked_for_page_by_page() -> None:
    async with RestVenue() as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 2_500, Quote(SYMBOL, 1, 1, 1.0, 2.0, 1.0, 1.0))
        await kept.until_id(2_500)
        assert shape(kept.out) == [*range(1, 2_501), "q"]
        assert venue.asked == [(2, 1000), (1_002, 1000), (2_002, 498)]
        assert (kept.order.counts.gaps_filled, kept.order.counts.trades_filled) == (1, 2_498)


async def test_one_request_serves_holes_that_are_near_and_skips_what_is_here() -> None:
    async with RestVenue() as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 3, 5, 9, *range(11, 1_500), 1_501)
        await kept.until_id(1_501)
        assert shape(kept.out) == list(range(1, 1_502))
        assert venue.asked == [(2, 1000), (1_500, 1)]
        assert (kept.order.counts.gaps_found, kept.order.counts.trades_filled) == (5, 7)


async def test_what_the_venue_no_longer_has_is_given_up_at_once() -> None:
    async with RestVenue(first_id=6) as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 9)
        await kept.until_id(9)
        assert shape(kept.out) == [1, "2-5", 6, 7, 8, 9]
        assert kept.keeper.problem == "the venue no longer has them"
        assert venue.asked == [(2, 7)]
        assert (kept.order.counts.gaps_given_up, kept.order.counts.trades_filled) == (1, 3)


async def test_an_id_that_does_not_exist_at_the_venue_is_given_up_at_once() -> None:
    class Odd(RestVenue):
        def rows(self, first: int, limit: int) -> list[dict[str, Any]]:
            return [row for row in super().rows(first, limit + 1) if row["id"] != 4][:limit]

    async with Odd() as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 8)
        await kept.until_id(8)
        assert shape(kept.out) == [1, 2, 3, "4-4", 5, 6, 7, 8]


async def test_a_refusal_is_a_gap_at_once_and_says_why() -> None:
    refusal = Says(400, '{"code":-1121,"msg":"Invalid symbol."}')
    async with RestVenue(refusal) as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 3)
        await kept.until_id(3)
        assert shape(kept.out) == [1, "2-2", 3]
        assert "Invalid symbol" in kept.keeper.problem and kept.keeper.reason == ""


async def test_the_time_of_each_hole_counts_from_when_it_opened() -> None:
    """Holes that open while the first is waited for don't add their times up."""
    async with RestVenue(*_DOWN) as venue, Kept(venue, fill_within_s=0.4) as kept:
        kept.says(Connected(1), 1, 3)
        for number in range(5, 25, 2):
            await asyncio.sleep(0.02)
            kept.says(number)
        await kept.until_id(23)
        assert kept.order.counts.gaps_given_up == 11
        assert 0.3 <= time.monotonic() - kept.began_s < 1.2, "not 11 times 0.4 s"
        assert "HTTP 503" in kept.keeper.problem


async def test_while_rest_brings_trades_it_may_take_longer() -> None:
    async with RestVenue() as venue:
        async with Kept(venue, fill_within_s=0.6, page_burst=1, pages_per_s=4.0) as kept:
            kept.says(Connected(1), 1, 5_002)
            await kept.until_id(5_002)
            assert kept.order.counts.trades_filled == 5_000
            assert time.monotonic() - kept.began_s > 0.9
        limits = {"fill_within_s": 0.6, "fill_at_most_s": 0.9, "page_burst": 1, "pages_per_s": 4.0}
        async with Kept(venue, **limits) as kept:
            kept.says(Connected(1), 1, 9_002)
            await kept.until_id(9_002)
            assert kept.order.counts.gaps_given_up == 1
            assert 0 < kept.order.counts.trades_filled < 9_000


async def test_a_clock_that_is_set_back_or_ahead_changes_no_limit() -> None:
    async with RestVenue(*_DOWN) as venue, Kept(venue, fill_within_s=0.2) as kept:
        hour_ns = 3600 * 10**9
        kept.says(Connected(1), 1, trade(3, time.time_ns() + hour_ns))
        await kept.until_id(3)
        assert 0.15 <= time.monotonic() - kept.began_s < 1.0, (
            "less when there is no time for one more request"
        )
        began_s = time.monotonic()
        kept.says(trade(5, time.time_ns() - hour_ns))
        await kept.until_id(5)
        assert time.monotonic() - began_s >= 0.15


async def test_a_hole_that_closes_while_rest_is_asked_is_not_given_up() -> None:
    async with RestVenue(HANGS) as venue, Kept(venue, fill_within_s=0.3, request_timeout_s=60.0) as kept:
        kept.says(Connected(1), 1, 3)
        await until(lambda: len(venue.asked) == 1)
        assert kept.says(2) == [2, 3]
        # The request ends when its time is up; what comes after the hole is not touched by that.
        await until(lambda: kept.filler.failures["timeout"] == 1)
        assert kept.order.counts.gaps_given_up == 0 and shape(kept.out) == [1, 2, 3]


async def test_a_hole_is_not_given_up_for_the_one_before_it() -> None:
    async with RestVenue(HANGS) as venue, Kept(venue, fill_within_s=0.4, request_timeout_s=60.0) as kept:
        kept.says(Connected(1), 1, 3)
        await until(lambda: time.monotonic() > kept.began_s + 0.3)
        assert kept.says(2, 5) == [2, 3]
        await kept.until_id(5)
        assert shape(kept.out) == [1, 2, 3, 4, 5] and kept.order.counts.gaps_given_up == 0


async def test_a_quiet_market_is_caught_up_with_in_pages() -> None:
    async with RestVenue(last_id=2_300) as venue, Kept(venue) as kept:
        kept.says(Connected(1), 345, _CUT)
        assert kept.keeper.reason == "the connection is being renewed"
        kept.says(Connected(2))
        assert kept.keeper.reason == "what was missed is being asked for"
        await until(lambda: kept.keeper.caught_up)
        assert shape(kept.out) == list(range(345, 2_301))
        assert venue.asked == [(346, 1000), (1_346, 1000)], "a short page is the last"
        assert (kept.order.counts.gaps_filled, kept.order.counts.holes) == (1, 0)


async def test_the_first_trade_of_a_new_connection_makes_the_question_needless() -> None:
    async with RestVenue() as venue, Kept(venue) as kept:
        assert kept.keeper.caught_up, "nothing came before: there is nothing to catch up with"
        kept.says(Connected(1), 1, _CUT, Connected(2))
        kept.says(2)
        assert kept.keeper.caught_up
        await asyncio.sleep(0.05)
        assert venue.asked == []


async def test_no_catch_up_when_it_is_switched_off() -> None:
    async with RestVenue() as venue, Kept(venue, catch_up=False) as kept:
        kept.says(Connected(1), 1, _CUT, Connected(2))
        assert kept.keeper.caught_up
        await asyncio.sleep(0.05)
        assert venue.asked == []


async def test_a_catch_up_that_fails_is_tried_later_and_holds_nobody_up() -> None:
    async with RestVenue(Says(403), last_id=5) as venue, Kept(venue, repair_every_s=0.2) as kept:
        kept.says(Connected(1), 1, _CUT, Connected(2))
        await until(lambda: kept.keeper.caught_up)
        assert "HTTP 403" in kept.keeper.problem and kept.order.last_id == 1
        await kept.until_id(5)
        assert len(venue.asked) == 2 and venue.times_s[1] - venue.times_s[0] >= 0.2


async def test_a_catch_up_that_meets_a_jump_fills_it() -> None:
    async with RestVenue(last_id=3_000) as venue, Kept(venue) as kept:
        venue.on_request = lambda: kept.says(2_990) and None if len(venue.asked) == 1 else None
        kept.says(Connected(1), 1, _CUT, Connected(2))
        await kept.until_id(2_990)
        await until(lambda: kept.keeper.caught_up)
        assert shape(kept.out) == list(range(1, 2_991)), "the rest is the socket's to say"
        assert kept.order.counts.gaps_found == 1


async def test_given_up_trades_are_asked_for_again_and_stored() -> None:
    async with RestVenue(*_DOWN) as venue, Kept(venue, fill_within_s=0.05, repair_every_s=0.1) as kept:
        kept.says(Connected(1), 1, 4)
        await kept.until_id(4)
        kept.says(7)
        await kept.until_id(7)
        venue.answers.clear()
        asked = len(venue.asked)
        await until(lambda: len(kept.stored) == 4)
        kept.says(9)
        await kept.until_id(9)
        assert kept.stored == [2, 3, 5, 6]
        assert venue.asked[asked:] == [(2, 1000), (8, 1)], "one page holds them all"
        assert shape(kept.out) == [1, "2-3", 4, "5-6", 7, 8, 9]
        assert kept.order.lost == [] and kept.order.counts.missing == 0


async def test_late_messages_of_the_socket_are_stored() -> None:
    async with RestVenue(*_DOWN) as venue, Kept(venue, fill_within_s=0.05) as kept:
        kept.says(Connected(1), 1, 4)
        await kept.until_id(4)
        assert kept.says(2) == []
        assert kept.stored == [2]


async def test_trades_that_never_come_are_asked_for_ever_more_rarely() -> None:
    async with RestVenue(first_id=3) as venue, Kept(venue, repair_every_s=0.05) as kept:
        kept.says(Connected(1), 1, 3)
        await kept.until_id(3)
        await until(lambda: len(venue.asked) == 5)
        pauses = [b - a for a, b in zip(venue.times_s, venue.times_s[1:], strict=False)]
        assert pauses[0] >= 0.05 and pauses[1] >= 0.1 and pauses[2] >= 0.2 and pauses[3] >= 0.4
        assert kept.stored == [] and kept.order.lost == [(2, 2)]


async def test_a_long_gap_is_repaired_page_by_page() -> None:
    policy = {"fill_within_s": 0.05, "repair_every_s": 0.1, "repair_pages": 2}
    async with RestVenue(*_DOWN) as venue, Kept(venue, **policy) as kept:
        kept.says(Connected(1), 1, 2_503)
        await kept.until_id(2_503)
        venue.answers.clear()
        await until(lambda: len(kept.stored) == 2_501)
        assert kept.stored == list(range(2, 2_503))
        assert [first for first, _ in venue.asked[-3:]] == [2, 1_002, 2_002]
        assert venue.times_s[-1] - venue.times_s[-2] >= 0.1, "two pages at a time"


async def test_repairs_are_bounded_and_each_gap_gets_its_turn() -> None:
    class Sparse(RestVenue):
        """Has every tenth trade only, one in a page."""

        def rows(self, first: int, limit: int) -> list[dict[str, Any]]:
            return [row for row in super().rows(first, 1000) if row["id"] % 10 == 0][:1]

    async with Sparse() as venue, Kept(venue, repair_every_s=0.05, repair_pages=2) as kept:
        kept.says(Connected(1), 1, 10, 20, 30)
        await kept.until_id(30)
        asked = len(venue.asked)
        await until(lambda: len(venue.asked) >= asked + 5)
        assert [first for first, _ in venue.asked[asked : asked + 5]] == [2, 11, 21, 2, 11]
        assert venue.times_s[asked + 2] - venue.times_s[asked + 1] >= 0.1
        assert venue.times_s[asked + 4] - venue.times_s[asked + 3] >= 0.2


async def test_a_new_hole_comes_before_repairs() -> None:
    policy = {"repair_every_s": 0.02, "request_timeout_s": 60.0}
    async with RestVenue(Says(403), HANGS) as venue, Kept(venue, **policy) as kept:
        kept.says(Connected(1), 1, 3)
        await kept.until_id(3)
        await until(lambda: len(venue.asked) == 2)
        kept.says(5)
        await kept.until_id(5)
        assert shape(kept.out) == [1, "2-2", 3, 4, 5]
        await until(lambda: kept.stored == [2])


async def test_the_consumer_waits_while_too_much_is_held() -> None:
    async with RestVenue(*_DOWN) as venue, Kept(venue, hold_limit=3, reorder_wait_s=30.0) as kept:
        await kept.keeper.room()
        kept.says(Connected(1), 1, 3, 4, 5)
        waiting = asyncio.create_task(kept.keeper.room())
        await until(lambda: len(venue.asked) > 0)  # at once: nothing more can come by itself
        assert not waiting.done()
        venue.answers.clear()
        await asyncio.wait_for(waiting, 5)
        assert shape(kept.out) == [1, 2, 3, 4, 5]


async def test_what_the_engine_raises_ends_the_keeper_and_is_raised_again() -> None:
    def fail(fed: list[FedEvent]) -> None:
        raise ZeroDivisionError("engine")

    async with RestVenue() as venue, Kept(venue, hold_limit=2) as kept:
        kept.keeper._feed_on = fail
        kept.says(Connected(1), 1, 3, 4)
        with pytest.raises(ZeroDivisionError):
            await kept.keeper.room()
        await until(lambda: kept.keeper._task is not None and kept.keeper._task.done())
        with pytest.raises(ZeroDivisionError):
            kept.says(5)


async def test_closing_breaks_everything_off_and_leaves_nothing() -> None:
    async with RestVenue(HANGS) as venue:
        kept = Kept(venue, hold_limit=1, request_timeout_s=60.0)
        kept.says(Connected(1), 1, 3)
        waiting = asyncio.create_task(kept.keeper.room())
        await until(lambda: len(venue.asked) == 1)
        await asyncio.wait_for(kept.keeper.close(), 5)
        await asyncio.wait_for(waiting, 5)
        await until(lambda: rest_threads() == 0)
        assert shape(kept.out) == [1]
    unused = Kept(venue)
    await unused.keeper.close()


async def test_the_report_is_plain() -> None:
    async with RestVenue(Says(503)) as venue, Kept(venue) as kept:
        kept.says(Connected(1), 1, 3)
        await kept.until_id(3)
        report = kept.keeper.report()
        assert report["rest_requests"] == 2 and report["rest_failures"] == {"HTTP 503": 1}
        assert (report["recovering"], report["problem"]) == ("", "")
        assert report["longest_wait_s"] > 0.0
