"""Benchmark: where the time of a sweep goes, on 13 symbols of real minutes.

A sweep that computes bars and features again for every trial spends its time there. Ours computes them once;
the table says what is left of it beside learning. The lake is filled first, which is not measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.suite import Benchmark, Case, Column, Effort, Sample, Table

_ROOT = Path(__file__).resolve().parents[2]
_FILE = _ROOT.parent / "shared/data/bars_1m/binance_spot_usdt_2023-03_05.parquet"
_SYMBOLS = ("BTCUSDT", "ETHUSDT")
_TRIALS = 50


def _job(name: str, *words: str) -> dict[str, Any]:
    """The result of a job."""
    command = [sys.executable, "-m", f"jobs.{name}", "--json", *words]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _sweep(effort: Effort, where: tuple[str, ...]) -> Sample:
    sample = Sample()
    trials = effort.pick(_TRIALS, 4)
    with tempfile.TemporaryDirectory() as folder:
        _job("backfill", "--lake", folder, "--venue", "binance", str(_FILE))
        words = ["--lake", folder, "--trials", str(trials), *where]
        if effort.quick:
            words += [word for symbol in _SYMBOLS for word in ("--symbol", symbol)]
        found = _job("sweep", *words)
    split = found["split"]
    sample.add(
        f"{trials} trials, {len(found['symbols'])} symbols",
        wall=found["seconds"],
        read=found["data_seconds"]["read"],
        features=found["data_seconds"]["features"],
        data=split["data"],
        learn=split["learn"],
        score=split["score"],
        learning=100.0 * split["learn"] / sum(split.values()),
    )
    counts = found["counts"]
    sample.notes.append(
        f"{counts['finished']} trials went through all folds, {counts['stopped']} were stopped early"
    )
    return sample


_CASES: dict[str, Case] = {"on Ray": partial(_sweep, where=())}

BENCHMARK = Benchmark(
    "sweep",
    "where the time of a sweep goes",
    _CASES,
    (
        Table(
            "seconds; all but the first column are processes' time, summed",
            (
                Column("wall", "sweep, s"),
                Column("read", "reading bars, s"),
                Column("features", "features and labels, s"),
                Column("data", "data in all, s"),
                Column("learn", "learning, s"),
                Column("score", "scoring, s"),
                Column("learning", "learning, %"),
            ),
        ),
    ),
    rounds=1,
    limit_s=900.0,
    missing=lambda: "" if _FILE.exists() else "no ../shared folder with real market data",
)
