"""How an equity curve did: returns, risk, trades and costs, in one `Performance`.

    step = account.update(bars, targets)
    found = measure(step, capital=spec.capital)
    found.sharpe, found.max_drawdown, found.as_dict()

Ratios come from returns over equal periods (days by default), not from bars: returns of neighbouring bars
hang together, and their root-of-time scaling would promise too much. How many such periods a year has is
counted in the curve itself, so that a market that sleeps at night is not annualised like one that never does.
Formulas and sources: docs/trading.md. What can't be computed is NaN, None in `as_dict`; no curve makes it
fail.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import durations
from features.errors import DataError
from features.plain import finite_values
from features.trading.account import Step

NAN = math.nan
DAY_NS = 86_400_000_000_000
YEAR_NS = 365.2425 * DAY_NS
_WEEK_NS = 7 * DAY_NS
_DAYS_WANTED = 30
"""Days with bars from which on periods are days, unless another period is asked for."""
_LEAST_FOR_CAGR_NS = 28 * DAY_NS
"""A shorter span has no yearly return: raising it to the year would be a guess."""


@dataclass(frozen=True, slots=True)
class Performance:
    """What one equity curve came to. Shares are of 1, money is in quote currency, times are UTC ns."""

    bars: int
    start_ns: int | None
    """End of the first bar."""
    end_ns: int | None
    capital: float
    final_equity: float
    total_return: float
    cagr: float
    """Yearly compound return; NaN for spans below four weeks."""
    period: str
    """What returns are taken over: a duration like "1d", or "bar"."""
    periods: int
    periods_per_year: float
    """Counted in this curve; what ratios and volatility are annualised with."""
    periods_from: str
    """How they were counted: the median of whole "years" or "weeks", or the whole "span"."""
    volatility: float
    """Yearly standard deviation of the period returns."""
    sharpe: float
    """Yearly; against a risk-free return of 0."""
    sortino: float
    calmar: float
    skew: float
    kurtosis: float
    """3 for a normal distribution."""
    max_drawdown: float
    """Deepest fall of the equity from a peak, as a share of the peak; above zero."""
    drawdown_peak_ns: int | None
    drawdown_trough_ns: int | None
    drawdown_recovery_ns: int | None
    """None where the curve has not come back to that peak, or has never fallen."""
    longest_drawdown_s: float
    """Longest time below a peak, also where it has not ended."""
    exposure: float
    """Share of bars that a position was held at the end of."""
    turnover: float
    """Value of all fills as a multiple of the mean equity."""
    turnover_per_year: float
    fills: int
    trades: int
    """Round trips that have ended."""
    hit_rate: float
    """Share of them that made money after costs."""
    average_trade: float
    average_bars: float
    """Bars that a round trip was held, on average."""
    profit_factor: float
    """What the winners made for each unit that the losers lost."""
    fees: float
    spread_cost: float
    slippage_cost: float
    costs: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: None for NaN and infinity."""
        return finite_values(asdict(self))


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """Simple returns over equal periods, (k,), and how many of them make a year."""

    values: NDArray[np.float64]
    end_ns: NDArray[np.int64]
    """When the last bar of each period ended."""
    period: str
    per_year: float
    counted_from: str


def measure(step: Step, capital: float, period: str = "") -> Performance:
    """The performance of an account's whole life, `step` being all its steps together.

    `period` is a duration like "1d" or "1h", aligned to multiples of it since 1970 UTC; "bar"; or "" for days
    where at least 30 have bars, else bars. Raises SpecError for a period that is none of these.
    """
    equity, end_ns = step.column("equity"), step.end_ns
    m = len(step)
    returns = period_returns(end_ns, equity, capital, period)
    final = float(equity[-1]) if m else capital
    span_ns = _span_ns(end_ns)
    growth = final / capital
    cagr = NAN
    if span_ns >= _LEAST_FOR_CAGR_NS and growth > 0.0:
        cagr = math.exp(math.log(growth) * YEAR_NS / span_ns) - 1.0
    fall = _drawdown(end_ns, equity, capital)
    mean_equity = float(equity.mean()) if m else NAN
    traded = float(np.abs(step.fills["units"] * step.fills["price"]).sum())
    turnover = _ratio(traded, mean_equity)
    held = step.column("position") != 0.0
    fees, spread, slippage = (float(step.fills[name].sum()) for name in ("fee", "spread", "slippage"))
    return Performance(
        bars=m,
        start_ns=int(end_ns[0]) if m else None,
        end_ns=int(end_ns[-1]) if m else None,
        capital=capital,
        final_equity=final,
        total_return=growth - 1.0,
        cagr=cagr,
        period=returns.period,
        periods=len(returns.values),
        periods_per_year=returns.per_year,
        periods_from=returns.counted_from,
        **_ratios(returns),
        calmar=_ratio(cagr, fall["max_drawdown"]),
        **fall,
        exposure=float(held.mean()) if m else NAN,
        turnover=turnover,
        turnover_per_year=_ratio(turnover * YEAR_NS, span_ns),
        fills=len(step.fills),
        **_trades(step.trips),
        fees=fees,
        spread_cost=spread,
        slippage_cost=slippage,
        costs=fees + spread + slippage,
    )


def period_returns(
    end_ns: NDArray[np.int64], equity: NDArray[np.float64], capital: float, period: str = ""
) -> Returns:
    """Simple returns of an equity curve from period to period; those without bars are left out.

    The first is against `capital`. A bar belongs to the period that its end lies in, the very end included.
    Where the equity before is not above zero the return is NaN. Raises DataError for bars out of order.
    """
    if len(end_ns) != len(equity):
        raise DataError(f"{len(end_ns)} times have {len(equity)} equities", "performance")
    if np.any(np.diff(end_ns) < 0):
        raise DataError("bars are out of order", "performance", "sort them by their ends")
    days = (end_ns - 1) // DAY_NS
    if not period:
        period = "1d" if _changes(days) + 1 >= _DAYS_WANTED and len(days) else "bar"
    last = np.arange(len(end_ns))
    if period != "bar":
        number = (end_ns - 1) // durations.parse_ns(period, "performance.period")
        last = np.flatnonzero(np.append(number[1:] != number[:-1], True)) if len(number) else last
    levels = np.concatenate([[capital], equity[last]])
    before = np.where(levels[:-1] > 0.0, levels[:-1], NAN)
    per_year, counted_from = _per_year(end_ns[last])
    return Returns(levels[1:] / before - 1.0, end_ns[last], period, per_year, counted_from)


def sharpe_ratio(returns: NDArray[np.float64]) -> float:
    """Mean over standard deviation, of one period, not annualised; NaN where either is unknown."""
    known = returns[np.isfinite(returns)]
    if len(known) < 2:
        return NAN
    return _ratio(float(known.mean()), _spread(known))


def moments(returns: NDArray[np.float64]) -> tuple[float, float]:
    """Skew and kurtosis (3 for a normal distribution) of a sample; NaN where all values are equal."""
    known = returns[np.isfinite(returns)]
    if len(known) < 2 or _spread(known) == 0.0:
        return NAN, NAN
    deviations = known - known.mean()
    variance = float(np.mean(deviations**2))
    return float(np.mean(deviations**3)) / variance**1.5, float(np.mean(deviations**4)) / variance**2


def _ratios(returns: Returns) -> dict[str, Any]:
    known = returns.values[np.isfinite(returns.values)]
    root = math.sqrt(returns.per_year)
    skew, kurtosis = moments(known)
    below = float(np.sqrt(np.mean(np.minimum(known, 0.0) ** 2))) if len(known) > 1 else NAN
    return {
        "volatility": _spread(known) * root,
        "sharpe": sharpe_ratio(known) * root,
        "sortino": _ratio(float(known.mean()), below) * root if len(known) > 1 else NAN,
        "skew": skew,
        "kurtosis": kurtosis,
    }


def _drawdown(end_ns: NDArray[np.int64], equity: NDArray[np.float64], capital: float) -> dict[str, Any]:
    """The deepest fall, and the longest time below a peak. The capital counts as the first peak."""
    none = {"drawdown_peak_ns": None, "drawdown_trough_ns": None, "drawdown_recovery_ns": None}
    if not len(equity):
        return {"max_drawdown": NAN, **none, "longest_drawdown_s": NAN}
    peaks = np.maximum(np.maximum.accumulate(equity), capital)
    falls = (peaks - equity) / peaks
    at_peak = np.flatnonzero(equity >= peaks)
    marks = np.concatenate([end_ns[:1], end_ns[at_peak], end_ns[-1:]])
    found: dict[str, Any] = {
        "max_drawdown": float(falls.max()),
        **none,
        "longest_drawdown_s": _longest_s(end_ns, at_peak, marks),
    }
    trough = int(falls.argmax())
    if falls[trough] > 0.0:
        before, after = at_peak[at_peak < trough], at_peak[at_peak > trough]
        found["drawdown_peak_ns"] = int(end_ns[before[-1]]) if len(before) else int(end_ns[0])
        found["drawdown_trough_ns"] = int(end_ns[trough])
        found["drawdown_recovery_ns"] = int(end_ns[after[0]]) if len(after) else None
    return found


def _longest_s(end_ns: NDArray[np.int64], at_peak: NDArray[np.int64], marks: NDArray[np.int64]) -> float:
    """Longest time from a peak to the next bar at or above it; neighbouring bars at peaks are no fall."""
    rows = np.concatenate([[-1], at_peak, [len(end_ns)]])
    below = np.diff(rows) > 1
    return float(np.max(np.where(below, np.diff(marks), 0))) / 1e9


def _trades(trips: NDArray[np.void]) -> dict[str, Any]:
    pnl = trips["pnl"]
    gains, losses = float(pnl[pnl > 0.0].sum()), -float(pnl[pnl <= 0.0].sum())
    return {
        "trades": len(trips),
        "hit_rate": float(np.mean(pnl > 0.0)) if len(pnl) else NAN,
        "average_trade": float(pnl.mean()) if len(pnl) else NAN,
        "average_bars": float(trips["bars"].mean()) if len(pnl) else NAN,
        "profit_factor": _ratio(gains, losses),
    }


def _per_year(end_ns: NDArray[np.int64]) -> tuple[float, str]:
    """How many periods that end at these times a year has.

    Counted in whole years after the first period; in whole weeks where it is less than one year; over the
    whole span where it is less than two weeks. The median leaves out holidays, late starts and holes.
    """
    if len(end_ns) < 2:
        return NAN, "span"
    since = end_ns[1:] - end_ns[0]
    for name, length_ns, least in (("years", YEAR_NS, 1), ("weeks", _WEEK_NS, 2)):
        whole = int(since[-1] / length_ns)
        if whole >= least:
            number = ((since - 1) / length_ns).astype(np.int64)
            counts = np.bincount(number[number < whole], minlength=whole)
            return float(np.median(counts)) * YEAR_NS / length_ns, name
    return _ratio((len(end_ns) - 1) * YEAR_NS, float(since[-1])), "span"


def _spread(values: NDArray[np.float64]) -> float:
    """Sample standard deviation; 0 where all values are equal, NaN below two of them."""
    if len(values) < 2:
        return NAN
    return 0.0 if values.min() == values.max() else float(values.std(ddof=1))


def _changes(numbers: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.diff(numbers)))


def _span_ns(end_ns: NDArray[np.int64]) -> float:
    return float(end_ns[-1] - end_ns[0]) if len(end_ns) else 0.0


def _ratio(over: float, under: float) -> float:
    return over / under if under > 0.0 else NAN
