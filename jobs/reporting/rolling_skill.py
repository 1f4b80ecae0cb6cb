"""Skill against naive as time goes by, with a band of what chance may make of it.

A period is cut into panes of equal length, long against the horizon. In each, the gain y*y - (y-f)*(y-f) and
naive's squared error y*y are summed; the skill of a window of panes is the ratio of the sums. Its 95 % band
is that of a ratio of means from batches (Law & Kelton 1982, "Confidence intervals for steady-state
simulations", with panes as batches): errors of neighbouring forecasts hang together within a pane, panes
hardly do. Sums of several symbols are added pane by pane, so that what moves all of them at once counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.scores import student_quantile_95

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_PANES = 240
_LEAST_HORIZONS = 4
"""Horizons in a pane, so that panes hardly overlap."""
LEAST_PANES = 10
"""Panes in a window, and filled ones below which nothing is said of it."""
_WINDOWS = 8
"""A window is an eighth of the period."""


@dataclass(frozen=True, slots=True)
class Panes:
    """How a period is cut."""

    start_ns: int
    end_ns: int
    """The last moment that counts."""
    count: int

    @classmethod
    def of(cls, start_ns: int, end_ns: int, horizon_ns: int) -> Panes:
        """Panes of a period for one horizon: as many as there may be, at least one."""
        span = max(0, end_ns - start_ns)
        return cls(start_ns, end_ns, max(1, min(_MOST_PANES, span // (_LEAST_HORIZONS * horizon_ns))))

    @property
    def width_ns(self) -> float:
        """Length of a pane."""
        return (self.end_ns - self.start_ns + 1) / self.count

    @property
    def window(self) -> int:
        """Panes in a window."""
        return max(LEAST_PANES, self.count // _WINDOWS)

    def number(self, at_ns: Ints) -> Ints:
        """In which pane each time lies; what is outside counts to the first or last."""
        place = ((at_ns - self.start_ns) // self.width_ns).astype(np.int64)
        return np.clip(place, 0, self.count - 1)

    def ends(self) -> Ints:
        """When each pane ends, (count,)."""
        return (self.start_ns + self.width_ns * np.arange(1, self.count + 1)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class PaneSums:
    """Sums over the answers of each pane, all (panes,)."""

    answers: Floats
    gain: Floats
    naive: Floats
    intervals: Floats
    """Answers that came with an interval."""
    covered: Floats

    @classmethod
    def nothing(cls, panes: Panes) -> PaneSums:
        """No answers so far."""
        return cls(*np.zeros((5, panes.count)))

    def add(self, pane: Ints, forecast: Floats, outcome: Floats, inside: Floats) -> None:
        """Count answers, all (n,); `inside` is 1, 0, or NaN without an interval."""
        n = len(self.answers)
        has = np.isfinite(inside)
        self.answers[:] += np.bincount(pane, minlength=n)
        self.gain[:] += np.bincount(pane, forecast * (2.0 * outcome - forecast), n)
        self.naive[:] += np.bincount(pane, outcome * outcome, n)
        self.intervals[:] += np.bincount(pane[has], minlength=n)
        self.covered[:] += np.bincount(pane[has], inside[has], n)

    def __add__(self, other: PaneSums) -> PaneSums:
        return PaneSums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(PaneSums)))

    def in_own_size(self) -> PaneSums:
        """The same with gain and error in units of naive's mean squared error, for adding to others."""
        naive, answers = float(self.naive.sum()), float(self.answers.sum())
        unit = naive / answers if naive > 0.0 else 1.0
        return PaneSums(self.answers, self.gain / unit, self.naive / unit, self.intervals, self.covered)

    @property
    def skill(self) -> float:
        """Of the whole period: the share of naive's squared error that is saved; NaN without any."""
        naive = float(self.naive.sum())
        return float(self.gain.sum()) / naive if naive > 0.0 else float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Rolling:
    """The skill of each window of panes, and the coverage; all (k,), NaN where there is too little."""

    end_ns: Ints
    skill: Floats
    low: Floats
    high: Floats
    coverage: Floats


def rolling(sums: PaneSums, panes: Panes) -> Rolling:
    """Windows that end at each pane from the first whole one on; empty where the period is too short."""
    k = panes.window
    if panes.count < k:
        none = np.zeros(0)
        return Rolling(np.zeros(0, np.int64), none, none, none, none)
    view = np.lib.stride_tricks.sliding_window_view
    gain, naive = view(sums.gain, k), view(sums.naive, k)
    filled = (view(sums.answers, k) > 0.0).sum(axis=1)
    total = naive.sum(axis=1)
    enough = (filled >= LEAST_PANES) & (total > 0.0)
    total = np.where(enough, total, np.nan)
    skill = gain.sum(axis=1) / total
    deviations = gain - skill[:, None] * naive
    freedom = np.maximum(filled - 1, 1)
    error = np.sqrt((deviations**2).sum(axis=1) * filled / freedom) / total
    margin = error * np.array([student_quantile_95(float(one)) for one in freedom])
    intervals = view(sums.intervals, k).sum(axis=1)
    covered = view(sums.covered, k).sum(axis=1) / np.where(intervals > 0.0, intervals, np.nan)
    return Rolling(
        panes.ends()[k - 1 :], skill, skill - margin, skill + margin, np.where(enough, covered, np.nan)
    )
