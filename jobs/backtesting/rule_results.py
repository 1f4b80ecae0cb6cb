"""How each rule did on one symbol: its curve, fills and round trips read back and measured.

Memory stays bounded: of a curve longer than `MOST_ROWS` the last bar of every minute is kept, and what needs
every bar comes from the account's own sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.trading import performance
from features.trading.account import CURVE_COLUMNS, FILL, TRIP, Step
from jobs.backtesting.chain import Variant
from jobs.backtesting.result import Results, RuleResult
from jobs.backtesting.settings import BacktestSettings

MOST_ROWS = 1_000_000
_GRID_NS = 60_000_000_000


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
        found.append(RuleResult(variant.spec.text, variant.digest(), measures.as_dict()))
    return tuple(found)


def read_step(
    results: Results, venue: str, symbol: str, parts: Mapping[str, int], rule: str, bars: int
) -> Step:
    """All that a rule's account has brought, as one step; thinned out beyond `MOST_ROWS` bars."""
    ends: list[NDArray[np.int64]] = []
    curves: list[NDArray[np.float64]] = []
    for rows in _rows(results, "curve", venue, symbol, parts, rule):
        end_ns = rows["end_ns"].to_numpy()
        kept = _last_of_grid(end_ns) if bars > MOST_ROWS else slice(None)
        ends.append(end_ns[kept])
        curves.append(np.array([rows[name].to_numpy()[kept] for name in CURVE_COLUMNS]))
    if not ends:
        return Step.concat([])
    end_ns, curve = np.concatenate(ends), np.concatenate(curves, axis=1)
    if bars > MOST_ROWS:
        kept = _last_of_grid(end_ns)
        end_ns, curve = end_ns[kept], curve[:, kept]
    fills, trips = (
        _records(_rows(results, name, venue, symbol, parts, rule), kind)
        for name, kind in (("fills", FILL), ("trades", TRIP))
    )
    return Step(end_ns, curve, fills, trips)


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


def _last_of_grid(end_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which bars are the last of their minute, the very end included."""
    minute = (end_ns - 1) // _GRID_NS
    kept: NDArray[np.bool_] = np.append(minute[1:] != minute[:-1], True)[: len(end_ns)]
    return kept
