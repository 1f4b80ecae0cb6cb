"""What each fault does to the messages, and that it is written down."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cluster.exchange.bulletin import Bulletin, Channel, Stream
from cluster.exchange.faults import Delivery, FaultKind, FaultLedger, FaultSpec, MessageFaults
from cluster.exchange.source import Events, Instrument
from cluster.exchange.wire import Dialect
from features.errors import ConfigError
from features.ticks import Ticks

INSTRUMENTS = [Instrument("A"), Instrument("B")]
STREAMS = frozenset({Stream(0, Channel.TRADE), Stream(1, Channel.TRADE)})


class Desk:
    """Faults over bulletins of trades; remembers the texts that were sent."""

    def __init__(self) -> None:
        self.ledger = FaultLedger()
        self.faults = MessageFaults(["A", "B"], self.ledger)
        self.sent: list[bytes] = []

    def order(self, now_s: float = 0.0, **fields: Any) -> None:
        self.faults.arm(FaultSpec.parse(fields), now_s)

    def publish(self, *trades: tuple[str, int]) -> None:
        symbols, ids = zip(*trades, strict=True)
        ticks = Ticks.from_columns(len(ids), trade_id=ids, price=1.5, size=1.0, side=1)
        events = Events(np.array([0 if s == "A" else 1 for s in symbols], dtype=np.int32), ticks)
        self.send(self.faults.apply(Bulletin(events, {}, INSTRUMENTS)))

    def send(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            rows = range(len(delivery.bulletin)) if delivery.rows is None else delivery.rows
            for row in rows:
                data = delivery.bulletin.data_of([row], STREAMS, Dialect())
                self.sent.append(data[2:] if data[1] < 126 else data[4:])

    def ids(self) -> list[tuple[str, int]]:
        return [(m["s"], m["t"]) for m in map(json.loads, self.sent)]

    def report(self) -> dict[tuple[str, str], tuple[int, list[int]]]:
        return {(r["kind"], r["symbol"]): (r["count"], r["trade_ids"]) for r in self.ledger.report()}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_without_faults_all_is_sent(desk: Desk):
    desk.publish(("A", 1), ("B", 1), ("A", 2))
    assert desk.ids() == [("A", 1), ("B", 1), ("A", 2)]
    assert desk.report() == {}


def test_dropped_trades_are_not_sent(desk: Desk):
    desk.order(kind="drop", count=2, symbol="A")
    desk.publish(("A", 1), ("B", 1), ("A", 2), ("A", 3))
    assert desk.ids() == [("B", 1), ("A", 3)]
    assert desk.report() == {("drop", "A"): (2, [1, 2])}


def test_duplicated_trades_are_sent_twice(desk: Desk):
    desk.order(kind="duplicate")
    desk.publish(("A", 1), ("A", 2))
    assert desk.ids() == [("A", 1), ("A", 1), ("A", 2)]
    assert desk.report() == {("duplicate", "A"): (1, [1])}


def test_reordered_trades_come_after_the_symbols_next_even_in_a_later_bulletin(desk: Desk):
    desk.order(kind="reorder", count=2, symbol="A")
    desk.publish(("A", 1), ("B", 1))
    desk.publish(("A", 2), ("A", 3))
    desk.publish(("A", 4))
    assert desk.ids() == [("B", 1), ("A", 2), ("A", 1), ("A", 4), ("A", 3)]
    assert desk.report() == {("reorder", "A"): (2, [1, 3])}


def test_armed_faults_wait_until_they_are_carried_out(desk: Desk):
    desk.order(kind="drop", count=2, symbol="A")
    desk.order(kind="drop", symbol="A")
    desk.order(kind="garble")
    desk.publish(("A", 1))
    assert desk.faults.waiting() == [
        {"kind": "drop", "symbol": "A", "count": 2},
        {"kind": "garble", "symbol": "", "count": 1},
    ]
    desk.publish(("B", 1), ("A", 2), ("A", 3))
    assert desk.faults.waiting() == []


def test_a_reordered_trade_waits_until_it_is_sent(desk: Desk):
    desk.order(kind="reorder", symbol="A")
    desk.publish(("A", 1))
    assert desk.faults.waiting() == [{"kind": "reorder", "symbol": "A", "count": 1}]
    desk.publish(("A", 2))
    assert desk.faults.waiting() == []


def test_a_reordered_last_trade_is_sent_by_flush(desk: Desk):
    desk.order(kind="reorder")
    desk.publish(("A", 1))
    assert desk.ids() == []
    desk.send(desk.faults.flush())
    assert desk.ids() == [("A", 1)]


def test_malformed_is_no_json_and_garble_is_json_without_numbers(desk: Desk):
    desk.order(kind="malformed")
    desk.order(kind="garble")
    desk.publish(("A", 1), ("A", 2), ("A", 3))
    with pytest.raises(json.JSONDecodeError):
        json.loads(desk.sent[0])
    with pytest.raises(ValueError):
        float(json.loads(desk.sent[1])["p"])
    assert float(json.loads(desk.sent[2])["p"]) == 1.5
    assert desk.report() == {("malformed", "A"): (1, [1]), ("garble", "A"): (1, [2])}


def test_a_stall_holds_everything_back_and_then_sends_it_in_order(desk: Desk):
    desk.order(now_s=10.0, kind="stall", seconds=2.0, symbol="A")
    desk.publish(("A", 1), ("B", 1))
    desk.send(desk.faults.release(11.0))
    desk.publish(("A", 2))
    assert desk.ids() == [("B", 1)]
    assert desk.faults.stall_ends_s == 12.0
    desk.send(desk.faults.release(12.0))
    desk.publish(("A", 3))
    assert desk.ids() == [("B", 1), ("A", 1), ("A", 2), ("A", 3)]
    assert desk.report() == {("stall", "A"): (1, [])}


def test_a_symbols_stall_outlasts_the_stall_of_all(desk: Desk):
    desk.order(kind="stall", seconds=1.0)
    desk.order(kind="stall", seconds=5.0, symbol="A")
    desk.publish(("A", 1), ("B", 1))
    desk.send(desk.faults.release(2.0))
    assert desk.ids() == [("B", 1)]
    desk.send(desk.faults.release(5.0))
    assert desk.ids() == [("B", 1), ("A", 1)]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "explode"},
        {"kind": "drop", "count": 0},
        {"kind": "drop", "count": "3"},
        {"kind": "stall", "seconds": 0},
        {"kind": "stall", "seconds": float("inf")},
        {"kind": "drop", "symbol": 5},
        {"kind": "drop", "often": 5},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fields: dict[str, Any]):
    with pytest.raises(ConfigError):
        FaultSpec.parse(fields)


def test_the_ledger_keeps_a_bounded_list_of_ids():
    ledger = FaultLedger()
    for trade_id in range(10_005):
        ledger.record(FaultKind.DROP, "A", trade_id)
    (entry,) = ledger.report()
    assert (entry["count"], len(entry["trade_ids"]), entry["trade_ids"][-1]) == (10_005, 10_000, 10_004)
    assert ledger.count(FaultKind.DROP) == 10_005
