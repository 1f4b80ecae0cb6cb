from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features.models.package import ModelPackage
from features.trading import overfitting
from jobs.sweeping import verdict
from jobs.sweeping.job import SweepJob
from jobs.sweeping.results import SweepResults, table_of
from jobs.sweeping.search import FAILED, FINISHED, STOPPED, Row
from jobs.sweeping.settings import Periods, periods_of
from tests.unit.jobs.sweeping.lakes import VENUE, job_of, lake_of, settings, walk

PAIRS = [(VENUE, "A"), (VENUE, "B")]
ONLINE = {"sampling": "time:1m", "horizon": "4m", "features": ["log_return:1"], "model": "ridge:10,0.999"}


def row(number: int, status: str, objective: float | None, returns: Any = ()) -> Row:
    ends = [(1 + place) * 60_000_000_000 for place in range(len(returns))]
    base: Row = {"number": number, "point": {"features": "one"}, "status": status, "problem": ""}
    spec = ONLINE | {"rule": "forecast:0,1", "parameters": {}}
    return base | {
        "spec": spec,
        "objective": objective,
        "by_fold": [objective],
        "folds": 1,
        "returns": list(returns),
        "returns_end_ns": ends,
        "seconds": {"data": 0.0, "learn": 1.0, "score": 0.0},
    }


def test_the_winner_is_the_first_best_of_the_whole_trials() -> None:
    rows = [row(0, FINISHED, 0.1), row(1, STOPPED, 0.9), row(2, FINISHED, 0.2), row(3, FINISHED, 0.2)]
    rows += [row(4, FAILED, 5.0), row(5, FINISHED, None)]
    found = verdict.winner_of({one["number"]: one for one in rows})
    assert found is not None and found["number"] == 2
    assert verdict.winner_of({1: rows[1], 4: rows[4]}) is None


def test_luck_counts_every_trial_that_was_scored() -> None:
    random = np.random.default_rng(1)
    series = random.normal(0.02, 1.0, (5, 96))
    rows = {i: row(i, FINISHED, float(i), one) for i, one in enumerate(series)}
    rows[5] = row(5, STOPPED, 9.0, random.normal(0.0, 1.0, 40))
    rows[6] = row(6, FAILED, None)
    found = verdict.luck_of(rows, rows[4])
    sharpes = [overfitting.sharpe_ratio(np.array(rows[i]["returns"])) for i in range(6)]
    assert found["trials"] == 6 and found["whole_trials"] == 5
    assert found["deflated_sharpe"] == overfitting.deflated_sharpe(series[4], sharpes, 6.0)
    assert found["overfitting_probability"] == overfitting.backtest_overfitting(series.T, 16).probability


@pytest.fixture
def job(tmp_path: Path) -> SweepJob:
    lake_of(tmp_path, A=walk(3_000, 1), B=walk(3_000, 2))
    return job_of(tmp_path, tmp_path / "out", settings())


def periods(job: SweepJob) -> Periods:
    spans = [job.span(pair)[0] or (0, 0) for pair in PAIRS]
    found = periods_of(job.settings, spans[0][0], spans[0][1])
    for pair in PAIRS:
        job.prepare(pair, found.holdout_ns)
    return found


def test_what_is_held_out_is_looked_at_once(job: SweepJob, monkeypatch: pytest.MonkeyPatch) -> None:
    winner, found = row(3, FINISHED, 0.1), periods(job)
    first = verdict.look_once(job, PAIRS, found, winner)
    assert first["answers"] == 2 * (600 - 4) and first["trial"] == 3 and first["looks_before"] == 0
    assert first["skill_low"] < first["skill"] < first["skill_high"] and first["skill"] > 0.005
    # Again, whoever has won by then: the score stays, and nobody looks.
    monkeypatch.setattr(verdict, "look", lambda *given: pytest.fail("looked again"))
    assert verdict.look_once(job, PAIRS, found, row(4, FINISHED, 0.2)) == first


def test_another_sweep_is_told_that_somebody_has_looked(job: SweepJob, tmp_path: Path) -> None:
    found = periods(job)
    verdict.look_once(job, PAIRS, found, row(3, FINISHED, 0.1))
    other = job_of(tmp_path, tmp_path / "out", settings(seed=99))
    assert verdict.look_once(other, PAIRS, found, row(3, FINISHED, 0.1))["looks_before"] == 1


def test_a_trained_winner_is_kept_as_the_model_that_was_scored(job: SweepJob) -> None:
    winner, found = row(0, FINISHED, 0.1), periods(job)
    winner["spec"] |= {"model": "lightgbm", "parameters": {"rounds": 40}}
    score = verdict.look_once(job, PAIRS, found, winner)
    data = job.open_results().package()
    assert data is not None and score["answers"] > 1_000
    package = ModelPackage.from_bytes(data)
    assert list(package.horizons) == ["4m"] and package.horizons["4m"].up is not None
    assert verdict.look(job, PAIRS, found, winner).package.digest == package.digest  # type: ignore[union-attr]


def test_nothing_held_out_still_gives_a_model(tmp_path: Path) -> None:
    lake_of(tmp_path, A=walk(1_500, 1), B=walk(1_500, 2))
    job = job_of(tmp_path, tmp_path / "out", settings(holdout="0"))
    winner, found = row(0, FINISHED, 0.1), periods(job)
    assert verdict.look_once(job, PAIRS, found, winner)["problem"] == "there are no bars in it"
    winner["spec"] |= {"model": "lightgbm", "parameters": {"rounds": 5}}
    assert verdict.look(job, PAIRS, found, winner).package is not None


def test_rows_are_one_table_and_damage_is_said(tmp_path: Path) -> None:
    rows = [row(1, FINISHED, 0.5, [0.25]), row(0, FAILED, None)]
    found = table_of(rows)
    assert found.column("number").to_pylist() == [0, 1]
    assert found.column("returns").to_pylist() == [[], [0.25]]
    store = open_store(StoreSpec(uri=str(tmp_path)))
    store.prepare()
    results = SweepResults(store, "x")
    for one in rows:
        results.put_row(one)
    assert list(results.rows()) == [0, 1] and results.rows()[1] == rows[0]
    store.put("sweeps/x/trials/000000.json", b"{")
    with pytest.raises(Exception, match="damaged"):
        results.rows()
