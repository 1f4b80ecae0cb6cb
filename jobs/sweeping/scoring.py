"""How a trial did: its forecasts beside naive, and what a rule would have made of them.

Errors are in units of each horizon's scale as it was known when asking, so that all symbols count alike
whatever their volatility. Money is traded in equal shares in every symbol.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features import durations
from features.trading.account import Account
from features.trading.performance import Returns, period_returns, sharpe_ratio
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from jobs.sweeping.data import Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class ForecastScore:
    """Squared errors so far, of a forecast and of naive, over the questions that have an outcome."""

    count: int = 0
    error: float = 0.0
    naive: float = 0.0
    right: int = 0
    """Forecasts that had the sign of the outcome."""
    said: int = 0
    """Forecasts and outcomes that had a sign."""

    def add(self, rows: Rows, part: slice, expected: Floats) -> Floats:
        """Score some rows; returns what each was better than naive by, NaN where there is no score."""
        y, scale = rows.y[part], rows.scale[part]
        scored = np.isfinite(y) & np.isfinite(expected) & np.isfinite(scale)
        outcome, forecast = y[scored] / scale[scored], expected[scored] / scale[scored]
        signs = outcome * forecast
        self.count += len(outcome)
        self.error += float(((outcome - forecast) ** 2).sum())
        self.naive += float((outcome**2).sum())
        self.right += int(np.count_nonzero(signs > 0.0))
        self.said += int(np.count_nonzero(signs))
        gain = np.full(len(y), np.nan)
        gain[scored] = forecast * (2.0 * outcome - forecast)
        return gain

    @property
    def skill(self) -> float:
        """1 - squared error / naive's; NaN where nothing was scored or no price moved."""
        return 1.0 - self.error / self.naive if self.naive > 0.0 else math.nan

    @property
    def hit_rate(self) -> float:
        """Share of the forecasts with a sign that had the right one."""
        return self.right / self.said if self.said else math.nan


@dataclass
class _Book:
    """One symbol's rule and account."""

    rule: Rule
    account: Account
    number: list[Ints] = field(default_factory=list)
    equity: list[Floats] = field(default_factory=list)


class Trading:
    """A rule on every symbol, an account for each, over folds that follow each other."""

    def __init__(self, rule: RuleSpec, spec: TradingSpec, rows: Sequence[Rows], period: str) -> None:
        self._spec, self._rows = spec, rows
        self._period, self._period_ns = period, durations.parse_ns(period)
        self._books = [_Book(Rule(rule), Account(spec)) for _ in rows]
        self._started = False

    def fold(self, start_ns: int, end_ns: int, expected: Sequence[Floats]) -> None:
        """Trade the bars that end in [start, end)."""
        for rows, book, said in zip(self._rows, self._books, expected, strict=True):
            start, end = rows.place(start_ns), rows.place(end_ns)
            if not self._started:
                # What a rule remembers of the bars before, without trading them.
                book.rule.update(rows.bars[:start], np.full(start, np.nan))
            bars = rows.bars[start:end]
            step = book.account.update(bars, book.rule.update(bars, said))
            number = (step.end_ns - 1) // self._period_ns
            last = np.append(number[1:] != number[:-1], True)[: len(number)]
            book.number.append(number[last])
            book.equity.append(step.column("equity")[last])
        self._started = True

    def returns(self) -> Returns:
        """Simple returns of all accounts together, over the periods that have bars."""
        held = [(np.concatenate(book.number), np.concatenate(book.equity)) for book in self._books]
        numbers = np.unique(np.concatenate([number for number, _ in held]))
        total = np.zeros(len(numbers))
        for number, equity in held:
            # Two folds may share a period: the later word counts, which searchsorted finds from the right.
            before = np.concatenate([[self._spec.capital], equity])
            total += before[np.searchsorted(number, numbers, side="right")]
        capital = self._spec.capital * len(held)
        return period_returns((numbers + 1) * self._period_ns, total, capital, self._period)

    @property
    def fills(self) -> int:
        """Orders filled over all symbols."""
        return sum(book.account.totals.fills for book in self._books)


def yearly_sharpe(returns: Returns) -> float:
    """The Sharpe ratio of a year; NaN where it can't be said."""
    return sharpe_ratio(returns.values) * math.sqrt(returns.per_year)


def total_return(returns: Returns) -> float:
    """The compound of all periods."""
    return float(np.prod(1.0 + returns.values[np.isfinite(returns.values)])) - 1.0
