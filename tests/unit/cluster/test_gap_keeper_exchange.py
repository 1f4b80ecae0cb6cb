"""Against the local exchange, over real sockets: what comes out is what was published, and the counters
are those of the exchange's own ledger of faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.event_order import Gap
from cluster.exchange.faults import FaultKind, FaultSpec
from cluster.exchange.tape import TapeSpec
from cluster.feed import FeedPolicy
from cluster.venues.base import Quote
from tests.unit.cluster.feed_exchange import until
from tests.unit.cluster.order_exchange import Consumer, exchange, fed, ledger, published, write_tape
from tests.unit.cluster.rest_venue import rest_threads


@pytest.fixture
def tape(tmp_path: Path) -> Callable[..., TapeSpec]:
    """Write a tape of n trades, and as many quotes."""
    return lambda n, quotes=True: write_tape(tmp_path, n, quotes)


async def test_every_fault_of_single_trades_is_healed_and_counted(tape) -> None:
    n = 12_000
    faults = (
        "drop:count=1@500trades, drop:count=40@1500trades, duplicate:count=25@2500trades, "
        "reorder:count=30@3500trades, malformed:count=7@4500trades, garble:count=9@5500trades, "
        "reorder:count=5@6500trades, drop:count=1200@7500trades, duplicate:count=3@11000trades"
    )
    async with exchange(tape(n), faults=faults) as opened:
        consumer = Consumer(opened)
        async with consumer.running():
            await consumer.until_id(n)
            await opened.finished()
        did, counts = ledger(opened), consumer.order.counts
        assert fed(consumer) == published(opened)
    assert did["drop"] == 1241 and did["reorder"] == 35, "all of them have happened"
    assert counts.duplicates == did["duplicate"]
    assert counts.reordered == did["reorder"]
    assert counts.trades_filled == did["drop"] + did["malformed"] + did["garble"]
    assert (counts.gaps_found, counts.gaps_filled, counts.gaps_given_up) == (5, 5, 0)
    assert (counts.overlapped, counts.missing, counts.seen) == (0, 0, n)
    assert counts.holes == 5 + 35
    quotes = [one.bid for one in consumer.out if isinstance(one, Quote)]
    assert quotes == [number + 1.0 for number in range(n)], "quotes are all there, in order"
    assert consumer.keeper.caught_up and consumer.stored == []
    await until(lambda: rest_threads() == 0)


async def test_a_lost_connection_is_a_gap_that_rest_fills(tape) -> None:
    n = 6_000
    faults = ", ".join(
        f"refuse_connections:seconds=0.1@{at}trades, drop_connection@{at}trades" for at in (500, 1500, 2500)
    )
    async with exchange(tape(n, quotes=False), speed=40.0, faults=faults) as opened:
        consumer = Consumer(opened)
        async with consumer.running():
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    counts = consumer.order.counts
    assert consumer.feed.counters.reconnects == 3
    assert counts.gaps_found == counts.gaps_filled == 3
    assert counts.trades_filled >= 3 * 100, "what was published while nobody was let in"
    assert (counts.duplicates, counts.missing, counts.seen) == (0, 0, n)


async def test_a_planned_change_of_connection_overlaps_without_a_gap(tape) -> None:
    n = 3_000
    async with exchange(tape(n, quotes=False), speed=20.0) as opened:
        consumer = Consumer(opened)
        async with consumer.running():
            await consumer.until_id(300)
            opened.inject(FaultSpec(FaultKind.SHUTDOWN_NOTICE, seconds=5.0))
            await until(lambda: consumer.feed.counters.switches == 1)
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    counts = consumer.order.counts
    assert counts.overlapped > 0 and counts.duplicates == 0
    assert (counts.gaps_found, counts.trades_filled) == (0, 0)


async def test_a_quiet_symbol_catches_up_without_a_later_trade(tape) -> None:
    n = 400
    faults = "refuse_connections:seconds=1.5@300trades, drop_connection@300trades"
    async with exchange(tape(n, quotes=False), speed=40.0, faults=faults) as opened:
        consumer = Consumer(opened)
        async with consumer.running():
            await opened.finished()
            await until(lambda: not consumer.keeper.caught_up)
            assert consumer.order.last_id < n
            await consumer.until_id(n)
            await until(lambda: consumer.keeper.caught_up)
        assert fed(consumer) == published(opened)
    assert (consumer.order.counts.holes, consumer.order.counts.gaps_filled) == (0, 1)


async def test_while_rest_is_down_later_trades_wait_for_the_missing_ones(tape) -> None:
    n = 2_000
    async with exchange(tape(n, quotes=False), speed=20.0) as opened:
        consumer = Consumer(opened)
        async with consumer.running():
            await consumer.until_id(200)
            opened.inject(FaultSpec(FaultKind.REST_DOWN, seconds=0.8))
            opened.inject(FaultSpec(FaultKind.DROP, count=3))
            await until(lambda: consumer.order.held > 100)
            assert "are missing" in consumer.keeper.reason and not consumer.keeper.caught_up
            stopped_at = consumer.order.last_id
            await consumer.until_id(stopped_at + 4)
            assert opened.market_data.requests_while_down > 0
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    assert consumer.order.counts.trades_filled == 3
    assert 0.3 < consumer.keeper.longest_wait_s < 3.0


async def test_what_rest_cannot_give_in_time_is_a_gap_and_is_stored_later(tape) -> None:
    n = 3_000
    async with exchange(tape(n, quotes=False), speed=20.0) as opened:
        consumer = Consumer(opened, fill_within_s=0.3, repair_every_s=0.2)
        async with consumer.running():
            await consumer.until_id(200)
            opened.inject(FaultSpec(FaultKind.REST_DOWN, seconds=1.2))
            opened.inject(FaultSpec(FaultKind.DROP, count=2))
            await until(lambda: consumer.order.counts.gaps_given_up == 1)
            opened.inject(FaultSpec(FaultKind.DROP, count=1))
            await until(lambda: consumer.order.counts.gaps_given_up == 2)
            await consumer.until_id(n)
            await until(lambda: consumer.order.counts.missing == 0)
        gaps = [one for one in consumer.out if isinstance(one, Gap)]
        lost = [i for gap in gaps for i in range(gap.first_id, gap.last_id + 1)]
        assert [len(range(gap.first_id, gap.last_id + 1)) for gap in gaps] == [2, 1]
        assert [one.trade_id for one in consumer.stored] == lost
        everything = sorted(
            fed(consumer) + [(t.trade_id, t.ts_ns, t.price, t.size, t.side) for t in consumer.stored]
        )
        assert everything == published(opened)
        dropped = [entry["trade_ids"] for entry in opened.state()["faults"] if entry["kind"] == "drop"]
        assert dropped == [lost]
    assert consumer.order.lost == []
    assert consumer.keeper.longest_wait_s < 1.2, "nothing waits longer than the time that is given"


async def test_more_held_than_allowed_makes_the_venue_wait(tape) -> None:
    n = 30_000
    async with exchange(tape(n, quotes=False), faults="drop:count=2@1000trades") as opened:
        opened.inject(FaultSpec(FaultKind.REST_DOWN, seconds=0.7))
        consumer = Consumer(opened, hold_limit=3_000)
        async with consumer.running():
            await until(lambda: consumer.order.full)
            await until(lambda: not opened.desk.rest_is_down)
            await consumer.until_id(n)
        assert fed(consumer) == published(opened)
    assert consumer.most_held <= 3_000 + FeedPolicy().max_batch


async def test_a_restarted_consumer_goes_on_behind_the_last_trade_it_had_noted(tape) -> None:
    n = 4_000
    faults = "drop:count=5@900trades, drop:count=5@1800trades, duplicate:count=5@2500trades"
    async with exchange(tape(n, quotes=False), speed=30.0, faults=faults) as opened:
        rows: list[Any] = []
        counters: tuple[int, ...] = ()
        for stop_at in (700, 905, 1_500, 1_803, n):
            consumer = Consumer(opened, counters)
            async with consumer.running():
                await consumer.until_id(stop_at)
            # What is held dies with the consumer.
            counters = consumer.order.counters()
            rows += fed(consumer)
        assert rows == published(opened)
    assert consumer.order.counts.seen == n and consumer.order.counts.missing == 0
