"""Metrics as a scraper reads them, and how often the supervisor is asked for them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from serve_app import problems
from serve_app.errors import SupervisorUnreachable
from serve_app.metrics import FRESH_S, Metrics
from tests.unit.serve_app.fake_directory import RECEIVED_NS, FakeDirectory, actor_status, agent_status
from tests.unit.serve_app.problem_answers import problem

NODE = "1f2e3d4c5b6a79880a1b2c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3"
STARTING: dict[str, Any] = {"state": "starting", "reason": "", "replaced": 0}


@pytest.fixture
def directory() -> FakeDirectory:
    made = FakeDirectory("BTCUSDT")
    made.said = {"BTCUSDT": actor_status("BTCUSDT")}
    made.agents = {NODE: agent_status()}
    return made


class Watch:
    """A clock that is set by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def metrics(directory: FakeDirectory, watch: Watch | None = None) -> Metrics:
    return Metrics(directory, lambda: RECEIVED_NS, watch or Watch())


def samples(text: bytes) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]


async def of_symbol(directory: FakeDirectory, symbol: str) -> dict[str, float]:
    """The samples of a symbol by name, with the state or quantile after it."""
    return {
        " ".join([one.name, *(v for k, v in one.labels.items() if k != "symbol")]): one.value
        for one in samples(await metrics(directory).text())
        if one.labels.get("symbol") == symbol
    }


async def test_a_live_symbol_has_every_sample(directory: FakeDirectory) -> None:
    found = await of_symbol(directory, "BTCUSDT")
    quantiles = {
        key: found.pop(key) for key in sorted(found) if key.startswith("tickcast_tick_to_forecast_s")
    }
    assert found == {
        "tickcast_symbol_up": 1,
        "tickcast_symbol_state starting": 0,
        "tickcast_symbol_state live": 1,
        "tickcast_symbol_state recovering": 0,
        "tickcast_symbol_state failed": 0,
        "tickcast_actor_restarts_total": 2,
        "tickcast_trades_seen_total": 7,
        "tickcast_trades_duplicates_total": 1,
        "tickcast_trades_overlapped_total": 0,
        "tickcast_trades_reordered_total": 0,
        "tickcast_gaps_found_total": 1,
        "tickcast_gaps_filled_total": 0,
        "tickcast_gaps_given_up_total": 1,
        "tickcast_trades_missing": 3,
        "tickcast_trades_filled_total": 0,
        "tickcast_trades_repaired_total": 0,
        "tickcast_held_events": 0,
        "tickcast_worst_lateness_seconds": 0.25,
        "tickcast_log_bytes": 4096,
        "tickcast_checkpoint_age_seconds": 2,
        "tickcast_ticks_total": 7,
        "tickcast_bars_total": 4,
        "tickcast_model_version champion": 3,
        "tickcast_model_version challenger1": 0,
        "tickcast_model_problems": 1,
        "tickcast_tick_to_forecast_measured_total": 1,
    }
    assert [key.split()[1] for key in quantiles] == ["0.5", "0.9", "0.99"]
    assert all(0.001 <= value <= 0.0011 for value in quantiles.values())


async def test_a_node_is_told_by_a_short_id(directory: FakeDirectory) -> None:
    directory.agents[NODE] |= {"failing_since_ns": RECEIVED_NS - 30 * 10**9, "damaged": ["a: torn"]}
    found = {one.name: one for one in samples(await metrics(directory).text()) if "node" in one.labels}
    assert {name: one.value for name, one in found.items()} == {
        "tickcast_node_agent_up": 1,
        "tickcast_archive_waiting_segments": 2,
        "tickcast_archive_waiting_bytes": 8192,
        "tickcast_archive_failing_seconds": 30,
        "tickcast_archive_damaged_segments": 1,
    }
    assert {one.labels["node"] for one in found.values()} == {"1f2e3d4c5b6a"}


async def test_a_lake_that_takes_everything_fails_for_no_time(directory: FakeDirectory) -> None:
    values = {one.name: one.value for one in samples(await metrics(directory).text())}
    assert values["tickcast_archive_failing_seconds"] == 0
    assert values["tickcast_archive_damaged_segments"] == 0


async def test_an_agent_that_does_not_answer_is_down_and_has_no_numbers(directory: FakeDirectory) -> None:
    directory.agents[NODE] = {"problem": "its agent does not answer: TimeoutError"}
    of_node = [one for one in samples(await metrics(directory).text()) if "node" in one.labels]
    assert [(one.name, one.value) for one in of_node] == [("tickcast_node_agent_up", 0)]


@pytest.mark.parametrize(
    "said",
    [
        {},
        # The actor answers, but its state is still being restored: its engine is a new one.
        {
            "opened": False,
            "events": {"bars": 0},
            "tick_to_forecast": {"p50_ms": None, "p90_ms": None, "p99_ms": None},
        },
    ],
)
async def test_what_is_not_known_of_a_symbol_has_no_sample(
    directory: FakeDirectory, said: dict[str, Any]
) -> None:
    directory.said["NEW"] = STARTING | said
    found = await of_symbol(directory, "NEW")
    assert found == {
        "tickcast_symbol_up": 0,
        "tickcast_symbol_state starting": 1,
        "tickcast_symbol_state live": 0,
        "tickcast_symbol_state recovering": 0,
        "tickcast_symbol_state failed": 0,
        "tickcast_actor_restarts_total": 0,
    }


async def test_before_the_first_checkpoint_and_trade_their_ages_have_no_sample(
    directory: FakeDirectory,
) -> None:
    directory.said["BTCUSDT"]["storage"]["checkpoint_ns"] = 0
    directory.said["BTCUSDT"]["continuity"]["worst_lateness_s"] = None
    found = await of_symbol(directory, "BTCUSDT")
    assert "tickcast_checkpoint_age_seconds" not in found
    assert "tickcast_worst_lateness_seconds" not in found
    assert found["tickcast_log_bytes"] == 4096


@pytest.mark.parametrize("symbol", ["BTC/USD", 'a"b', "back\\slash", "new\nline", "Ω=F", "{x}", "a,b", " "])
async def test_an_odd_symbol_is_read_as_it_is_written(directory: FakeDirectory, symbol: str) -> None:
    directory.said = {symbol: actor_status(symbol)}
    text = await metrics(directory).text()
    assert {one.labels["symbol"] for one in samples(text) if "symbol" in one.labels} == {symbol}


async def test_labels_are_no_more_than_symbols_nodes_states_quantiles_and_slots(
    directory: FakeDirectory,
) -> None:
    directory.said = {f"COIN{i}": actor_status(f"COIN{i}") for i in range(20)}
    found = samples(await metrics(directory).text())
    assert {name for one in found for name in one.labels} == {"symbol", "node", "state", "quantile", "slot"}
    assert {one.labels["symbol"] for one in found if "symbol" in one.labels} == set(directory.said)
    by_symbol = [one for one in found if one.labels.get("symbol") == "COIN0"]
    assert len(by_symbol) == 29


async def test_every_metric_says_what_it_is_and_is_in_the_documentation(directory: FakeDirectory) -> None:
    text = (await metrics(directory).text()).decode()
    documented = (Path(__file__).parents[3] / "docs/api.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert told == set(re.findall(r"^\| `(tickcast_\w+)", documented, re.MULTILINE))
    for family in text_string_to_metric_families(text):
        assert family.documentation.endswith(".")
        assert family.type == ("counter" if family.name + "_total" in told else "gauge")
        assert family.samples, family.name


async def test_the_route_answers_in_the_exposition_format(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert 'tickcast_symbol_up{symbol="BTCUSDT"} 1.0' in answer.text.splitlines()


async def test_however_many_scrape_the_supervisor_is_asked_once_a_second(directory: FakeDirectory) -> None:
    watch = Watch()
    scraped = metrics(directory, watch)
    first = set(await asyncio.gather(*(scraped.text() for _ in range(50))))
    assert (len(first), directory.scrapes) == (1, 1)
    directory.said["ETHUSDT"] = actor_status("ETHUSDT")
    watch.now_s += FRESH_S * 0.9
    assert {await scraped.text()} == first
    watch.now_s += FRESH_S * 0.2
    assert b"ETHUSDT" in await scraped.text()
    assert directory.scrapes == 2


async def test_a_supervisor_that_is_away_is_a_503_and_found_when_it_is_back(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.unreachable = SupervisorUnreachable(1.0, "its actor is restarting")
    problem(await client.get("/metrics"), problems.SUPERVISOR_UNREACHABLE)
    directory.unreachable = None
    assert (await client.get("/metrics")).status_code == 200


async def test_symbols_are_told_though_no_node_answers(directory: FakeDirectory) -> None:
    directory.agents_unreachable = SupervisorUnreachable(1.0, "no answer within 5 s")
    found = samples(await metrics(directory).text())
    assert {one.labels.get("symbol") for one in found} == {"BTCUSDT"}
