"""The trials of a sweep on Ray Tune.

Tune starts the trials, in actors that are used again, and asks after every fold whether a trial goes on.
What to try and whom to stop is `Search`'s word; what is finished lies in the lake as `Search` has kept it.
Tune's own state is in a folder that ends with the job: a new start needs none of it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.searcher import Searcher

from features.errors import ConfigError
from jobs.politeness import be_polite
from jobs.sweeping.data import Pair
from jobs.sweeping.job import SweepJob, TrialRun
from jobs.sweeping.search import DONE, WAITING, Search, Suggestion, failed_row
from jobs.sweeping.settings import Periods

_ATTEMPTS = 1
"""Times that a trial is started again whose process has died."""
_METRIC = "objective"
_QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
"""What Tune reads of the environment and of nowhere else."""


class SweepTrial(tune.Trainable):  # type: ignore[misc]
    """A trial as Tune runs it: a step is a fold."""

    def setup(self, config: dict[str, Any], job: SweepJob, pairs: list[Pair], periods: Periods) -> None:
        """Called once in an actor, before its first trial."""
        be_polite()
        self._job, self._pairs, self._periods = job, pairs, periods
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The next trial in the same actor."""
        given = new_config["suggestion"]
        self._run = TrialRun(self._job, self._pairs, self._periods, given)
        return True

    def step(self) -> dict[str, Any]:
        """One fold."""
        done = self._run.step()
        # As text: Tune takes nested results apart.
        row = json.dumps(self._run.row())
        return {_METRIC: self._run.value, "folds": self._run.folds, "row": row, "done": done}


class _RoundSearch(Searcher):  # type: ignore[misc]
    """`Search`, as Tune asks it."""

    def __init__(self, search: Search, until: float | None) -> None:
        super().__init__(metric=_METRIC, mode="max")
        self._search, self._until = search, until
        self._given: dict[str, Suggestion] = {}

    def suggest(self, trial_id: str) -> Any:
        """The next trial; None: later."""
        self._search.closed = self._until is not None and time.monotonic() > self._until
        found = self._search.next()
        if found == DONE:
            return Searcher.FINISHED
        if found == WAITING:
            return None
        self._given[trial_id] = found
        return {"suggestion": found}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Called once for each trial, however it ended."""
        given = self._given.pop(trial_id, None)
        if given is None:
            return
        if not error and result and "row" in result:
            self._search.finish(json.loads(result["row"]))
        else:
            problem = "its process died"
            died = failed_row(given.number, given.point, given.spec.as_dict(), problem)
            self._search.finish(died, again=True)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune writes itself down, for a restoring that is never asked for."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is finished is in the lake."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, either."""


class _RoundHalving(FIFOScheduler):  # type: ignore[misc]
    """Ends the trials that `Search` says are not worth their remaining folds."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as above."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """The metric is ours."""
        return True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Called after every fold of a trial but its last."""
        stop = self._search.stops(result["folds"], result[_METRIC])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


class OnTune:
    """A runner on the Ray that is up."""

    def __init__(self, job: SweepJob, at_once: int) -> None:
        """`at_once` is the largest number of trials at a time."""
        self._job, self._at_once = job, at_once

    def each(self, work: str, pairs: Sequence[Pair], *arguments: Any) -> Iterator[tuple[Pair, Any]]:
        """What a method of the job says of every symbol, a task each."""
        task = ray.remote(num_cpus=1)(_task)
        shared = ray.put(self._job)
        asked = [task.remote(shared, work, pair, *arguments) for pair in pairs]
        yield from zip(pairs, ray.get(asked), strict=True)

    def trials(self, pairs: list[Pair], periods: Periods, search: Search, seconds: float | None) -> None:
        """Run all trials."""
        until = None if seconds is None else time.monotonic() + seconds
        given = {"job": self._job, "pairs": pairs, "periods": periods}
        with _quiet_folder() as folder:
            tune.Tuner(
                tune.with_resources(tune.with_parameters(SweepTrial, **given), {"cpu": 1}),
                tune_config=tune.TuneConfig(
                    search_alg=_RoundSearch(search, until),
                    scheduler=_RoundHalving(search),
                    num_samples=-1,
                    max_concurrent_trials=self._at_once,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=self._job.run_id,
                    storage_path=folder,
                    verbose=0,
                    failure_config=tune.FailureConfig(max_failures=_ATTEMPTS),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            ).fit()


def concurrency(wanted: int | None, is_own: bool) -> int:
    """How many trials at a time: all CPUs of a Ray of our own; of a shared one half, the rest is left to it.

    Raises ConfigError where more are wanted than there are CPUs.
    """
    cpus = int(ray.cluster_resources().get("CPU", 1))
    if wanted is None:
        return max(1, cpus if is_own else cpus // 2)
    if not 1 <= wanted <= cpus:
        raise ConfigError(f"{wanted} at a time can't be", "--max-concurrent", f"use 1 to {cpus}")
    return wanted


def _task(job: SweepJob, work: str, *arguments: Any) -> Any:
    be_polite()
    method: Callable[..., Any] = getattr(job, work)
    return method(*arguments)


@contextmanager
def _quiet_folder() -> Iterator[str]:
    """A folder for Tune's state, without files of each trial; our lines are all that is said."""
    before = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    try:
        with tempfile.TemporaryDirectory(prefix="tickcast-sweep-") as folder:
            yield folder
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
