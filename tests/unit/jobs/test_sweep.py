"""The whole job in this process, as a user starts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from cluster.registry import Registry
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from jobs import command_line, sweep
from jobs.sweeping import job as job_module
from jobs.sweeping.results import SweepResults
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS, candles
from tests.unit.jobs.sweeping.lakes import SPACE, lake_of, walk

UNEQUAL = ("seconds", "split", "data_seconds", "created_at_ns", "where", "at_ns")


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    steady = candles(START_NS + MINUTE_NS * (1 + pa.array(range(1_200)).to_numpy()))
    price = pa.array([7.0] * 1_200)
    for name in ("open", "high", "low", "close"):
        steady = steady.set_column(steady.schema.get_field_index(name), name, price)
    lake_of(tmp_path / "lake", A=walk(1_200, 1), B=walk(1_200, 2), STEADY=steady, SHORT=walk(1, 3))
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return tmp_path / "lake"


def run(lake: Path, *words: str) -> tuple[int, list[str]]:
    given = ["--lake", str(lake), "--local", "--json", "--trials", "8", "--round", "4", "--folds", "2"]
    given += ["--space", str(lake.parent / "space.yaml"), *words]
    return command_line.main(sweep.parser(), sweep.run, given), given


def result(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def same(values: Any) -> Any:
    """What must be equal of two equal sweeps."""
    if isinstance(values, dict):
        return {name: same(value) for name, value in values.items() if name not in UNEQUAL}
    return values


def rows_of(place: Path, run_id: str) -> dict[int, Any]:
    rows = SweepResults(open_store(StoreSpec(uri=str(place))), run_id).rows()
    return {number: same(row) for number, row in rows.items()}


def test_a_sweep_that_was_killed_comes_to_the_same(
    lake: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(lake, "--out", str(lake.parent / "whole"))[0] == 0
    whole = result(capsys.readouterr().out)
    assert whole["counts"]["trials"] == 8 and whole["counts"]["failed"] == 0
    assert whole["holdout"]["trial"] == whole["winner"]["number"]
    stepped = job_module.TrialRun.step
    steps = 0

    def dies(self: Any) -> bool:
        nonlocal steps
        steps += 1
        if steps == 8:
            raise KeyboardInterrupt
        return stepped(self)

    out = lake.parent / "out"
    with monkeypatch.context() as patched:
        patched.setattr(job_module.TrialRun, "step", dies)
        assert run(lake, "--out", str(out))[0] == 130
    done = rows_of(out, whole["run_id"])
    assert 0 < len(done) < 8
    assert run(lake, "--out", str(out))[0] == 0
    said = capsys.readouterr().out
    assert f"{len(done)} trials were over before" in said
    assert same(result(said)) == same(whole)
    assert rows_of(out, whole["run_id"]) == rows_of(lake.parent / "whole", whole["run_id"])
    # Once more: it is shown again, and nothing is looked at.
    assert run(lake, "--out", str(out))[0] == 0
    again = capsys.readouterr().out
    assert "done before" in again and result(again)["holdout"] == result(said)["holdout"]
    # Even where the trials are run anew.
    assert run(lake, "--out", str(out), "--again")[0] == 0
    anew = capsys.readouterr().out
    assert "trial 8 of 8" in anew and result(anew)["holdout"] == result(said)["holdout"]
    assert same(result(anew)) == same(whole)


def test_the_winner_is_published_and_odd_symbols_are_told(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--space", "model=lightgbm", "--space", "horizon=4m", "--space", "sampling=1m", "--trials", "2")
    assert run(lake, *words, "--publish")[0] == 0
    found = result(capsys.readouterr().out)
    registry = Registry(open_store(StoreSpec(uri=str(lake))))
    assert registry.versions() == [found["published"]] == [1]
    about = registry.manifest(1)
    assert about["sweep"] == found["run_id"] and about["holdout"] == found["holdout"]
    assert registry.load(1).horizons.keys() == {"4m"}
    # One row can't be traded in the folds, but is no reason to fail.
    assert found["counts"]["failed"] == 0 and len(found["symbols"]) == 4
    assert run(lake, *words, "--publish")[0] == 0
    assert registry.versions() == [1]


def test_a_table_for_people_and_an_end_in_time(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = lake.parent / "sweep.html"
    words = [word for word in run(lake, "--trials", "1")[1] if word != "--json"]
    words += ["--trials", "4", "--time-budget", "1ms", "--report", str(page)]
    capsys.readouterr()
    assert command_line.main(sweep.parser(), sweep.run, words) == 0
    assert "Parameter sweep" in page.read_text() and "winner: trial 1;" in page.read_text()
    said = capsys.readouterr().out
    assert "winner: trial 1;" in said and "held out, from " in said and "% learning" in said
    assert "1 trials: 1 whole" in said


def test_what_can_not_be_asked_is_one_line(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--space", "horizon=7s"], ["--holdout", "400d"], ["--trials", "0"], ["--symbol", "NONE"]):
        assert run(lake, *words)[0] == 2
        assert capsys.readouterr().err.count("\n") == 1
