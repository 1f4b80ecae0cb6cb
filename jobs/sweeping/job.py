"""A sweep as it goes to other processes: where its data are, what is tried, where the results go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.errors import ConfigError, DataError, TickcastError
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.sweeping.cache import ArrayCache
from jobs.sweeping.data import Pair, Spent, SweepData, Wanted
from jobs.sweeping.results import SweepResults
from jobs.sweeping.search import FINISHED, STOPPED, Row, Suggestion, failed_row
from jobs.sweeping.settings import Periods, SweepSettings
from jobs.sweeping.trial import Trial


@dataclass(frozen=True)
class SweepJob:
    """Everything that a trial needs. Plain values: any process can open it."""

    lake: StoreSpec
    results: StoreSpec
    cache: Path | None
    """Folder for copies of shared data where the results' store is not a folder."""
    history: HistorySpec
    settings: SweepSettings
    digests: Mapping[str, str]
    run_id: str

    def open_results(self) -> SweepResults:
        """Where the sweep keeps what it makes."""
        return SweepResults(open_store(self.results), self.run_id)

    @cached_property
    def data(self) -> SweepData:
        """The shared data, opened once in a process."""
        history = History(Lake(open_store(self.lake)), self.history)
        return SweepData(ArrayCache.of(self.results, self.cache), history, self.digests)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to other processes: open stores stay here."""
        return {name: value for name, value in self.__dict__.items() if name != "data"}

    @property
    def wanted(self) -> Wanted:
        """What the space may ask for of a symbol's data."""
        space = self.settings.space
        return Wanted(
            tuple(text if ":" in (text := str(one)) else f"time:{text}" for one in space.sampling.values),
            tuple(space.features.values()),
            tuple(str(one) for one in space.horizon.values),
        )

    def span(self, pair: Pair) -> tuple[tuple[int, int] | None, str, Spent]:
        """A symbol's first and last bar, or why it has none; its bars are kept. Called in a task."""
        self.data.spent = Spent()
        try:
            found, problem = self.data.span(pair, self.wanted.sampling), "no bars in this period"
        except (DataError, ConfigError) as error:
            found, problem = None, str(error)
        return found, "" if found else problem, self.data.spent

    def prepare(self, pair: Pair, until_ns: int) -> tuple[str, Spent]:
        """Compute a symbol's features and labels; what is wrong with it, or "". Called in a task."""
        self.data.spent = Spent()
        try:
            self.data.prepare(pair, self.wanted, until_ns)
        except (DataError, ConfigError) as error:
            return str(error), self.data.spent
        return "", self.data.spent


class TrialRun:
    """A trial in the process that computes it: failures are rows."""

    def __init__(self, job: SweepJob, pairs: list[Pair], periods: Periods, suggestion: Suggestion) -> None:
        self._suggestion, self._problem = suggestion, ""
        self._trial: Trial | None = None
        self.value = float("nan")
        """The objective so far."""
        try:
            rows = [job.data.rows(pair, suggestion.spec, periods.holdout_ns) for pair in pairs]
            self._trial = Trial(suggestion.spec, rows, periods, job.settings)
        except Exception as error:
            self._problem = _said(error)

    def step(self) -> bool:
        """Do the next fold; whether the trial is over."""
        if self._trial is None:
            return True
        try:
            self.value = self._trial.step()
        except Exception as error:  # whatever it is, the other trials go on
            self._problem = _said(error)
            return True
        return self._trial.done

    @property
    def folds(self) -> int:
        """Folds that are done."""
        return 0 if self._trial is None else self._trial.folds

    def row(self) -> Row:
        """What came of it so far. Its status is "stopped" until all folds are done."""
        given = self._suggestion
        if self._trial is None or self._problem:
            return failed_row(given.number, given.point, given.spec.as_dict(), self._problem)
        status = FINISHED if self._trial.done else STOPPED
        about = {"number": given.number, "point": dict(given.point), "spec": given.spec.as_dict()}
        return about | {"status": status, "problem": ""} | self._trial.row()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, TickcastError) else f"{type(error).__name__}: {error}"
