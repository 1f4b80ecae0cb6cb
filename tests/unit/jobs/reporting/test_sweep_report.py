"""The report of a sweep shows every trial by the number that the sweep gives it, and the winner's luck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.storage.folder_store import FolderStore
from features.errors import DataError
from jobs.reporting.sweep_report import sweep_report, write_sweep_report
from jobs.sweeping.results import SweepResults
from tests.unit.jobs.reporting.pages import check


@pytest.fixture
def results(tmp_path: Path) -> SweepResults:
    """An empty sweep."""
    store = FolderStore(tmp_path)
    store.prepare()
    return SweepResults(store, "sweep1")


def row(number: int, objective: float | None, status: str = "finished", **point: Any) -> dict[str, Any]:
    return {
        "number": number,
        "point": {"features": "all", **point},
        "spec": {"horizon": "5m"},
        "status": status,
        "objective": objective,
        "skill": objective,
        "seconds": {"data": 0.5, "learn": 1.0, "score": 0.5} if objective is not None else {},
    }


def manifest(winner: dict[str, Any] | None, holdout: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "settings": {"objective": "skill", "space": {"horizon": "choice(5m)"}},
        "counts": {"trials": 3, "finished": 2, "stopped": 0, "failed": 1},
        "left_out": {"binance <X>": "no bars"},
        "winner": winner,
        "why_no_winner": "" if winner else "no trial was whole",
        "luck": {"trials": 3, "deflated_sharpe": 0.25, "overfitting_probability": None} if winner else None,
        "holdout": holdout,
        "published": None,
        "next": "",
        "seconds": 12.0,
        "split": {"data": 1.0, "learn": 2.0, "score": 1.0},
        "periods": {"folds": [[1, 2]], "holdout_ns": 2},
    }


HELD = {
    "skill": 0.004,
    "skill_low": 0.001,
    "skill_high": 0.007,
    "sharpe": 1.0,
    "total_return": 0.01,
    "start_ns": 1_700_000_000 * 10**9,
    "at_ns": 1_800_000_000 * 10**9,
    "looks_before": 2,
}


def test_every_trial_is_there_and_the_winner_is_told(results: SweepResults, tmp_path: Path) -> None:
    rows = [row(0, 0.0012345, rate=0.5), row(1, None, "failed", rate=0.25), row(2, 0.002, rate=0.125)]
    for one in rows:
        results.put_row(one)
    results.finish(manifest(rows[2], HELD))
    path = tmp_path / "sweep.html"
    assert write_sweep_report(results, path) == path.stat().st_size
    page = check(path.read_text())
    first, second, third = page.table("Every trial")
    assert first[:5] == ["1", "0.0012345", "finished", "all", "0.5"] and first[-1] == "2 s"
    assert second[:3] == ["2", "–", "failed"] and second[-1] == "–"
    assert third[0] == "3"
    assert page.view("trials-chart", "all")["traces"]["chosen"]["x"].tolist() == [3]
    assert "Trial 3: skill 0.002000." in page.text
    assert "It beats naive: skill 0.400 % (90 %: 0.100 to 0.700)." in page.text
    assert "after 3 trials: 25.0 %" in page.text
    assert "<X>" in page.text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.1, 0.1, "does not beat naive"), (-0.2, -0.1, "is worse than"), (None, None, "does not beat naive")],
)
def test_the_held_out_period_has_the_last_word(
    results: SweepResults, low: float | None, high: float | None, said: str
) -> None:
    results.put_row(row(0, 0.5))
    results.finish(manifest(row(0, 0.5), HELD | {"skill_low": low, "skill_high": high}))
    assert said in check(sweep_report(results).html()).text


def test_a_sweep_without_a_winner_or_a_trial_has_a_report(results: SweepResults) -> None:
    results.finish(manifest(None, None))
    page = check(sweep_report(results).html())
    assert "no trial was whole" in page.text and "No trial was run." in page.text


def test_an_unfinished_sweep_has_none(results: SweepResults) -> None:
    with pytest.raises(DataError, match="no finished sweep"):
        sweep_report(results)
