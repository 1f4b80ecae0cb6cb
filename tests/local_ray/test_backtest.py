"""A backtest on Ray Data is a backtest in one process, to the last bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.storage.lake import Lake
from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from jobs.backtesting.result import Results
from tests.local_ray.conftest import ROOT
from tests.unit.jobs.backtesting.histories import rows
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS, candles

pytestmark = pytest.mark.ray


def backtest(*words: str) -> dict[str, Any]:
    """Run the job as a user would; its result."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "jobs.backtest", *words, "--json"],
        cwd=ROOT,
        env=environment | {"RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_three_symbols_on_ray_are_those_of_one_process(tmp_path: Path) -> None:
    """Every row of every table, every digest and the summary; one of the symbols has nothing to score."""
    store = open_store(StoreSpec(uri=str(tmp_path / "lake")))
    store.prepare()
    lake = Lake(store)
    ends = START_NS + MINUTE_NS * np.arange(1, 800)
    for seed, symbol in enumerate(("AAA", "BBB", "ONE")):
        many = 1 if symbol == "ONE" else len(ends)
        close = 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0, 1e-3, many)))
        prices = {"open": close, "high": close + 1.0, "low": close - 1.0, "close": close}
        lake.write("candles", "venue", symbol, 0, candles(ends[:many], **prices))
    words = ["--lake", store.uri, "--rule", "crossover:3,10", "--rule", "forecast:0.5"]
    alone = backtest(*words, "--local", "--out", str(tmp_path / "alone"))
    on_ray = backtest(*words, "--out", str(tmp_path / "ray"))
    assert alone["run_id"] == on_ray["run_id"]
    assert alone["summary"] == on_ray["summary"]
    found = []
    for folder in ("alone", "ray"):
        results = Results(open_store(StoreSpec(uri=str(tmp_path / folder))), alone["run_id"])
        found.append([(one.engine, one.rules, rows(results, one)) for one in results.manifest().symbols])
    assert found[0] == found[1]
    assert len(found[0]) == 3
