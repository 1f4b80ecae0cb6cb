"""Trades go out in the venue's order, each once; what is missing is waited for, or named."""

from __future__ import annotations

import pytest

from cluster.event_order import Gap
from cluster.trade_order import TradeOrder
from cluster.venues.base import Ack, Connected, Disconnected, Heartbeat
from features.ticks import NO_ID
from tests.unit.cluster.trade_orders import (
    SYMBOL,
    counts,
    notes,
    order,
    quote,
    shape,
    trade,
    trades,
)


def test_trades_in_order_go_out_at_once_and_other_events_never() -> None:
    made = TradeOrder(SYMBOL, 1000)
    events = [Connected(1), Ack(1), trade(7), quote(), Heartbeat(1, 1), trade(8), Disconnected("network", 2)]
    assert shape(made.accept(events)) == [7, "q", 8]
    assert (made.first_id, made.last_id, made.held, made.waiting) == (7, 8, 0, None)
    assert counts(made) == {"seen": 2}
    assert notes(made) == []


@pytest.mark.parametrize("first_id", [0, 1, 5])
def test_the_first_trade_may_have_any_id(first_id: int) -> None:
    made = TradeOrder(SYMBOL, 1000)
    assert not made.known
    assert shape(made.accept(trades(first_id, first_id + 1))) == [first_id, first_id + 1]
    assert made.known and made.first_id == first_id


def test_events_behind_a_hole_wait_until_it_closes_by_itself() -> None:
    made = order(trade(1))
    assert shape(made.accept([trade(4), quote(1), trade(3), quote(2)])) == []
    assert made.waiting is not None and (made.waiting.first_id, made.waiting.last_id) == (2, 2)
    assert made.held == 4
    assert shape(made.accept([trade(2), quote(3)])) == [2, 3, 4, "q", "q", "q"]
    assert counts(made) == {"seen": 4, "reordered": 2, "holes": 1}
    assert notes(made) == [("reordered", 3, 3, 1), ("reordered", 2, 2, 1)]


def test_a_quote_goes_out_between_the_trades_it_came_between() -> None:
    made = order(trade(1))
    fed = made.accept([quote(), trade(3), quote(), trade(5), quote(), trade(2)])
    assert shape(fed) == ["q", 2, 3, "q"]
    assert shape(made.accept(trades(4))) == [4, 5, "q"]


def test_rest_fills_a_hole_page_by_page() -> None:
    made = order(trade(1), trade(6), quote())
    made.declare_gap()
    assert shape(made.fill(trades(2, 3))) == [2, 3]
    assert made.waiting is not None and made.waiting.first_id == 4
    assert counts(made) == {"seen": 3, "holes": 1, "gaps_found": 1, "trades_filled": 2}
    assert shape(made.fill(trades(4, 5, 6, 7, 8))) == [4, 5, 6, "q"]
    assert counts(made) == {"seen": 6, "holes": 1, "gaps_found": 1, "gaps_filled": 1, "trades_filled": 4}
    assert notes(made) == [("gap_found", 2, 5, 4), ("gap_filled", 2, 5, 4)]
    assert shape(made.accept(trades(7))) == [7], "what REST said beyond the hole was left for the socket"


def test_one_page_may_fill_several_holes_and_each_is_a_gap() -> None:
    made = order(*trades(1, 3, 4, 6, 9))
    assert made.wanted is not None and (made.wanted.first_id, made.wanted.last_id) == (2, 8)
    assert shape(made.fill(trades(*range(2, 9)))) == list(range(2, 10))
    assert counts(made) == {"seen": 9, "holes": 3, "gaps_found": 3, "gaps_filled": 3, "trades_filled": 4}
    assert [note[:3] for note in notes(made)] == [
        (event, first, last)
        for first, last in [(2, 2), (5, 5), (7, 8)]
        for event in ("gap_found", "gap_filled")
    ]


def test_a_page_that_starts_late_keeps_what_it_has_for_later() -> None:
    made = order(*trades(1, 9))
    assert made.fill(trades(5, 6)) == []
    assert made.held == 3
    assert shape(made.fill(trades(2, 3, 4))) == [2, 3, 4, 5, 6]
    assert shape(made.fill(trades(7, 8))) == [7, 8, 9]
    assert (made.counts.gaps_found, made.counts.gaps_filled, made.counts.trades_filled) == (1, 1, 7)


def test_a_declared_gap_that_the_socket_closes_counts_as_filled() -> None:
    made = order(*trades(1, 3))
    made.declare_gap()
    made.declare_gap()
    made.accept(trades(2))
    assert counts(made) == {"seen": 3, "reordered": 1, "holes": 1, "gaps_found": 1, "gaps_filled": 1}
    assert [note[0] for note in notes(made)] == ["gap_found", "reordered", "gap_filled"]


def test_trades_of_rest_that_nobody_waits_for_are_ignored() -> None:
    made = order(*trades(1, 2))
    assert made.fill(trades(1, 2, 3)) == []
    made.accept(trades(5))
    other = trade(3, symbol="ETHUSDT")
    assert shape(made.fill([other, *trades(1, 5, 6)])) == []
    assert shape(made.fill(trades(3, 4, 4))) == [3, 4, 5]
    assert made.counts.duplicates == made.counts.overlapped == 0


def test_giving_up_names_the_first_hole_and_goes_on_behind_it() -> None:
    late = trade(6, received_ns=77)
    made = order(trade(1), quote(), late, quote(), trade(8))
    fed = made.give_up()
    assert shape(fed) == ["2-5", 6, "q"]
    assert fed[0] == Gap(2, 5, late.ts_ns, 77)
    assert made.lost == [(2, 5)] and made.counts.missing == 4
    assert shape(made.give_up()) == ["7-7", 8]
    assert made.give_up() == []
    assert counts(made) == {
        "seen": 3,
        "holes": 2,
        "gaps_found": 2,
        "gaps_given_up": 2,
        "trades_given_up": 5,
        "missing": 5,
    }
    assert notes(made) == [
        ("gap_found", 2, 5, 4),
        ("gap_given_up", 2, 5, 4),
        ("gap_found", 7, 7, 1),
        ("gap_given_up", 7, 7, 1),
    ]


def test_a_gap_that_is_filled_in_part_is_given_up_for_the_rest() -> None:
    made = order(*trades(1, 6))
    made.fill(trades(2, 3))
    assert shape(made.give_up()) == ["4-5", 6]
    assert (made.counts.gaps_found, made.counts.gaps_filled, made.counts.gaps_given_up) == (1, 0, 1)
    assert made.lost == [(4, 5)]


def test_trades_that_come_too_late_are_stored_and_not_fed_on() -> None:
    made = order(*trades(1, 6))
    made.give_up()
    assert made.accept(trades(3)) == []
    assert [one.trade_id for one in made.late] == [3]
    assert [one.trade_id for one in made.take_late()] == [3] and made.late == []
    assert [one.trade_id for one in made.repair(trades(1, 2, 3, 4, 6, 7))] == [2, 4]
    assert made.lost == [(5, 5)]
    assert (made.counts.trades_repaired, made.counts.missing, made.counts.seen) == (3, 1, 5)
    assert notes(made)[-3:] == [
        ("gap_repaired", 3, 3, 1),
        ("gap_repaired", 2, 2, 1),
        ("gap_repaired", 4, 4, 1),
    ]
    # What is stored is known: it comes again as a repetition.
    made.accept(trades(2, 3))
    assert (made.counts.overlapped, made.counts.duplicates) == (1, 1)


def test_one_connection_repeats_itself_another_one_overlaps() -> None:
    made = order(*trades(1, 2, 2, 3))
    assert (made.counts.duplicates, made.counts.overlapped) == (1, 0)
    # A planned change of connection: the new one was open beside the old one for a while.
    made.accept([Connected(2), *trades(2, 3, 3, 4, 4)])
    assert (made.counts.duplicates, made.counts.overlapped) == (3, 2)
    assert made.last_id == 4


def test_a_new_connection_that_repeats_out_of_order_is_no_duplicate() -> None:
    made = order(*trades(1, 2, 3, 4))
    made.accept([Connected(2), *trades(2, 4, 3)])
    assert (made.counts.duplicates, made.counts.overlapped) == (0, 3)


def test_a_held_trade_that_a_new_connection_brings_in_time_is_said_by_it() -> None:
    made = order(*trades(1, 4))
    made.accept([Connected(2), *trades(2, 3, 4)])
    assert (made.counts.reordered, made.counts.overlapped) == (2, 1)
    made.accept(trades(3))
    assert (made.counts.duplicates, made.counts.overlapped) == (1, 1)


def test_what_rest_filled_overlaps_when_the_socket_says_it_and_repeats_after() -> None:
    made = order(*trades(1, 4))
    made.fill(trades(2, 3))
    made.accept(trades(2, 3, 3))
    assert (made.counts.overlapped, made.counts.duplicates) == (2, 1)
    held = order(*trades(1, 5))
    held.fill(trades(3))
    held.accept(trades(3, 5))
    assert (held.counts.overlapped, held.counts.duplicates) == (1, 1)


def test_trades_from_before_the_start_are_dropped() -> None:
    made = order(*trades(10, 11))
    assert made.accept(trades(9, 8)) == []
    assert counts(made) == {"seen": 2, "before_start": 2}


def test_a_trade_without_id_keeps_its_place() -> None:
    made = order(trade(1))
    assert shape(made.accept([trade(NO_ID), trade(3), trade(NO_ID), trade(2)])) == [NO_ID, 2, 3, NO_ID]
    assert made.counts.seen == 5


def test_other_symbols_are_dropped() -> None:
    made = order(trade(1))
    assert made.accept([trade(2, symbol="ETHUSDT"), quote(symbol="ETHUSDT"), trade(9, symbol="X")]) == []
    assert counts(made) == {"seen": 1, "other_symbols": 3}
