"""What a benchmark is: cases that are measured in child processes, and tables of what they measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a case measures: the full size, or a short run that shows that it works."""

    quick: bool

    def pick(self, full: int, quick: int) -> int:
        """The size that fits."""
        return quick if self.quick else full


@dataclass(slots=True)
class Sample:
    """What one run of a case measured."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Values by row and metric; several where the case measured rounds of its own."""
    notes: list[str] = field(default_factory=list)
    foreign_cores: float | None = None
    """CPU that others took meanwhile. None: the parent measures it."""

    def add(self, row: str, **metrics: float) -> None:
        """One more value of each metric of a row."""
        kept = self.rows.setdefault(row, {})
        for metric, value in metrics.items():
            kept.setdefault(metric, []).append(float(value))


Case = Callable[[Effort], Sample]


@dataclass(frozen=True, slots=True)
class Column:
    """One metric in a table."""

    metric: str
    title: str
    """With the unit."""
    against: str = ""
    """The row whose median every other row is divided by, in a column of its own; "" for none."""
    spread: bool = False
    """Whether minimum and maximum are shown beside the median."""


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows of the measured ones, side by side."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[str, ...] = ()
    """In this order, without those that lack the first column's metric; empty: all with the prefix."""
    first: str = "what"
    prefix: str = ""
    """What all these rows begin with, left out in print."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A group of cases that are compared with each other."""

    name: str
    title: str
    cases: dict[str, Case]
    tables: tuple[Table, ...]
    rounds: int = 3
    limit_s: float = 180.0
    """For one run of one case."""
    missing: Callable[[], str] = lambda: ""
    """Why it can't run here; "" when it can."""
