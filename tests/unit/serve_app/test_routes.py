"""Every route, asked over ASGI: what it answers, and how each error is told."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app import problems
from serve_app.errors import Recovering, SupervisorUnreachable
from tests.unit.serve_app.fake_directory import (
    FakeDirectory,
    forecast,
    not_ready_answer,
    recovering_answer,
)
from tests.unit.serve_app.problem_answers import problem

AGED = {"age_s": 0.123}


async def test_one_horizon_is_answered_with_one_object(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/forecasts/BTCUSDT?horizon=60s")
    assert answer.status_code == 200
    assert answer.json() == forecast("BTCUSDT", "60s") | AGED
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_without_a_horizon_all_are_answered(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/forecasts/BTCUSDT")).json()
    assert answer == {
        "symbol": "BTCUSDT",
        "forecasts": [forecast("BTCUSDT", horizon) | AGED for horizon in ("10s", "60s")],
    }


@pytest.mark.parametrize("spelled", ["btcusdt", "BtcUsdt", "BTC%2FUSD", "BTC/USD", "btc%2fusd"])
async def test_a_symbol_may_be_spelled_in_any_unambiguous_way(
    client: httpx.AsyncClient, spelled: str
) -> None:
    answer = await client.get(f"/v1/forecasts/{spelled}?horizon=10s")
    assert answer.json()["symbol"] == ("BTC/USD" if "2" in spelled or "/" in spelled else "BTCUSDT")


@pytest.mark.parametrize("route", ["forecasts", "features", "scores", "continuity"])
async def test_an_unknown_symbol_is_404_with_the_nearest_known(client: httpx.AsyncClient, route: str) -> None:
    told = problem(await client.get(f"/v1/{route}/BTCUSD"), problems.UNKNOWN_SYMBOL)
    assert told["symbol"] == "BTCUSD"
    assert told["known_symbols"][0] in ("BTCUSDT", "BTC/USD")
    assert set(told["known_symbols"]) == {"BTCUSDT", "ETHUSDT", "BTC/USD", "abc", "ABC"}
    assert told["instance"] == f"/v1/{route}/BTCUSD"


async def test_a_symbol_in_ambiguous_case_is_unknown(client: httpx.AsyncClient) -> None:
    told = problem(await client.get("/v1/forecasts/Abc"), problems.UNKNOWN_SYMBOL)
    assert set(told["known_symbols"][:2]) == {"abc", "ABC"}


async def test_an_unknown_horizon_is_422_with_the_valid_ones(client: httpx.AsyncClient) -> None:
    told = problem(await client.get("/v1/forecasts/BTCUSDT?horizon=5m"), problems.UNKNOWN_HORIZON)
    assert told["valid_horizons"] == ["10s", "60s"]
    assert told["errors"][0]["field"] == "horizon"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("horizn=60s", "query.horizn"),
        ("horizon=10s&horizon=60s", "query.horizon"),
        ("a=" + "x" * 300, "query"),
    ],
)
async def test_an_unusable_query_is_422_and_names_the_field(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    told = problem(await client.get(f"/v1/forecasts/BTCUSDT?{query}"), problems.INVALID_REQUEST)
    assert [fault["field"] for fault in told["errors"]] == [field]


async def test_a_symbol_that_is_not_warm_is_503_and_says_when(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.answers["BTCUSDT", "forecasts"] = not_ready_answer("BTCUSDT", "41 of 60 bars seen", 18.2)
    answer = await client.get("/v1/forecasts/BTCUSDT")
    told = problem(answer, problems.NOT_WARM)
    assert (answer.headers["retry-after"], told["retry_after_s"]) == ("19", 18.2)
    assert "41 of 60 bars seen" in told["detail"]


@pytest.mark.parametrize("query", ["", "?horizon=10s"])
async def test_a_symbol_that_catches_up_is_503_while_the_others_are_answered(
    client: httpx.AsyncClient, directory: FakeDirectory, query: str
) -> None:
    directory.answers["BTCUSDT", "forecasts"] = recovering_answer("BTCUSDT", "trades 5 to 9 are missing")
    answer = await client.get(f"/v1/forecasts/BTCUSDT{query}")
    told = problem(answer, problems.RECOVERING)
    assert (told["symbol"], told["state"], answer.headers["retry-after"]) == ("BTCUSDT", "recovering", "1")
    assert "trades 5 to 9 are missing" in told["detail"]
    assert (await client.get(f"/v1/forecasts/ETHUSDT{query}")).status_code == 200
    batch = (await client.post("/v1/forecasts", json={"symbols": ["BTCUSDT", "ETHUSDT"]})).json()
    assert [each["symbol"] for each in batch["forecasts"]] == ["ETHUSDT", "ETHUSDT"]
    assert [(each["type"], each["state"], each["symbol"]) for each in batch["problems"]] == [
        ("/problems/recovering", "recovering", "BTCUSDT")
    ]


@pytest.mark.parametrize("route", ["forecasts", "features", "scores", "continuity"])
async def test_a_recovering_symbol_is_503(
    client: httpx.AsyncClient, directory: FakeDirectory, route: str
) -> None:
    directory.answers["BTCUSDT", route] = Recovering("BTCUSDT", 0.0, "its actor is restarting")
    told = problem(await client.get(f"/v1/{route}/BTCUSDT"), problems.RECOVERING)
    assert (told["symbol"], told["state"]) == ("BTCUSDT", "live")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/symbols",
        "/readyz",
        "/metrics",
        "/v1/forecasts/BTCUSDT",
        "/v1/scores/BTCUSDT",
        "/v1/continuity/BTCUSDT",
    ],
)
async def test_without_the_supervisor_the_answer_is_503(
    client: httpx.AsyncClient, directory: FakeDirectory, path: str
) -> None:
    directory.unreachable = SupervisorUnreachable(1.0, "restarting")
    problem(await client.get(path), problems.SUPERVISOR_UNREACHABLE)


async def test_a_batch_tells_forecasts_and_problems_side_by_side(client: httpx.AsyncClient) -> None:
    asked = {"symbols": ["ethusdt", "NOPE", "BTCUSDT", "bad symbol"], "horizons": ["10s", "5m"]}
    answer = await client.post("/v1/forecasts", json=asked)
    assert answer.status_code == 200
    told = answer.json()
    assert [(each["symbol"], each["horizon"], each["age_s"]) for each in told["forecasts"]] == [
        ("ETHUSDT", "10s", 0.123),
        ("BTCUSDT", "10s", 0.123),
    ]
    assert [(p["status"], p["type"], p["symbol"], p.get("horizon")) for p in told["problems"]] == [
        (422, "/problems/unknown-horizon", "ETHUSDT", "5m"),
        (404, "/problems/unknown-symbol", "NOPE", None),
        (422, "/problems/unknown-horizon", "BTCUSDT", "5m"),
        (422, "/problems/invalid-request", "bad symbol", None),
    ]


@pytest.mark.parametrize("horizons", [{}, {"horizons": None}])
async def test_a_batch_without_horizons_has_all(client: httpx.AsyncClient, horizons: dict[str, Any]) -> None:
    answer = await client.post("/v1/forecasts", json={"symbols": ["BTCUSDT"], **horizons})
    assert [each["horizon"] for each in answer.json()["forecasts"]] == ["10s", "60s"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body.1"),
        (b"[]", "body"),
        (b"{}", "body.symbols"),
        (b'{"symbols":[]}', "body.symbols"),
        (b'{"symbols":"BTCUSDT"}', "body.symbols"),
        (b'{"symbols":[NaN]}', "body.symbols.0"),
        (b'{"symbols":[1]}', "body.symbols.0"),
        (b'{"symbols":["A"],"horizons":[]}', "body.horizons"),
        (b'{"symbols":["A"],"horizon":["10s"]}', "body.horizon"),
        (b'{"symbols":["A"],"\\ud800":1}', "body"),
        (b'{"symbols":[' + b",".join([b'"A"'] * 101) + b"]}", "body.symbols"),
    ],
)
async def test_an_unusable_body_is_422_and_names_the_field(
    client: httpx.AsyncClient, body: bytes, field: str
) -> None:
    answer = await client.post("/v1/forecasts", content=body, headers={"content-type": "application/json"})
    told = problem(answer, problems.INVALID_REQUEST)
    assert [fault["field"] for fault in told["errors"]] == [field]


async def test_a_huge_body_is_413(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/forecasts", json={"symbols": ["A" * 100_000]})
    problem(answer, problems.BODY_TOO_LARGE)


async def test_symbols_are_listed_in_order(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/symbols")).json()["symbols"]
    assert [each["symbol"] for each in told] == sorted(each["symbol"] for each in told)
    assert told[0] == {
        "symbol": "ABC",
        "state": "live",
        "horizons": ["10s", "60s"],
        "venue": "binance",
        "reason": "",
    }


@pytest.mark.parametrize("route", ["features", "scores"])
async def test_what_the_actor_tells_is_passed_on(
    client: httpx.AsyncClient, directory: FakeDirectory, route: str
) -> None:
    answer = await client.get(f"/v1/{route}/btcusdt")
    assert answer.json() == directory.answers["BTCUSDT", route]


async def test_health_needs_nobody(client: httpx.AsyncClient, directory: FakeDirectory) -> None:
    directory.unreachable = SupervisorUnreachable(1.0)
    answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert directory.looks == 0


async def test_ready_names_the_symbols_that_are_not_live(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.watch("NEW", "starting", "connecting")
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["not_live"] == [{"symbol": "NEW", "state": "starting", "reason": "connecting"}]


@pytest.mark.parametrize("watched", [[], ["NEW"]])
async def test_not_ready_until_one_symbol_is_live(
    client: httpx.AsyncClient, directory: FakeDirectory, watched: list[str]
) -> None:
    directory.entries = {}
    for symbol in watched:
        directory.watch(symbol, "starting", "connecting")
    told = problem(await client.get("/readyz"), problems.NOT_READY)
    assert [each["symbol"] for each in told["not_live"]] == watched


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/forecast", "/static/../app.py", "/static/x.js", "/problems/none", "/%00"]
)
async def test_an_unknown_path_is_404(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), problems.NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/forecasts/BTCUSDT", "GET"),
        ("GET", "/v1/forecasts", "POST"),
        ("DELETE", "/v1/symbols", "GET"),
        ("POST", "/v1/scores/BTCUSDT", "GET"),
        ("POST", "/", "GET"),
    ],
)
async def test_a_wrong_method_is_405_with_the_right_one(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    problem(answer, problems.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == allowed


async def test_head_is_answered_as_get(client: httpx.AsyncClient) -> None:
    assert (await client.head("/healthz")).status_code == 200
    assert (await client.head("/v1/forecasts/NOPE")).status_code == 404


async def test_a_fault_of_ours_is_a_500_that_gives_nothing_away(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.answers["BTCUSDT", "forecasts"] = KeyError("secret")
    answer = await client.get("/v1/forecasts/BTCUSDT")
    problem(answer, problems.INTERNAL_ERROR)
    assert "secret" not in answer.text


async def test_requests_over_http_share_one_actor_call(
    client: httpx.AsyncClient, directory: FakeDirectory
) -> None:
    directory.gate.clear()
    asked = [asyncio.create_task(client.get("/v1/forecasts/BTCUSDT?horizon=10s")) for _ in range(20)]
    while not directory.asked["BTCUSDT", "forecasts"]:
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    directory.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    assert directory.asked["BTCUSDT", "forecasts"] == 1


ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(symbol=ODD, horizon=ODD)
async def test_odd_input_is_never_a_fault_of_ours(
    client: httpx.AsyncClient, symbol: str, horizon: str
) -> None:
    path = f"/v1/forecasts/{quote(symbol, safe='')}"
    answers = [
        await client.get(path),
        await client.get(path, params={"horizon": horizon}),
        await client.get("/v1/forecasts/BTCUSDT", params={"horizon": horizon}),
        await client.post("/v1/forecasts", json={"symbols": [symbol], "horizons": [horizon]}),
    ]
    for answer in answers:
        assert answer.status_code in (200, 404, 422)
        answer.json()


@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "💩", "<script>", "a" * 5000, "..", "NaN"])
async def test_odd_text_in_a_batch_is_told_back_as_a_problem(client: httpx.AsyncClient, text: str) -> None:
    body = f'{{"symbols":["{text}","BTCUSDT"],"horizons":["{text}"]}}'.encode()
    answer = await client.post("/v1/forecasts", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert [each["status"] in (404, 422) for each in answer.json()["problems"]] == [True, True]
    assert len(answer.content) < 3000
