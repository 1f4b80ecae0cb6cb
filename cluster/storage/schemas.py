"""The tables of the lake: names, versions, columns. docs/lake.md explains them.

Missing values are null in Parquet. `conform` brings rows into the form of their table, or says what is
wrong with them; nothing else about a number ever changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from features.bars import BAR_COLUMNS
from features.errors import DataError

SEQUENCE = "sequence"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the lake."""

    name: str
    schema: pa.Schema
    time: str
    """The column whose UTC day, or year, is the partition."""
    order: tuple[str, ...] = (SEQUENCE,)
    """By what a compacted file is sorted."""
    version: int = 1
    is_stream: bool = False
    """Whether a row is a tick of the stream, so that a sequence is there once."""
    open: bool = False
    """Whether more float64 columns may follow those of the schema."""
    few_values: tuple[str, ...] = ()
    """Columns that repeat themselves so much that a dictionary makes them smaller."""
    period: str = "day"
    """What a partition spans: a UTC "day", or a "year" where a day has few rows."""
    key: tuple[str, ...] = ()
    """Columns that tell the rows of a symbol apart: of rows equal in them the last written counts."""


def _int(name: str, missing: bool = False) -> pa.Field:
    return pa.field(name, pa.int64(), nullable=missing)


def _float(name: str) -> pa.Field:
    return pa.field(name, pa.float64())


def _text(name: str) -> pa.Field:
    return pa.field(name, pa.string(), nullable=False)


_CLOCKS = (_int("ts_ns"), _int("received_ns"))
QUOTE_NUMBERS: tuple[str, ...] = ("bid", "ask", "bid_size", "ask_size")
_QUESTION = (_text("horizon"), _int("made_at_ns"), _int("due_ns"), _float("price"))

_TABLES = (
    Table(
        "trades",
        pa.schema(
            [
                _int(SEQUENCE, missing=True),
                *_CLOCKS,
                _int("trade_id", missing=True),
                _float("price"),
                _float("size"),
                pa.field("side", pa.int8(), nullable=False),
            ]
        ),
        "ts_ns",
        order=("ts_ns", SEQUENCE, "trade_id"),
        is_stream=True,
        few_values=("price", "size", "side"),
    ),
    Table(
        "quotes",
        pa.schema([_int(SEQUENCE, missing=True), *_CLOCKS, *(_float(name) for name in QUOTE_NUMBERS)]),
        "ts_ns",
        order=("ts_ns", SEQUENCE),
        version=2,  # 1: every quote had a sequence
        is_stream=True,
        few_values=("bid", "ask", "bid_size", "ask_size"),
    ),
    Table(
        "marks",
        pa.schema(
            [
                _int(SEQUENCE),
                *_CLOCKS,
                _text("kind"),
                _int("slot", missing=True),
                _int("version", missing=True),
            ]
        ),
        "ts_ns",
        version=2,  # 1: there were no swaps, and no columns slot and version
        is_stream=True,
        few_values=("kind",),
    ),
    Table(
        "bars",
        pa.schema(
            [
                *(_int(name) for name in (SEQUENCE, "start_ns", "end_ns", "session", "last_event_ns")),
                _int("last_trade_id", missing=True),
                *(_float(name) for name in BAR_COLUMNS),
            ]
        ),
        "end_ns",
    ),
    Table("features", pa.schema([_int(SEQUENCE), _int("end_ns")]), "end_ns", open=True),
    Table(
        "forecasts",
        pa.schema(
            [
                _int(SEQUENCE),
                *_QUESTION,
                *(_float(name) for name in ("expected_return", "price_forecast", "lower", "upper")),
                *(_float(name) for name in ("coverage", "p_up")),
                _text("model"),
                *(_int(name) for name in ("version", "watermark_ns")),
                _int("watermark_trade_id", missing=True),
                pa.field("warm", pa.bool_(), nullable=False),
                pa.field(
                    "degraded", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False
                ),
            ]
        ),
        "made_at_ns",
        few_values=("horizon", "coverage", "model", "degraded.list.element"),
    ),
    Table(
        "answers",
        pa.schema(
            [
                _int(SEQUENCE),
                *_QUESTION,
                *(_float(name) for name in ("forecast", "lower", "upper", "outcome")),
            ]
        ),
        "due_ns",
        few_values=("horizon",),
    ),
    Table(
        "continuity",
        pa.schema(
            [
                _int(SEQUENCE, missing=True),
                _int("at_ns"),
                _text("event"),
                *(_int(name) for name in ("first_id", "last_id", "trades")),
                _text("detail"),
            ]
        ),
        "at_ns",
        order=("at_ns", SEQUENCE),
        few_values=("event", "detail"),
    ),
    Table(
        "candles",
        pa.schema(
            [
                _int(SEQUENCE, missing=True),
                *(_int(name) for name in ("interval_ns", "start_ns", "end_ns")),
                *(_float(name) for name in ("open", "high", "low", "close", "volume")),
                _int("trades", missing=True),
                *(_float(name) for name in ("buy_volume", "adjustment")),
            ]
        ),
        "end_ns",
        order=("end_ns", "interval_ns"),
        few_values=("adjustment",),
        period="year",
        key=("end_ns", "interval_ns"),
    ),
)
TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _TABLES})
STREAM: tuple[str, ...] = tuple(table.name for table in _TABLES if table.is_stream)
"""The tables that together hold the stream: every sequence is in exactly one of them."""


def table(name: str) -> Table:
    """The table of this name. Raises DataError, listing those there are."""
    try:
        return TABLES[name]
    except KeyError:
        raise DataError(f"the lake has no table {name!r}", fix=f"use one of: {', '.join(TABLES)}") from None


def conform(to: Table, rows: pa.Table) -> pa.Table:
    """The rows with exactly the columns of their table, NaN where a number is missing made null.

    Raises DataError for a column that is missing, unknown, of another type, or has nulls where none may be.
    """
    more = [name for name in rows.column_names if name not in to.schema.names]
    missing = [name for name in to.schema.names if name not in rows.column_names]
    if missing:
        raise DataError(f"{', '.join(missing)} is missing", f"rows of {to.name}", "give every column")
    if more and not to.open:
        raise DataError(f"{', '.join(more)} is no column", f"rows of {to.name}", "see docs/lake.md")
    schema = pa.schema([*to.schema, *(_float(name) for name in more)])
    columns = [_conform_column(to, field, rows.column(field.name)) for field in schema]
    return pa.table(columns, schema=schema)


def _conform_column(to: Table, field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    where = f"column {field.name} of {to.name}"
    if column.type != field.type:
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise DataError(f"holds {column.type}, which is no {field.type}", where) from None
    if column.null_count and not field.nullable:
        raise DataError(f"holds {column.null_count} nulls", where, "every row has it")
    if pa.types.is_floating(field.type):
        absent = pc.is_nan(column)
        if pc.any(absent).as_py():
            column = pc.if_else(absent, pa.scalar(None, field.type), column)
    return column
