"""Which trials to run: suggested in rounds by Optuna, so that a sweep is the same however it is run.

    search = Search(settings, folds, known_rows, keep)
    while (found := search.next()) is not DONE:
        …                       # WAITING: finish what is under way first
        search.finish(row)

Trials of one round are suggested from what all earlier rounds have shown, told in the order of their numbers.
So neither the number of processes, nor which is quicker, nor a kill and a new start changes what is tried:
rows that are known already are taken as they are. Knows no Ray but its interface to Optuna.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from features.errors import TickcastError
from jobs.sweeping.domains import Value
from jobs.sweeping.halving import Halving
from jobs.sweeping.settings import SweepSettings
from jobs.sweeping.trial_spec import TrialSpec

Row = dict[str, Any]
WAITING: Final = "waiting"
DONE: Final = "done"
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
"""Status of a row: all folds done; ended early as one of the worse; it could not be computed."""
_METRIC = "objective"


@dataclass(frozen=True)
class Suggestion:
    """A trial to run."""

    number: int
    point: Mapping[str, Value]
    spec: TrialSpec


@dataclass
class _Round:
    first: int
    points: list[dict[str, Value]]
    queue: list[Suggestion] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return len(self.rows) == len(self.points)


class Search:
    """Gives out trials and takes in their rows. Not for several threads."""

    def __init__(
        self,
        settings: SweepSettings,
        folds: int,
        known: Mapping[int, Row],
        keep: Callable[[Row], None],
    ) -> None:
        """`known` are the rows of an earlier start, by number; `keep` is called with each new row."""
        self._settings = settings
        self._known = known
        self._keep = keep
        self._halving = Halving(folds)
        self._optuna = _optuna(settings)
        self._round = _Round(0, [])
        self.rows: dict[int, Row] = {}
        """All rows so far, by number."""
        self.closed = False
        """Whether no trial is given out any more: the time is up."""

    def next(self) -> Suggestion | Literal["waiting", "done"]:
        """The next trial to run; WAITING where the round has none left, DONE where all are finished."""
        if self.closed:
            return DONE
        while not self._round.queue:
            if not self._round.is_over:
                return WAITING
            first = self._round.first + len(self._round.points)
            if first >= self._settings.trials:
                return DONE
            self._tell()
            self._begin(first)
        return self._round.queue.pop(0)

    def stops(self, folds: int, value: float) -> bool:
        """Whether a trial of this round that has reached `value` after so many folds is to end."""
        return self._halving.stops(folds, value)

    def finish(self, row: Row, again: bool = False) -> None:
        """Take in the row of a trial that was given out; with `again` the next start is to try it again."""
        self._keep(row | {"again": True} if again else row)
        self._take(row)

    def _take(self, row: Row) -> None:
        self.rows[row["number"]] = row
        self._round.rows[row["number"]] = row

    def _begin(self, first: int) -> None:
        """Draw the points of a round; its known rows are taken, the others are queued."""
        numbers = range(first, min(first + self._settings.round_trials, self._settings.trials))
        points = [dict(self._optuna.suggest(str(number))) for number in numbers]
        self._round = _Round(first, points)
        for number, point in zip(numbers, points, strict=True):
            before = self._known.get(number)
            # Another version of Optuna may draw something else: its rows are other trials'.
            if before is not None and before["point"] == point:
                self._take(before)
                continue
            try:
                spec = self._settings.space.spec(point)
            except TickcastError as error:
                # Parameters that don't go together, like a fast average that is the slower one.
                self.finish(failed_row(number, point, {}, str(error)))
                continue
            self._round.queue.append(Suggestion(number, point, spec))

    def _tell(self) -> None:
        """Let the next rounds know what this one has shown."""
        for number, row in sorted(self._round.rows.items()):
            value = row.get("objective")
            failed = row["status"] == FAILED or value is None
            self._optuna.on_trial_complete(str(number), None if failed else {_METRIC: value}, error=failed)
            if row["status"] != FAILED:
                self._halving.take_in(row["by_fold"])


def failed_row(number: int, point: Mapping[str, Value], spec: Mapping[str, Any], problem: str) -> Row:
    """The row of a trial that could not be computed."""
    return {"number": number, "point": dict(point), "spec": dict(spec), "status": FAILED, "problem": problem}


def _optuna(settings: SweepSettings) -> Any:
    """Optuna as Ray Tune has it, seeded."""
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # A point of a round that is under way counts as a bad one, so that a round spreads out.
        sampler = optuna.samplers.TPESampler(
            seed=settings.seed,
            n_startup_trials=settings.round_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )
    return OptunaSearch(space=settings.space.draw, metric=_METRIC, mode="max", sampler=sampler)
