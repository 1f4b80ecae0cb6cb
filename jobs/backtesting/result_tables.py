"""The tables that a backtest leaves, and rows of them from what an engine or an account gave.

Missing values are null in Parquet, as everywhere in the lake. A table without rows has its columns all the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.bulk import Answers
from features.model_slots import SlotScore
from features.scores import Measures
from features.trading.account import Step
from jobs.backtesting.retrain import Trained


def _int(name: str) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=False)


def _float(name: str) -> pa.Field:
    return pa.field(name, pa.float64())


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


MEASURES: tuple[str, ...] = tuple(field.name for field in fields(Measures))
"""What the ledger measures, as `features.scores.Measures` names it."""
TRACKS: tuple[str, ...] = ("lifetime", "recent")

SCHEMAS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "curve": pa.schema(
            [
                _text("rule"),
                _int("end_ns"),
                *(_float(name) for name in ("price", "position", "equity", "cash", "costs")),
            ]
        ),
        "fills": pa.schema(
            [
                _text("rule"),
                *(_int(name) for name in ("bar", "time_ns")),
                *(_float(name) for name in ("units", "price", "fee", "spread", "slippage")),
            ]
        ),
        "trades": pa.schema(
            [
                _text("rule"),
                *(_int(name) for name in ("entry_ns", "exit_ns", "side", "bars")),
                *(_float(name) for name in ("size", "entry_price", "exit_price", "pnl", "costs")),
            ]
        ),
        "answers": pa.schema(
            [
                _text("horizon"),
                *(_int(name) for name in ("made_at_ns", "due_ns")),
                *(_float(name) for name in ("price", "forecast", "lower", "upper", "outcome")),
            ]
        ),
        "scores": pa.schema(
            [
                _text("model"),
                _text("horizon"),
                *(_int(name) for name in ("version", "horizon_bars", "count")),
                *(_int(name) for name in ("invalid", "invalid_intervals", "voided")),
                *(_float(f"{track}_{name}") for track in TRACKS for name in MEASURES),
            ]
        ),
        "swaps": pa.schema(
            [
                *(_int(name) for name in ("at_ns", "version", "rows", "first_ns", "last_due_ns")),
                _text("library"),
                _text("digest"),
            ]
        ),
    }
)
"""Columns by table. Prices are in quote currency; `forecast`, `lower`, `upper` and `outcome` are log returns
since `made_at_ns`; `costs` of the curve is all that was paid up to the bar. Fills and trades are as
`features.trading.account` has them, a trade being a round trip. A swap's rows are those it was
trained on, asked from `first_ns` on and answered by `last_due_ns`."""
_FEW_VALUES = frozenset({"rule", "horizon", "model", "library", "digest"})


def answers(rows: Answers, horizons: Sequence[str]) -> pa.Table:
    """Answered forecasts as rows, in the order given; `horizons` are the engine's."""
    names = pa.DictionaryArray.from_arrays(pa.array(rows.horizon), list(horizons)).cast(pa.string())
    columns = {name: getattr(rows, name) for name in SCHEMAS["answers"].names[1:]}
    return table("answers", {"horizon": names, **columns})


def curve(rule: str, step: Step, costs: NDArray[np.float64]) -> pa.Table:
    """What an account held at the end of each bar; `costs` (m,) is all that it had paid by then."""
    columns = {name: step.column(name) for name in ("price", "position", "equity", "cash")}
    return table("curve", {"rule": [rule] * len(step), "end_ns": step.end_ns, "costs": costs, **columns})


def records(name: str, rule: str, rows: NDArray[np.void]) -> pa.Table:
    """An account's fills as rows of `fills`, or its round trips as rows of `trades`."""
    columns = {column: np.ascontiguousarray(rows[column]) for column in SCHEMAS[name].names[1:]}
    return table(name, {"rule": [rule] * len(rows), **columns})


def scores(rows: Sequence[SlotScore]) -> pa.Table:
    """An engine's scores as rows, the measures of each track as columns `<track>_<measure>`."""
    values: list[dict[str, Any]] = []
    for row in rows:
        flat = {"version": row.version} | asdict(row.score)
        for track in TRACKS:
            flat |= {f"{track}_{name}": value for name, value in flat.pop(track).items()}
        values.append(flat)
    return table("scores", {name: [row[name] for row in values] for name in SCHEMAS["scores"].names})


def swap(one: Trained, library: str) -> pa.Table:
    """A model that was trained and swapped in, as a row of `swaps`."""
    columns = {name: [getattr(one, name)] for name in ("at_ns", "version", "rows", "first_ns", "last_due_ns")}
    return table("swaps", columns | {"library": [library], "digest": [one.package.digest]})


def table(name: str, columns: Mapping[str, Any]) -> pa.Table:
    """Columns in the form of the table of this name, NaN made null."""
    made = []
    for field in SCHEMAS[name]:
        column = pa.array(columns[field.name], field.type)
        if pa.types.is_floating(field.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
        made.append(column)
    return pa.table(made, schema=SCHEMAS[name])


def few_values(name: str) -> list[str]:
    """Columns of a table that a dictionary makes smaller."""
    return [column for column in SCHEMAS[name].names if column in _FEW_VALUES]
