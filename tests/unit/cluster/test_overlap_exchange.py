"""A venue without running ids, over real sockets: what a lost connection missed comes back through REST."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.event_order import Gap
from cluster.exchange.faults import FaultKind, FaultSpec
from cluster.exchange.server import LocalExchange
from cluster.exchange.tape import TapeSpec
from cluster.venues.base import Trade
from tests.unit.cluster.feed_exchange import until
from tests.unit.cluster.order_exchange import SYMBOL, Consumer, exchange, fed, write_tape
from tests.unit.cluster.unique_venue import UniqueVenue


@pytest.fixture
def tape(tmp_path: Path) -> Callable[[int], TapeSpec]:
    """Write a tape of n trades."""
    return lambda n: write_tape(tmp_path, n, quotes=False)


def published(opened: LocalExchange) -> list[tuple[int, int, float, float, int]]:
    """Every aggregate trade that the exchange has published."""
    history = opened.history(SYMBOL)
    made = history.aggregates(0, history.aggregate_count)
    columns = (made.aggregate_id, made.ts_ns // 1000 * 1000, made.price, made.size, made.side)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def lose_the_connection(opened: LocalExchange) -> None:
    opened.inject(FaultSpec(FaultKind.REFUSE_CONNECTIONS, seconds=0.1))
    opened.inject(FaultSpec(FaultKind.DROP_CONNECTION))


@pytest.mark.parametrize("page", [1000, 40])
async def test_what_was_missed_comes_back_by_time(tape: Callable[[int], TapeSpec], page: int) -> None:
    n = 2_500
    async with exchange(tape(n), speed=12.0) as opened:
        consumer = Consumer(opened, venue=UniqueVenue(page=page), time_overlap_s=0.2)
        async with consumer.running():
            counts = consumer.order.counts
            for cuts, at in enumerate((300, 900, 1_500)):
                await consumer.until_id(at)
                await until(lambda cuts=cuts: counts.gaps_filled == cuts)
                lose_the_connection(opened)
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    assert consumer.feed.counters.reconnects == 3
    assert (counts.gaps_found, counts.gaps_filled, counts.gaps_given_up) == (3, 3, 0)
    assert counts.trades_filled >= 3 * 50 and counts.seen == n


async def test_newest_trades_only_reach_back_over_a_short_cut_not_over_a_long_one(
    tape: Callable[[int], TapeSpec],
) -> None:
    n = 3_000
    async with exchange(tape(n), speed=20.0) as opened:
        consumer = Consumer(opened, venue=UniqueVenue(page=1000, newest=True))
        async with consumer.running():
            await consumer.until_id(300)
            lose_the_connection(opened)
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    async with exchange(tape(n), speed=20.0) as opened:
        consumer = Consumer(opened, venue=UniqueVenue(page=50, newest=True))
        async with consumer.running():
            await consumer.until_id(300)
            lose_the_connection(opened)
            await consumer.until_id(n)
        (at,) = [place for place, one in enumerate(consumer.out) if isinstance(one, Gap)]
        before, after = consumer.out[at - 1], consumer.out[at + 1]
        assert isinstance(before, Trade) and isinstance(after, Trade)
        assert after.trade_id - before.trade_id > 100, "more than the venue still tells of"
        assert consumer.ids == [i for i in range(1, n + 1) if not before.trade_id < i < after.trade_id]
    assert consumer.order.counts.gaps_given_up == 1


async def test_without_an_endpoint_each_lost_connection_is_a_gap(tape: Callable[[int], TapeSpec]) -> None:
    n = 4_000
    async with exchange(tape(n), speed=20.0) as opened:
        consumer = Consumer(opened, venue=UniqueVenue(by_time=False))
        async with consumer.running():
            for at in (300, 900):
                await consumer.until_id(at)
                lose_the_connection(opened)
            await consumer.until_id(n)
    gaps = [one for one in consumer.out if isinstance(one, Gap)]
    assert len(gaps) == consumer.order.counts.gaps_given_up == 2
    assert consumer.ids == sorted(set(consumer.ids)) and consumer.ids[-1] == n
    assert consumer.order.counts.trades_filled == 0 and consumer.keeper.caught_up


async def test_rest_that_is_down_is_a_gap_in_time(tape: Callable[[int], TapeSpec]) -> None:
    n = 3_000
    async with exchange(tape(n), speed=20.0) as opened:
        consumer = Consumer(opened, venue=UniqueVenue(), fill_within_s=0.2)
        async with consumer.running():
            await consumer.until_id(300)
            opened.inject(FaultSpec(FaultKind.REST_DOWN, seconds=60.0))
            lose_the_connection(opened)
            await consumer.until_id(n)
    assert consumer.order.counts.gaps_given_up == 1
    assert "HTTP 503" in consumer.keeper.problem
    assert consumer.keeper.longest_wait_s < 1.0
