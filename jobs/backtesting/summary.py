"""What a whole backtest comes to: over all symbols, rule by rule, and how much of it is luck.

A rule's returns are those of equal shares of the capital in every symbol. The more rules were tried, the more
the best of them owes to luck: the deflated Sharpe ratio and the probability of backtest overfitting say how
much (`features.trading.overfitting`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import durations
from features.forecaster import MIXTURE
from features.plain import finite
from features.trading import overfitting
from features.trading.performance import period_returns, sharpe_ratio
from jobs.backtesting.result import Results, SymbolResult
from jobs.backtesting.rule_results import period_equity, sharpe_bounds
from jobs.backtesting.settings import BacktestSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PERIODS_WANTED = 30
_LEAST_BLOCKS = 4
"""Blocks of cross-validation below which nothing is said of overfitting."""


def summarise(
    results: Results, settings: BacktestSettings, symbols: Sequence[SymbolResult], trials: int
) -> dict[str, Any]:
    """Totals, verdicts of the forecasts, and every rule over all symbols, as plain values."""
    scored = [one for one in symbols if one.answers]
    return {
        "symbols": len(symbols),
        "failed": sum(one.failed for one in symbols),
        "without_score": len(symbols) - len(scored),
        "bars": sum(one.bars for one in symbols),
        "answers": sum(one.answers for one in symbols),
        "forecasts": [forecast_line(scored, horizon) for horizon in settings.engine.horizons],
        "rules": rules_over_all(results, settings, symbols, trials),
        "trials": trials,
    }


def forecast_line(symbols: Sequence[SymbolResult], horizon: str) -> dict[str, Any]:
    """How the forecast did at one horizon, symbol by symbol counted."""
    verdicts = [verdict(score) for one in symbols if (score := mixture_score(one, horizon)) is not None]
    skills = [
        score["lifetime"]["r2"]
        for one in symbols
        if (score := mixture_score(one, horizon)) is not None and score["lifetime"]["r2"] is not None
    ]
    return {
        "horizon": horizon,
        "symbols": len(verdicts),
        "median_skill": float(np.median(skills)) if skills else None,
        "better": verdicts.count(BETTER),
        "worse": verdicts.count(WORSE),
    }


BETTER, WORSE, NO_WORD = "yes", "worse", "no"


def mixture_score(symbol: SymbolResult, horizon: str) -> Mapping[str, Any] | None:
    """The forecast's own score at a horizon; None where nothing was scored."""
    for score in symbol.scores:
        if score["model"] == MIXTURE and score["horizon"] == horizon and score["count"]:
            return score
    return None


def verdict(score: Mapping[str, Any]) -> str:
    """Whether a forecast beats naive, by the 95 % interval of its skill."""
    low, high = score["lifetime"]["skill_low"], score["lifetime"]["skill_high"]
    if low is not None and low > 0.0:
        return BETTER
    return WORSE if high is not None and high < 0.0 else NO_WORD


def rules_over_all(
    results: Results, settings: BacktestSettings, symbols: Sequence[SymbolResult], trials: int
) -> dict[str, Any]:
    """Every rule over all symbols in equal shares; what overfitting leaves of the best."""
    traded = [one for one in symbols if one.rules]
    if not traded:
        return {"period": None, "periods": 0, "lines": [], "best": None}
    period = _period(traded)
    curves = portfolio_curves(
        results, settings.rules, settings.trading.capital, traded, durations.parse_ns(period)
    )
    capital = settings.trading.capital * len(traded)
    returns = [period_returns(ends, equity, capital, period) for ends, equity in curves]
    lines = []
    for rule, own, (_, equity) in zip(settings.rules, returns, curves, strict=True):
        root = math.sqrt(own.per_year)
        low, high = sharpe_bounds(own.values)
        line = {"total_return": float(equity[-1]) / capital - 1.0, "sharpe": sharpe_ratio(own.values) * root}
        line |= {"sharpe_low": low * root, "sharpe_high": high * root}
        lines.append({"rule": rule} | {name: finite(value) for name, value in line.items()})
    matrix = np.column_stack([own.values for own in returns])
    best = _best(matrix, settings.rules, trials) if len(settings.rules) > 1 or trials > 1 else None
    return {"period": period, "periods": len(matrix), "lines": lines, "best": best}


def portfolio_curves(
    results: Results,
    rules: Sequence[str],
    capital: float,
    symbols: Sequence[SymbolResult],
    period_ns: int,
) -> list[tuple[Ints, Floats]]:
    """For every rule the ends of the periods with bars, and what all accounts together held at them.

    Before its first bar an account holds its capital, after its last one what it held then.
    """
    found = [period_equity(results, one.venue, one.symbol, one.parts, rules, period_ns) for one in symbols]
    numbers = np.unique(np.concatenate([own for one in found for own, _ in one.values()]))
    curves = []
    for rule in rules:
        total = np.zeros(len(numbers))
        for one in found:
            own, equity = one[rule]
            held = np.concatenate([[capital], equity])
            total += held[np.searchsorted(own, numbers, side="right")]
        curves.append(((numbers + 1) * period_ns, total))
    return curves


def _best(matrix: Floats, rules: Sequence[str], trials: int) -> dict[str, Any]:
    """The rule with the highest Sharpe ratio, and how likely it is that it is luck."""
    sharpes = [sharpe_ratio(column) for column in matrix.T]
    known = [place for place, sharpe in enumerate(sharpes) if math.isfinite(sharpe)]
    if not known:
        return {"rule": None, "deflated_sharpe": None, "overfitting_probability": None}
    winner = max(known, key=lambda place: sharpes[place])
    deflated = overfitting.deflated_sharpe(matrix[:, winner], sharpes, float(trials))
    probability = None
    blocks = min(16, len(matrix) // 4 // 2 * 2)
    if blocks >= _LEAST_BLOCKS and len(rules) > 1:
        probability = finite(overfitting.backtest_overfitting(matrix, blocks).probability)
    return {
        "rule": rules[winner],
        "deflated_sharpe": finite(deflated),
        "overfitting_probability": probability,
    }


def _period(symbols: Sequence[SymbolResult]) -> str:
    """Days where there are enough of them, else hours, else minutes."""
    span_ns = max(one.last_ns for one in symbols) - min(one.first_ns for one in symbols)
    for text in ("1d", "1h"):
        if span_ns >= _PERIODS_WANTED * durations.parse_ns(text):
            return text
    return "1m"
