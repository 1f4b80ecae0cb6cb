"""Each trade is admitted once, and what is missing is named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import continuity
from cluster.continuity import TradeContinuity


def admitted(ids: list[int]) -> tuple[list[int], TradeContinuity]:
    trades = TradeContinuity()
    return [trade_id for trade_id in ids if trades.admit(trade_id)], trades


def ranges(ids: set[int]) -> list[tuple[int, int]]:
    """Runs of consecutive ids."""
    starts = sorted(i for i in ids if i - 1 not in ids)
    ends = sorted(i for i in ids if i + 1 not in ids)
    return list(zip(starts, ends, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=80))
def test_it_equals_a_set_of_all_ids_seen(ids: list[int]) -> None:
    trades, seen = TradeContinuity(), set[int]()
    for trade_id in ids:
        assert trades.admit(trade_id) == (trade_id not in seen)
        seen.add(trade_id)
        lost = set(range(min(seen), max(seen) + 1)) - seen
        assert trades.holes == ranges(lost)
        assert trades.missing == len(lost)
    report = trades.report()
    assert report["seen"] == len(seen)
    assert report["duplicates"] == len(ids) - len(seen)
    assert trades.first_id == min(seen, default=None)
    assert trades.last_id == max(seen, default=None)


def test_trades_in_order_leave_no_trace_but_a_count() -> None:
    _, trades = admitted(list(range(500, 600)))
    assert trades.report() == {"seen": 100, "duplicates": 0, "gaps": 0, "filled": 0, "missing": 0}
    assert trades.holes == []


def test_trades_sent_twice_by_two_connections_are_taken_once() -> None:
    ids, trades = admitted([1, 2, 3, 2, 3, 4, 3, 4, 5])
    assert ids == [1, 2, 3, 4, 5]
    assert trades.duplicates == 4


def test_a_jump_is_a_hole_and_late_trades_fill_it_from_any_side() -> None:
    ids, trades = admitted([1, 10, 2, 9, 5, 5])
    assert ids == [1, 10, 2, 9, 5]
    assert trades.holes == [(3, 4), (6, 8)]
    assert trades.report() == {"seen": 5, "duplicates": 1, "gaps": 1, "filled": 3, "missing": 5}


def test_a_trade_older_than_the_first_is_new_once() -> None:
    ids, trades = admitted([10, 9, 9, 5])
    assert ids == [10, 9, 5]
    assert trades.holes == [(6, 8)]
    assert (trades.gaps, trades.filled, trades.duplicates) == (1, 0, 1)


def test_old_holes_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuity, "_MOST_HOLES", 3)
    _, trades = admitted(list(range(0, 20, 2)))
    assert trades.holes == [(13, 13), (15, 15), (17, 17)]
    assert trades.missing == 9  # they are missing all the same
    assert not trades.admit(1)
    assert trades.admit(15)
    # Filling the middle of a hole makes two of it: that is bounded too.
    _, trades = admitted([0, 100, 20, 40, 60, 80])
    assert len(trades.holes) == 3


@pytest.mark.parametrize("count", [1, 9_999, 10_000, 10_001])
def test_as_many_holes_are_kept_as_promised(count: int) -> None:
    _, trades = admitted(list(range(0, 2 * count + 2, 2)))
    assert len(trades.holes) == min(count, 10_000)
    assert trades.gaps == count
