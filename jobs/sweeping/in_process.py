"""The trials of a sweep in this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.sweeping.data import Pair
from jobs.sweeping.job import SweepJob, TrialRun
from jobs.sweeping.search import Search, Suggestion
from jobs.sweeping.settings import Periods


class InProcess:
    """A runner that needs no Ray."""

    def __init__(self, job: SweepJob) -> None:
        self._job = job

    def each(self, work: str, pairs: Sequence[Pair], *arguments: Any) -> Iterator[tuple[Pair, Any]]:
        """What a method of the job says of every symbol."""
        for pair in pairs:
            yield pair, getattr(self._job, work)(pair, *arguments)

    def trials(self, pairs: list[Pair], periods: Periods, search: Search, seconds: float | None) -> None:
        """Run all trials."""
        until = None if seconds is None else time.monotonic() + seconds
        while isinstance(found := search.next(), Suggestion):
            trial = TrialRun(self._job, pairs, periods, found)
            while not trial.step() and not search.stops(trial.folds, trial.value):
                pass
            search.finish(trial.row())
            search.closed = until is not None and time.monotonic() > until
