"""Waits between attempts, and limits on them."""

from __future__ import annotations

import random

import pytest

from cluster.backoff import AttemptLimit, Backoff, retry_after_s


def backoff(jitter: float = 0.0) -> Backoff:
    return Backoff(first_s=0.0, base_s=1.0, max_s=30.0, jitter=jitter, rng=random.Random(1))


def test_waits_double_from_the_second_and_stay_bounded() -> None:
    waits = backoff()
    assert [waits.next_s() for _ in range(8)] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_thousand_failures_do_not_overflow() -> None:
    waits = backoff()
    assert [waits.next_s() for _ in range(2000)][-1] == 30.0


def test_a_reset_starts_over() -> None:
    waits = backoff()
    waits.next_s()
    waits.next_s()
    waits.reset()
    assert [waits.next_s(), waits.next_s()] == [0.0, 1.0]


def test_full_jitter_spreads_over_the_whole_bound() -> None:
    waits = backoff(jitter=1.0)
    drawn = [waits.next_s() for _ in range(500)][7:]
    assert 0.0 <= min(drawn) < 3.0 and 27.0 < max(drawn) <= 30.0


def test_partial_jitter_keeps_its_floor() -> None:
    waits = backoff(jitter=0.5)
    assert all(15.0 <= wait <= 30.0 for wait in [waits.next_s() for _ in range(100)][7:])


def test_attempts_are_free_up_to_the_limit_and_then_wait_for_the_window() -> None:
    limit = AttemptLimit(2, 10.0)
    for now in (100.0, 103.0):
        assert limit.wait_s(now) == 0.0
        limit.note(now)
    assert limit.wait_s(104.0) == 6.0
    assert limit.wait_s(110.0) == 0.0
    limit.note(110.0)
    assert limit.wait_s(110.0) == 3.0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 50, 999_999_999.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header, now_ns=40_000_000_000) == expected
