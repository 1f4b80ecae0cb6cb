from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from features.errors import DataError
from jobs.sweeping import sweep
from jobs.sweeping.data import Pair
from jobs.sweeping.in_process import InProcess
from jobs.sweeping.job import SweepJob, TrialRun
from jobs.sweeping.search import FAILED, Search, Suggestion, failed_row
from jobs.sweeping.settings import Periods
from tests.unit.jobs.sweeping.lakes import VENUE, job_of, lake_of, settings, walk

PAIRS = [(VENUE, "A"), (VENUE, "B")]
QUICK = {"horizon": "4m", "features": {"one": ["log_return:1"]}, "model": "ew_mean", "rule": "long"}


class Dying:
    """A runner that loses the processes of some trials."""

    def __init__(self, job: SweepJob, numbers: Sequence[int]) -> None:
        self._job, self._inner, self._numbers = job, InProcess(job), numbers

    def each(self, work: str, pairs: Sequence[Pair], *arguments: Any) -> Iterator[tuple[Pair, Any]]:
        return self._inner.each(work, pairs, *arguments)

    def trials(self, pairs: list[Pair], periods: Periods, search: Search, seconds: float | None) -> None:
        while isinstance(found := search.next(), Suggestion):
            if found.number in self._numbers:
                search.finish(failed_row(found.number, found.point, {}, "its process died"), again=True)
                continue
            trial = TrialRun(self._job, pairs, periods, found)
            while not trial.step():
                pass
            search.finish(trial.row())


def run(
    job: SweepJob, died: Sequence[int], pairs: Sequence[Pair] = PAIRS
) -> tuple[dict[str, Any], list[int]]:
    reported = []
    found = sweep.run(
        job, Dying(job, died), pairs, lambda row, best: reported.append(row["number"]), lambda text: None
    )
    return found, reported


def test_what_died_is_tried_again_until_the_sweep_is_whole(tmp_path: Path) -> None:
    lake_of(tmp_path, A=walk(600, 1), B=walk(600, 2))
    job = job_of(tmp_path, tmp_path / "out", settings(space=QUICK))
    manifest, _ = run(job, range(6))
    assert manifest["winner"] is None and "its process died" in manifest["why_no_winner"]
    assert job.open_results().finished() is None and job.open_results().rows() == {}
    manifest, reported = run(job, [2])
    assert reported == [0, 1, 2, 3, 4, 5] and manifest["counts"]["failed"] == 1
    assert job.open_results().finished() is not None
    assert job.open_results().rows()[2]["status"] == FAILED


def test_symbols_that_can_not_be_used_are_told(tmp_path: Path) -> None:
    lake_of(tmp_path, A=walk(600, 1), B=walk(600, 2), NONE=walk(1, 3))
    job = job_of(tmp_path, tmp_path / "out", settings(space=QUICK | {"sampling": "2m"}, trials=1))
    manifest, _ = run(job, [], [*PAIRS, (VENUE, "NONE")])
    assert manifest["left_out"] == {"test NONE": "no bars in this period"}
    assert manifest["symbols"] == [[VENUE, "A"], [VENUE, "B"]]
    with pytest.raises(DataError, match="no symbol can be used"):
        run(job, [], [(VENUE, "NONE")])
