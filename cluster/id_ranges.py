"""A set of trade ids kept as ranges: compact where ids run on, bounded where they don't."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import itemgetter

_INFINITY = float("inf")
_first_of, _last_of = itemgetter(0), itemgetter(1)


class IdRanges:
    """Ids as ranges [first, last], ascending, apart, and at most `most` of them.

    What doesn't fit is forgotten, the lowest range first: memory has an end.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._ranges: list[list[int]] = []

    def __len__(self) -> int:
        """The number of ranges."""
        return len(self._ranges)

    def __contains__(self, trade_id: int) -> bool:
        return self._at(trade_id) is not None

    @property
    def first(self) -> int:
        """The lowest id. Raises IndexError when there is none."""
        return self._ranges[0][0]

    @property
    def last(self) -> int:
        """The highest id. Raises IndexError when there is none."""
        return self._ranges[-1][1]

    @property
    def last_range(self) -> tuple[int, int]:
        """The highest range. Raises IndexError when there is none."""
        first, last = self._ranges[-1]
        return first, last

    def as_list(self, most: int | None = None) -> list[tuple[int, int]]:
        """The ranges (first, last), lowest first; only the first `most` if that is given."""
        return [(first, last) for first, last in self._ranges[:most]]

    def cut_after(self, last: int) -> None:
        """Remove the ids above `last`."""
        while self._ranges and self._ranges[-1][0] > last:
            self._ranges.pop()
        if self._ranges:
            self._ranges[-1][1] = min(self._ranges[-1][1], last)

    def add(self, first: int, last: int) -> None:
        """Add the ids first to last, of which some may be here already."""
        ranges = self._ranges
        if ranges and ranges[-1][0] <= first <= ranges[-1][1] + 1:
            ranges[-1][1] = max(ranges[-1][1], last)
            return
        start = bisect_left(ranges, first - 1, key=_last_of)
        end = bisect_right(ranges, last + 1, key=_first_of)
        if start < end:
            first, last = min(first, ranges[start][0]), max(last, ranges[end - 1][1])
        ranges[start:end] = [[first, last]]
        self._forget_lowest()

    def extend(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add several ranges."""
        for first, last in ranges:
            self.add(first, last)

    def remove(self, trade_id: int) -> bool:
        """Take an id out; whether it was here."""
        if self._at(trade_id) is None:
            return False
        self.remove_range(trade_id, trade_id)
        return True

    def remove_range(self, first: int, last: int) -> None:
        """Take the ids first to last out, as far as they are here."""
        ranges = self._ranges
        start = bisect_left(ranges, first, key=_last_of)
        end = bisect_right(ranges, last, key=_first_of)
        if start >= end:
            return
        parts = ([ranges[start][0], first - 1], [last + 1, ranges[end - 1][1]])
        ranges[start:end] = [part for part in parts if part[0] <= part[1]]
        self._forget_lowest()

    def remove_to(self, trade_id: int) -> None:
        """Take out every id up to this one."""
        end = bisect_right(self._ranges, trade_id, key=_last_of)
        del self._ranges[:end]
        if self._ranges and self._ranges[0][0] <= trade_id:
            self._ranges[0][0] = trade_id + 1

    def clear(self) -> None:
        """Take everything out."""
        self._ranges.clear()

    def _at(self, trade_id: int) -> int | None:
        at = bisect_right(self._ranges, [trade_id, _INFINITY]) - 1
        return at if at >= 0 and trade_id <= self._ranges[at][1] else None

    def _forget_lowest(self) -> None:
        if self._most is not None and len(self._ranges) > self._most:
            del self._ranges[: len(self._ranges) - self._most]
