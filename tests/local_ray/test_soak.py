"""A soak in a minute: segments that roll every five seconds, and nothing that grows or gets lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.local_ray.conftest import ROOT

SYMBOLS, TICKS_PER_S, MINUTES = 4, 400, 1.1
ROLL_AFTER_S, CHECKPOINT_EVERY_S = 5, 2
WARM_UP_S = 30.0
GROWTH_MB = 3.0
"""What an actor may take on in the half minute after the warm-up; some 0.7 MB are usual. A leak of 0.1 MB a
second shows here, smaller ones in an hour of `python -m tests.bench.soak`."""
pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `python -m tests.bench.soak` has noted in a minute."""
    notes = tmp_path_factory.mktemp("soak") / "soak.json"
    words = {
        "--minutes": MINUTES,
        "--symbols": SYMBOLS,
        "--ticks-per-s": TICKS_PER_S,
        "--roll-after-s": ROLL_AFTER_S,
        "--checkpoint-every-s": CHECKPOINT_EVERY_S,
        "--every-s": 2,
        "--json": notes,
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.soak"]
    command += [str(word) for pair in words.items() for word in pair]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = process.communicate()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)  # it ends what it has started
            process.communicate()
    assert notes.exists(), said
    noted: dict[str, Any] = json.loads(notes.read_text())
    return noted | {"exit_code": process.returncode, "said": said}


def last(soak: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = soak["readings"][-1]
    return found


def test_no_verdict_fails(soak: dict[str, Any]) -> None:
    failed = [one for one in soak["verdicts"] if one["passed"] is False]
    assert failed == [], soak["said"]
    assert soak["exit_code"] == 0


def test_nothing_is_missing_doubled_or_restarted(soak: dict[str, Any]) -> None:
    assert last(soak)["ticks"] > 0.5 * TICKS_PER_S * 60 * MINUTES
    assert {name: count for name, count in last(soak)["counters"].items() if count} == {}


def test_the_lake_holds_every_trade_up_to_the_last_roll(soak: dict[str, Any]) -> None:
    assert len(soak["lake"]) == SYMBOLS
    for symbol, held in soak["lake"].items():
        assert held["problem"] == "", symbol
        assert held["trades"] > 0.5 * TICKS_PER_S / SYMBOLS * 60 * MINUTES, symbol


def test_segments_are_deleted_once_checkpoints_and_lake_cover_them(soak: dict[str, Any]) -> None:
    rolls = 60 * MINUTES / ROLL_AFTER_S
    for symbol, log in last(soak)["logs"].items():
        assert log["removed"] >= 0.5 * rolls, symbol
        assert log["segments"] <= 0.5 * rolls, symbol


def test_the_log_folder_is_bounded(soak: dict[str, Any]) -> None:
    # A segment as it grows, then until three checkpoints are past it; ten seconds for a busy machine.
    held_s = ROLL_AFTER_S + 3 * CHECKPOINT_EVERY_S + 10
    for reading in soak["readings"]:
        for symbol, log in reading["logs"].items():
            assert log["oldest_s"] <= held_s, (symbol, reading["at_s"])
    for symbol in soak["lake"]:
        logs = [reading["logs"][symbol] for reading in soak["readings"]]
        bytes_per_s = max(log["bytes_per_s"] for log in logs)
        checkpoint = max(log["checkpoint_bytes"] for log in logs)
        assert bytes_per_s > 0
        assert max(log["bytes"] for log in logs) <= 1.5 * bytes_per_s * held_s + 10 * checkpoint, symbol


def test_actors_do_not_grow_after_the_warm_up(soak: dict[str, Any]) -> None:
    warm = next(one for one in soak["readings"] if one["at_s"] >= WARM_UP_S)
    assert last(soak)["at_s"] - warm["at_s"] >= 20.0
    for symbol, before_mb in warm["actors_mb"].items():
        assert last(soak)["actors_mb"][symbol] - before_mb <= GROWTH_MB, symbol
