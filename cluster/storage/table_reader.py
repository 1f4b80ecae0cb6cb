"""Reads rows of one table, symbol by symbol: few files by their names, few parts of them by statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cluster.errors import ObjectMissing
from cluster.storage import layout, rules
from cluster.storage.catalogue import ATTEMPTS, Catalogue
from cluster.storage.epochs import EpochStore, Fence
from cluster.storage.layout import DataFile
from cluster.storage.objects import ObjectStore
from cluster.storage.parallel import at_once
from cluster.storage.parquet_files import FileAccess, LakeFile
from cluster.storage.schemas import SEQUENCE, Table


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be read of every symbol."""

    table: Table
    start_ns: int | None
    end_ns: int | None
    columns: list[str] | None
    verify: bool
    archived: bool


class TableReader:
    """Reads one selection."""

    def __init__(
        self, store: ObjectStore, catalogue: Catalogue, epochs: EpochStore, chosen: Selection
    ) -> None:
        self._access = FileAccess(store)
        self._catalogue = catalogue
        self._epochs = epochs
        self._chosen = chosen
        self._found: set[str] = set()
        self._is_empty = True

    def read(self, venue: str, symbol: str) -> pa.Table:
        """The rows of a symbol, sorted by time and sequence, each once."""
        chosen = self._chosen
        table = chosen.table.name
        first = None if chosen.start_ns is None else layout.period_date(table, chosen.start_ns)
        last = None if chosen.end_ns is None else layout.period_date(table, chosen.end_ns - 1)
        for _ in range(ATTEMPTS):
            found = self._catalogue.holdings(table, venue, symbol, first, last, chosen.archived)
            # After the listing: whoever wrote a row had put the record of his epoch before it.
            fence = Fence(self._epochs.records(venue, symbol))
            try:
                parts = self._read_files([file for one in found for file in one.to_read], fence)
            except ObjectMissing:
                continue  # a compaction has replaced it
            rows = pa.concat_tables([chosen.table.schema.empty_table(), *parts], promote_options="default")
            return self._shown(_settled(chosen.table, rows))
        raise self._catalogue.restless()

    def nothing(self) -> pa.Table:
        """No rows, with all columns."""
        return self._shown(self._chosen.table.schema.empty_table())

    @property
    def unknown(self) -> list[str]:
        """Columns asked for that no row read so far has."""
        return [] if self._is_empty else [one for one in self._chosen.columns or [] if one not in self._found]

    def _read_files(self, files: list[DataFile], fence: Fence) -> list[pa.Table]:
        opened: list[LakeFile] = []
        try:
            opened = at_once(lambda file: self._access.open(file, self._chosen.verify), files)
            columns = self._columns(opened, fence)
            return at_once(lambda file: self._read_file(file, fence, columns), opened)
        finally:
            for one in opened:
                one.close()

    def _read_file(self, file: LakeFile, fence: Fence, columns: list[str] | None) -> pa.Table:
        chosen = self._chosen
        start, end = chosen.start_ns, chosen.end_ns
        time = chosen.table.time
        groups = [
            group
            for group in file.groups(time)
            if (start is None or group.high >= start) and (end is None or group.low < end)
        ]
        rows = file.read(groups, columns)
        rows, _ = rules.fenced(chosen.table, rows, file.limits(groups, fence))
        if start is None and end is None:
            return rows
        at = rules.numbers(rows, time)
        inside = np.ones(len(at), np.bool_)
        if start is not None:
            inside &= at >= start
        if end is not None:
            inside &= at < end
        return rows if inside.all() else rows.filter(pa.array(inside))

    def _columns(self, files: list[LakeFile], fence: Fence) -> list[str] | None:
        """The columns to read: those asked for, and those that the rules need."""
        chosen = self._chosen
        if chosen.columns is None:
            return None
        rules_need = [SEQUENCE, chosen.table.time, *chosen.table.key]
        if chosen.table.name in ("trades", "quotes"):
            if any(file.may_hold_late(fence) for file in files):
                return None
            rules_need += ["trade_id"] if chosen.table.name == "trades" else []
        return list(dict.fromkeys([*rules_need, *chosen.columns]))

    def _shown(self, rows: pa.Table) -> pa.Table:
        """The rows with the columns asked for; features that were not computed then are null."""
        self._found.update(rows.column_names if rows.num_rows else self._chosen.table.schema.names)
        self._is_empty &= not rows.num_rows
        columns = self._chosen.columns
        if columns is None:
            return rows
        for name in columns:
            if name not in rows.column_names:
                rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.float64()))
        return rows.select(columns)


def _settled(table: Table, rows: pa.Table) -> pa.Table:
    """Rows in the order that they are shown in, each once."""
    rows = rules.in_order_of(table, rows, table.time, SEQUENCE)
    if table.is_stream:
        rows, _ = rules.without_copies(rows, table.time)
    if table.name == "trades":
        rows = rules.once_each(rows)
    return rules.last_of_each(rows, table.key)[0] if table.key else rows
