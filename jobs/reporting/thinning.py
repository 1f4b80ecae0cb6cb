"""Long curves with few points: of each stretch the first, the last, the lowest and the highest value.

What is drawn looks the same as with all points as long as there are no fewer stretches than pixels (Jugel et
al. 2014, "M4: a visualization-oriented time series data aggregation", Proc. VLDB 7). No peak and no trough is
ever lost. Thinning what has been thinned by the same stretches changes nothing, so that a curve can be fed
in parts and memory stays bounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_KEPT_OF_EACH = 4


def kept(stretch: Ints, y: Floats) -> Ints:
    """Which rows stay, rising: of each run of equal, rising `stretch` (n,) those named above.

    Rows whose `y` (n,) is not finite are left out.
    """
    rows = np.flatnonzero(np.isfinite(y))
    if not len(rows):
        return rows
    numbers = stretch[rows]
    is_last = np.append(numbers[1:] != numbers[:-1], True)
    is_first = np.append(True, is_last[:-1])
    # Sorted by stretch, then value: each stretch begins with its lowest and ends with its highest.
    order = np.lexsort((y[rows], numbers))
    chosen = np.concatenate([rows[is_first], rows[is_last], rows[order[is_first]], rows[order[is_last]]])
    return np.unique(chosen)


class Thinner:
    """Takes a curve of known length part by part; gives it back with at most `most` points."""

    def __init__(self, rows: int, most: int) -> None:
        """`rows` are to come; if they are no more than `most`, all stay."""
        self._rows = max(1, rows)
        self._stretches = self._rows if rows <= most else max(1, most // _KEPT_OF_EACH)
        self._taken = 0
        self._parts: list[tuple[Ints, Ints, Floats]] = []

    def add(self, x: Ints, y: Floats) -> None:
        """The next rows, both (n,)."""
        place = np.arange(self._taken, self._taken + len(y))
        stretch = np.minimum(place * self._stretches // self._rows, self._stretches - 1)
        self._taken += len(y)
        chosen = kept(stretch, y)
        self._parts.append((stretch[chosen], x[chosen], y[chosen]))

    def curve(self) -> tuple[Ints, Floats]:
        """The points that stay, x (k,) and y (k,), in order."""
        if not self._parts:
            return np.zeros(0, np.int64), np.zeros(0)
        stretch, x, y = (np.concatenate(columns) for columns in zip(*self._parts, strict=True))
        chosen = kept(stretch, y)
        return x[chosen], y[chosen]


def thinned(x: Ints, y: Floats, most: int) -> tuple[Ints, Floats]:
    """A whole curve with at most `most` points."""
    thinner = Thinner(len(y), most)
    thinner.add(x, y)
    return thinner.curve()
