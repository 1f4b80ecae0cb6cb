"""Is what the live actors made the same, to the last bit, as what a batch run makes of the stored ticks?

The stored stream of a symbol goes through `SymbolEngine` in large batches, from the beginning of each life
of the live engine, or from a checkpoint before the period asked for. Its bars, features, forecasts and
answers are then compared with those that the actors wrote down when they made them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.checkpoint import Checkpoint
from cluster.registry import Registry, RegistryShelf
from cluster.storage import schemas
from cluster.storage.frames import OutputFrame
from cluster.storage.lake import Lake
from cluster.storage.segment_tables import tables_of_outputs
from features.engine import EngineSpec, SymbolEngine
from features.errors import DataError, ModelMissing, ModelRefused, SnapshotError

TABLES = ("bars", "features", "forecasts", "answers")
_KEYS = {
    "bars": ("end_ns", "session"),
    "features": ("end_ns",),
    "forecasts": ("made_at_ns", "horizon"),
    "answers": ("due_ns", "made_at_ns", "horizon"),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where stored and computed differ."""

    symbol: str
    table: str
    row: int
    """Counted from the start of the period, in order of time."""
    column: str
    time_ns: int
    stored: Any
    computed: Any

    def __str__(self) -> str:
        place = f"{self.symbol} {self.table} row {self.row} at {self.time_ns}, column {self.column}"
        return f"{place}: stored {self.stored!r}, computed {self.computed!r}"


@dataclass(slots=True)
class SymbolParity:
    """The outcome for one symbol."""

    venue: str
    symbol: str
    ticks: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    """Rows compared, by table."""
    differences: int = 0
    """Rows that differ, are missing or are too many, over all tables."""
    first: Difference | None = None
    problem: str = ""
    """What kept the comparison from its end: a damaged file, a hole in the stream."""

    @property
    def same(self) -> bool:
        """Whether all was compared and nothing differs."""
        return not self.differences and not self.problem

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "ticks": self.ticks,
            "rows": self.rows,
            "differences": self.differences,
            "first_difference": str(self.first) if self.first else None,
            "problem": self.problem,
        }


def check_symbol(
    lake: Lake, venue: str, symbol: str, start_ns: int | None, end_ns: int | None, archived: bool = False
) -> SymbolParity:
    """Compare one symbol over a period, `start_ns` <= time < `end_ns`; None is open.

    Every byte of every file read is checked against the digest in its name. Nothing is raised for what is
    found damaged: the outcome says it.
    """
    found = SymbolParity(venue, symbol)
    try:
        computed = _compute(lake, found, start_ns, end_ns, archived)
        for table in TABLES:
            stored = lake.read(table, venue, [symbol], start_ns, end_ns, verify=True, archived=archived)
            _compare(found, table, stored, computed[table])
        lake.read("continuity", venue, [symbol], start_ns, end_ns, verify=True, archived=archived)
    except (DataError, SnapshotError, ModelMissing, ModelRefused, pa.ArrowException, OSError) as error:
        found.problem = str(error)
    return found


def _compute(
    lake: Lake, found: SymbolParity, start_ns: int | None, end_ns: int | None, archived: bool
) -> dict[str, pa.Table]:
    """What a batch run makes of the stored ticks, table by table, within the period."""
    parts: dict[str, list[pa.Table]] = {table: [] for table in TABLES}
    for engine, first, last in _lives(lake, found, start_ns):
        columns = engine.feature_set.columns
        for sequence, ticks in lake.ticks(
            found.venue, found.symbol, first, last, verify=True, archived=archived
        ):
            found.ticks += len(ticks)
            step = engine.update(ticks)
            frame = OutputFrame(
                sequence + len(ticks) - 1, step.bars, step.features, step.forecasts, step.answers
            )
            for name, rows in tables_of_outputs([frame], columns).items():
                time = pc.field(schemas.table(name).time)
                kept = rows
                if start_ns is not None:
                    kept = kept.filter(time >= start_ns)
                if end_ns is not None:
                    kept = kept.filter(time < end_ns)
                parts[name].append(kept)
            newest = int(ticks.ts_ns[-1]) if len(ticks) else 0
            if end_ns is not None and newest >= end_ns + _settled_ns(engine):
                break
    empty = pa.table({})
    return {
        name: pa.concat_tables(tables, promote_options="default") if tables else empty
        for name, tables in parts.items()
    }


def _settled_ns(engine: SymbolEngine) -> int:
    """So long after a time, nothing that belongs before it is made any more."""
    return 2 * max(engine.spec.bars.interval_ns, 3_600_000_000_000)


def _lives(
    lake: Lake, found: SymbolParity, start_ns: int | None
) -> Iterator[tuple[SymbolEngine, int, int | None]]:
    """The engines that lived, each in the state in which it began, with its first and last tick."""
    records = lake.epochs(found.venue, found.symbol)
    if not records:
        raise DataError(
            "nothing is known of its actors", f"{found.venue} {found.symbol}", "is this its lake?"
        )
    begun = [one for one in records if one.fresh]
    if not begun:
        raise DataError("the beginning of its engine is not in the lake", f"{found.venue} {found.symbol}")
    ends = [one.first_sequence - 1 for one in begun[1:]] + [None]
    lives = list(zip(begun, ends, strict=True))
    saved = _checkpoint_before(lake, found, start_ns)
    # Models that were swapped in come from the registry of the same lake.
    shelf = RegistryShelf(lambda: Registry(lake.store))
    for record, last in lives:
        spec = EngineSpec.from_json(json.dumps(record.engine))
        if saved is not None:
            sequence, data = saved
            if last is not None and last < sequence:
                continue
            if record.first_sequence < sequence:
                yield SymbolEngine.restore(spec, Checkpoint.unpack(data).engine, shelf), sequence, last
                continue
        if last is None or last >= record.first_sequence:
            yield SymbolEngine(spec, shelf), record.first_sequence, last


def _checkpoint_before(lake: Lake, found: SymbolParity, start_ns: int | None) -> tuple[int, bytes] | None:
    """The newest checkpoint whose ticks are all older than the period; None: begin at the beginning."""
    if start_ns is None:
        return None
    before = lake.read("bars", found.venue, [found.symbol], None, start_ns, columns=["sequence"], verify=True)
    if not before.num_rows:
        return None
    reach = pc.max(before["sequence"]).as_py()
    for one in lake.checkpoints(found.venue, found.symbol):
        if one.sequence <= reach:
            return one.sequence, lake.get_checkpoint(one)
    return None


def _compare(found: SymbolParity, table: str, stored: pa.Table, computed: pa.Table) -> None:
    """Count the rows that differ, but for their sequence, which depends on how the stream was cut."""
    keys = [(name, "ascending") for name in _KEYS[table]]
    names = [name for name in stored.column_names if name != schemas.SEQUENCE]
    if not computed.num_rows and not stored.num_rows:
        return
    if not computed.num_rows:
        computed = stored.slice(0, 0)
    missing = set(names) ^ (set(computed.column_names) - {schemas.SEQUENCE})
    if missing:
        raise DataError(f"stored and computed {table} have other columns: {sorted(missing)}", found.symbol)
    stored, computed = (rows.select(names).sort_by(keys) for rows in (stored, computed))
    computed = computed.cast(stored.schema)
    rows = min(stored.num_rows, computed.num_rows)
    found.rows[table] = stored.num_rows
    found.differences += abs(stored.num_rows - computed.num_rows)
    wrong = np.zeros(rows, bool)
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for name in names:
        columns[name] = _unequal(stored[name][:rows], computed[name][:rows])
        wrong |= columns[name]
    found.differences += int(wrong.sum())
    if found.first is None and (wrong.any() or stored.num_rows != computed.num_rows):
        found.first = _first(found.symbol, table, stored, computed, wrong, columns)


def _unequal(stored: pa.ChunkedArray, computed: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Where two columns differ in any bit, shape (rows,). Null equals null, -0.0 is not 0.0."""
    if pa.types.is_list(stored.type):
        pairs = zip(stored.to_pylist(), computed.to_pylist(), strict=True)
        return np.array([one != other for one, other in pairs], bool)
    if pa.types.is_floating(stored.type):
        # An absent value is one certain NaN, so that all is compared as bits.
        one, other = (column.to_numpy().view(np.int64) for column in (stored, computed))
        holes = np.asarray(stored.is_null()) != np.asarray(computed.is_null())
        present = ~np.asarray(stored.is_null())
        found: np.ndarray[Any, Any] = holes | (present & (one != other))
        return found
    unequal = pc.fill_null(pc.not_equal(stored, computed), False)
    holes = pc.not_equal(stored.is_null(), computed.is_null())
    return np.asarray(pc.or_(unequal, holes))


def _first(
    symbol: str,
    table: str,
    stored: pa.Table,
    computed: pa.Table,
    wrong: np.ndarray[Any, Any],
    columns: dict[str, np.ndarray[Any, Any]],
) -> Difference:
    time = schemas.table(table).time
    if wrong.any():
        row = int(np.argmax(wrong))
        name = next(name for name, bad in columns.items() if bad[row])
        return Difference(
            symbol,
            table,
            row,
            name,
            stored[time][row].as_py(),
            stored[name][row].as_py(),
            computed[name][row].as_py(),
        )
    row = len(wrong)
    longer = stored if stored.num_rows > row else computed
    at = longer[time][row].as_py()
    there = "a row" if longer is stored else "no row", "no row" if longer is stored else "a row"
    return Difference(symbol, table, row, "(whole row)", at, *there)
