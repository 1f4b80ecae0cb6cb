"""Answered forecasts of one symbol and horizon, boiled down to what a report shows.

    evidence = boil_down(lambda: chunks, bounds, horizon_ns, horizon_bars)
    evidence.panes.gain, evidence.by_forecast.count

Rows are read twice, in chunks, and never kept: memory is bounded whatever the period. Returns are log
returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from jobs.reporting.rolling_skill import Panes, PaneSums

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DECILES = 10
P_UP_BINS = 20
_SAMPLED = 400_000
"""Rows from which the bounds of deciles are taken, at most about so many."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerRows:
    """n answered forecasts of one horizon, oldest first; NaN is missing."""

    made_at_ns: Ints
    forecast: Floats
    lower: Floats
    upper: Floats
    outcome: Floats
    """NaN: void."""
    p_up: Floats
    """NaN where it wasn't kept."""

    def __len__(self) -> int:
        return len(self.outcome)

    def __getitem__(self, chosen: slice | NDArray[np.bool_]) -> AnswerRows:
        return AnswerRows(*(getattr(self, field.name)[chosen] for field in fields(self)))


Chunks = Callable[[], Iterator[AnswerRows]]
"""Gives the rows from the beginning, each time that it is called."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Sums over rows that belong together, group by group, all (g,); groups of two symbols can be added."""

    count: Floats
    expected: Floats
    """Sum of what was said of the rows: a return, a width, a probability."""
    found: Floats
    """Sum of what came: a return, 1 for a hit."""
    found_squares: Floats
    independent: Floats
    """Number of rows that do not overlap: the count over the horizon in bars."""

    @classmethod
    def nothing(cls, groups: int) -> Groups:
        """No rows so far."""
        return cls(*np.zeros((5, groups)))

    def add(self, group: Ints, expected: Floats, found: Floats, overlap: int) -> None:
        """Count rows; `group` (n,) says where each belongs."""
        groups = len(self.count)
        counted = np.bincount(group, minlength=groups)
        self.count[:] += counted
        self.expected[:] += np.bincount(group, expected, groups)
        self.found[:] += np.bincount(group, found, groups)
        self.found_squares[:] += np.bincount(group, found * found, groups)
        self.independent[:] += counted / overlap

    def __add__(self, other: Groups) -> Groups:
        return Groups(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Groups)))

    @property
    def mean_expected(self) -> Floats:
        """What was said, on average; NaN for an empty group."""
        return self.expected / np.where(self.count > 0.0, self.count, np.nan)

    @property
    def mean_found(self) -> Floats:
        """What came, on average."""
        return self.found / np.where(self.count > 0.0, self.count, np.nan)

    @property
    def error(self) -> Floats:
        """Half of a 95 % interval of what came on average, as many rows counted as do not overlap."""
        variance = self.found_squares / np.where(self.count > 0.0, self.count, np.nan) - self.mean_found**2
        return 1.96 * np.sqrt(
            np.maximum(variance, 0.0) / np.where(self.independent > 0.0, self.independent, np.nan)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What the answers of one symbol and horizon, or of several symbols together, show."""

    panes: PaneSums
    by_forecast: Groups
    """Deciles of the forecast: forecast and outcome in returns."""
    by_width: Groups
    """Deciles of the interval's width: width, and whether the outcome was inside."""
    by_p_up: Groups
    """Twenty equal bins of the probability of a rise: it, and whether the price rose."""
    answers: int
    unmoved: int
    """Answers whose price was exactly what it was before: no rise."""

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Evidence)))


def boil_down(chunks: Chunks, panes: Panes, overlap: int) -> Evidence:
    """The evidence of one symbol and horizon; `overlap` is the horizon in bars, 1 or more."""
    edges = _edges(chunks)
    sums = PaneSums.nothing(panes)
    groups = [Groups.nothing(n) for n in (DECILES, DECILES, P_UP_BINS)]
    answers = unmoved = 0
    for rows in chunks():
        known = rows[np.isfinite(rows.outcome) & np.isfinite(rows.forecast)]
        answers += len(known)
        unmoved += int(np.count_nonzero(known.outcome == 0.0))
        sums.add(panes.number(known.made_at_ns), known.forecast, known.outcome, _inside(known))
        for sums_of, values, found, bounds in zip(groups, _said(known), _found(known), edges, strict=True):
            has = np.isfinite(values) & np.isfinite(found)
            place = np.searchsorted(bounds, values[has], side="right")
            sums_of.add(place, values[has], found[has], overlap)
    by_forecast, by_width, by_p_up = groups
    return Evidence(sums, by_forecast, by_width, by_p_up, answers, unmoved)


def together(parts: Sequence[Evidence]) -> Evidence:
    """The evidence of several symbols; in panes each counts by its own size, so that none drowns the rest."""
    first, *others = [replace(one, panes=one.panes.in_own_size()) for one in parts]
    return sum(others, first)


def _edges(chunks: Chunks) -> tuple[Floats, Floats, Floats]:
    """Bounds between deciles of forecast and width, from an even sample, and between bins of p_up."""
    sampled: list[tuple[Floats, ...]] = []
    held, step, passed = 0, 1, 0
    for rows in chunks():
        first = -passed % step
        passed += len(rows)
        taken = rows[first::step]
        sampled.append(_said(taken)[:2])
        held += len(taken)
        while held > _SAMPLED:  # every second row of what there is, and of what is to come
            joined = [np.concatenate(columns)[::2] for columns in zip(*sampled, strict=True)]
            sampled, held, step = [tuple(joined)], len(joined[0]), step * 2
    columns = [np.concatenate(one) for one in zip(*sampled, strict=True)] if sampled else [np.zeros(0)] * 2
    inner = np.arange(1, DECILES) / DECILES
    forecast, width = (
        np.quantile(one[np.isfinite(one)], inner) if np.isfinite(one).any() else inner for one in columns
    )
    return forecast, width, np.arange(1, P_UP_BINS) / P_UP_BINS


def _said(rows: AnswerRows) -> tuple[Floats, Floats, Floats]:
    return rows.forecast, rows.upper - rows.lower, rows.p_up


def _found(rows: AnswerRows) -> tuple[Floats, Floats, Floats]:
    return rows.outcome, _inside(rows), (rows.outcome > 0.0).astype(np.float64)


def _inside(rows: AnswerRows) -> Floats:
    """1 where the outcome is in the interval, 0 where it is not, NaN without an interval."""
    inside = (rows.lower <= rows.outcome) & (rows.outcome <= rows.upper)
    return np.where(rows.lower <= rows.upper, inside.astype(np.float64), np.nan)
