"""The moving-average crossover of the trading benchmark, by others: backtesting.py, NumPy, a bare loop.

All hold one unit while the mean of the last `fast` closes is above that of the last `slow` by more than EDGE,
else nothing, from bar `slow` on. The decision of a bar is filled at the next open, which is the close before.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

CAPITAL, FEE, SPREAD, EDGE = 1_000_000.0, 5e-4, 1e-4, 1e-6
Floats = NDArray[np.float64]
Pair = tuple[int, int]


def bars(n: int, seed: int) -> dict[str, Floats]:
    """Minute bars in whole cents; each opens at the close before."""
    random = np.random.default_rng(seed)
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 5e-4, n))), 2)
    opens = np.concatenate([[100.0], close[:-1]])
    wick = np.round(np.abs(random.normal(0.0, 0.03, (2, n))), 2)
    high, low = np.maximum(opens, close) + wick[0], np.minimum(opens, close) - wick[1]
    return {"open": opens, "high": np.round(high, 2), "low": np.round(low, 2), "close": close}


def exact(close: Floats, pair: Pair, exits_pay: bool = True) -> float:
    """Final equity, from means in whole cents: no rounding. All fills pay the spread, or entries alone."""

    def mean(n: int) -> Floats:
        total = np.cumsum(np.concatenate([[0], np.rint(close * 100).astype(np.int64)]))
        out = np.full(close.size, -np.inf)
        out[n - 1 :] = (total[n:] - total[:-n]) / (100.0 * n)
        return out

    fast, slow = pair
    held = np.zeros(close.size, np.int64)
    held[slow:] = mean(fast)[slow:] > mean(slow)[slow:] + EDGE
    held[-1] = held[-2]  # what is decided at the last bar has no bar to be filled in
    steps = np.diff(held, prepend=0)
    bought, sold = close[steps > 0] * (1 + SPREAD), close[steps < 0] * (1 - SPREAD * exits_pay)
    money = CAPITAL - bought.sum() * (1 + FEE) + sold.sum() * (1 - FEE)
    return float(money + (bought.size - sold.size) * close[-1])


def by_numpy(close: Floats, pairs: Sequence[Pair]) -> list[float]:
    """Vectorised, each mean once: the final equities and nothing else."""
    total = np.cumsum(np.concatenate([[0.0], close]))
    means = {}
    for n in sorted({n for pair in pairs for n in pair}):
        means[n] = np.full(close.size, -np.inf)
        means[n][n - 1 :] = (total[n:] - total[:-n]) / n
    found = []
    for fast, slow in pairs:
        held = means[fast] > means[slow] + EDGE
        held[:slow] = False
        held[-1] = held[-2]
        at = np.flatnonzero(held[1:] != held[:-1]) + 1
        prices, buys = close[at], held[at]
        paid = np.where(buys, -prices * (1 + SPREAD) * (1 + FEE), prices * (1 - SPREAD) * (1 - FEE))
        found.append(float(CAPITAL + paid.sum() + held[-1] * close[-1]))
    return found


@njit(cache=True)
def by_loop(
    close: Any, fast: int, slow: int, capital: float, fee: float, spread: float, edge: float
) -> float:
    """One pass with running sums: final equity and drawdown, no tables, no settings: the limit."""
    first = second = 0.0
    level, cash, peak, deepest = close[0], capital, capital, 0.0
    held, n = 0, close.size
    for i in range(n):
        x = close[i]
        first += x - level
        second += x - level
        if i >= fast:
            first -= close[i - fast] - level
        if i >= slow:
            second -= close[i - slow] - level
        if slow <= i < n - 1:
            wanted = 1 if first / fast > second / slow + edge else 0
            if wanted != held:
                price = x * (1.0 + spread) if wanted else x * (1.0 - spread)
                cash -= (wanted - held) * price + price * fee
                held = wanted
        equity = cash + held * x
        peak = max(peak, equity)
        deepest = max(deepest, (peak - equity) / peak)
    return cash + held * close[n - 1]


def by_backtesting(columns: dict[str, Floats], pairs: Sequence[Pair]) -> list[float]:
    """backtesting.py, one run after the other (its grid search does the same in several processes).

    It takes the spread from entries alone: compare with `exact(..., exits_pay=False)`.
    """
    import pandas as pd
    from backtesting import Backtest, Strategy

    def mean(values: Any, n: int) -> Any:
        return pd.Series(values).rolling(n).mean()

    class Cross(Strategy):  # type: ignore[misc]
        fast, slow = 20, 100

        def init(self) -> None:
            self.first = self.I(mean, self.data.Close, self.fast)
            self.second = self.I(mean, self.data.Close, self.slow)

        def next(self) -> None:
            above = self.first[-1] > self.second[-1] + EDGE
            if above and not self.position:
                self.buy(size=1)
            elif not above and self.position:
                self.position.close()

    frame = pd.DataFrame({name.capitalize(): values for name, values in columns.items()})
    frame.index = pd.date_range("2020-01-01", periods=len(frame), freq="min")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = Backtest(frame, Cross, cash=CAPITAL, commission=FEE, spread=SPREAD)
        return [float(test.run(fast=fast, slow=slow)["Equity Final [$]"]) for fast, slow in pairs]
