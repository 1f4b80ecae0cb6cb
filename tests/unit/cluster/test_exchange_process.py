"""The exchange as a process: it can be killed and comes back as a venue that was away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect

from cluster import exchange_process
from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import write_market_tape
from cluster.exchange_process import RestartableExchange
from features.errors import ConfigError


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., RestartableExchange]]:
    """Start an exchange process on a tape of 6 s; all of them end with the test."""
    tape, running = tmp_path / "tape.parquet", []
    write_market_tape(MarketSpec(("AAA", "BBB"), seed=5, trades_per_s=50.0), 6.0, tape)

    def start(*words: str) -> RestartableExchange:
        arguments = ("--replay", str(tape), *words)
        running.append(RestartableExchange.start(arguments, tmp_path / "run"))
        return running[-1]

    yield start
    for exchange in running:
        exchange.end()


def take(websocket: Any, count: int) -> list[int]:
    """The ids of the next trades."""
    return [json.loads(websocket.recv(timeout=20))["t"] for _ in range(count)]


def test_a_killed_exchange_comes_back_as_if_it_had_never_been_away(started):
    exchange = started()
    stream = f"{exchange.exchange.websocket_url}/ws/aaa@trade"
    with connect(stream) as websocket:
        ids = take(websocket, 20)
    before = exchange.exchange
    state = exchange.restart(0.5)
    assert exchange.pid != before.pid and not psutil.pid_exists(before.pid)
    assert (exchange.exchange.websocket_url, exchange.rest_url) == (before.websocket_url, before.rest_url)
    assert exchange.exchange.state()["opened_at_ns"] == state["opened_at_ns"]
    with connect(stream) as websocket:
        later = take(websocket, 5)
        missed = httpx.get(
            f"{exchange.rest_url}/api/v3/historicalTrades",
            params={"symbol": "AAA", "fromId": ids[-1] + 1, "limit": 1000},
        ).json()
    assert ids == list(range(1, 21))
    assert later[0] > ids[-1] + 5  # half a second and the start of a process, at 50 trades a second
    assert later == list(range(later[0], later[0] + 5))
    assert [row["id"] for row in missed][: later[-1] - 20] == list(range(21, later[-1] + 1))


def test_the_ready_file_names_the_newest_process_and_the_log_keeps_both(started, tmp_path: Path):
    exchange = started("--wait-for", "0")
    pids = [exchange.pid]
    exchange.restart(0.0)
    pids.append(exchange.pid)
    ready = json.loads((tmp_path / "run" / "exchange.json").read_text())
    assert (ready["pid"], ready["rest_url"]) == (pids[1], exchange.rest_url)
    assert (tmp_path / "run" / "exchange.log").read_text().count("listening on ") == len(set(pids)) == 2


def test_an_exchange_that_has_not_begun_is_not_killed(started):
    exchange = started()
    with pytest.raises(ConfigError, match="has not begun"):
        exchange.restart(0.0)
    assert exchange.exchange.state()["started"] is False


def test_a_refused_restart_says_why_in_its_own_words(started, tmp_path: Path):
    exchange = started()
    with pytest.raises(ConfigError, match=r"^local exchange: port \d+ can't be used"):
        exchange_process.start(exchange.arguments, tmp_path / "run", exchange.exchange.ports)


def test_ending_ends_it_politely_and_twice_is_once(started, tmp_path: Path):
    exchange = started()
    for _ in range(2):
        exchange_process.end(exchange.pid)
    assert (tmp_path / "run" / "exchange.log").read_text().startswith("listening on ")
    with pytest.raises(httpx.ConnectError):
        exchange.exchange.state()


def test_no_other_process_is_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with pytest.raises(ConfigError, match=f"process {other.pid} is no local exchange"):
            exchange_process.end(other.pid, at_once=True)
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    with pytest.raises(ConfigError):
        exchange_process.end(os.getpid())
