"""Measures of curves that can be worked out by hand, and of those that have nothing to measure."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest

from features.errors import DataError, SpecError
from features.trading.account import FILL, TRIP, Account, Step
from features.trading.performance import DAY_NS, measure, moments, period_returns, sharpe_ratio
from features.trading.spec import TradingSpec
from tests.unit.features.trading.account_reference import minute_bars, random_market

MONDAY_NS = 1_600_041_600_000_000_000  # 2020-09-14
HOUR_NS = DAY_NS // 24
NOW_HERE = {"drawdown_peak_ns", "drawdown_trough_ns", "drawdown_recovery_ns"}


def curve(equity: list[float] | np.ndarray, end_ns: np.ndarray | None = None) -> Step:
    """A step with this equity and nothing else; bars of a day unless ends are given."""
    equity = np.asarray(equity, float)
    if end_ns is None:
        end_ns = MONDAY_NS + np.arange(1, len(equity) + 1) * DAY_NS
    rows = np.zeros((4, len(equity)))
    rows[3] = equity
    return Step(np.asarray(end_ns, np.int64), rows, np.zeros(0, FILL), np.zeros(0, TRIP))


def working_days(weeks: int) -> np.ndarray:
    """Ends of 24 hourly bars on each day from Monday to Friday."""
    hours = MONDAY_NS + np.arange(1, weeks * 7 * 24 + 1) * HOUR_NS
    return hours[((hours - 1 - MONDAY_NS) // DAY_NS) % 7 < 5]


# Returns over periods


def test_a_bar_belongs_to_the_day_that_its_end_closes() -> None:
    ends = MONDAY_NS + np.array([12, 24, 25, 48, 96]) * HOUR_NS
    found = period_returns(ends, np.array([90.0, 110.0, 121.0, 99.0, 198.0]), 100.0, "1d")
    assert found.values.tolist() == pytest.approx([0.1, -0.1, 1.0])
    assert found.end_ns.tolist() == ends[[1, 3, 4]].tolist()


@pytest.mark.parametrize(("weeks", "period"), [(5, "bar"), (6, "1d")])
def test_days_are_taken_where_there_are_thirty_of_them(weeks: int, period: str) -> None:
    ends = working_days(weeks)
    found = period_returns(ends, np.full(len(ends), 100.0), 100.0)
    assert found.period == period
    assert len(found.values) == (len(ends) if period == "bar" else weeks * 5)


def test_a_year_has_as_many_periods_as_the_curve_shows() -> None:
    def per_year(ends: np.ndarray, period: str) -> tuple[float, str]:
        found = period_returns(ends, np.full(len(ends), 100.0), 100.0, period)
        return found.per_year, found.counted_from

    working = working_days(110)
    assert per_year(working, "1d") == (pytest.approx(261, abs=1.5), "years")
    assert per_year(working, "bar") == (pytest.approx(261 * 24, abs=40), "years")
    around = MONDAY_NS + np.arange(1, 1000) * DAY_NS
    assert per_year(around, "1d") == (pytest.approx(365, abs=1), "years")
    assert per_year(working[: 24 * 5 * 6], "1d") == (pytest.approx(5 * 52.18, abs=0.1), "weeks")
    assert per_year(around[:8], "1d") == (pytest.approx(365.2425), "span")
    # Half a year late, and a hole of a month: the median year does not see it.
    assert per_year(np.delete(around, np.arange(400, 430)), "1d")[0] > 340


def test_periods_that_are_none_and_bars_out_of_order_are_refused() -> None:
    with pytest.raises(SpecError, match=r"performance\.period: 'day' is not a duration"):
        measure(curve([1.0, 2.0]), 1.0, "day")
    with pytest.raises(DataError, match="performance: bars are out of order"):
        measure(curve([1.0, 2.0], np.array([2, 1])), 1.0)


# Ratios


def test_ratios_are_those_of_the_formulas() -> None:
    returns = np.random.default_rng(3).normal(5e-4, 0.01, 400)
    equity = 100.0 * np.cumprod(1.0 + returns)
    found = measure(curve(equity), 100.0)
    mean, spread = statistics.fmean(returns), statistics.stdev(returns)
    year = found.periods_per_year
    assert (found.period, found.periods_from, year) == ("1d", "years", pytest.approx(365, abs=1))
    assert found.volatility == pytest.approx(spread * math.sqrt(year))
    assert found.sharpe == pytest.approx(mean / spread * math.sqrt(year))
    below = math.sqrt(statistics.fmean(min(r, 0.0) ** 2 for r in returns))
    assert found.sortino == pytest.approx(mean / below * math.sqrt(year))
    assert found.total_return == pytest.approx(equity[-1] / 100 - 1)
    assert found.cagr == pytest.approx((equity[-1] / 100) ** (365.2425 / 399) - 1)
    assert found.calmar == pytest.approx(found.cagr / found.max_drawdown)


def test_skew_and_kurtosis_agree_with_scipy() -> None:
    from scipy import stats

    sample = np.random.default_rng(4).standard_t(5, 500)
    assert moments(sample) == pytest.approx((stats.skew(sample), stats.kurtosis(sample, fisher=False)))
    assert sharpe_ratio(np.array([0.01, np.nan, 0.03])) == pytest.approx(0.02 / math.sqrt(2e-4))


def test_the_deepest_fall_is_dated_and_the_longest_is_timed() -> None:
    found = measure(curve([100, 120, 90, 110, 120, 125, 124, 123, 122, 121.0]), 100.0)
    day = [MONDAY_NS + i * DAY_NS for i in range(1, 11)]
    assert found.max_drawdown == 0.25
    assert found.drawdown_peak_ns == day[1]
    assert found.drawdown_trough_ns == day[2]
    assert found.drawdown_recovery_ns == day[4]
    assert found.longest_drawdown_s == 4 * 86_400  # from 125 to the end, which has not come back


def test_a_curve_that_only_falls_falls_from_the_capital() -> None:
    found = measure(curve([90, 80, 85.0]), 100.0)
    assert found.max_drawdown == pytest.approx(0.2)
    assert found.drawdown_peak_ns == MONDAY_NS + DAY_NS
    assert found.drawdown_recovery_ns is None
    assert found.longest_drawdown_s == 2 * 86_400


def test_trades_and_costs_come_from_the_tables() -> None:
    spec = TradingSpec(1e6, 10, 5, 5, sizing="units:10")
    bars = minute_bars([100.0, 100.0, 110.0, 110.0, 105.0, 105.0, 105.0, 105.0])
    step = Account(spec).update(bars, [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    found = measure(step, spec.capital)
    won, lost = step.trips["pnl"]
    assert (found.trades, found.fills, found.hit_rate) == (2, 4, 0.5)
    assert found.average_trade == pytest.approx((won + lost) / 2)
    assert found.profit_factor == pytest.approx(won / -lost)
    assert found.average_bars == 1.5
    assert found.exposure == 3 / 8
    traded = 10 * (100.1 + 109.89 + 110.11 + 104.895)
    assert found.turnover == pytest.approx(traded / step.column("equity").mean())
    assert found.fees == pytest.approx(traded * 1e-3)
    assert found.spread_cost == found.slippage_cost == pytest.approx(4250 * 5e-4)
    assert found.costs == pytest.approx(found.fees + 2 * found.spread_cost)
    assert found.final_equity == pytest.approx(1e6 + won + lost)


# Nothing to measure


@pytest.mark.parametrize(
    "equity", [[], [100.0], [100.0] * 50, [0.0] * 50, [-5.0] * 50, [100.0, -50.0, 100.0]]
)
@pytest.mark.parametrize("period", ["", "bar", "1d"])
def test_no_curve_makes_it_fail(equity: list[float], period: str) -> None:
    found = measure(curve(equity), 100.0, period).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["bars"] == len(equity)


def test_what_cannot_be_computed_is_none() -> None:
    empty = measure(curve([]), 100.0)
    assert empty.total_return == 0.0
    assert {"sharpe", "max_drawdown", "exposure", "start_ns"} <= {
        name for name, value in empty.as_dict().items() if value is None
    }
    constant = measure(curve([100.0] * 50), 100.0)
    assert constant.volatility == constant.max_drawdown == constant.total_return == 0.0
    assert math.isnan(constant.sharpe) and math.isnan(constant.sortino) and math.isnan(constant.calmar)
    lost = measure(curve([50.0, -50.0, -50.0]), 100.0)
    assert math.isnan(lost.cagr) and lost.max_drawdown == 1.5


def test_a_wild_market_gives_finite_numbers() -> None:
    bars, targets = random_market(2_000, 9)
    found = measure(Account(TradingSpec()).update(bars, targets), 100_000.0).as_dict()
    assert {name for name, value in found.items() if value is None} <= NOW_HERE | {"cagr", "calmar"}
