"""What counts of the rows that were stored: superseded rows, late fills, rows stored twice, order.

The same code stands behind every reader and the compaction, so that compacting changes nothing that is
read. The rules themselves are in docs/lake.md.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cluster.storage.layout import DAY_NS
from cluster.storage.schemas import QUOTE_NUMBERS, SEQUENCE, Table

NONE = -1
"""Stands for a missing sequence or id in arrays."""
_LAST = (1 << 63) - 1
_COPY_ORDER = ("ts_ns", "received_ns", "price", "size", "side")
"""Of copies of a late trade the first in this order is kept."""
QUOTE_ORDER = ("ts_ns", "received_ns", *QUOTE_NUMBERS)
"""The order of quotes without a sequence."""


def numbers(rows: pa.Table, column: str) -> NDArray[np.int64]:
    """An integer column as an array, -1 where it is null."""
    found: NDArray[np.int64] = pc.fill_null(rows.column(column), NONE).to_numpy()
    return found


def span(rows: pa.Table) -> tuple[int | None, int | None]:
    """The lowest and the highest sequence; None where no row has one."""
    sequence = numbers(rows, SEQUENCE)
    sequence = sequence[sequence >= 0]
    return (int(sequence.min()), int(sequence.max())) if len(sequence) else (None, None)


def fenced(table: Table, rows: pa.Table, limit: int | NDArray[np.int64]) -> tuple[pa.Table, int]:
    """The rows without those at or above their limit, and how many these were.

    A trade that is not valid stays as a late fill, without its sequence, unless it has no id: then it
    can't be told from the one that the later epoch has stored.
    """
    sequence = numbers(rows, SEQUENCE)
    invalid = sequence >= limit
    count = int(np.count_nonzero(invalid))
    if not count:
        return rows, 0
    if table.name != "trades":
        return rows.filter(pa.array(~invalid)), count
    cleared = pa.array(sequence, pa.int64(), mask=invalid | (sequence < 0))
    place = rows.schema.get_field_index(SEQUENCE)
    rows = rows.set_column(place, table.schema.field(SEQUENCE), cleared)
    return rows.filter(pa.array(~(invalid & (numbers(rows, "trade_id") < 0)))), count


def without_copies(rows: pa.Table, time: str) -> tuple[pa.Table, int]:
    """Sorted rows of the stream, each sequence at one time once; how many were left out."""
    sequence, at = numbers(rows, SEQUENCE), numbers(rows, time)
    again = np.zeros(len(sequence), np.bool_)
    again[1:] = (sequence[1:] == sequence[:-1]) & (at[1:] == at[:-1]) & (sequence[1:] >= 0)
    count = int(np.count_nonzero(again))
    return (rows.filter(pa.array(~again)), count) if count else (rows, 0)


def in_order(rows: pa.Table, *columns: str) -> pa.Table:
    """The rows sorted by integer columns, missing values last; equal rows keep their order."""
    keys = [numbers(rows, name) for name in columns]
    for place, name in enumerate(columns):
        if rows.column(name).null_count:
            keys[place] = np.where(np.asarray(pc.is_null(rows.column(name))), _LAST, keys[place])
    if _is_sorted(keys):
        return rows
    return rows.take(pa.array(np.lexsort(keys[::-1])))


class LateTrades:
    """Keeps one copy of each late trade that is not in the stream. Feed it in order of time."""

    def __init__(self, wanted: NDArray[np.int64]) -> None:
        """`wanted` are the ids, ascending, that late trades have and trades of the stream have not."""
        self._wanted = wanted
        self._taken = np.zeros(len(wanted), np.bool_)

    def keep(self, rows: pa.Table) -> tuple[pa.Table, int]:
        """The rows without copies of trades, and how many these were.

        All rows of the stream stay; so do late trades without an id.
        """
        late = np.flatnonzero(numbers(rows, SEQUENCE) < 0)
        if not len(late):
            return rows, 0
        ids = numbers(rows, "trade_id")[late]
        drop = np.zeros(rows.num_rows, np.bool_)
        has_id = ids >= 0
        drop[late[has_id]] = True
        candidates = late[has_id & self._open(ids)]
        if len(candidates):
            candidates = candidates[_copy_order(rows.take(pa.array(candidates)))]
            first = np.sort(np.unique(numbers(rows, "trade_id")[candidates], return_index=True)[1])
            chosen = candidates[first]
            drop[chosen] = False
            self._taken[np.searchsorted(self._wanted, numbers(rows, "trade_id")[chosen])] = True
        return rows.filter(pa.array(~drop)), int(np.count_nonzero(drop))

    def _open(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each id is wanted and not taken yet."""
        if not len(self._wanted):
            return np.zeros(len(ids), np.bool_)
        place = np.minimum(np.searchsorted(self._wanted, ids), len(self._wanted) - 1)
        found: NDArray[np.bool_] = (self._wanted[place] == ids) & ~self._taken[place]
        return found


def late_ids(rows: pa.Table) -> NDArray[np.int64]:
    """The ids of the late trades among the rows, ascending, each once."""
    ids = numbers(rows, "trade_id")
    return np.unique(ids[(numbers(rows, SEQUENCE) < 0) & (ids >= 0)])


def stream_ids(rows: pa.Table) -> NDArray[np.int64]:
    """The ids of the trades that are in the stream."""
    ids = numbers(rows, "trade_id")
    return ids[(numbers(rows, SEQUENCE) >= 0) & (ids >= 0)]


def once_each(rows: pa.Table) -> pa.Table:
    """Trades by time, each id once a UTC day: the one with the lowest sequence, else the first late one.

    Copies of a trade carry the same time; ids of some venues begin anew each day.
    """
    days = numbers(rows, "ts_ns") // DAY_NS
    edges = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), rows.num_rows]
    if len(edges) == 2:
        return _once_a_day(rows)
    return pa.concat_tables([_once_a_day(rows.slice(i, j - i)) for i, j in itertools.pairwise(edges)])


def _once_a_day(rows: pa.Table) -> pa.Table:
    wanted = late_ids(rows)
    if len(wanted):
        wanted = np.setdiff1d(wanted, stream_ids(rows), assume_unique=False)
        rows, _ = LateTrades(wanted).keep(rows)
    sequence, ids = numbers(rows, SEQUENCE), numbers(rows, "trade_id")
    if _ascending(ids):
        return rows
    order = np.lexsort((np.where(sequence < 0, _LAST, sequence), ids))
    again = np.zeros(len(ids), np.bool_)
    again[order[1:]] = (ids[order[1:]] == ids[order[:-1]]) & (ids[order[1:]] >= 0)
    return rows.filter(pa.array(~again)) if again.any() else rows


def last_of_each(rows: pa.Table, key: tuple[str, ...]) -> tuple[pa.Table, int]:
    """Of rows that are equal in their key the last, sorted by the key; how many were left out.

    Give the rows in the order of their files: by epoch, so that what was written to replace comes last.
    """
    rows = in_order(rows, *key)
    values = np.array([numbers(rows, name) for name in key])
    followed = np.zeros(rows.num_rows, np.bool_)
    followed[:-1] = (values[:, 1:] == values[:, :-1]).all(axis=0)
    count = int(np.count_nonzero(followed))
    return (rows.filter(pa.array(~followed)), count) if count else (rows, 0)


def in_order_of(table: Table, rows: pa.Table, *columns: str) -> pa.Table:
    """The rows of a table sorted by integer columns; with trades and quotes no order of files shows.

    Those without a sequence come last at their time: trades by id, then in the order of `_COPY_ORDER`,
    quotes in that of `QUOTE_ORDER`. Equal rows of other tables keep their order.
    """
    if table.name == "trades":
        return in_order(_late_in_order(rows, _COPY_ORDER), "ts_ns", SEQUENCE, "trade_id")
    return in_order(_late_in_order(rows, QUOTE_ORDER) if table.name == "quotes" else rows, *columns)


def _late_in_order(rows: pa.Table, order: tuple[str, ...]) -> pa.Table:
    """The rows with those that have no sequence in this order among themselves."""
    late = np.flatnonzero(numbers(rows, SEQUENCE) < 0)
    if not len(late):
        return rows
    places = np.arange(rows.num_rows)
    places[late] = late[_copy_order(rows.take(pa.array(late)), order)]
    return rows.take(pa.array(places))


def _copy_order(rows: pa.Table, order: tuple[str, ...] = _COPY_ORDER) -> NDArray[np.int64]:
    keys: list[Any] = [rows.column(name).to_numpy() for name in reversed(order) if name in rows.column_names]
    found: NDArray[np.int64] = np.lexsort(keys)
    return found


def _ascending(ids: NDArray[np.int64]) -> bool:
    """Whether the ids that are not missing go up, as they mostly do: then none is there twice."""
    ids = ids[ids >= 0]
    return bool(np.all(ids[1:] > ids[:-1]))


def _is_sorted(keys: list[NDArray[np.int64]]) -> bool:
    """Whether rows are in the order of their first key, then of the second, and so on."""
    equal = np.ones(max(len(keys[0]) - 1, 0), np.bool_)
    for key in keys:
        if np.any(equal & (key[1:] < key[:-1])):
            return False
        equal &= key[1:] == key[:-1]
    return True
