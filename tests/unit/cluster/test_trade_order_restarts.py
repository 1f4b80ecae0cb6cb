"""After a reconnect, a restart of ours or of the venue's ids, the order goes on where it stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cluster.event_order import Note
from cluster.trade_order import TradeOrder
from cluster.venues.base import Connected, Disconnected
from features.errors import SnapshotError
from features.ticks import NO_ID
from tests.unit.cluster.trade_orders import (
    SECOND,
    START_NS,
    SYMBOL,
    counts,
    notes,
    order,
    quote,
    shape,
    trade,
    trades,
)


class KeptNote(NamedTuple):
    """A note as a log gives it back: the event is plain text."""

    event: str
    first_id: int
    last_id: int


def test_a_catch_up_goes_out_at_once_and_is_one_gap() -> None:
    made = order(*trades(1, 2), Disconnected("network", 1))
    assert made.interrupted and not made.catch_up_due
    made.accept([Connected(5)])
    assert made.catch_up_due and made.connected_ns == 5 and not made.interrupted
    assert shape(made.catch_up(trades(3, 4))) == [3, 4]
    assert made.catch_up_due, "until REST has no more"
    assert shape(made.catch_up(trades(5))) == [5]
    made.caught_up()
    assert not made.catch_up_due
    assert counts(made) == {"seen": 5, "gaps_found": 1, "gaps_filled": 1, "trades_filled": 3}
    assert notes(made) == [("gap_found", 3, 5, 3), ("gap_filled", 3, 5, 3)]
    assert shape(made.accept(trades(4, 5, 6))) == [6]
    assert made.counts.overlapped == 2


def test_a_trade_of_the_new_connection_makes_a_catch_up_needless() -> None:
    made = order(*trades(1, 2), Disconnected("network", 1), Connected(5))
    assert made.catch_up_due
    made.accept(trades(3))
    assert not made.catch_up_due
    jumped = order(*trades(1, 2), Disconnected("network", 1), Connected(5), trade(6))
    assert not jumped.catch_up_due and jumped.waiting is not None


def test_a_catch_up_is_due_once_an_older_hole_is_closed() -> None:
    made = order(*trades(1, 3), Disconnected("network", 1), Connected(5))
    assert not made.catch_up_due
    made.fill(trades(2))
    assert made.catch_up_due, "nobody knows what came after 3"


def test_a_planned_change_of_connection_needs_no_catch_up() -> None:
    made = order(*trades(1, 2), Connected(5))
    assert not made.catch_up_due


def test_a_catch_up_that_meets_held_trades_takes_what_they_wait_for() -> None:
    made = order(*trades(1), Disconnected("network", 1), Connected(5), *trades(4, 5))
    assert shape(made.catch_up(trades(2, 3, 4, 5, 6, 7))) == [2, 3, 4, 5]
    made.caught_up()
    assert counts(made) == {"seen": 5, "holes": 1, "gaps_found": 1, "gaps_filled": 1, "trades_filled": 2}
    assert shape(made.accept(trades(6))) == [6]


def test_a_catch_up_that_the_socket_overtakes_is_a_gap_up_to_there() -> None:
    made = order(*trades(1), Disconnected("network", 1), Connected(5))
    made.catch_up(trades(2, 3))
    assert shape(made.accept(trades(4, 5))) == [4, 5]
    made.caught_up()
    assert notes(made) == [("gap_found", 2, 3, 2), ("gap_filled", 2, 3, 2)]


def test_a_catch_up_that_starts_too_late_leaves_a_hole() -> None:
    made = order(*trades(1), Disconnected("network", 1), Connected(5))
    assert made.catch_up(trades(6, 7)) == []
    made.caught_up()
    assert made.waiting is not None and (made.waiting.first_id, made.waiting.last_id) == (2, 5)
    assert shape(made.give_up()) == ["2-5", 6, 7]
    assert (made.counts.gaps_found, made.counts.gaps_filled, made.counts.gaps_given_up) == (2, 1, 1)


def test_before_the_first_trade_there_is_nothing_to_catch_up_with() -> None:
    made = order(Disconnected("network", 1), Connected(2))
    assert not made.catch_up_due
    assert made.catch_up(trades(1, 2)) == []


def test_ids_that_start_anew_much_later_are_a_new_series() -> None:
    made = order(*trades(100, 101, 103))
    anew = trade(3, START_NS + 100 * SECOND)
    assert shape(made.accept([anew, quote()])) == ["102-102", 103, "-1--1", 3, "q"]
    assert (made.first_id, made.last_id, made.lost) == (3, 3, [])
    assert made.counts.ids_restarted == 1
    assert notes(made)[-1] == ("ids_restarted", 3, NO_ID, 0)
    assert shape(made.accept([trade(4, anew.ts_ns), trade(2, anew.ts_ns)])) == [4]
    assert (made.counts.before_start, made.counts.missing) == (1, 1)


@pytest.mark.parametrize("trade_id", [3, 100])
def test_a_delayed_or_repeated_trade_starts_no_new_series(trade_id: int) -> None:
    """Whatever time has passed: a trade's own time is never later than that of trades with higher ids."""
    made = order(*trades(100, 101))
    assert made.accept([trade(trade_id, START_NS + 59 * SECOND)]) == []
    assert made.counts.ids_restarted == 0


def test_one_trade_with_a_time_from_the_future_starts_no_new_series_when_it_is_repeated() -> None:
    ahead = trade(5, START_NS + 3600 * SECOND)
    made = order(trade(4), ahead, trade(6))
    assert made.accept([Connected(2), ahead, trade(6), trade(7)])[-1].trade_id == 7  # type: ignore[union-attr]
    assert made.counts.ids_restarted == 0


def test_rest_that_serves_a_new_series_under_old_ids_fills_nothing() -> None:
    made = order(*trades(1, 6))
    assert made.fill([trade(2, START_NS + 3600 * SECOND), trade(3)]) == []
    assert shape(made.fill(trades(2))) == [2, 3]


def test_a_hole_knows_when_it_was_opened_however_it_shrinks() -> None:
    made = order(trade(1))
    made.accept([trade(10, received_ns=50), trade(20, received_ns=60), trade(5, received_ns=70)])
    assert made.waiting is not None and made.waiting.opened_ns == 50
    made.fill(trades(2, 3, 4))
    assert made.waiting is not None and (made.waiting.first_id, made.waiting.opened_ns) == (6, 50)
    made.give_up()
    assert made.waiting is not None and (made.waiting.first_id, made.waiting.opened_ns) == (11, 60)


def test_what_is_held_is_bounded_by_whoever_reads_on() -> None:
    made = order(trade(1), hold_limit=3)
    made.accept([trade(3), quote()])
    assert not made.full
    made.accept([quote()])
    assert made.full and made.held == 3
    made.fill(trades(2))
    assert not made.full and made.held == 0


def test_open_gaps_are_bounded_the_newest_stay() -> None:
    made = order(trade(0))
    for one in range(2, 2 * 10_002, 2):
        made.accept(trades(one))
        made.give_up()
    assert len(made.lost) == 10_000
    assert made.lost[0] == (3, 3)
    assert made.counts.missing == 10_001  # they are missing all the same
    assert len(made.report()["open_gaps"]) == 100


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as the interpreter lets them."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def test_the_report_may_be_read_from_another_thread(restless: None) -> None:
    made, failures, over = order(trade(1)), list[Exception](), threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                made.report()
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 12_000, 4):
        made.accept([*trades(number + 2), quote(), *trades(number + 4)])
        made.fill(trades(number + 1))
        made.give_up()
    over.set()
    reader.join()
    assert failures == [] and made.counts.gaps_given_up == 3_000


def test_the_report_is_plain() -> None:
    made = order(*trades(1, 3, 5))
    made.give_up()
    report = made.report()
    assert (report["first_id"], report["last_id"], report["held"]) == (1, 3, 1)
    assert (report["waiting"], report["open_gaps"], report["missing"]) == ([4, 4], [[2, 2]], 1)
    assert order().report()["waiting"] is None


def resumed(old: TradeOrder, how: str, kept: list[Note]) -> TradeOrder:
    new = TradeOrder(SYMBOL, 1000)
    if how == "snapshot":
        new.restore(old.snapshot())
    else:
        new.resume((*old.counters(), 0))
        new.resume_notes([KeptNote(one.event.value, one.first_id, one.last_id) for one in kept])
    return new


@pytest.mark.parametrize("how", ["snapshot", "counters"])
def test_after_a_restart_it_goes_on_where_it_stopped(how: str) -> None:
    old = order(*trades(1, 2, 2, 6))
    old.give_up()
    old.repair(trades(4))
    old.accept([trade(9), quote()])
    old.declare_gap()
    new = resumed(old, how, old.take_notes())
    assert len(old.counters()) == 15 and all(type(number) is int for number in new.counters())
    assert new.counters() == old.counters()
    assert (new.lost, new.held, new.waiting) == ([(3, 3), (5, 5)], 0, None)
    assert new.counts.gaps_found == new.counts.gaps_filled + new.counts.gaps_given_up
    assert new.interrupted
    # What was held is missing now: nobody had been told of it.
    new.accept([Connected(3)])
    assert new.catch_up_due
    assert shape(new.catch_up(trades(7, 8, 9))) == [7, 8, 9]
    new.accept(trades(6))
    assert (new.counts.overlapped, new.counts.duplicates) == (1, 1)
    assert [one.trade_id for one in new.repair(trades(3))] == [3]


def test_a_new_series_forgets_gaps_in_the_log_too() -> None:
    old = order(*trades(100, 102))
    old.give_up()
    old.accept([trade(3, START_NS + 100 * SECOND)])
    new = resumed(old, "counters", old.take_notes())
    assert new.lost == old.lost == []


def test_resuming_from_nothing_is_a_fresh_start() -> None:
    new = resumed(TradeOrder(SYMBOL, 1000), "counters", [])
    assert not new.known and not new.interrupted
    assert shape(new.accept([Connected(1), *trades(5)])) == [5]


def test_a_snapshot_of_another_symbol_or_damaged_is_refused() -> None:
    data = order(trade(1)).snapshot()
    with pytest.raises(SnapshotError):
        TradeOrder("ETHUSDT", 1000).restore(data)
    with pytest.raises(SnapshotError):
        TradeOrder(SYMBOL, 1000).restore(data[:-1])


def test_notes_are_bounded() -> None:
    made = order(trade(0))
    for one in range(2, 24_000, 2):
        made.accept(trades(one, one - 1))
    assert len(made.take_notes()) == 10_000
    assert made.take_notes() == []
