"""Benchmark: simulated trading, a moving-average crossover alone and as a sweep of pairs.

Everybody's money is compared with a calculation in whole cents: `money error` is the largest difference of a
final equity, in currency units on a start of 1,000,000, under the same convention of who pays the spread.
Compilation and imports are outside the timed part. Ours writes the curve, the fills and the round trips in
the single run, and keeps every account's totals in the sweep; what the others give is in their rows' names.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from features.bars import Bars
from features.trading.account import Account
from features.trading.grid import Grid
from features.trading.performance import measure
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from tests.bench import sources
from tests.bench import trading_rivals as rivals
from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table
from tests.bench.timing import fastest_s

PAIR = (20, 100)
PAIRS = [(fast, slow) for fast in range(5, 55, 5) for slow in range(60, 260, 20)]
SPEC = TradingSpec(
    rivals.CAPITAL,
    fee_bps=rivals.FEE * 1e4,
    half_spread_bps=rivals.SPREAD * 1e4,
    slippage_bps=0.0,
    sizing="units:1",
    allow_short=False,
)
_MINUTE_NS = 60_000_000_000
_LIBRARY_PAIRS = 2
"""Of the sweep, by backtesting.py; its time is given for as many pairs as the others'."""
_LIBRARY_SHARE = 5
"""A part of the single run's bars is enough for it too: it takes the same time for each."""


def history(columns: dict[str, Any]) -> Bars:
    """Minute bars from the columns that the rivals read, without the first close.

    All decide from bar `slow` on, a bar after their windows are full; so ours are full a bar later.
    """
    columns = columns | {"close": np.concatenate([[np.nan], columns["close"][1:]])}
    ends = sources.START_NS // _MINUTE_NS * _MINUTE_NS + np.arange(1, len(columns["close"]) + 1) * _MINUTE_NS
    return Bars.from_columns(ends - _MINUTE_NS, ends, **columns)


def trade_alone(bars: Bars, pair: tuple[int, int]) -> float:
    """Final equity of one crossover; its curve, fills and round trips are made too."""
    account = Account(SPEC)
    account.update(bars, Rule(RuleSpec("crossover", pair)).update(bars))
    return account.equity


def trade_and_measure(bars: Bars, pair: tuple[int, int]) -> float:
    """The same with Sharpe ratio, drawdown and all the other measures."""
    step = Account(SPEC).update(bars, Rule(RuleSpec("crossover", pair)).update(bars))
    return measure(step, SPEC.capital).final_equity


def trade_pairs(bars: Bars, pairs: list[tuple[int, int]]) -> list[float]:
    """Final equities of all pairs."""
    grid = Grid([RuleSpec("crossover", pair) for pair in pairs], SPEC)
    grid.update(bars)
    return grid.equity.tolist()


def _library_s(columns: dict[str, Any], pairs: list[tuple[int, int]]) -> tuple[float, list[float]]:
    """Seconds of backtesting.py, imported and run once before, and what it gave."""
    rivals.by_backtesting({name: values[:500] for name, values in columns.items()}, pairs[:1])
    began = time.perf_counter()
    found = rivals.by_backtesting(columns, pairs)
    return time.perf_counter() - began, found


def _single(who: str, effort: Effort) -> Sample:
    n = effort.pick(1_000_000, 50_000)
    library = who == "backtesting.py"
    columns = rivals.bars(n // _LIBRARY_SHARE if library else n, sources.SEED)
    close = columns["close"]
    wanted = rivals.exact(close, PAIR, exits_pay=not library)
    if library:
        seconds, found = _library_s(columns, [PAIR])
    elif who == "NumPy, final equity only":
        seconds, found = fastest_s(lambda: rivals.by_numpy(close, [PAIR]))
    elif who == _LIMIT:
        seconds, found = fastest_s(lambda: [_loop(close, PAIR)])
    else:
        trade = trade_alone if who == "Tickcast" else trade_and_measure
        seconds, equity = fastest_s(partial(trade, history(columns), PAIR))
        found = [equity]
    sample = Sample()
    sample.add(f"single: {who}", ns=seconds / close.size * 1e9, error=abs(found[0] - wanted))
    return sample


def _sweep(who: str, effort: Effort) -> Sample:
    n = effort.pick(100_000, 10_000)
    library = who == "backtesting.py"
    columns = rivals.bars(n, sources.SEED + 1)
    close = columns["close"]
    pairs = PAIRS[:: len(PAIRS) // _LIBRARY_PAIRS] if library else PAIRS
    if library:
        seconds, found = _library_s(columns, pairs)
    elif who == "Tickcast":
        seconds, found = fastest_s(partial(trade_pairs, history(columns), pairs))
    elif who == "NumPy, final equity only":
        seconds, found = fastest_s(lambda: rivals.by_numpy(close, pairs))
    else:
        seconds, found = fastest_s(lambda: [_loop(close, pair) for pair in pairs])
    errors = [
        abs(one - rivals.exact(close, pair, exits_pay=not library))
        for one, pair in zip(found, pairs, strict=True)
    ]
    sample = Sample()
    sample.add(f"sweep: {who}", seconds=seconds * len(PAIRS) / len(pairs), error=max(errors))
    return sample


def _loop(close: Any, pair: tuple[int, int]) -> float:
    equity: float = rivals.by_loop(close, *pair, rivals.CAPITAL, rivals.FEE, rivals.SPREAD, rivals.EDGE)
    return equity


_LIMIT = "bare loop, equity and drawdown (limit)"
_SINGLE = ("Tickcast", "Tickcast with all measures", "backtesting.py", "NumPy, final equity only", _LIMIT)
_SWEEP = ("Tickcast", "backtesting.py", "NumPy, final equity only", _LIMIT)


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {f"single, {who}": partial(_single, who) for who in _SINGLE}
    return cases | {f"sweep, {who}": partial(_sweep, who) for who in _SWEEP}


BENCHMARK = Benchmark(
    "trading",
    "a moving-average crossover with costs",
    _cases(),
    (
        Table(
            "One pair over 1,000,000 minute bars",
            (
                Column("ns", "ns a bar", against=f"single: {_LIMIT}", spread=True),
                Column("error", "money error"),
            ),
            prefix="single: ",
            first="who",
        ),
        Table(
            "100 pairs over 100,000 minute bars",
            (
                Column("seconds", "seconds", against=f"sweep: {_LIMIT}", spread=True),
                Column("error", "money error"),
            ),
            prefix="sweep: ",
            first="who",
        ),
    ),
    rounds=3,
    limit_s=120.0,
)
