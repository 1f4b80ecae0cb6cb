"""The demonstration, and the faults of a venue, on real Ray."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cluster import config as configuration
from cluster.config import Config
from cluster.registry import Registry
from cluster.storage.objects import open_store
from tests.local_ray.conftest import ROOT, Tickcast, free_ports, wait_for
from tests.local_ray.test_recovery import parity
from tests.unit.features.slot_models import leaning

SWAPPED = "BNBUSDT"
SECOND_NS = 1_000_000_000
NONE: dict[str, Any] = {"slots": {}, "problems": {}}
"""The models of an actor that does not say anything now."""
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


def test_a_model_is_swapped_in_and_outlives_a_kill(demo: tuple[Tickcast, subprocess.Popen[bytes]]) -> None:
    run, _ = demo
    wait_for("a forecast for every symbol", lambda: answers(run), limit_s=120)
    config = settings_of(run)
    registry = Registry(open_store(config.lake_spec()))
    version = registry.publish(leaning(config.engine_spec(SWAPPED), 0.2, feature="last_side"), {})

    def models() -> Any:
        one = run.symbols()[SWAPPED]
        return one["state"] == "live" and one["models"]

    with listening(run) as made:
        assert promote(run, "--version", str(version), "--shadow") == "shadowed"
        wait_for("it is in shadow", lambda: (models() or NONE)["slots"].get("challenger1") == version)
        assert promote(run, "--version", str(version), "--force") == "promoted"
        wait_for("it is champion", lambda: version in made.values())
    # A second is a bar: of all forecasts between the first and the last heard none has failed to come.
    heard_at = sorted(made)
    assert {later - at for at, later in itertools.pairwise(heard_at)} == {SECOND_NS}
    assert [made[at] for at in heard_at] == sorted(made.values())
    assert set(made.values()) == {0, version}
    with run.api as api:
        scores = api.get(f"/v1/scores/{SWAPPED}").json()
    assert scores["slots"] == {"champion": version, "challenger1": 0}
    assert {one["version"] for one in scores["scores"] if one["model"] == "champion"} == {version}

    broken = registry.publish(leaning(config.engine_spec(SWAPPED), 0.1, feature="last_side"), {})
    registry.store.put(f"models/{broken:06}/package.bin", b"damaged")
    registry.point(config.venue.name, SWAPPED, 0, broken)
    wait_for(
        "the broken one is refused",
        lambda: "damaged" in (models() or NONE)["problems"].get("champion", ""),
    )
    assert models()["slots"]["champion"] == version
    assert promote(run, "--rollback") == "rolled back"
    wait_for("nothing is wrong any more", lambda: models() and not models()["problems"])

    before = run.symbols()[SWAPPED]
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(
        "another actor",
        lambda: (one := run.symbols()[SWAPPED])["state"] == "live" and one["pid"] != before["pid"],
    )
    assert models()["slots"] == {"champion": version, "challenger1": 0}
    with listening(run) as made:
        wait_for("its forecasts again", lambda: made)
    assert set(made.values()) == {version}
    assert run.symbols()[SWAPPED]["continuity"]["missing"] == 0


@contextmanager
def listening(run: Tickcast) -> Iterator[dict[int, int]]:
    """The version of every forecast that is made meanwhile, by when it was made."""
    made: dict[int, int] = {}
    done = threading.Event()

    def listen() -> None:
        with run.api as api:
            while not done.wait(0.1):
                said = api.get(f"/v1/forecasts/{SWAPPED}", params={"horizon": "10s"})
                if said.status_code == 200:
                    made[said.json()["made_at_ns"]] = said.json()["version"]

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        yield made
    finally:
        done.set()
        listener.join()


def settings_of(run: Tickcast) -> Config:
    """The settings of the demonstration, with the lake that this run of it has; also as a file."""
    with resources.as_file(resources.files("cluster") / "presets" / "demo.yaml") as path:
        values = yaml.safe_load(path.read_text())
    values["storage"] = {"lake": {"uri": str(run.run_dir / "replayed" / "lake")}}
    (run.folder / "config.yaml").write_text(yaml.safe_dump(values))
    return configuration.load(run.folder / "config.yaml")


def promote(run: Tickcast, *words: str) -> str:
    """What `jobs.promote` did."""
    command = [sys.executable, "-m", "jobs.promote", "--config", str(run.folder / "config.yaml")]
    done = subprocess.run(
        [*command, "--symbol", SWAPPED, "--json", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout.splitlines()[-1])["symbols"][0]["action"])


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
    # What the actors have left is what a batch makes of it, over the swaps and the kill too.
    code, found = parity(run.run_dir / "replayed" / "lake", "--symbol", SWAPPED)
    assert (code, found["differences"]) == (0, 0), found
    assert found["rows"] > 1000
