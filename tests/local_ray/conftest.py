"""A running Tickcast for the tests that need one: started by the command line, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from cluster import names
from cluster.ray_node import free_ports

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("AAA", "BBB", "CC-1")
TRADES = 20_000
_LIMIT_S = 120.0


def wait_for(what: str, condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """The first true answer of `condition`, asked again until the limit; fails naming `what`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {limit_s:g} s")


@dataclass
class Tickcast:
    """A run of Tickcast in a folder of its own, driven by its command line."""

    folder: Path
    settings: dict[str, Any]
    _messenger: subprocess.Popen[str] | None = None

    @classmethod
    def prepare(cls, folder: Path, **settings: Any) -> Tickcast:
        """A config in `folder` on free ports."""
        api, ray, dashboard, metrics, stats = free_ports(5)
        settings = {
            "serve": {"port": api},
            "ray": {
                "port": ray,
                "dashboard_port": dashboard,
                "environment": {
                    "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
                    "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
                },
            },
            **settings,
        }
        run = cls(folder, settings)
        run.save()
        return run

    def save(self) -> None:
        """Write the config file anew."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.settings))

    @property
    def run_dir(self) -> Path:
        """Where the run keeps its state."""
        return self.folder / "run"

    def command(self, *words: str) -> list[str]:
        """A command line in this run's folder."""
        return [sys.executable, "-m", "cluster", *words, "--run-dir", str(self.run_dir)]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words), cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )

    def up(self, *words: str) -> None:
        """Start it in the background."""
        done = self.run("up", "--config", str(self.folder / "config.yaml"), "--detach", *words)
        assert done.returncode == 0, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def ask(self, name: str, method: str, *arguments: str) -> Any:
        """The answer of a Ray actor's method, as JSON, through a process that has joined the cluster."""
        if self._messenger is None:
            self._messenger = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("ask_actor.py")), str(self.run_dir)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._messenger.stdin and self._messenger.stdout
        print(
            json.dumps({"name": name, "method": method, "arguments": arguments}),
            file=self._messenger.stdin,
            flush=True,
        )
        said = json.loads(self._messenger.stdout.readline())
        assert "answer" in said, said
        return said["answer"]

    def symbols(self) -> dict[str, Any]:
        """What the supervisor knows of every symbol."""
        known: dict[str, Any] = self.ask(names.SUPERVISOR, "status")
        return known

    def hang_up(self) -> None:
        """End the process that asks the actors."""
        if self._messenger is not None:
            self._messenger.communicate()
            self._messenger = None

    def down(self) -> None:
        """End it, and make sure that nothing is left."""
        self.hang_up()
        done = self.run("down")
        assert done.returncode == 0, done.stderr
        assert self.processes() == []

    @property
    def api(self) -> httpx.Client:
        """A client of its API."""
        port = self.settings["serve"]["port"]
        return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0)

    def processes(self) -> list[psutil.Process]:
        """Every process of this run that is alive."""
        mark = str(self.folder)
        found = []
        for process in psutil.process_iter():
            try:
                ours = any(mark in word for word in process.cmdline())
                ours = ours or mark in process.environ().get("RAY_AUTH_TOKEN_PATH", "")
            except psutil.Error:
                continue
            if ours and process.pid != os.getpid():
                found.append(process)
        return found


def write_trades(path: Path) -> None:
    """A seeded random walk of three symbols with order flow, on a millisecond clock."""
    rng = np.random.default_rng(11)
    parts = []
    for symbol in SYMBOLS:
        gaps_ms = rng.exponential(150.0, TRADES).astype(np.int64)
        side = np.where(rng.random(TRADES) < 0.5, 1, -1).astype(np.int8)
        steps = rng.normal(0.0, 1e-4, TRADES) + 2e-5 * side
        parts.append(
            pa.table(
                {
                    "symbol": [symbol] * TRADES,
                    "ts_ns": 1_700_000_000_000_000_000 + np.cumsum(gaps_ms) * 1_000_000,
                    "price": np.round(100.0 * np.exp(np.cumsum(steps)), 2),
                    "size": np.round(rng.lognormal(0.0, 1.0, TRADES), 3) + 0.001,
                    "side": side,
                }
            )
        )
    pq.write_table(pa.concat_tables(parts), path)


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tickcast]:
    """A Tickcast that has replayed a file of trades at full speed and goes on running."""
    folder = tmp_path_factory.mktemp("replayed")
    write_trades(folder / "trades.parquet")
    run = Tickcast.prepare(
        folder,
        symbols=list(SYMBOLS),
        venue={"quotes": False, "options": {"microseconds": True}},
        storage={
            "lake": {"uri": str(folder / "lake")},
            "data_dir": str(folder / "data"),
            "log": {"roll_after_s": 1.0, "checkpoint_every_s": 1.0},
        },
        supervision={"hung_after_s": 3.0, "answer_within_s": 2.0},
    )
    try:
        run.up("--replay", str(folder / "trades.parquet"), "--speed", "max")
        rest_url = run.status()["exchange"]["rest_url"]
        wait_for("end of the replay", lambda: httpx.get(f"{rest_url}/tickcast/state").json()["finished"])
        yield run
    finally:
        run.down()
