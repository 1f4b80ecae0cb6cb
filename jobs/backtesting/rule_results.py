"""How each rule did on one symbol: its curve, fills and round trips read back and measured.

Memory stays bounded: of a curve longer than `MOST_ROWS` the last bar of every minute is kept, and what needs
every bar comes from the account's own sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.plain import finite
from features.trading import bootstrap, performance
from features.trading.account import CURVE_COLUMNS, FILL, TRIP, Step
from features.trading.bootstrap import BootstrapSpec
from jobs.backtesting.chain import Variant
from jobs.backtesting.result import Results, RuleResult
from jobs.backtesting.settings import BacktestSettings

MOST_ROWS = 1_000_000
_GRID_NS = 60_000_000_000
_MOST_DRAWN = 20_000_000
"""Returns drawn by a bootstrap, at least for 200 draws: longer series need fewer."""


def measured(
    results: Results,
    venue: str,
    symbol: str,
    parts: Mapping[str, int],
    variants: Sequence[Variant],
    settings: BacktestSettings,
) -> tuple[RuleResult, ...]:
    """The result of every variant; empty where the symbol has no bars."""
    found = []
    for variant in variants:
        totals = variant.account.totals
        if not totals.bars:
            continue
        step = read_step(results, venue, symbol, parts, variant.spec.text, totals.bars)
        measures = performance.measure(step, settings.trading.capital)
        if len(step) < totals.bars:
            measures = replace(
                measures,
                bars=totals.bars,
                max_drawdown=totals.max_drawdown,
                exposure=totals.bars_exposed / totals.bars,
            )
        own = performance.period_returns(step.end_ns, step.column("equity"), settings.trading.capital)
        low, high = (finite(bound * math.sqrt(own.per_year)) for bound in sharpe_bounds(own.values))
        found.append(RuleResult(variant.spec.text, variant.digest(), measures.as_dict(), low, high))
    return tuple(found)


def sharpe_bounds(returns: NDArray[np.float64]) -> tuple[float, float]:
    """Between which values chance leaves the Sharpe ratio of one period, 95 %: a stationary bootstrap."""
    draws = min(1_000, max(200, _MOST_DRAWN // max(1, len(returns))))
    found = bootstrap.interval(returns, "sharpe", BootstrapSpec(draws, coverage=0.95))
    return found.lower, found.upper


def read_step(
    results: Results, venue: str, symbol: str, parts: Mapping[str, int], rule: str, bars: int
) -> Step:
    """All that a rule's account has brought, as one step; thinned out beyond `MOST_ROWS` bars."""
    ends: list[NDArray[np.int64]] = []
    curves: list[NDArray[np.float64]] = []
    for rows in _rows(results, "curve", venue, symbol, parts, rule):
        end_ns = rows["end_ns"].to_numpy()
        kept = _last_of_each((end_ns - 1) // _GRID_NS) if bars > MOST_ROWS else slice(None)
        ends.append(end_ns[kept])
        curves.append(np.array([rows[name].to_numpy()[kept] for name in CURVE_COLUMNS]))
    if not ends:
        return Step.concat([])
    end_ns, curve = np.concatenate(ends), np.concatenate(curves, axis=1)
    if bars > MOST_ROWS:
        kept = _last_of_each((end_ns - 1) // _GRID_NS)
        end_ns, curve = end_ns[kept], curve[:, kept]
    fills, trips = (
        _records(_rows(results, name, venue, symbol, parts, rule), kind)
        for name, kind in (("fills", FILL), ("trades", TRIP))
    )
    return Step(end_ns, curve, fills, trips)


def period_equity(
    results: Results, venue: str, symbol: str, parts: Mapping[str, int], rules: Sequence[str], period_ns: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For every rule, the numbers of the periods that have bars, and the equity at the end of each.

    Period n ends at (n + 1) * `period_ns`, the very end included.
    """
    found: dict[str, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {rule: [] for rule in rules}
    columns = ["rule", "end_ns", "equity"]
    for rows in results.parts("curve", venue, symbol, parts.get("curve", 0), columns):
        for rule in rules:
            own = rows.filter(pc.equal(rows["rule"], rule))
            number = (own["end_ns"].to_numpy() - 1) // period_ns
            last = _last_of_each(number)
            found[rule].append((number[last], own["equity"].to_numpy()[last]))
    joined = {}
    for rule, pieces in found.items():
        number = np.concatenate([np.zeros(0, np.int64), *(one for one, _ in pieces)])
        last = _last_of_each(number)
        joined[rule] = number[last], np.concatenate([np.zeros(0), *(one for _, one in pieces)])[last]
    return joined


def _rows(
    results: Results, table: str, venue: str, symbol: str, parts: Mapping[str, int], rule: str
) -> Iterator[pa.Table]:
    for rows in results.parts(table, venue, symbol, parts.get(table, 0)):
        yield rows.filter(pc.equal(rows["rule"], rule))


def _records(tables: Iterator[pa.Table], kind: np.dtype[np.void]) -> NDArray[np.void]:
    """Rows as records; a missing number is NaN."""
    parts = [np.zeros(0, kind)]
    for rows in tables:
        made = np.zeros(rows.num_rows, kind)
        for name in kind.names or ():
            made[name] = rows[name].to_numpy()
        parts.append(made)
    return np.concatenate(parts)


def _last_of_each(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of some rising numbers are the last of their kind."""
    kept: NDArray[np.bool_] = np.append(numbers[1:] != numbers[:-1], True)[: len(numbers)]
    return kept
