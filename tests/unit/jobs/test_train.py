"""`python -m jobs.train` in this process: from a lake to a version of the registry, whatever is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.registry import Registry
from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import durations
from features.bars import BarSpec
from features.engine import EngineSpec, SymbolEngine
from features.models.package import ModelPackage
from features.spec import FeatureSet
from jobs import command_line, train
from jobs.history.reader import History
from jobs.history.spec import HistorySpec
from jobs.training import job as training_job
from tests.unit.cluster.storage.lake_rows import VENUE
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS, candles
from tests.unit.jobs.training.rows import prices

FEATURES = ["log_return:1", "log_return:3"]
SMALL = ["--features", *FEATURES, "--horizon", "1m", "--horizon", "5m", "--rounds", "20", "--early-stop", "5"]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Days of symbols of every sort: two to learn from, one that starts late, rests, or is one row."""
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    made = Lake(store)
    ends = START_NS + MINUTE_NS * np.arange(1, 2_001)
    for symbol, close in (
        ("AAA", prices(2_000, 1, 0.5)),
        ("BBB", prices(2_000, 2, 0.5)),
        ("STILL", np.full(2_000, 7.0)),
    ):
        made.write("candles", VENUE, symbol, 0, candles(ends, close=close, open=close, high=close, low=close))
    made.write("candles", VENUE, "LATE", 0, candles(ends[-50:]))
    made.write("candles", VENUE, "ONE", 0, candles(ends[:1]))
    return made


def run(lake: Lake, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run the job with `--json` in this process; its result."""
    line = ["--lake", lake.store.uri, *SMALL, "--local", "--json", *words]
    said = command_line.main(train.parser(), train.run, line)
    captured = capsys.readouterr()
    assert said == code, captured.err
    return dict(json.loads(captured.out.splitlines()[-1])) if code != 2 else {"error": captured.err}


def by_symbol(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["symbols"][0].split()[1]: row for row in result["models"]}


def test_every_symbol_has_a_row(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """A version, or the reason why there is none; what is published can be loaded and asked."""
    result = run(lake, capsys)
    rows = by_symbol(result)
    assert (result["published"], result["skipped"], result["failed"]) == (2, 3, 0)
    assert "the price never moved" in rows["STILL"]["skipped"]
    assert "below 200" in rows["LATE"]["skipped"] and "0 rows" in rows["ONE"]["skipped"]
    registry = Registry(lake.store)
    assert registry.versions() == [1, 2] == [rows[name]["version"] for name in ("AAA", "BBB")]
    manifest, model = registry.manifest(1), registry.load(1)
    assert manifest["symbols"] == [[VENUE, "AAA"]] and manifest["scope"] == "symbol"
    assert manifest["metrics"]["1m"]["raw"]["skill"] > 0.05
    assert manifest["features"] == FEATURES and manifest["bars"]["size"] == MINUTE_NS
    assert manifest["feature_digest"] == FeatureSet.parse(FEATURES).digest
    for name in (
        "library",
        "parameters",
        "period",
        "training_set_digest",
        "code_version",
        "created_ns",
        "seed",
    ):
        assert manifest[name] is not None
    assert isinstance(model, ModelPackage) and model.digest == manifest["package_digest"]
    assert model.coverage == 0.9 and list(model.horizons) == ["1m", "5m"]


def test_what_is_published_runs_in_an_engine(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """As a challenger from the first bar on, with features and scales as in training; it beats naive."""
    run(lake, capsys, "--symbol", "AAA")
    model = Registry(lake.store).load(1)
    bars = BarSpec("time", MINUTE_NS)
    engine = SymbolEngine(EngineSpec("AAA", bars, tuple(FEATURES), ("1m", "5m"), ("naive",)))
    engine.swap(1, 1, model)
    for part in History(lake, HistorySpec("candles:1m")).bars(VENUE, "AAA"):
        engine.update_bars(part)
    found = {one.score.horizon: one for one in engine.scores() if one.version == 1}
    assert found["1m"].score.lifetime.r2 > 0.05 and found["1m"].score.lifetime.coverage > 0.8


def test_an_equal_run_publishes_nothing_twice(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """A killed run goes on; other settings, other data and --again train anew, the last with equal bits."""
    first = by_symbol(run(lake, capsys, "--symbol", "AAA"))["AAA"]
    both = by_symbol(run(lake, capsys, "--symbol", "AAA", "--symbol", "BBB"))
    assert both["AAA"]["version"] == first["version"] == 1 and both["BBB"]["version"] == 2
    again = by_symbol(run(lake, capsys, "--symbol", "AAA", "--again"))["AAA"]
    assert again["version"] == 3 and again["package_digest"] == first["package_digest"]
    other = by_symbol(run(lake, capsys, "--symbol", "AAA", "--seed", "9"))["AAA"]
    assert other["version"] == 4 and other["training_set_digest"] == first["training_set_digest"]
    dry = run(lake, capsys, "--symbol", "AAA", "--seed", "8", "--dry-run")
    assert dry["published"] == 0 and by_symbol(dry)["AAA"]["package_digest"]
    lake.write("candles", VENUE, "AAA", 1, candles([START_NS + MINUTE_NS * 2_001]))
    assert by_symbol(run(lake, capsys, "--symbol", "AAA"))["AAA"]["version"] == 5


def test_one_model_for_all(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Pooled rows of every symbol that has some."""
    result = run(lake, capsys, "--pooled", "--library", "lightgbm", "--heads", "mean", "--threads", "1")
    (row,) = result["models"]
    assert row["scope"] == "pooled" and len(row["symbols"]) == 5 and row["version"] == 1
    manifest = Registry(lake.store).manifest(1)
    assert manifest["library"] == "lightgbm" and len(manifest["symbols"]) == 5
    known = [by_symbol(run(lake, capsys, "--symbol", name))[name] for name in ("AAA", "BBB")]
    assert manifest["metrics"]["1m"]["rows"] > sum(one["metrics"]["1m"]["rows"] for one in known)


def test_a_period_without_rows(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """Is a row that says so."""
    result = run(lake, capsys, "--symbol", "AAA", "--from", "2030-01-01")
    assert result["skipped"] == 1 and "0 rows" in result["models"][0]["skipped"]


def test_a_symbol_whose_rows_can_not_be(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is skipped alone, and left out of a pool."""
    read = training_job.RowSource.read

    def broken(self: Any, venue: str, symbol: str) -> Any:
        if symbol == "BBB":
            raise training_job.DataError("a bar has a price that can't be")
        return read(self, venue, symbol)

    monkeypatch.setattr(training_job.RowSource, "read", broken)
    rows = by_symbol(run(lake, capsys, "--symbol", "AAA", "--symbol", "BBB"))
    assert rows["AAA"]["version"] == 1 and "can't be" in rows["BBB"]["skipped"]
    (pool,) = run(lake, capsys, "--pooled", "--threads", "1")["models"]
    assert pool["left_out"] == {"BBB": "a bar has a price that can't be"} and pool["version"] == 2


def test_settings_that_can_not_be(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to change, and exit code 2."""
    for words, what in (
        (["--parameter", "max_dept=3"], "did you mean max_depth"),
        (["--heads", "quantiles"], "heads quantiles can't be"),
        (["--symbol", "ZZZ"], "ZZZ is not in this lake"),
        (["--workers", "0"], "below 1"),
        (["--embargo", "soon"], "is not a duration"),
    ):
        assert what in run(lake, capsys, *words, code=2)["error"]


def test_the_line_of_a_model_shows_what_is_not_known() -> None:
    """A skill that can't be told is a question mark."""
    raw = {"skill": None, "skill_low": None, "skill_high": None}
    row = {
        "symbols": ["v A"],
        "version": 3,
        "rows": 10,
        "metrics": {"1m": {"raw": raw, "slope": {"trusted": 0.0}}},
    }
    assert "1m saves ? of naive's squared error (? to ?)" in train._line(row)
    assert durations.parse_ns("1m") == MINUTE_NS
