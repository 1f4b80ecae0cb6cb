"""The venue's time is ours less the smallest lag of the last minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.venue_clock import VenueClock

SECOND = 1_000_000_000


def test_before_the_first_event_nothing_is_known() -> None:
    clock = VenueClock()
    assert (clock.lag_ns, clock.venue_ns(5)) == (None, None)


@pytest.mark.parametrize("skew", [-5 * SECOND, 0, 5 * SECOND])
def test_skew_both_ways_is_taken_out(skew: int) -> None:
    clock = VenueClock()
    for i, delay in enumerate((30, 10, 90, 20)):
        event = i * SECOND
        clock.observe(event, event + skew + delay)
    assert clock.lag_ns == skew + 10
    assert clock.venue_ns(100 * SECOND + skew) == 100 * SECOND - 10


def test_a_fast_message_counts_for_a_minute() -> None:
    clock = VenueClock()
    clock.observe(0, 10)
    clock.observe(30 * SECOND, 30 * SECOND + 50)
    clock.observe(60 * SECOND, 60 * SECOND + 10)
    assert clock.lag_ns == 10
    clock.observe(80 * SECOND, 80 * SECOND + 70)
    clock.observe(121 * SECOND, 121 * SECOND + 80)
    assert clock.lag_ns == 70


def test_what_is_known_stays_known_while_the_venue_is_silent() -> None:
    clock = VenueClock()
    clock.observe(0, 10)
    assert clock.venue_ns(3600 * SECOND) == 3600 * SECOND - 10


_STEPS = st.lists(st.tuples(st.integers(0, 40 * SECOND), st.integers(-9, 9)), min_size=1, max_size=40)


@given(_STEPS)
def test_it_equals_the_minimum_over_the_window(steps: list[tuple[int, int]]) -> None:
    clock, seen, now = VenueClock(), [], 0
    for step, lag in steps:
        now += step
        seen.append((now, lag))
        clock.observe(now - lag, now)
        assert clock.lag_ns == min(lag for at, lag in seen if at >= now - 60 * SECOND)
        assert clock.venue_ns(now) == now - clock.lag_ns
