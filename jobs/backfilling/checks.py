"""What only a row's neighbours tell: copies, ids that name several trades, candles said twice, spikes.

All functions take the rows of one symbol and period as arrays and give masks over them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jobs.backfilling.rows import Columns
from jobs.backfilling.values import Mask

_SPIKE = float(np.log(10.0)) * (1.0 - 1e-12)
"""Rounding must not decide about a jump of exactly ten times."""
NEIGHBOURS = 5
"""So many prices on either side say what a price should be about."""
_SAME_TRADE = ("trade_id", "at_ns", "price", "size", "side")
_CANDLE = ("open", "high", "low", "close", "volume", "trades", "buy_volume", "adjustment")


def copies_of_trades(rows: Columns) -> Mask:
    """Rows that say again what a row before them has said, id included; without an id none is a copy."""
    if _ascending(rows["trade_id"]):
        return np.zeros(len(rows["trade_id"]), np.bool_)
    frame = pd.DataFrame({name: rows[name] for name in _SAME_TRADE})
    again: Mask = frame.duplicated().to_numpy() & (rows["trade_id"] >= 0)
    return again


def ambiguous_ids(rows: Columns) -> Mask:
    """Rows whose id another row of the period has, too."""
    if _ascending(rows["trade_id"]):
        return np.zeros(len(rows["trade_id"]), np.bool_)
    found: Mask = pd.Series(rows["trade_id"]).duplicated(keep=False).to_numpy() & (rows["trade_id"] >= 0)
    return found


def _ascending(ids: NDArray[np.int64]) -> bool:
    """Whether ids go up, as they mostly do, or there are none: then none is there twice."""
    ids = ids[ids >= 0]
    return bool(np.all(ids[1:] > ids[:-1]))


def superseded_candles(rows: Columns) -> tuple[Mask, Mask]:
    """Candles whose time a later one has: those that say the same, and those that the later one corrects.

    Later is who has the higher revision, else who comes later in the file. Rows are in the file's order.
    """
    order = np.lexsort((np.arange(len(rows["at_ns"])), rows["revision"], rows["at_ns"]))
    at_ns = rows["at_ns"][order]
    edges = np.flatnonzero(np.diff(at_ns, prepend=-1))
    sizes = np.diff(np.append(edges, len(at_ns)))
    last = np.zeros(len(at_ns), np.int64)
    last[order] = np.repeat(order[edges + sizes - 1], sizes)
    replaced = last != np.arange(len(at_ns))
    same = replaced & equal_candles(rows, {name: column[last] for name, column in rows.items()})
    return same, replaced & ~same


def equal_candles(rows: Columns, others: Columns) -> Mask:
    """Where two candles say the same."""
    found = np.ones(len(rows["at_ns"]), np.bool_)
    for name in _CANDLE:
        one, other = rows[name], others[name]
        found &= (one == other) | ((one != one) & (other != other))
    return found


def spikes(
    values: NDArray[np.float64],
    reference: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> Mask:
    """Values ten times above, or below, the median of the five references before and that of the five after.

    `before` and `after` are the references next to the rows; NaN are left out. A level that stays is no
    spike: a split moves the median after it. Where one side has no reference, there is none either.
    """
    found = np.zeros(len(values), np.bool_)
    line = np.concatenate([before[-NEIGHBOURS:], reference, after[:NEIGHBOURS]])
    lead = min(len(before), NEIGHBOURS)
    real = np.flatnonzero(~np.isnan(line))
    logs = np.log(line[real])
    # A value far from its reference, or a reference far from the one before it, may be one.
    suspects = set(np.flatnonzero(_far(np.log(values), np.log(reference))).tolist())
    for jump in np.flatnonzero(_far(logs[1:], logs[:-1])).tolist():
        near = real[max(0, jump - NEIGHBOURS) : jump + NEIGHBOURS + 2] - lead
        suspects.update(place for place in near.tolist() if 0 <= place < len(values))
    for place in sorted(suspects):
        at = int(np.searchsorted(real, place + lead))
        rest = at + 1 if at < len(real) and real[at] == place + lead else at
        left, right = logs[max(0, at - NEIGHBOURS) : at], logs[rest : rest + NEIGHBOURS]
        if len(left) and len(right) and not np.isnan(values[place]):
            away = np.log(values[place]) - np.array([np.median(left), np.median(right)])
            found[place] = bool((away >= _SPIKE).all() or (away <= -_SPIKE).all())
    return found


def _far(one: NDArray[np.float64], other: NDArray[np.float64]) -> Mask:
    far: Mask = np.abs(one - other) >= _SPIKE
    return far
