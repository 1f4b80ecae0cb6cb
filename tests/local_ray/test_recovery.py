"""Whatever is killed goes on with the state it had, while the others answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster import names
from tests.local_ray.conftest import ROOT, SYMBOLS, TRADES, Tickcast, wait_for
from tests.local_ray.test_replay import batch_engine

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def all_live(run: Tickcast) -> Any:
    """Every symbol's status once all are live and have everything."""
    symbols = run.symbols()
    done = all(
        one["state"] == "live" and one.get("continuity", {}).get("seen") == TRADES
        for name, one in symbols.items()
        if name in SYMBOLS
    )
    return done and symbols


def resumed(run: Tickcast, symbol: str, old_pid: int) -> dict[str, Any]:
    """The status of a symbol once another process is live for it, in the state of one batch."""

    def look() -> Any:
        one = run.symbols()[symbol]
        return one["state"] == "live" and one["pid"] != old_pid and one

    status: dict[str, Any] = wait_for(f"another process for {symbol}", look)
    assert run.ask(names.symbol_actor(symbol), "digest") == batch_engine(run, symbol).digest()
    return status


def test_a_killed_actor_resumes_exactly_while_the_others_answer(replayed: Tickcast) -> None:
    before = wait_for("all live", lambda: all_live(replayed))["CC-1"]
    with replayed.api as api:
        made = api.get("/v1/forecasts/CC-1").json()
        os.kill(before["pid"], signal.SIGKILL)
        assert api.get("/v1/forecasts/AAA").status_code == 200
        refused = wait_for(
            "a refusal", lambda: (r := api.get("/v1/forecasts/CC-1")).status_code == 503 and r, 10.0
        )
        assert int(refused.headers["retry-after"]) >= 1
        after = resumed(replayed, "CC-1", before["pid"])
        wait_for("its forecasts again", lambda: api.get("/v1/forecasts/CC-1").status_code == 200)
        again = api.get("/v1/forecasts/CC-1").json()
        for one in (*made["forecasts"], *again["forecasts"]):
            del one["age_s"]
        assert again == made, "the tape is over: nothing can have changed"
        continuity = api.get("/v1/continuity/CC-1").json()
        assert api.get("/v1/forecasts/BBB").status_code == 200
    assert after["epoch"] > before["epoch"]
    assert (continuity["seen"], continuity["missing"]) == (TRADES, 0)
    assert continuity["storage"]["next_sequence"] == TRADES


def test_a_stopped_process_is_found_and_replaced(replayed: Tickcast) -> None:
    before = wait_for("all live", lambda: all_live(replayed))["BBB"]
    os.kill(before["pid"], signal.SIGSTOP)
    resumed(replayed, "BBB", before["pid"])
    assert not psutil.pid_exists(before["pid"]) or psutil.Process(before["pid"]).status() == "zombie"


def test_a_new_supervisor_takes_over_the_actors_that_are_alive(replayed: Tickcast) -> None:
    before = wait_for("all live", lambda: all_live(replayed))
    replayed.ask(names.SUPERVISOR, "add", "LATER")
    old = replayed.ask(names.SUPERVISOR, "nodes")["supervisor_pid"]
    os.kill(old, signal.SIGKILL)
    with replayed.api as api:
        assert api.get("/v1/forecasts/AAA").status_code == 200

        def another() -> Any:
            try:
                return replayed.ask(names.SUPERVISOR, "nodes")["supervisor_pid"] != old
            except AssertionError:
                return False  # not there yet

        wait_for("another supervisor", another)
        after = wait_for("all live", lambda: all_live(replayed))
        assert {name: after[name]["pid"] for name in SYMBOLS} == {
            name: before[name]["pid"] for name in SYMBOLS
        }
        assert "LATER" in after, "what was added at run time is watched on"
        assert api.get("/v1/forecasts/AAA").status_code == 200
    replayed.ask(names.SUPERVISOR, "remove", "LATER")


def test_a_symbol_that_keeps_failing_is_tried_ever_more_slowly_and_alone(replayed: Tickcast) -> None:
    wait_for("all live", lambda: all_live(replayed))
    # Its log can't be opened: a folder stands where the lock should be.
    (replayed.folder / "data" / "log" / "binance" / "BROKEN" / "lock").mkdir(parents=True)
    replayed.ask(names.SUPERVISOR, "add", "BROKEN")

    def failing() -> Any:
        one = replayed.symbols()["BROKEN"]
        return one["state"] == "failed" and one["replaced"] >= 2 and one

    status = wait_for("it was tried again", failing, 60.0)
    assert "lock" in status["reason"]
    assert set(SYMBOLS) <= {name for name, one in replayed.symbols().items() if one["state"] == "live"}
    replayed.ask(names.SUPERVISOR, "remove", "BROKEN")


def parity(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """What `jobs.parity` says of a lake, with its exit code."""
    words = [sys.executable, "-m", "jobs.parity", "--lake", str(folder), "--json", *more]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@contextmanager
def one_byte_flipped(path: Path) -> Iterator[None]:
    data = path.read_bytes()
    spoilt = bytearray(data)
    spoilt[len(data) // 2] ^= 1
    path.write_bytes(spoilt)
    try:
        yield
    finally:
        path.write_bytes(data)


def test_what_the_actors_wrote_is_what_a_batch_makes_of_the_stored_ticks(replayed: Tickcast) -> None:
    lake = replayed.folder / "lake"

    def all_stored() -> Any:
        code, found = parity(lake)
        return found["ticks"] == len(SYMBOLS) * TRADES and (code, found)

    code, found = wait_for("all ticks in the lake", all_stored)
    assert (code, found["same"], found["differences"]) == (0, True, 0)
    assert found["rows"] > 10_000
    for table in ("trades", "bars", "features", "forecasts", "answers"):
        path = sorted((lake / table).rglob("*.parquet"))[0]
        with one_byte_flipped(path):
            code, found = parity(lake)
        assert code == 1
        assert path.name in found["first_difference"]
