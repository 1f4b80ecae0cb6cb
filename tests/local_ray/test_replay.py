"""A replay over a real websocket into real actors, asked over real HTTP."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster import config as configuration
from cluster import names
from cluster.config import Config
from features.engine import SymbolEngine
from features.ticks import Ticks
from tests.local_ray.conftest import SYMBOLS, TRADES, Tickcast, wait_for

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def batch_engine(run: Tickcast, symbol: str) -> SymbolEngine:
    """An engine of the same settings that was given the whole file as one batch."""
    table = pq.read_table(run.folder / "trades.parquet").to_pandas()
    rows = table[table.symbol == symbol]
    settings = {**run.settings, "venue": {**run.settings["venue"], "options": {"verbatim_symbols": True}}}
    engine = SymbolEngine(configuration.parse(Config, settings, "test").engine_spec(symbol))
    engine.update(
        Ticks.from_columns(
            len(rows),
            ts_ns=rows.ts_ns,
            trade_id=range(1, len(rows) + 1),
            price=rows.price,
            size=rows["size"],
            side=rows.side,
        )
    )
    return engine


def test_nothing_is_lost_or_doubled_at_full_speed(replayed: Tickcast) -> None:
    symbols = wait_for(
        "all trades taken in",
        lambda: (
            (s := replayed.symbols()) and all(one["events"]["trades"] == TRADES for one in s.values()) and s
        ),
    )
    for symbol in SYMBOLS:
        continuity = symbols[symbol]["continuity"]
        assert (continuity["seen"], continuity["first_id"], continuity["last_id"]) == (TRADES, 1, TRADES)
        assert not any(continuity[name] for name in ("duplicates", "missing", "gaps_given_up", "held"))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_state_over_the_websocket_is_that_of_one_batch(replayed: Tickcast, symbol: str) -> None:
    test_nothing_is_lost_or_doubled_at_full_speed(replayed)
    live = replayed.ask(names.symbol_actor(symbol), "digest")
    assert live == batch_engine(replayed, symbol).digest()


def test_every_symbol_has_a_forecast_and_moving_scores(replayed: Tickcast) -> None:
    test_nothing_is_lost_or_doubled_at_full_speed(replayed)
    with replayed.api as api:
        listed = {one["symbol"] for one in api.get("/v1/symbols").json()["symbols"]}
        assert listed == set(SYMBOLS)
        for symbol in SYMBOLS:
            for horizon in ("10s", "60s"):
                said = api.get(f"/v1/forecasts/{symbol}", params={"horizon": horizon}).json()
                assert said["lower"] <= said["price_forecast"] <= said["upper"]
                assert said["watermark_trade_id"] is not None
            features = api.get(f"/v1/features/{symbol}").json()
            assert features["warm"], features
            scores = api.get(f"/v1/scores/{symbol}").json()["scores"]
            mixture = [one for one in scores if one["model"] == "mixture" and one["horizon"] == "10s"]
            assert mixture[0]["count"] > 1000
            assert 0.85 < mixture[0]["lifetime"]["coverage"] < 0.95


def test_many_symbols_are_asked_at_once_and_one_unknown_fails_alone(replayed: Tickcast) -> None:
    with replayed.api as api:
        answer = api.post("/v1/forecasts", json={"symbols": [*SYMBOLS, "NOPE"]}).json()
    assert {one["symbol"] for one in answer["forecasts"]} == set(SYMBOLS)
    assert [one["symbol"] for one in answer["problems"]] == ["NOPE"]


def test_the_serve_settings_of_the_design_are_in_force(replayed: Tickcast) -> None:
    report = replayed.status()
    assert report["environment"]["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert report["environment"]["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert any("haproxy" in process.name() for process in replayed.processes())


def test_a_second_up_in_the_same_folder_is_refused(replayed: Tickcast) -> None:
    done = replayed.run("up", "--config", str(replayed.folder / "config.yaml"))
    assert done.returncode == 2
    assert "a Tickcast is running already" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named_and_nothing_is_left_running(replayed: Tickcast, tmp_path: Path) -> None:
    other = Tickcast.prepare(tmp_path, symbols=["AAA"], serve={"port": replayed.settings["serve"]["port"]})
    done = other.run("up", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 2
    assert "serve.port" in done.stderr
    assert "Traceback" not in done.stderr
    assert other.processes() == []


def test_a_running_ray_is_named_and_left_alone(replayed: Tickcast, tmp_path: Path) -> None:
    other = Tickcast.prepare(tmp_path, symbols=["AAA"], ray=replayed.settings["ray"])
    done = other.run("up", "--config", str(tmp_path / "config.yaml"))
    assert done.returncode == 2
    assert "ray.port" in done.stderr
    assert replayed.status()["running"]


def test_a_symbol_is_added_and_removed_while_the_others_run(replayed: Tickcast) -> None:
    assert replayed.ask(names.SUPERVISOR, "add", "EXTRA") == "EXTRA"
    with replayed.api as api:
        wait_for("EXTRA is listed", lambda: "EXTRA" in api.get("/v1/symbols").text)
        answer = api.get("/v1/forecasts/EXTRA")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        replayed.ask(names.SUPERVISOR, "remove", "EXTRA")
        wait_for("EXTRA is gone", lambda: api.get("/v1/forecasts/EXTRA").status_code == 404)
        assert api.get("/v1/forecasts/AAA").status_code == 200
