"""Continuity of one symbol's trades, for venues whose trade ids go up by one.

Decides for each trade whether it is new, and keeps count of what was seen, came twice, or is missing.
A trade that was skipped and comes after all fills its hole; it is fed on, late as it is. One that is
older than the first seen is new too, and what lies between them is a hole.
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
        self.first_id: int | None = None
        self.last_id: int | None = None
        # Holes as [first, last] pairs, ascending and apart.
        self._holes: list[list[int]] = []

    def admit(self, trade_id: int) -> bool:
        """Whether the trade of this id is new; counts it either way."""
        first, last = self.first_id, self.last_id
        if first is None or last is None:
            self.first_id = self.last_id = trade_id
        elif trade_id > last:
            self.last_id = trade_id
            self._open_hole(len(self._holes), last + 1, trade_id - 1)
        elif trade_id < first:
            self.first_id = trade_id
            self._open_hole(0, trade_id + 1, first - 1)
        elif not self._fill(trade_id):
            self.duplicates += 1
            return False
        self.seen += 1
        return True

    @property
    def holes(self) -> list[tuple[int, int]]:
        """Ranges of ids (first, last) that have not come, oldest first; the newest 10,000 of them."""
        return [(first, last) for first, last in self._holes]

    def report(self) -> dict[str, int]:
        """The counters as plain values. `missing` counts the trades between first and last not seen."""
        return {
            "seen": self.seen,
            "duplicates": self.duplicates,
            "gaps": self.gaps,
            "filled": self.filled,
            "missing": self.missing,
        }

    def _open_hole(self, place: int, first: int, last: int) -> None:
        if first > last:
            return
        self.gaps += 1
        self.missing += last - first + 1
        self._holes.insert(place, [first, last])
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        # What comes for a forgotten hole counts as a duplicate: memory has an end.
        del self._holes[: max(0, len(self._holes) - _MOST_HOLES)]

    def _fill(self, trade_id: int) -> bool:
        at = bisect_right(self._holes, [trade_id, float("inf")]) - 1
        if at < 0 or self._holes[at][1] < trade_id:
            return False
        first, last = self._holes[at]
        self._holes[at : at + 1] = [
            part for part in ([first, trade_id - 1], [trade_id + 1, last]) if part[0] <= part[1]
        ]
        self._forget_oldest()
        self.missing -= 1
        self.filled += 1
        return True
