"""Where ids don't run on: what overlaps leaves no hole, what doesn't is a gap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import overlap, venues
from cluster.event_order import EventOrder, Gap
from cluster.gap_policy import GapPolicy
from cluster.overlap import OverlapOrder
from cluster.trade_order import TradeOrder, order_of
from cluster.venues.base import Connected, Disconnected, Event, Quote, TradeIds
from features.errors import SnapshotError
from features.ticks import NO_ID
from tests.unit.cluster.trade_orders import SYMBOL, notes, quote, shape, trade, trades
from tests.unit.cluster.unique_venue import UniqueVenue

GAP = f"{NO_ID}-{NO_ID}"
CUT: list[Event] = [Disconnected("network", 1), Connected(2)]


def order(*events: Event, can_ask: bool = True, ids: TradeIds = TradeIds.UNIQUE) -> OverlapOrder:
    """An order that a connection has said something to. Trade n is n ms after trade 0."""
    made = OverlapOrder(SYMBOL, 1000, ids, can_ask)
    made.accept([Connected(1), *events])
    return made


def counts(one: EventOrder) -> dict[str, int]:
    return {name: value for name, value in one.counts.as_dict().items() if value}


def test_trades_go_out_once_in_the_order_they_came() -> None:
    made = order()
    assert shape(made.accept([*trades(70, 30), quote(), *trades(30, 50, 70)])) == [70, 30, "q", 50]
    assert counts(made) == {"seen": 3, "duplicates": 2}
    made.accept([Connected(2), *trades(30, 50), *trades(50)])
    assert (made.counts.overlapped, made.counts.duplicates) == (2, 3)
    assert made.accept([trade(9, symbol="ETHUSDT"), quote(symbol="ETHUSDT")]) == []
    assert made.counts.other_symbols == 2


def test_without_ids_every_trade_goes_out() -> None:
    made = order(ids=TradeIds.NONE)
    assert shape(made.accept(trades(NO_ID, NO_ID))) == [NO_ID, NO_ID]
    unique = order()
    assert shape(unique.accept(trades(NO_ID, NO_ID))) == [NO_ID, NO_ID]


@pytest.mark.parametrize("ids", [TradeIds.UNIQUE, TradeIds.NONE])
def test_a_lost_connection_is_a_gap_where_nothing_can_be_asked(ids: TradeIds) -> None:
    made = order(*trades(1), can_ask=False, ids=ids)
    assert made.accept(CUT) == [] and made.waiting is None
    fed = made.accept([quote(), trade(5), trade(6)])
    assert shape(fed) == ["q", GAP, 5, 6]
    assert fed[1] == Gap(NO_ID, NO_ID, trade(5).ts_ns, trade(5).received_ns)
    assert counts(made) == {"seen": 3, "gaps_found": 1, "gaps_given_up": 1}
    assert [note[0] for note in notes(made)] == ["gap_found", "gap_given_up"]


@pytest.mark.parametrize("can_ask", [True, False])
def test_a_new_connection_that_repeats_a_trade_leaves_no_hole(can_ask: bool) -> None:
    """Venues send their newest trades again after subscribing."""
    made = order(*trades(1, 2, 3), can_ask=can_ask)
    fed = made.accept([*CUT, *trades(2, 3, 4)])
    assert shape(fed) == [4]
    assert made.waiting is None
    assert counts(made) == {"seen": 4, "overlapped": 2}


def test_before_the_first_trade_a_lost_connection_loses_nothing() -> None:
    made = order(can_ask=False)
    assert shape(made.accept([*CUT, *trades(5)])) == [5]
    assert not made.interrupted


def test_a_planned_change_of_connection_leaves_no_hole() -> None:
    made = order(*trades(1), can_ask=False)
    assert shape(made.accept([Connected(2), *trades(5)])) == [5]


def test_what_was_missed_goes_out_before_what_is_held() -> None:
    made = order(*trades(1, 2))
    assert made.accept([*CUT, quote(), trade(6), quote(), trade(8)]) == []
    assert made.waiting is not None and made.waiting.by_time and made.waiting.opened_ns == 2
    assert (made.held, made.full) == (4, False)
    # REST knows a trade that the socket has yet to say, and one that it left out between two held ones.
    fed = made.fill(trades(1, 2, 3, 5, 6, 7, 8, 9))
    assert shape(fed) == [3, 5, "q", 6, "q", 7, 8]
    assert made.waiting is None
    assert counts(made) == {"seen": 7, "gaps_found": 1, "gaps_filled": 1, "trades_filled": 3}
    assert shape(made.accept(trades(8, 9, 5))) == [9]
    assert (made.counts.duplicates, made.counts.overlapped) == (1, 1)
    assert [note[0] for note in notes(made)] == ["gap_found", "gap_filled"]


def test_an_answer_with_nothing_new_leaves_no_gap() -> None:
    made = order(*trades(1, 2), *CUT, *trades(3))
    assert shape(made.fill(trades(1, 2, 3))) == [3]
    assert counts(made) == {"seen": 3}


def test_in_a_quiet_market_what_was_missed_goes_out_without_a_later_trade() -> None:
    made = order(*trades(1, 2), *CUT, quote())
    assert shape(made.fill(trades(2, 3, 4))) == [3, 4, "q"]
    assert shape(made.accept(trades(4, 5))) == [5]
    assert made.counts.overlapped == 1


def test_pages_follow_each_other_until_they_reach_the_held_trades() -> None:
    made = order(*trades(1), *CUT, *trades(8))
    assert shape(made.fill(trades(1, 2, 3), more=True)) == [2, 3]
    assert made.newest_ts_ns == trade(3).ts_ns, "the next page starts a little before here"
    assert shape(made.fill(trades(2, 3, 4, 6), more=True)) == [4, 6]
    assert shape(made.fill(trades(4, 6, 7, 8, 9), more=True)) == [7, 8]
    assert (made.counts.gaps_found, made.counts.gaps_filled, made.counts.trades_filled) == (1, 1, 5)


def test_a_venue_that_always_gives_its_newest_trades_is_asked_until_they_stay_the_same() -> None:
    made = order(*trades(1, 2, 3), *CUT)
    assert made.fill(trades(2, 3), more=True) == []
    assert made.waiting is not None and made.waiting.since_ns == trade(3).ts_ns
    assert made.fill(trades(2, 3), more=True) == []
    assert made.waiting is None
    assert shape(made.accept(trades(4))) == [4]


def test_more_trades_of_one_instant_than_an_answer_holds_are_a_gap() -> None:
    made = order(*trades(1, 2, 3), *CUT)
    made.fill(trades(2, 3), more=True)
    assert shape(made.fill([trade(3), trade(4, trade(3).ts_ns)], more=True)) == [GAP, 4]
    assert made.waiting is None


def test_held_trades_of_two_short_connections_are_woven_into_what_rest_has() -> None:
    made = order(*trades(1), *CUT, *trades(4), quote(), *CUT, *trades(8))
    assert shape(made.fill(trades(1, 2, 3, 4, 5), more=True)) == [2, 3, 4, 5]
    assert shape(made.fill(trades(4, 5, 6, 7, 8))) == [6, "q", 7, 8] or made.counts.gaps_given_up == 0


def test_an_answer_that_does_not_reach_back_is_behind_a_gap() -> None:
    made = order(*trades(1, 2), *CUT, *trades(9))
    assert shape(made.fill(trades(6, 7, 8, 9))) == [GAP, 6, 7, 8, 9]
    assert (made.counts.gaps_found, made.counts.gaps_filled, made.counts.gaps_given_up) == (2, 1, 1)


def test_an_empty_answer_is_a_gap_before_the_next_trade() -> None:
    made = order(*trades(1, 2), *CUT, quote())
    assert shape(made.fill([])) == ["q"]
    assert shape(made.accept(trades(5))) == [GAP, 5]


def test_giving_up_puts_a_gap_before_what_is_held_or_comes_next() -> None:
    made = order(*trades(1, 2), *CUT, quote(), *trades(5))
    assert shape(made.give_up()) == ["q", GAP, 5]
    assert made.give_up() == [] and made.waiting is None
    quiet = order(*trades(1, 2), *CUT)
    assert quiet.give_up() == []
    assert shape(quiet.accept(trades(7, 8))) == [GAP, 7, 8]


def test_trades_that_the_socket_had_left_out_before_are_stored() -> None:
    made = order(*trades(1, 3, 5), *CUT)
    assert shape(made.fill(trades(0, 1, 2, 3, 4, 5, 6))) == [6]
    assert [one.trade_id for one in made.take_late()] == [0, 2, 4] and made.take_late() == []
    assert (made.counts.trades_repaired, made.counts.seen) == (3, 7)


def test_ids_are_remembered_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "IDS_KEPT", 3)
    made = order(*trades(1, 2, 3, 4, 5), *CUT)
    # 1 and 2 are forgotten, so nobody knows whether they were seen: they are left alone.
    assert shape(made.fill(trades(1, 2, 3, 4, 5, 6))) == [6]
    assert made.late == []


@pytest.mark.parametrize("how", ["snapshot", "counters"])
def test_after_a_restart_it_goes_on_behind_the_last_trade(how: str) -> None:
    old = order(*trades(1, 2, 2, 3))
    new = OverlapOrder(SYMBOL, 1000, TradeIds.UNIQUE, True)
    if how == "snapshot":
        new.restore(old.snapshot())
    else:
        new.resume((*old.counters(), 0))
    new.resume_notes([])
    assert (len(new.counters()), new.counters(), new.known, new.interrupted) == (
        15,
        old.counters(),
        True,
        True,
    )
    new.accept([Connected(5), trade(6)])
    assert shape(new.fill(trades(1, 2, 3, 4, 5, 6))) == [4, 5, 6]
    assert new.late == [] and new.counts.gaps_given_up == 0


def test_a_snapshot_of_another_kind_is_refused() -> None:
    with pytest.raises(SnapshotError):
        order(*trades(1)).restore(TradeOrder(SYMBOL, 1000).snapshot())


def test_what_it_has_no_ids_for_is_empty() -> None:
    made = order(*trades(1), *CUT)
    made.declare_gap()
    made.caught_up()
    assert (made.lost, made.repair(trades(5)), made.catch_up_due) == ([], [], False)
    report = made.report()
    assert (report["waiting"], report["open_gaps"], report["held"]) == ([NO_ID, NO_ID], [], 0)
    assert made.wanted == made.waiting
    assert shape(made.catch_up(trades(1, 2))) == [2]


def test_the_order_fits_the_venue() -> None:
    policy = GapPolicy()
    assert isinstance(order_of(venues.get("binance"), SYMBOL, policy), TradeOrder)
    asked = order_of(UniqueVenue(), SYMBOL, policy)
    asked.accept([Connected(1), *trades(1), *CUT])
    assert isinstance(asked, OverlapOrder) and asked.waiting is not None
    silent = order_of(UniqueVenue(by_time=False), SYMBOL, policy)
    silent.accept([Connected(1), *trades(1), *CUT])
    assert isinstance(silent, OverlapOrder) and silent.waiting is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["say", "cut", "switch", "replay", "quote", "ask"]), st.integers(1, 5))
    ),
    st.integers(2, 7),
)
def test_with_a_rest_that_reaches_back_each_trade_goes_out_once_and_in_order(
    plan: list[tuple[str, int]], page_size: int
) -> None:
    """Trades are missed only while there is no connection: nothing else could be noticed."""
    made = OverlapOrder(SYMBOL, 1000, TradeIds.UNIQUE, True, overlap_ns=3_000_000)
    made.accept([Connected(1), trade(0)])
    published, out = 0, [0]

    def take(fed: list[Any]) -> None:
        out.extend(one for one in shape(fed) if one != "q")

    def ask() -> None:
        while (hole := made.waiting) is not None:
            since = (hole.since_ns - trade(0).ts_ns) // 1_000_000
            page = trades(*range(max(since, 0), published + 1))[:page_size]
            take(made.fill(page, more=len(page) == page_size))

    for name, size in [*plan, ("cut", 1), ("ask", 1)]:
        if name == "say":
            for _ in range(size):
                published += 1
                take(made.accept(trades(published)))
        elif name == "cut":
            made.accept([Disconnected("network", 1)])
            published += size
            made.accept([Connected(2)])
        elif name == "replay":
            made.accept([Disconnected("network", 1)])
            published += size
            take(made.accept([Connected(2), *trades(*range(max(0, published - 3), published + 1))]))
        elif name == "switch":
            take(made.accept([Connected(2), *trades(*range(max(0, published - size), published + 1))]))
        elif name == "quote":
            take(made.accept([Quote(SYMBOL, 1, 1, 1.0, 2.0, 3.0, 4.0)]))
        else:
            ask()
    assert out == list(range(published + 1))
    assert made.counts.gaps_given_up == 0 and made.late == []
    assert made.counts.seen == published + 1
