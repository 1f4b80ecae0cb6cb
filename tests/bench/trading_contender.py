"""Tickcast as a contender of a peer benchmark of backtests that loads files with `register(contenders)`.

Its driver names, sizes and judges; this file trades. It hands over its workload as a module, `w2_backtest`,
with `bars(n)`, `size_of`, `report`, the costs FEE and SLIP and the start CASH; what is counted is described
there. Run with the interpreter of this repository's environment and `--plugin` naming this file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from features.bars import Bars
from features.trading.account import Account
from features.trading.grid import Grid
from features.trading.rules import Rule, RuleSpec
from features.trading.spec import TradingSpec
from tests.bench.trading import history

_PASSES = 5


def register(contenders: dict[str, Any]) -> None:
    """Called by the driver."""
    import w2_backtest as workload

    for kind, trade in (("single", _alone), ("sweep", _together)):
        contenders[f"{kind}: Tickcast"] = {"mode": kind, "fn": _contender(workload, trade, kind == "sweep")}


def _alone(bars: Bars, pairs: list[tuple[int, int]], spec: TradingSpec) -> list[Account]:
    """With curve, fills and round trips."""
    account = Account(spec)
    account.update(bars, Rule(RuleSpec("crossover", pairs[0])).update(bars))
    return [account]


def _together(bars: Bars, pairs: list[tuple[int, int]], spec: TradingSpec) -> list[Account]:
    grid = Grid([RuleSpec("crossover", pair) for pair in pairs], spec)
    grid.update(bars)
    return list(grid.accounts)


def _contender(workload: Any, trade: Callable[..., list[Account]], sweep: bool) -> Callable[[Any], None]:
    spec = TradingSpec(
        workload.CASH,
        fee_bps=workload.FEE * 1e4,
        half_spread_bps=0.0,
        slippage_bps=workload.SLIP * 1e4,
        sizing="units:1",
        allow_short=False,
    )

    def measure(arguments: Any) -> None:
        n, pairs = workload.size_of(arguments, sweep)
        data = workload.bars(n)
        began = time.perf_counter()
        bars = history({name: data[name] for name in ("open", "high", "low", "close", "volume")})
        load_s = time.perf_counter() - began
        trade(bars[:2_000], pairs, spec)  # compiles
        times = []
        for _ in range(_PASSES):
            began = time.perf_counter()
            accounts = trade(bars, pairs, spec)
            times.append(time.perf_counter() - began)
        totals = [account.totals for account in accounts]
        equities, orders = [one.equity for one in totals], [one.fills for one in totals]
        workload.report(arguments, n, pairs, "relative", min(times), load_s, equities, orders, data)

    return measure
