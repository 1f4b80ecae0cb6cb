"""Walks through several sorted files together in bounded memory.

Files are sorted, or nearly so. A cursor reads a row group once the window reaches its lowest key, hands
out the rows inside the window and keeps the others for later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa

from cluster.storage import rules
from cluster.storage.parquet_files import Group

Load = Callable[[Sequence[Group]], pa.Table]
"""Reads row groups of a file, in the order given."""


class Cursor:
    """One file, read in order of an integer column."""

    def __init__(self, key: str, groups: Iterable[Group], load: Load) -> None:
        self._key = key
        self._groups = sorted(groups, key=lambda group: (group.low, group.index), reverse=True)
        self._load = load
        self._rest: pa.Table | None = None

    @property
    def lowest(self) -> int | None:
        """No row that is still to come is below this; None when none is to come."""
        keys = [group.low for group in self._groups[-1:]]
        if self._rest is not None and self._rest.num_rows:
            keys.append(int(rules.numbers(self._rest, self._key).min()))
        return min(keys, default=None)

    def below(self, bound: int) -> pa.Table | None:
        """The rows below `bound` that have not been handed out; None if there are none."""
        due = []
        while self._groups and self._groups[-1].low < bound:
            due.append(self._groups.pop())
        parts = [] if self._rest is None else [self._rest]
        if due:
            # In the order of the file: rows of equal keys keep it.
            parts.append(self._load(sorted(due, key=lambda group: group.index)))
        if not parts:
            return None
        rows = pa.concat_tables(parts, promote_options="default")
        inside = rules.numbers(rows, self._key) < bound
        if inside.all():
            self._rest = None
            return rows if rows.num_rows else None
        self._rest = rows.filter(pa.array(~inside))
        return rows.filter(pa.array(inside)) if inside.any() else None


def bounds(groups: Iterable[Group], rows_per_window: int) -> list[int]:
    """Where to end windows, so that none has many more rows than that if the groups are sorted."""
    found: list[int] = []
    rows = 0
    for group in sorted(groups, key=lambda group: group.low):
        if rows >= rows_per_window and (not found or group.low > found[-1]):
            found.append(group.low)
            rows = 0
        rows += group.rows
    highest = max((group.high for group in groups), default=0)
    return [*found, highest + 1]
