"""Nothing that a backtest says up to a time knows what comes after it, whatever that is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.bars import Bars
from jobs.backtesting.chain import SymbolChain
from tests.unit.jobs.backtesting import histories
from tests.unit.jobs.backtesting.histories import as_bits, candles

SPEC = histories.settings(features=("log_return:1", "zscore:4", "rsi:3", "parkinson:3"))
HISTORY = candles(160, seed=2, session_bars=90)


def said(pieces: list[Bars]) -> dict[str, list[bytes]]:
    """All rows that a chain gives, by table and rule, and the forecasts behind them."""
    chain = SymbolChain(SPEC, "AAA")
    found: dict[str, list[bytes]] = {}
    for piece in pieces:
        block, rows = chain.feed(piece)
        for name, row in _by_rule(rows).items():
            found.setdefault(name, []).extend(row)
        for name in ("expected", "lower", "upper", "p_up"):
            columns = getattr(block, name).T
            found.setdefault(name, []).extend(column.tobytes() for column in columns)
        found.setdefault("features", []).extend(row.tobytes() for row in block.features)
    return found


def _by_rule(rows: Mapping[str, pa.Table]) -> dict[str, list[bytes]]:
    found = {}
    for name, table in rows.items():
        if "rule" not in table.column_names:
            found[name] = as_bits(table)
            continue
        for rule in SPEC.rules:
            kept = pa.array([one == rule for one in table["rule"].to_pylist()], pa.bool_())
            found[f"{name} {rule}"] = as_bits(table.filter(kept))
    return found


def changed(t: int, how: str, seed: int) -> Bars:
    """The history, but what follows its first t bars is shuffled, leaps, is in new sessions, or ends."""
    random = np.random.default_rng(seed)
    times, values = HISTORY.times.copy(), HISTORY.values.copy()
    if how == "shuffled":
        values[:, t:] = values[:, t + random.permutation(len(HISTORY) - t)]
    elif how == "leaping":
        values[:, t:] *= np.exp(random.normal(0.0, 0.5, len(HISTORY) - t))
    elif how == "sessions":
        times[2, t:] += np.arange(1, len(HISTORY) - t + 1)
    else:
        return HISTORY[: t + 1]
    return Bars(times, values)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 159),
    st.sampled_from(["shuffled", "leaping", "sessions", "ended"]),
    st.integers(0, 1000),
    st.integers(1, 159),
)
def test_what_comes_after_a_time_changes_no_bit_up_to_it(t: int, how: str, seed: int, cut: int) -> None:
    """Forecasts, answers, positions, equity, fills and trades up to bar t are those of bars up to t alone."""
    known = said([HISTORY[:t]])
    other = changed(t, how, seed)
    whole = said([other[:cut], other[cut:]])
    for name, rows in known.items():
        assert whole[name][: len(rows)] == rows, name
    if how == "leaping":
        assert whole["expected"] != said([HISTORY])["expected"]
