"""Takes what one symbol has in one period into the lake: checked against its neighbours, stored once.

Nothing is written that is there already, so an import may be repeated, and one that was killed is finished
by the next: a part is one file of the lake, there or not there. What is stored says more than a file: rows
that contradict it are conflicts and stay out, unless candles are to be replaced. Of several files in one run
those named first are taken first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.storage import layout, schemas
from cluster.storage.lake import Lake
from jobs.backfilling import checks
from jobs.backfilling.findings import SymbolFindings
from jobs.backfilling.rows import COLUMNS, Columns
from jobs.backfilling.spool import Entry, load, period_end_ns
from jobs.backfilling.values import Mask

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORED = -1
"""Stands for the lake where rows are told apart by their file."""
_LEVELS = {"trades": ("price",), "quotes": ("bid", "ask"), "candles": ("close",)}
"""What jumps are measured by."""
_SAID = {
    "trades": ("trade_id", "price", "size"),
    "quotes": ("bid", "ask"),
    "candles": ("open", "high", "low", "close", "volume"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """What a symbol has in one period."""

    period: str
    """Its first day."""
    entries: tuple[tuple[int, tuple[Entry, ...]], ...]
    """Number of the file and what it has, in the order of the files."""

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(entry.rows for _, entries in self.entries for entry in entries)


@dataclass(frozen=True, slots=True)
class PartTask:
    """Some consecutive periods of one symbol, with those next to them: jumps are judged by their prices."""

    venue: str
    symbol: str
    kind: str
    interval_ns: int
    replace: bool
    files: tuple[str, ...]
    """Names, for people."""
    before: Part | None
    parts: tuple[Part, ...]
    after: Part | None


_Levels = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
"""The first and the last prices of a part, by column."""


@dataclass(slots=True)
class _Gathered:
    """The rows of a part by time, those of one instant in the order of files and rows; what was found."""

    part: Part
    rows: Columns
    found: SymbolFindings


def take(lake: Lake, task: PartTask) -> SymbolFindings:
    """Take the parts of a task into the lake, period by period."""
    return _Taker(lake, task).take()


class _Taker:
    def __init__(self, lake: Lake, task: PartTask) -> None:
        self._lake, self._task = lake, task
        # What comes meanwhile is of other parts: no two tasks share one.
        found = lake.catalogue.holdings(task.kind, task.venue, task.symbol)
        self._there = {one.partition.date for one in found}

    def take(self) -> SymbolFindings:
        total = SymbolFindings()
        task = self._task
        before = self._levels(self._gathered(task.before))
        current = self._gathered(task.parts[0])
        for following_part in (*task.parts[1:], task.after):
            following = self._gathered(following_part)
            if current is not None:
                self._take(current, before, self._levels(following))
                total.add(current.found)
            before, current = self._levels(current), following
        return total

    def _levels(self, part: _Gathered | None) -> _Levels:
        """The prices at the edges of a part, by which those next to it are judged."""
        rows = {} if part is None else part.rows
        return {
            name: (_known(rows[name])[: checks.NEIGHBOURS], _known(rows[name])[-checks.NEIGHBOURS :])
            for name in _LEVELS[self._task.kind]
            if name in rows
        }

    def _gathered(self, part: Part | None) -> _Gathered | None:
        if part is None:
            return None
        found = SymbolFindings()
        files = [self._one_file(number, load(list(entries)), found) for number, entries in part.entries]
        rows = files[0]
        if len(files) > 1:
            rows = {name: np.concatenate([one[name] for one in files]) for name in rows}
        return _Gathered(part, _by_time(rows), found)

    def _one_file(self, number: int, rows: Columns, found: SymbolFindings) -> Columns:
        """The rows of one file by time, without what contradicts itself."""
        rows["file"] = np.full(len(rows["row"]), number)
        rows = _by_time(rows)
        if self._task.kind == "candles":
            same, corrected = checks.superseded_candles(rows)
            self._refuse(found, "duplicate", rows, same)
            self._refuse(found, "corrected later", rows, corrected)
            return _without(rows, same | corrected)
        unnamed = np.ones(len(rows["row"]), np.bool_)
        if self._task.kind == "trades":
            copies = checks.copies_of_trades(rows)
            self._refuse(found, "duplicate", rows, copies)
            rows = _without(rows, copies)
            if checks.ambiguous_ids(rows).any():
                lost = rows["trade_id"] >= 0
                found.repair(
                    "ids not unique: left out", int(lost.sum()), self._said(rows, np.flatnonzero(lost))
                )
                rows["trade_id"] = np.full(len(lost), -1)
            unnamed = rows["trade_id"] < 0
        received = np.where(rows["received_ns"] > 0, rows["received_ns"], rows["at_ns"])
        if unnamed.any():
            received += np.where(unnamed, _places(rows["at_ns"], received), 0)
        rows["received_ns"] = received
        return rows

    def _take(self, current: _Gathered, before: _Levels, after: _Levels) -> None:
        rows, found = current.rows, current.found
        wild = self._spikes(rows, before, after)
        self._refuse(found, "impossible jump", rows, wild)
        rows = _without(rows, wild)
        stored = self._stored(current.part.period)
        new, replaces = self._new(rows, stored, found)
        if new.any():
            epoch = self._next_epoch(current.part.period) if replaces else 0
            task = self._task
            self._lake.write(task.kind, task.venue, task.symbol, epoch, self._table(_without(rows, ~new)))
        found.kept += int(np.count_nonzero(new))

    def _spikes(self, rows: Columns, before: _Levels, after: _Levels) -> Mask:
        found = np.zeros(len(rows["row"]), np.bool_)
        nothing = (np.zeros(0), np.zeros(0))
        for level in _LEVELS[self._task.kind]:
            last, first = before.get(level, nothing)[1], after.get(level, nothing)[0]
            measured = ("open", "high", "low", "close") if level == "close" else (level,)
            for name in measured:
                found |= checks.spikes(rows[name], rows[level], last, first)
        return found

    def _stored(self, period: str) -> Columns:
        """What the lake has of this part, in the form of a file's rows."""
        task = self._task
        start_ns = layout.day_start_ns(period)
        table = schemas.table(task.kind).schema.empty_table()
        if layout.period_date(task.kind, start_ns) in self._there:
            end_ns = period_end_ns(task.kind, task.interval_ns, period)
            table = self._lake.read(task.kind, task.venue, task.symbol, start_ns, end_ns)
        if task.kind == "candles":
            table = table.filter(pc.equal(table.column("interval_ns"), task.interval_ns))
        n = table.num_rows
        rows: Columns = {"row": np.full(n, -1), "file": np.full(n, _STORED)}
        rows["at_ns"] = table.column(schemas.table(task.kind).time).to_numpy()
        for name in COLUMNS[task.kind]:
            if name == "revision":
                rows[name] = np.full(n, -1)
                continue
            column = table.column(name)
            missing = np.nan if pa.types.is_floating(column.type) else -1
            rows[name] = pc.fill_null(column, pa.scalar(missing, column.type)).to_numpy()
        return rows

    def _new(self, rows: Columns, stored: Columns, found: SymbolFindings) -> tuple[Mask, bool]:
        """Which rows are to be written; whether some of them replace what is stored."""
        many = len(np.unique(rows["file"])) > 1
        if not len(stored["row"]) and not many:
            return np.ones(len(rows["row"]), np.bool_), False
        task, n = self._task, len(stored["row"])
        joined = {name: np.concatenate([stored[name], rows[name]]) for name in rows}
        sources = joined["file"]
        if task.replace and task.kind == "candles":
            # The last file is right, then those before it; the lake comes last.
            sources = np.where(sources == _STORED, np.iinfo(np.int64).max, -sources)
        order = np.argsort(sources, kind="stable")
        first = np.empty(len(order), np.int64)
        first[order] = _first_of_each(self._keys(_chosen(joined, order)), order)
        owner = first[n:]
        mine = np.arange(n, n + len(rows["row"]))
        is_first = owner == mine
        equal = self._equal(rows, _chosen(joined, owner))
        if task.replace and task.kind == "candles":
            return self._replacing(rows, stored, is_first, equal, found)
        already = ~is_first & equal & (owner < n)
        self._refuse(found, "duplicate", rows, ~is_first & equal & (owner >= n))
        self._refuse(found, "conflict", rows, ~is_first & ~equal)
        found.kept += int(already.sum())
        found.already += int(already.sum())
        return is_first, False

    def _replacing(
        self, rows: Columns, stored: Columns, is_first: Mask, equal: Mask, found: SymbolFindings
    ) -> tuple[Mask, bool]:
        self._refuse(found, "duplicate", rows, ~is_first & equal)
        self._refuse(found, "corrected later", rows, ~is_first & ~equal)
        if not len(stored["at_ns"]):
            return is_first, False
        place = np.minimum(np.searchsorted(stored["at_ns"], rows["at_ns"]), len(stored["at_ns"]) - 1)
        there = is_first & (stored["at_ns"][place] == rows["at_ns"])
        same = there & checks.equal_candles(rows, _chosen(stored, place))
        found.kept += int(same.sum())
        found.already += int(same.sum())
        changed = there & ~same
        if changed.any():
            found.repair(
                "replaced what was stored", int(changed.sum()), self._said(rows, np.flatnonzero(changed))
            )
        return is_first & ~same, bool(changed.any())

    def _keys(self, rows: Columns) -> pd.DataFrame:
        """What tells rows apart: times of candles, ids of trades, else all that is known of a row."""
        if self._task.kind == "candles":
            return pd.DataFrame({"at_ns": rows["at_ns"]})
        frame = pd.DataFrame({name: rows[name] for name in ("at_ns", *COLUMNS[self._task.kind])})
        if self._task.kind == "trades":
            named = (frame["trade_id"] >= 0).to_numpy()
            frame.loc[named, [name for name in frame.columns if name != "trade_id"]] = 0
        return frame

    def _equal(self, rows: Columns, others: Columns) -> Mask:
        if self._task.kind == "candles":
            return checks.equal_candles(rows, others)
        if self._task.kind == "quotes":
            return np.ones(len(rows["row"]), np.bool_)
        same = [rows[name] == others[name] for name in ("at_ns", "price", "size", "side")]
        equal: Mask = np.logical_and.reduce(same)
        return equal

    def _table(self, rows: Columns) -> pa.Table:
        """Rows as the lake has them."""
        task, n = self._task, len(rows["row"])
        table = schemas.table(task.kind)
        columns: dict[str, Any] = {"sequence": pa.nulls(n, pa.int64()), table.time: rows["at_ns"]}
        if task.kind == "candles":
            columns["interval_ns"] = np.full(n, task.interval_ns)
            columns["start_ns"] = rows["at_ns"] - task.interval_ns
        for name in table.schema.names:
            if name in rows:
                absent = rows[name] < 0 if name in ("trade_id", "trades") else None
                columns[name] = pa.array(rows[name], mask=absent)
        return pa.table(columns)

    def _next_epoch(self, period: str) -> int:
        """Above that of all files in which candles of this period may be: the highest epoch counts."""
        date = layout.period_date("candles", layout.day_start_ns(period))
        found = self._lake.catalogue.holdings("candles", self._task.venue, self._task.symbol, date, date)
        return 1 + max((file.epoch for one in found for file in one.to_read), default=-1)

    def _refuse(self, found: SymbolFindings, kind: str, rows: Columns, mask: Mask) -> None:
        places = np.flatnonzero(mask)
        if len(places):
            found.refuse(kind, len(places), self._said(rows, places))

    def _said(self, rows: Columns, places: NDArray[np.int64]) -> str:
        """The first of these rows in the files, for people."""
        at = int(min(places.tolist(), key=lambda place: (rows["file"][place], rows["row"][place])))
        # Of a candle people know the start.
        time = _EPOCH + timedelta(microseconds=int(rows["at_ns"][at] - self._task.interval_ns) // 1_000)
        values = ", ".join(f"{name} {rows[name][at]}" for name in _SAID[self._task.kind])
        file = self._task.files[int(rows["file"][at])]
        return f"{file} row {int(rows['row'][at]) + 1}: {time:%Y-%m-%dT%H:%M:%S.%fZ}, {values}"


def _chosen(rows: Columns, which: Any) -> Columns:
    return {name: column[which] for name, column in rows.items()}


def _without(rows: Columns, mask: Mask) -> Columns:
    """The rows that are not of the mask; no copy where all stay."""
    return _chosen(rows, ~mask) if mask.any() else rows


def _by_time(rows: Columns) -> Columns:
    """The rows by time, those of one instant in their order; no copy where they are."""
    at_ns = rows["at_ns"]
    if np.all(at_ns[1:] >= at_ns[:-1]):
        return rows
    return _chosen(rows, np.argsort(at_ns, kind="stable"))


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values[~np.isnan(values)]
    return found


def _places(at_ns: NDArray[np.int64], received_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of rows sorted by time: how many before each have the same two times."""
    counted: NDArray[np.int64] = (
        pd.DataFrame({"at": at_ns, "received": received_ns})
        .groupby(["at", "received"], sort=False)
        .cumcount()
        .to_numpy()
    )
    return counted


def _first_of_each(keys: pd.DataFrame, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row the place of the first row with the same key."""
    codes = keys.groupby(list(keys.columns), sort=False, dropna=False).ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    found: NDArray[np.int64] = places[first][codes]
    return found
