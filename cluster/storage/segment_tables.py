"""Segments of a tick log as tables of the lake.

Missing is NaN or -1 in a log and null in the lake; nothing else changes, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.storage.frames import (
    Frame,
    Header,
    LateFrame,
    Note,
    NoteFrame,
    OutputFrame,
    TickFrame,
    as_columns,
)
from features.bars import BAR_COLUMNS
from features.ticks import NO_ID, Kind, Ticks

_MARKS = {int(Kind.HEARTBEAT): "heartbeat", int(Kind.GAP): "gap", int(Kind.SWAP): "swap"}
_BOOK = ("bid", "ask", "bid_size", "ask_size")
_BAR_TIMES = ("start_ns", "end_ns", "session", "last_event_ns", "last_trade_id")


def tables_of(header: Header, found: Iterable[Frame]) -> dict[str, pa.Table]:
    """The rows of a segment by table of the lake; tables without rows are left out."""
    ticks: list[TickFrame] = []
    outputs: list[OutputFrame] = []
    late: list[Ticks] = []
    notes: list[Note] = []
    for frame in found:
        match frame:
            case TickFrame():
                ticks.append(frame)
            case OutputFrame():
                outputs.append(frame)
            case LateFrame():
                late.append(frame.ticks)
            case NoteFrame():
                notes += frame.notes
    made = _of_ticks(ticks, late) | tables_of_outputs(outputs, header.features)
    if notes:
        made["continuity"] = _of_notes(notes)
    return {name: table for name, table in made.items() if table.num_rows}


def _of_ticks(found: list[TickFrame], late: list[Ticks]) -> dict[str, pa.Table]:
    ticks = Ticks.concat([frame.ticks for frame in found])
    parts = [np.arange(one.sequence, one.sequence + len(one.ticks), dtype=np.int64) for one in found]
    sequence = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    kind = ticks.kind
    trades, quotes = kind == Kind.TRADE, kind == Kind.QUOTE
    marks = ~(trades | quotes)
    stored = Ticks.concat([ticks[trades], *late])
    numbers = np.concatenate([sequence[trades], *(np.full(len(one), NO_ID) for one in late)])
    return {
        "trades": pa.table(_clocks(numbers, stored) | _trade_columns(stored)),
        "quotes": pa.table(
            _clocks(sequence[quotes], ticks[quotes])
            | {name: _number(ticks.records[name][quotes]) for name in _BOOK}
        ),
        "marks": pa.table(_clocks(sequence[marks], ticks[marks]) | _mark_columns(ticks[marks])),
    }


def tables_of_outputs(found: list[OutputFrame], features: tuple[str, ...]) -> dict[str, pa.Table]:
    """Bars, features, forecasts and answers; `features` names the columns of the feature rows."""
    if not found:
        return {}
    rows = np.repeat([one.sequence for one in found], [len(one.bars) for one in found]).astype(np.int64)
    times = np.concatenate([one.bars.times for one in found], axis=1)
    values = np.concatenate([one.bars.values for one in found], axis=1)
    matrix = np.concatenate([one.features for one in found], axis=0)
    bars: dict[str, Any] = {"sequence": rows} | dict(zip(_BAR_TIMES, times, strict=True))
    bars["last_trade_id"] = _id(times[4])
    bars |= {name: _number(column) for name, column in zip(BAR_COLUMNS, values, strict=True)}
    columns = {name: _number(column) for name, column in zip(features, matrix.T, strict=True)}
    return {
        "bars": pa.table(bars),
        "features": pa.table({"sequence": rows, "end_ns": times[1]} | columns),
        "forecasts": _of_made([(one.sequence, made) for one in found for made in one.forecasts]),
        "answers": _of_made([(one.sequence, made) for one in found for made in one.answers]),
    }


def _of_made(rows: list[tuple[int, Any]]) -> pa.Table:
    columns: dict[str, Any] = as_columns([made for _, made in rows])
    columns.pop("symbol", None)
    for name, column in columns.items():
        if column and isinstance(column[0], float):
            columns[name] = _number(np.array(column))
        elif column and isinstance(column[0], tuple):
            columns[name] = pa.array([list(one) for one in column], pa.list_(pa.string()))
        elif name == "watermark_trade_id":
            columns[name] = pa.array(column, pa.int64())
    return pa.table({"sequence": pa.array([number for number, _ in rows], pa.int64())} | columns)


def _of_notes(found: list[Note]) -> pa.Table:
    return pa.table(
        {
            "sequence": pa.nulls(len(found), pa.int64()),
            "at_ns": [note.at_ns for note in found],
            "event": [note.event for note in found],
            "first_id": [note.first_id for note in found],
            "last_id": [note.last_id for note in found],
            "trades": [note.trades for note in found],
            "detail": [note.detail for note in found],
        }
    )


def _clocks(sequence: NDArray[np.int64], ticks: Ticks) -> dict[str, Any]:
    return {"sequence": _id(sequence), "ts_ns": ticks.ts_ns, "received_ns": ticks.received_ns}


def _trade_columns(ticks: Ticks) -> dict[str, Any]:
    return {
        "trade_id": _id(ticks.trade_id),
        "price": ticks.price,
        "size": ticks.size,
        "side": ticks.side,
    }


def _mark_columns(ticks: Ticks) -> dict[str, Any]:
    no_swap = ticks.kind != Kind.SWAP
    return {
        "kind": pa.array([_MARKS[one] for one in ticks.kind.tolist()], pa.string()),
        "slot": pa.array(ticks.side.astype(np.int64), pa.int64(), mask=no_swap),
        "version": pa.array(ticks.trade_id, pa.int64(), mask=no_swap),
    }


def _id(values: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, pa.int64(), mask=values == NO_ID)


def _number(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(np.ascontiguousarray(values), pa.float64(), from_pandas=True)
