"""The history shows what was published, aggregates it, and forgets only what it may."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.exchange.history import GrowingColumn, History
from features.ticks import Ticks


def trades(first_id: int, rows: list[tuple[int, float, int]]) -> Ticks:
    """Trades of size 1 from (ts_ns, price, side)."""
    ts_ns, price, side = zip(*rows, strict=True)
    return Ticks.from_columns(
        len(rows), ts_ns=ts_ns, price=price, side=side, size=1.0, trade_id=first_id + np.arange(len(rows))
    )


def test_fills_of_one_time_price_and_side_make_one_aggregate():
    history = History()
    made = history.append(trades(1, [(1, 5.0, 1), (1, 5.0, 1), (1, 5.0, -1), (1, 6.0, -1), (2, 6.0, -1)]))
    assert made.first_id.tolist() == [1, 3, 4, 5]
    assert made.last_id.tolist() == [2, 3, 4, 5]
    assert made.size.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert made.row.tolist() == [1, 2, 3, 4]


def test_aggregates_read_back_as_they_were_made():
    history = History()
    random = np.random.default_rng(0)
    made = []
    for first in range(1, 2000, 100):
        rows = [(first + i // 3, float(random.integers(1, 3)), 1) for i in range(100)]
        made.append(history.append(trades(first, rows)))
    read = history.aggregates(0, history.aggregate_count)
    for name in ("aggregate_id", "first_id", "last_id", "ts_ns", "price", "size", "side"):
        assert np.array_equal(getattr(read, name), np.concatenate([getattr(m, name) for m in made])), name


def test_an_endless_history_keeps_at_least_the_newest_and_its_memory_is_bounded():
    history = History(keep_trades=1000)
    for first in range(1, 40_001, 100):
        history.append(trades(first, [(first + i // 2, 1.0, 1) for i in range(100)]))
    assert 1000 <= len(history) <= 1000 + 250 + 4096 + 100
    assert history.trade_id[-1] == 40_000
    assert np.all(np.diff(history.trade_id) == 1)
    read = history.aggregates(0, history.aggregate_count)
    assert read.first_id[0] == history.trade_id[0]
    assert read.aggregate_id[-1] == 20_000
    assert np.array_equal(read.last_id, read.first_id + 1)
    assert history.published == 40_000


def test_a_growing_column_keeps_its_rows_over_growth_and_drops():
    column = GrowingColumn(np.int64)
    expected: list[int] = []
    for start in range(0, 20_000, 700):
        column.append(np.arange(start, start + 700))
        expected += range(start, start + 700)
        column.drop_first(300)
        expected = expected[300:]
        assert column.view.tolist() == expected


def test_nothing_published_is_empty():
    history = History()
    assert len(history) == 0
    assert len(history.aggregates(0, 0)) == 0
    assert history.aggregate_at(0) == 0


@pytest.mark.parametrize(("row", "aggregate"), [(0, 0), (1, 1), (2, 1), (3, 2), (9, 2)])
def test_a_trades_position_leads_to_the_next_aggregate(row: int, aggregate: int):
    history = History()
    history.append(trades(1, [(1, 5.0, 1), (1, 5.0, 1), (2, 5.0, 1)]))
    assert history.aggregate_at(row) == aggregate
