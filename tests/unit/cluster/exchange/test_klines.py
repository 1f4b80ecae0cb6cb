"""Klines of what was published."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from cluster.exchange.history import History
from cluster.exchange.klines import INTERVALS, interval_at, interval_start_ns, klines
from features.ticks import Ticks

SECOND = 1_000_000_000
START = 1_700_000_040 * SECOND  # on a minute


def history(*rows: tuple[float, float, float, int]) -> History:
    """Published trades from (seconds after START, price, size, side)."""
    seconds, price, size, side = zip(*rows, strict=True)
    made = History()
    made.append(
        Ticks.from_columns(
            len(rows),
            ts_ns=START + (np.array(seconds) * SECOND).astype(np.int64),
            price=price,
            size=size,
            side=side,
            trade_id=1 + np.arange(len(rows)),
        )
    )
    return made


def test_a_kline_has_the_venues_twelve_fields():
    (kline,) = klines(
        history((0, 5.0, 1.0, 1), (1, 7.0, 2.0, -1), (59, 6.0, 1.0, 0)),
        "1m",
        None,
        None,
        500,
        START + 59 * SECOND,
        1_000_000,
    )
    open_ms = START // 1_000_000
    assert kline == [
        open_ms, "5.0", "7.0", "5.0", "6.0", "4.0", open_ms + 59_999, "25.0", 3, "1.0", "5.0", "0"
    ]  # fmt: skip


def test_an_interval_without_trades_repeats_the_close():
    rows = klines(
        history((0, 5.0, 1.0, 1), (130, 6.0, 1.0, 1)), "1m", None, None, 500, START + 200 * SECOND, 1_000_000
    )
    assert [(row[1], row[4], row[8]) for row in rows] == [
        ("5.0", "5.0", 1),
        ("5.0", "5.0", 0),
        ("6.0", "6.0", 1),
        ("6.0", "6.0", 0),
    ]


def test_a_start_gives_the_oldest_and_no_start_the_newest():
    made = history((0, 5.0, 1.0, 1), (600, 6.0, 1.0, 1))
    clock_ns = START + 600 * SECOND
    oldest = klines(made, "1m", START + 1, None, 2, clock_ns, SECOND)
    newest = klines(made, "1m", None, None, 2, clock_ns, SECOND)
    assert [row[0] - START // SECOND for row in oldest] == [60, 120]
    assert [row[0] - START // SECOND for row in newest] == [540, 600]
    ended = klines(made, "1m", None, START + 120 * SECOND, 2, clock_ns, SECOND)
    assert [row[0] - START // SECOND for row in ended] == [60, 120]


def test_nothing_published_gives_nothing():
    assert klines(History(), "1m", None, None, 500, START, SECOND) == []


def test_before_the_first_trade_there_are_none():
    assert klines(history((0, 5.0, 1.0, 1)), "1m", 0, START - 60 * SECOND, 500, START, SECOND) == []


@pytest.mark.parametrize("interval", INTERVALS)
def test_an_interval_holds_its_own_start_and_the_instant_before_is_in_the_last_one(interval: str):
    number = interval_at(interval, START)
    start_ns = interval_start_ns(interval, number)
    assert start_ns <= START < interval_start_ns(interval, number + 1)
    assert interval_at(interval, start_ns) == number
    assert interval_at(interval, start_ns - 1) == number - 1


def test_weeks_open_on_monday_and_months_on_the_first():
    week = datetime.fromtimestamp(interval_start_ns("1w", interval_at("1w", START)) / 1e9, UTC)
    month = datetime.fromtimestamp(interval_start_ns("1M", interval_at("1M", START)) / 1e9, UTC)
    assert (week.weekday(), week.hour) == (0, 0)
    assert (month.day, month.hour) == (1, 0)
