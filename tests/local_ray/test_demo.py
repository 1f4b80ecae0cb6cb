"""The demonstration, and the faults of a venue, on real Ray."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local_ray.conftest import ROOT, Tickcast, free_ports, wait_for

DEMO_SYMBOLS = {"BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT"}
pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tickcast, subprocess.Popen[bytes]]]:
    """`python -m cluster demo` in the foreground, as `make demo` runs it."""
    folder = tmp_path_factory.mktemp("demo")
    run = Tickcast(folder, {"serve": {"port": free_ports(1)[0]}})
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            run.command("demo", "--port", str(run.settings["serve"]["port"])),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Whatever runs the tests in the background may have set it to be ignored.
            preexec_fn=_listen_to_ctrl_c,
        )
    try:
        yield run, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        run.down()


def _listen_to_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def answers(run: Tickcast) -> dict[str, Any] | None:
    """The forecasts of all symbols once there is one for each."""
    try:
        with run.api as api:
            symbols = [one["symbol"] for one in api.get("/v1/symbols").json()["symbols"]]
            said: dict[str, Any] = api.post("/v1/forecasts", json={"symbols": symbols}).json()
    except (httpx.HTTPError, ValueError, KeyError):
        return None
    ready = {one["symbol"] for one in said.get("forecasts", [])}
    return said if ready == DEMO_SYMBOLS else None


def test_every_symbol_has_a_first_forecast_within_two_minutes(
    demo: tuple[Tickcast, subprocess.Popen[bytes]],
) -> None:
    run, _ = demo
    said = wait_for("a forecast for every symbol", lambda: answers(run), limit_s=120)
    assert {one["horizon"] for one in said["forecasts"]} == {"10s", "60s"}


def test_the_faults_of_a_venue_are_survived_and_counted(
    demo: tuple[Tickcast, subprocess.Popen[bytes]],
) -> None:
    run, _ = demo
    wait_for("a forecast for every symbol", lambda: answers(run), limit_s=120)
    rest_url = run.status()["exchange"]["rest_url"]

    def told() -> dict[str, int]:
        one = run.symbols()["ETHUSDT"]
        extra = {"sequence": one["sequence"], "live": one["state"] == "live"}
        return {**one["continuity"], **one["messages"], **extra}

    # Fault, times, what it shows in the counters, by how much.
    faults = [
        ("duplicate", 3, "duplicates", 3),
        ("drop", 2, "trades_filled", 2),
        ("reorder", 1, "reordered", 1),
        ("malformed", 2, "malformed", 2),
        ("drop_connection", 1, "reconnects", 1),
    ]
    for kind, count, counter, more in faults:
        before = told()
        fault = {"kind": kind, "count": count, "symbol": "ETHUSDT"}
        answer = httpx.post(f"{rest_url}/tickcast/faults", json=fault)
        assert answer.status_code == 202, answer.text
        wait_for(
            f"{counter} after {kind}",
            lambda counter=counter, least=before[counter] + more: told()[counter] >= least,
        )
    assert told()["missing"] == 0
    sequence = told()["sequence"]
    wait_for("new forecasts after all that", lambda: told()["live"] and told()["sequence"] > sequence)


def test_ctrl_c_ends_everything(demo: tuple[Tickcast, subprocess.Popen[bytes]]) -> None:
    run, process = demo
    wait_for("a forecast for every symbol", lambda: answers(run), limit_s=120)
    run.hang_up()
    children = run.processes()
    assert children
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert run.processes() == []
    assert not any(child.is_running() for child in children)
    output = (Path(run.folder) / "output.txt").read_text()
    assert "Traceback" not in output
    assert "R² vs naive" in output
