"""The faults of a drill on a real exchange process, with plain processes as victims."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

from cluster.exchange.market import MarketSpec
from cluster.exchange.market_tape import write_market_tape
from cluster.exchange_process import RestartableExchange
from features.errors import ConfigError, TickcastError
from jobs.drill_faults import FaultHand, Injected
from jobs.drill_plan import DrillKind, PlannedFault

SYMBOLS = ("AAA", "BBB")


class Crowd:
    """Processes that come back when they are killed; the first answer afterwards is out of date."""

    def __init__(self) -> None:
        self.started: dict[str, list[subprocess.Popen[bytes]]] = {}

    def pid_of(self, symbol: str) -> int | None:
        family = self.started.setdefault(symbol, [])
        last_known = family[-1].pid if family else None
        if not family or family[-1].poll() is not None:
            command = [sys.executable, "-c", "input()"]
            family.append(subprocess.Popen(command, stdin=subprocess.PIPE))
        return last_known

    def supervisor_pid(self) -> int | None:
        return self.pid_of("supervisor")

    def end(self) -> None:
        for process in (process for family in self.started.values() for process in family):
            process.communicate(b"\n")


class Listener:
    """A client that reads all trades and comes back whenever it is cut off."""

    def __init__(self, websocket_url: str) -> None:
        self.ids: Counter[tuple[str, int]] = Counter()
        self.in_order: list[tuple[str, int]] = []
        self.unreadable = self.connections = 0
        self._url = f"{websocket_url}/ws/" + "/".join(f"{symbol.lower()}@trade" for symbol in SYMBOLS)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            # Refused and broken off: what a client of an exchange that was killed sees.
            with suppress(OSError, ConnectionClosed, InvalidMessage), connect(self._url) as websocket:
                self.connections += 1
                while not self._over.is_set():
                    with suppress(TimeoutError):
                        self._take(websocket.recv(timeout=0.1))

    def _take(self, message: Any) -> None:
        try:
            trade = json.loads(message)
            float(trade["p"])
        except ValueError:
            self.unreadable += 1
            return
        self.ids[trade["s"], trade["t"]] += 1
        self.in_order.append((trade["s"], trade["t"]))

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class Store:
    """Notes when it was stopped and started."""

    def __init__(self) -> None:
        self.stopped_s: list[float] = []
        self.started_s: list[float] = []

    def stop(self) -> None:
        self.stopped_s.append(time.monotonic())

    def start(self) -> None:
        self.started_s.append(time.monotonic())


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[RestartableExchange]:
    """An exchange process with 20 s of trades; it plays once somebody listens."""
    tape = tmp_path / "tape.parquet"
    write_market_tape(MarketSpec(SYMBOLS, seed=2, trades_per_s=40.0), 20.0, tape)
    running = RestartableExchange.start(["--replay", str(tape)], tmp_path / "run")
    yield running
    running.end()


@pytest.fixture
def listener(exchange: RestartableExchange) -> Iterator[Listener]:
    """A client of it."""
    listener = Listener(exchange.exchange.websocket_url)
    yield listener
    listener.end()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    """The victims."""
    crowd = Crowd()
    yield crowd
    crowd.end()


@pytest.fixture
def hand(exchange: RestartableExchange, crowd: Crowd) -> Iterator[FaultHand]:
    """A hand without a store."""
    with FaultHand(crowd, exchange, None, limit_s=15.0) as hand:
        yield hand


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, but not for ever."""
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def strike(
    hand: FaultHand, kind: DrillKind, symbol: str = "", count: int = 1, seconds: float = 0.0
) -> Injected:
    return hand.carry_out(PlannedFault(kind, 0.0, symbol, count, seconds))


def test_victims_are_killed_once_each_and_by_the_pid_of_a_live_process(hand: FaultHand, crowd: Crowd):
    records = [strike(hand, DrillKind.KILL_ACTOR, "AAA") for _ in range(2)]
    records.append(strike(hand, DrillKind.KILL_SUPERVISOR))
    assert [record.detail["pid"] for record in records[:2]] == [p.pid for p in crowd.started["AAA"]]
    assert records[2].detail["pid"] == crowd.started["supervisor"][0].pid
    killed = [process.wait(5) for family in crowd.started.values() for process in family]
    assert killed == [-9, -9, -9]
    assert records[0].when_ns < records[1].when_ns
    assert "BBB" not in crowd.started


def test_nobody_to_kill_is_said_after_the_limit(exchange: RestartableExchange):
    class Nobody:
        def pid_of(self, symbol: str) -> int | None:
            return None

        supervisor_pid = None

    with FaultHand(Nobody(), exchange, None, limit_s=0.1) as hand:
        with pytest.raises(TickcastError, match="no live process of the actor of AAA within"):
            strike(hand, DrillKind.KILL_ACTOR, "AAA")
        with pytest.raises(TickcastError, match="no connection for AAA within"):
            strike(hand, DrillKind.DROP, "AAA")


def test_the_trades_in_the_record_are_those_that_went_wrong(hand: FaultHand, listener: Listener):
    done = {
        kind: strike(hand, kind, "AAA", count)
        for kind, count in (
            (DrillKind.DROP, 3),
            (DrillKind.DUPLICATE, 2),
            (DrillKind.REORDER, 2),
            (DrillKind.MALFORMED, 1),
            (DrillKind.GARBLE, 4),
        )
    }
    last = ("AAA", max(done[DrillKind.GARBLE].trade_ids) + 1)
    until(lambda: listener.ids[last])
    assert [len(record.trade_ids) for record in done.values()] == [3, 2, 2, 1, 4]
    missing = {trade_id for trade_id in range(1, last[1]) if not listener.ids["AAA", trade_id]}
    unsent = [DrillKind.DROP, DrillKind.MALFORMED, DrillKind.GARBLE]
    assert missing == {trade_id for kind in unsent for trade_id in done[kind].trade_ids}
    twice = {trade_id for (symbol, trade_id), count in listener.ids.items() if count == 2}
    assert twice == set(done[DrillKind.DUPLICATE].trade_ids)
    seen = [trade_id for symbol, trade_id in listener.in_order if symbol == "AAA"]
    for trade_id in done[DrillKind.REORDER].trade_ids:
        assert seen[seen.index(trade_id) - 1] > trade_id
    assert listener.unreadable == 5


def test_a_connection_is_cut_and_the_next_one_too(hand: FaultHand, listener: Listener):
    records = [strike(hand, DrillKind.CUT_SOCKET, symbol) for symbol in SYMBOLS]
    until(lambda: listener.connections == 3)
    assert all(record.detail["last_id"] >= 1 for record in records[1:])


def test_the_exchange_comes_back_and_its_ledger_is_kept(
    hand: FaultHand, exchange: RestartableExchange, listener: Listener
):
    dropped = strike(hand, DrillKind.DROP, "BBB", 2)
    record = strike(hand, DrillKind.RESTART_EXCHANGE, seconds=0.3)
    again = strike(hand, DrillKind.DROP, "BBB", 1)
    assert record.detail["new_pid"] == exchange.pid != record.detail["pid"]
    (entry,) = record.detail["faults"]
    assert (entry["kind"], entry["count"]) == ("drop", 2)
    assert tuple(entry["trade_ids"]) == dropped.trade_ids
    assert again.trade_ids[0] > record.detail["last_ids"]["BBB"]
    assert json.loads(json.dumps(record.as_json()))["kind"] == "restart_exchange"


def test_the_store_is_away_beside_other_faults_and_back_at_the_end(
    exchange: RestartableExchange, crowd: Crowd
):
    store = Store()
    with FaultHand(crowd, exchange, store) as hand:
        record = strike(hand, DrillKind.STORE_DOWN, seconds=1.0)
        strike(hand, DrillKind.KILL_ACTOR, "AAA")
        assert (len(store.stopped_s), store.started_s) == (1, [])
        hand.finish()
        assert store.started_s[0] - store.stopped_s[0] >= 1.0
    assert record.detail == {"seconds": 1.0}
    assert len(store.started_s) == 1


def test_after_an_error_the_store_is_back_at_once(exchange: RestartableExchange, crowd: Crowd):
    store = Store()
    with pytest.raises(RuntimeError, match="drill"), FaultHand(crowd, exchange, store) as hand:
        strike(hand, DrillKind.STORE_DOWN, seconds=1_000.0)
        raise RuntimeError("drill")
    assert len(store.started_s) == 1


def test_a_store_that_does_not_come_back_is_an_error(exchange: RestartableExchange, crowd: Crowd):
    class Broken(Store):
        def start(self) -> None:
            raise OSError("no port")

    with pytest.raises(OSError, match="no port"), FaultHand(crowd, exchange, Broken()) as hand:
        strike(hand, DrillKind.STORE_DOWN, seconds=0.01)


def test_without_a_store_none_can_be_stopped(hand: FaultHand):
    with pytest.raises(ConfigError, match="no store"):
        strike(hand, DrillKind.STORE_DOWN)


def test_a_tape_that_is_over_is_said(tmp_path: Path, crowd: Crowd):
    tape = tmp_path / "short.parquet"
    write_market_tape(MarketSpec(SYMBOLS, trades_per_s=40.0), 0.5, tape)
    exchange = RestartableExchange.start(["--replay", str(tape)], tmp_path / "run")
    listener = Listener(exchange.exchange.websocket_url)
    try:
        until(lambda: exchange.exchange.state()["finished"])
        with FaultHand(crowd, exchange, None) as hand, pytest.raises(TickcastError, match="tape was over"):
            strike(hand, DrillKind.DROP, "AAA")
    finally:
        listener.end()
        exchange.end()
