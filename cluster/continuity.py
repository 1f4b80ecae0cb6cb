"""Continuity of one symbol's trades, for venues whose trade ids go up by one.

Decides for each trade whether it is new, and keeps count of what was seen, came twice, or is missing.
A trade that was skipped and comes after all fills its hole; it is fed on, late as it is.
"""

from __future__ import annotations

from bisect import bisect_right

_MOST_HOLES = 10_000


class TradeContinuity:
    """The ids seen so far, as the highest one and the holes below it."""

    def __init__(self) -> None:
        self.seen = 0
        self.duplicates = 0
        self.gaps = 0
        self.missing = 0
        self.filled = 0
        self.last_id: int | None = None
        # Holes as [first, last] pairs, ascending and apart.
        self._holes: list[list[int]] = []

    def admit(self, trade_id: int) -> bool:
        """Whether the trade of this id is new; counts it either way."""
        last = self.last_id
        if last is None or trade_id == last + 1:
            self.last_id = trade_id
        elif trade_id > last:
            self._open_hole(last + 1, trade_id - 1)
            self.last_id = trade_id
        elif not self._fill(trade_id):
            self.duplicates += 1
            return False
        self.seen += 1
        return True

    @property
    def holes(self) -> list[tuple[int, int]]:
        """Ranges of ids (first, last) that have not come, oldest first."""
        return [(first, last) for first, last in self._holes]

    def report(self) -> dict[str, int]:
        """The counters as plain values. `missing` counts trades in open holes."""
        return {
            "seen": self.seen,
            "duplicates": self.duplicates,
            "gaps": self.gaps,
            "filled": self.filled,
            "missing": self.missing,
        }

    def _open_hole(self, first: int, last: int) -> None:
        self.gaps += 1
        self.missing += last - first + 1
        self._holes.append([first, last])
        if len(self._holes) > _MOST_HOLES:
            del self._holes[0]

    def _fill(self, trade_id: int) -> bool:
        at = bisect_right(self._holes, [trade_id, float("inf")]) - 1
        if at < 0 or self._holes[at][1] < trade_id:
            return False
        first, last = self._holes[at]
        self._holes[at : at + 1] = [
            part for part in ([first, trade_id - 1], [trade_id + 1, last]) if part[0] <= part[1]
        ]
        self.missing -= 1
        self.filled += 1
        return True
