"""Each rule of the account by itself, then all together against exact fractions."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest

from features.errors import DataError, SnapshotError
from features.kernels import trading as kernel
from features.trading.account import Account, Step
from features.trading.spec import TradingSpec
from tests.unit.features.trading.account_reference import (
    MINUTE_NS,
    ReferenceAccount,
    minute_bars,
    random_market,
)

NAN = math.nan
FREE = TradingSpec(fee_bps=0, half_spread_bps=0, slippage_bps=0, sizing="units:1")


def with_(spec: TradingSpec, **changes: object) -> TradingSpec:
    values = {field.name: getattr(spec, field.name) for field in fields(spec)}
    return TradingSpec(**values | changes)


def position(spec: TradingSpec, targets: list[float], close: list[float], **columns: object) -> list[float]:
    step = Account(spec).update(minute_bars(close, **columns), targets)
    return step.column("position").tolist()


# When an order is filled, and at which price


@pytest.mark.parametrize(
    ("latency", "bar", "price", "at_ns"),
    [(0, 0, 10.0, 1), (1, 1, 11.0, 1), (2, 2, 22.0, 2)],
    ids=["this close", "next open", "the open after"],
)
def test_a_decision_is_filled_after_the_latency(latency: int, bar: int, price: float, at_ns: int) -> None:
    bars = minute_bars([10.0, 20.0, 30.0, 40.0], open=[1.0, 11.0, 22.0, 33.0])
    step = Account(with_(FREE, latency_bars=latency)).update(bars, [1.0, NAN, NAN, NAN])
    assert [(int(f["bar"]), float(f["price"])) for f in step.fills] == [(bar, price)]
    assert step.fills["time_ns"][0] == bars.start_ns[0] + at_ns * MINUTE_NS


def test_no_decision_leaves_the_target_and_an_equal_one_makes_no_order() -> None:
    targets = [NAN, 1.0, NAN, 1.0, -1.0, NAN]
    assert position(FREE, targets, [10.0] * 6) == [0, 0, 1, 1, 1, -1]


def test_a_size_by_capital_stays_until_the_target_changes() -> None:
    spec = TradingSpec(1000, 0, 0, 0)
    held = position(spec, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5], [10.0, 10.0, 20.0, 20.0, 20.0, 20.0])
    assert held == [0, 100, 100, 100, 50, 50]


def test_targets_are_cut_to_one_and_short_ones_can_be_forbidden() -> None:
    assert position(FREE, [5.0, -7.0, NAN], [10.0] * 3) == [0, 1, -1]
    assert position(with_(FREE, allow_short=False), [1.0, -1.0, NAN], [10.0] * 3) == [0, 1, 0]


def test_a_known_book_is_filled_at_and_gives_the_value() -> None:
    bars = minute_bars([10.0] * 3, bid=[9.0, 9.0, 9.5], ask=[11.0, 12.0, 11.5])
    step = Account(with_(FREE, fee_bps=100)).update(bars, [1.0, 0.0, NAN])
    assert step.fills["price"].tolist() == [12.0, 9.5]
    assert step.fills["spread"].tolist() == [1.5, 1.0]
    assert step.fills["fee"].tolist() == pytest.approx([0.12, 0.095])
    assert step.fills["time_ns"].tolist() == bars.end_ns[1:].tolist()  # a book is that of its bar's end
    assert step.column("price").tolist() == [10.0, 10.5, 10.5]
    closed = Account(with_(FREE, use_book=False)).update(bars, [1.0, 0.0, NAN])
    assert closed.fills["price"].tolist() == [10.0, 10.0]


def test_a_crossed_or_half_book_counts_as_none() -> None:
    bars = minute_bars([10.0] * 3, bid=[NAN, 11.0, 9.0], ask=[NAN, 9.0, NAN])
    assert Account(FREE).update(bars, [1.0, 0.0, NAN]).fills["price"].tolist() == [10.0, 10.0]


def test_an_order_waits_for_a_price() -> None:
    opens = [10.0, NAN, 0.0, 13.0, 14.0]
    account = Account(FREE)
    step = account.update(minute_bars([10.0, NAN, -1.0, NAN, 14.0], open=opens), [1.0, NAN, NAN, NAN, NAN])
    assert [(int(f["bar"]), float(f["price"])) for f in step.fills] == [(3, 13.0)]
    assert account.totals.bars_unfillable == 2
    assert step.column("price").tolist() == [10, 10, 10, 13, 14]
    assert step.column("equity").tolist() == [100_000, 100_000, 100_000, 100_000, 100_001]


def test_a_position_is_worth_the_open_where_nothing_later_is_known() -> None:
    step = Account(FREE).update(minute_bars([NAN] * 4, open=[NAN, 10.0, NAN, 12.0]), [1.0, NAN, NAN, NAN])
    assert step.column("equity").tolist() == [100_000, 100_000, 100_000, 100_002]


def test_a_bar_without_events_has_no_price_to_fill_at_unless_there_is_a_book() -> None:
    filled = [0.0, 1.0, 0.0]
    assert position(FREE, [1.0, NAN, NAN], [10.0] * 3, filled=filled) == [0, 0, 1]
    booked = {"bid": [9.0] * 3, "ask": [11.0] * 3, "filled": filled}
    assert position(FREE, [1.0, NAN, NAN], [10.0] * 3, **booked) == [0, 1, 1]


def test_an_order_that_waits_is_replaced_by_the_next_decision() -> None:
    opens = [10.0, NAN, NAN, 10.0]
    assert position(FREE, [1.0, -1.0, NAN, NAN], [10.0] * 4, open=opens) == [0, 0, 0, -1]


# Sessions, limits, ruin


def test_positions_go_over_sessions_unless_they_are_to_be_closed() -> None:
    close, opens, session = [10.0, 12.0, 20.0, 22.0], [10.0, 11.0, 20.0, 21.0], [0, 0, 1, 1]
    columns = {"open": opens, "session": session}
    assert position(FREE, [1.0, 1.0, 1.0, 1.0], close, **columns) == [0, 1, 1, 1]
    spec = with_(FREE, flat_at_session_end=True, half_spread_bps=100)
    account = Account(spec)
    bars = minute_bars(close, **columns)
    step = account.update(bars, [1.0, 1.0, 1.0, 1.0])
    assert step.column("position").tolist() == [0, 1, 0, 1]
    assert step.fills["price"].tolist() == pytest.approx([11.11, 11.88, 21.21])
    assert step.fills["time_ns"][1] == bars.end_ns[1]
    assert len(step.trips) == 1


def test_an_order_of_the_last_session_is_dropped_with_its_positions() -> None:
    spec = with_(FREE, flat_at_session_end=True, latency_bars=2)
    assert position(spec, [1.0, NAN, NAN, NAN], [10.0] * 4, session=[0, 0, 1, 1]) == [0, 0, 0, 0]
    assert position(FREE, [0.0, 1.0, NAN, NAN], [10.0] * 4, session=[0, 0, 1, 1]) == [0, 0, 1, 1]


def test_a_position_is_no_larger_than_the_limit_at_its_fill() -> None:
    spec = TradingSpec(1000, 10, 0, 0, sizing="units:1000", max_position=0.5)
    step = Account(spec).update(minute_bars([10.0] * 3), [1.0, NAN, NAN])
    equity, units = step.column("equity")[1], step.column("position")[1]
    assert units * 10 == pytest.approx(0.5 * equity)
    wide = TradingSpec(1000, 0, 0, 0, sizing="capital:5", max_position=3)
    assert position(wide, [-1.0, NAN], [10.0] * 2) == pytest.approx([0, -300])


def test_ruin_closes_everything_and_ends_trading() -> None:
    account = Account(TradingSpec(1000, 0, 0, 0))
    step = account.update(minute_bars([10.0, 10.0, 25.0, 5.0, 5.0]), [-1.0, NAN, NAN, 1.0, 0.5])
    assert step.column("position").tolist() == [0, -100, 0, 0, 0]
    assert step.column("equity").tolist() == [1000, 1000, -500, -500, -500]
    totals = account.totals
    assert totals.ruined and totals.trips == 1 and totals.max_drawdown == pytest.approx(1.5)


# Round trips


def test_a_round_trip_ends_flat_or_on_the_other_side() -> None:
    spec = TradingSpec(1e6, 10, 0, 0, sizing="units:4")
    bars = minute_bars([10.0, 10.0, 12.0, 14.0, 15.0, 11.0])
    step = Account(spec).update(bars, [0.5, 1.0, 0.5, -1.0, 0.0, NAN])
    # Bought 2 at 10 and 2 at 10, sold 2 at 12; turned at 14 to short 4; bought back at 15.
    first, second = step.trips
    assert (first["side"], first["size"], first["bars"]) == (1, 4, 3)
    assert (first["entry_price"], first["exit_price"]) == (10, 13)
    assert first["pnl"] == pytest.approx(12 - 0.001 * (40 + 24 + 28))
    assert (second["side"], second["size"], second["bars"]) == (-1, 4, 1)
    assert second["pnl"] == pytest.approx(-4 - 0.001 * (56 + 60))
    assert second["costs"] == pytest.approx(0.001 * (56 + 60))
    assert first["exit_ns"] == second["entry_ns"] == bars.start_ns[4]
    assert step.trips["pnl"].sum() == pytest.approx(step.column("equity")[-1] - 1e6)


def test_totals_are_the_sums_of_the_tables() -> None:
    bars, targets = random_market(3_000, 11)
    account = Account(TradingSpec())
    step = account.update(bars, targets)
    totals = account.totals
    for name, column in (("fees", "fee"), ("spread", "spread"), ("slippage", "slippage")):
        assert getattr(totals, name) == pytest.approx(step.fills[column].sum())
    pnl = step.trips["pnl"]
    assert (totals.fills, totals.trips, totals.wins) == (len(step.fills), len(pnl), np.sum(pnl > 0))
    assert totals.gains - totals.losses == pytest.approx(pnl.sum())
    assert totals.traded == pytest.approx(np.abs(step.fills["units"] * step.fills["price"]).sum())
    assert totals.equity == step.column("equity")[-1]
    assert totals.bars_exposed == np.sum(step.column("position") != 0)
    peaks = np.maximum.accumulate(np.append(100_000.0, step.column("equity")))[1:]
    assert totals.max_drawdown == ((peaks - step.column("equity")) / peaks).max()


def test_without_a_curve_the_rest_is_the_same() -> None:
    bars, targets = random_market(2_500, 12)
    whole, bare = Account(TradingSpec()), Account(TradingSpec())
    step, short = whole.update(bars, targets), bare.update(bars, targets, curve=False)
    assert len(short) == 0 and short.curve.shape == (4, 0)
    assert short.fills.tobytes() == step.fills.tobytes() and short.trips.tobytes() == step.trips.tobytes()
    assert bare.digest() == whole.digest() and bare.totals == whole.totals


# All together


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "spec",
    [
        TradingSpec(),
        TradingSpec(1e5, 20, 10, 5, latency_bars=0, sizing="units:300"),
        TradingSpec(1e5, 3, 1, 0, False, 3, "capital:2", 2.5, flat_at_session_end=True),
        TradingSpec(1e5, 1, 1, 1, True, 2, "units:5000", 0.75, allow_short=False, flat_at_session_end=True),
        TradingSpec(1e5, 50, 100, 100, True, 1, "capital:10", 10),
    ],
    ids=["defaults", "units", "leverage", "limited", "ruin"],
)
def test_it_agrees_with_exact_fractions(spec: TradingSpec, seed: int) -> None:
    bars, targets = random_market(160, seed)
    account = Account(spec)
    step = account.update(bars, targets)
    exact = ReferenceAccount(spec).run(bars, targets)
    scale = float(max(map(abs, exact.equity)))
    assert np.max(np.abs(step.column("equity") - np.array(exact.equity, float))) < 1e-9 * scale
    assert step.fills["bar"].tolist() == [bar for bar, _ in exact.fills]
    assert step.fills["units"].tolist() == pytest.approx([float(units) for _, units in exact.fills], rel=1e-7)
    assert step.trips["pnl"].tolist() == pytest.approx(list(map(float, exact.pnl)), abs=1e-7 * scale)
    totals = account.totals
    assert totals.fees + totals.spread + totals.slippage == pytest.approx(float(exact.costs))
    assert totals.ruined == exact.ruined


def test_views_and_read_only_arrays_need_no_other_kernel() -> None:
    bars, targets = random_market(400, 13)
    want = Account(FREE).update(bars[100:300], targets[100:300])
    compiled = len(kernel.trade.signatures)
    frozen = np.array(targets)
    frozen.setflags(write=False)
    bars.values.setflags(write=False)
    found = Account(FREE).update(bars[100:300], frozen[100:300])
    strided = Account(FREE).update(bars[100:300], np.repeat(frozen, 2)[::2][100:300])
    assert found.curve.tobytes() == want.curve.tobytes() == strided.curve.tobytes()
    assert len(kernel.trade.signatures) == compiled


# What can't be used


def test_targets_of_another_length_are_refused_and_change_nothing() -> None:
    account = Account(FREE)
    before = account.digest()
    with pytest.raises(DataError, match=r"trading: targets have shape \(2,\), not \(3,\)"):
        account.update(minute_bars([1.0, 2.0, 3.0]), [1.0, 1.0])
    assert account.digest() == before


def test_no_bars_give_an_empty_step() -> None:
    empty = Account(FREE).update(minute_bars([]), [])
    assert (len(empty), len(empty.fills), len(empty.trips), empty.curve.shape) == (0, 0, 0, (4, 0))
    assert len(Step.concat([])) == 0


def test_a_snapshot_of_other_settings_or_damaged_is_refused() -> None:
    saved = Account(FREE).snapshot()
    with pytest.raises(SnapshotError, match="other settings"):
        Account.restore(TradingSpec(), saved)
    with pytest.raises(SnapshotError, match="damaged"):
        Account.restore(FREE, saved[:-40] + b"x" + saved[-39:])
