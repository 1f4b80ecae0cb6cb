"""What is told of a symbol's continuity, from what its stream reports."""

from __future__ import annotations

import httpx
import pytest

from cluster.overlap import OverlapOrder
from cluster.trade_order import TradeOrder
from cluster.venues.base import TradeIds
from serve_app import problems
from serve_app.continuity import ContinuityAnswer, read_continuity
from serve_app.errors import Recovering
from tests.unit.serve_app.fake_directory import RECEIVED_NS, FakeDirectory, stream_report, trade
from tests.unit.serve_app.problem_answers import problem


async def test_what_the_stream_reports_is_told_flat(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/continuity/btcusdt")
    assert answer.status_code == 200
    told = answer.json()
    assert told["symbol"] == "BTCUSDT"
    assert (told["seen"], told["duplicates"], told["missing"]) == (7, 1, 3)
    assert (told["gaps_found"], told["gaps_given_up"], told["open_gaps"]) == (1, 1, [[104, 106]])
    assert (told["first_id"], told["last_id"], told["held"]) == (100, 109, 0)
    assert (told["worst_lateness_s"], told["recovering"]) == (0.25, "")
    assert told["storage"] == {
        "epoch": 1_769_896_800_123,
        "next_sequence": 7,
        "replayed": 3,
        "log_bytes": 4096,
        "checkpoint_age_s": 2.123,
        "problem": "",
        "problems": [],
    }
    assert told.keys() == ContinuityAnswer.model_fields.keys()


async def test_before_its_state_is_restored_a_symbol_is_recovering(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.answers["BTCUSDT", "continuity"] = {"symbol": "BTCUSDT"}
    told = problem(await client.get("/v1/continuity/BTCUSDT"), problems.RECOVERING)
    assert (told["symbol"], told["state"], told["retry_after_s"]) == ("BTCUSDT", "recovering", 1.0)
    assert "its state is being restored" in told["detail"]


async def test_it_is_recovering_also_where_the_supervisor_has_just_started_it(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.watch("BTCUSDT", "starting")
    directory.answers["BTCUSDT", "continuity"] = {"symbol": "BTCUSDT"}
    problem(await client.get("/v1/continuity/BTCUSDT"), problems.RECOVERING)
    directory.answers["BTCUSDT", "continuity"] = Recovering("BTCUSDT", 1.0, "its actor is not there")
    problem(await client.get("/v1/continuity/BTCUSDT"), problems.NOT_WARM)


@pytest.mark.parametrize("order", [TradeOrder("A", 10), OverlapOrder("A", 10, TradeIds.UNIQUE, can_ask=True)])
def test_what_is_not_known_yet_is_null(order: TradeOrder | OverlapOrder) -> None:
    report = stream_report("A")
    report["continuity"] = order.report() | {"recovering": "", "worst_lateness_s": None}
    report["storage"]["checkpoint_ns"] = 0
    told = read_continuity("A", {"symbol": "A", **report}, RECEIVED_NS)
    assert [told["first_id"], told["last_id"], told["worst_lateness_s"]] == [None] * 3
    assert told["storage"]["checkpoint_age_s"] is None
    ContinuityAnswer.model_validate(told)


def test_a_checkpoint_from_a_clock_ahead_of_ours_is_new() -> None:
    told = read_continuity("A", {"symbol": "A", **stream_report("A")}, RECEIVED_NS - 10**10)
    assert told["storage"]["checkpoint_age_s"] == 0.0


def test_at_most_a_hundred_gaps_are_told() -> None:
    order, report = TradeOrder("A", 1000), stream_report("A")
    for trade_id in range(0, 600, 3):
        order.accept([trade("A", trade_id)])
        order.give_up()
    report["continuity"] |= order.report()
    told = read_continuity("A", {"symbol": "A", **report}, RECEIVED_NS)
    assert (len(told["open_gaps"]), told["gaps_given_up"], told["missing"]) == (100, 199, 398)
    ContinuityAnswer.model_validate(told)
