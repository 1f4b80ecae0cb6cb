"""Several nodes: what a lost machine carried goes on on another, restored from the lake."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow.parquet as pq
import pytest

from cluster import config as configuration
from cluster import names
from cluster.config import Config
from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import write_market_tape
from features.engine import SymbolEngine
from features.ticks import Ticks
from tests.local_ray.conftest import ROOT, Tickcast, wait_for
from tests.local_ray.test_recovery import parity

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
SECONDS = 75.0


def join(run: Tickcast, name: str) -> subprocess.Popen[bytes]:
    """A node of its own, with a disk of its own, in a session of its own."""
    state = run.status()
    command = [sys.executable, "-m", "cluster", "join", "--address", state["ray_address"]]
    command += ["--token-file", state["token_file"], "--cpus", "4"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "NODE_DATA": str(run.folder / name)},
        stdout=(run.folder / f"{name}.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@dataclass
class Cluster:
    """A head and two nodes more."""

    run: Tickcast
    nodes: dict[str, subprocess.Popen[bytes]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setenv("NODE_DATA", str(tmp_path / "head"))
    write_market_tape(
        MarketSpec(symbols=SYMBOLS, seed=3, trades_per_s=30.0), SECONDS, tmp_path / "tape.parquet"
    )
    run = Tickcast.prepare(
        tmp_path,
        symbols=list(SYMBOLS[:2]),
        venue={"quotes": False, "options": {"microseconds": True}},
        storage={
            "lake": {"uri": str(tmp_path / "lake")},
            "data_dir": "$NODE_DATA",
            "log": {"roll_after_s": 2.0, "checkpoint_every_s": 2.0},
        },
    )
    run.settings["ray"]["cpus"] = 1
    run.save()
    nodes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        run.up("--replay", str(tmp_path / "tape.parquet"))
        nodes |= {name: join(run, name) for name in ("one", "two")}
        yield Cluster(run, nodes)
    finally:
        for node in nodes.values():
            if node.poll() is None:
                kill_node(node)
        run.down()


def digest_of_the_tape(run: Tickcast, symbol: str) -> str:
    table = pq.read_table(run.folder / "tape.parquet").to_pandas()
    rows = table[table.symbol == symbol]
    settings = {**run.settings, "venue": {**run.settings["venue"], "options": {"verbatim_symbols": True}}}
    engine = SymbolEngine(configuration.parse(Config, settings, "test").engine_spec(symbol))
    columns = {name: rows[name] for name in ("ts_ns", "trade_id", "price", "size", "side")}
    engine.update(Ticks.from_columns(len(rows), **columns))
    return engine.digest()


def placed(run: Tickcast) -> dict[str, list[str]]:
    """The symbols of every node, by its disk."""
    found: dict[str, list[str]] = {}
    for symbol, one in run.symbols().items():
        if one.get("home"):
            found.setdefault(Path(one["home"].split(":")[1]).parents[2].name, []).append(symbol)
    return found


def on_nodes(run: Tickcast, *names_of_nodes: str) -> Any:
    """Where the symbols are, once every one of these nodes has some and all are live."""
    where = placed(run)
    symbols = run.symbols()
    live = len(symbols) == len(SYMBOLS) and all(one["state"] == "live" for one in symbols.values())
    return live and set(names_of_nodes) <= set(where) and where


def healthy_nodes(run: Tickcast) -> int:
    """How many nodes have an agent that answers."""
    nodes = run.ask(names.SUPERVISOR, "nodes")["nodes"]
    return sum(not one["problem"] for one in nodes.values())


def kill_node(node: subprocess.Popen[bytes]) -> None:
    """The machine is gone: Ray's processes and every worker, at once."""
    family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    node.wait()


def test_the_symbols_of_a_killed_node_go_on_elsewhere_without_a_loss(cluster: Cluster) -> None:
    run = cluster.run
    wait_for("three nodes, each with its agent", lambda: healthy_nodes(run) == 3)
    # Symbols that nobody has seen yet go where there is room. The tape begins when all are watched.
    for symbol in SYMBOLS[2:]:
        run.ask(names.SUPERVISOR, "add", symbol)
    before = wait_for("symbols on all nodes", lambda: on_nodes(run, "head", "one", "two"))
    (moving,) = before["one"]
    wait_for(
        "a checkpoint of it in the lake", lambda: list(run.folder.glob(f"lake/checkpoints/*/*{moving}/*"))
    )
    staying = before["head"][0]
    with run.api as api:
        for symbol in (staying, moving):
            asked = f"/v1/forecasts/{symbol}"
            wait_for(f"a forecast of {symbol}", lambda: api.get(asked).status_code == 200)  # noqa: B023
    kill_node(cluster.nodes["one"])
    with run.api as api:
        assert api.get(f"/v1/forecasts/{staying}").status_code == 200
        refused = wait_for(
            "a refusal once the node is known to be gone",
            lambda: (r := api.get(f"/v1/forecasts/{moving}")).status_code == 503 and r,
        )
        assert int(refused.headers["retry-after"]) >= 1
        assert api.get(f"/v1/forecasts/{staying}").status_code == 200
    wait_for("it is live elsewhere", lambda: (w := on_nodes(run, "head", "two")) and "one" not in w, 90.0)
    exchange = run.status()["exchange"]["rest_url"]
    state = wait_for(
        "the end of the tape",
        lambda: (s := httpx.get(f"{exchange}/tickcast/state").json())["finished"] and s,
        SECONDS + 60,
    )
    for symbol in SYMBOLS:
        last_id = state["symbols"][symbol]["last_id"]
        wait_for(
            f"{symbol} has all",
            lambda: run.symbols()[symbol]["continuity"]["last_id"] == last_id,  # noqa: B023
        )
        assert run.ask(names.symbol_actor(symbol), "digest") == digest_of_the_tape(run, symbol)
        assert run.symbols()[symbol]["continuity"]["missing"] == 0

    def all_stored() -> Any:
        code, found = parity(run.folder / "lake")
        published = sum(one["last_id"] for one in state["symbols"].values())
        return found["ticks"] == published and (code, found)

    code, found = wait_for("all ticks in the lake", all_stored)
    assert (code, found["differences"], found["first_difference"]) == (0, 0, None)
