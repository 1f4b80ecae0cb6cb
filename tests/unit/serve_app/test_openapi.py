"""The OpenAPI document and its examples hold what they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI

from cluster.policies import SymbolState
from serve_app import problems


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await client.get("/openapi.json")).json()
    return answer


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Hold a value against a schema that may refer to the document's components."""
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_it_is_an_openapi_document_with_every_route(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    assert {(method, path) for method, path, _ in operations(document)} == {
        ("GET", "/v1/symbols"),
        ("GET", "/v1/forecasts/{symbol}"),
        ("POST", "/v1/forecasts"),
        ("GET", "/v1/features/{symbol}"),
        ("GET", "/v1/scores/{symbol}"),
        ("GET", "/v1/continuity/{symbol}"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
    }


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            for each in node.values():
                yield from references(each)
        elif isinstance(node, list):
            for each in node:
                yield from references(each)

    found = set(references(document))
    assert "#/components/schemas/ProblemAnswer" in found
    for reference in found:
        assert reference.rpartition("/")[2] in document["components"]["schemas"]


def test_every_answer_of_every_route_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation["summary"] and operation["description"], path
        assert "200" in operation["responses"]
        for status, answer in operation["responses"].items():
            for media_type, content in answer["content"].items():
                assert (media_type == "application/problem+json") == (status != "200")
                assert content["examples"], f"{method} {path} {status}"
                for example in content["examples"].values():
                    check(document, content["schema"], example["value"])
                    assert status == "200" or example["value"]["status"] == int(status)


def test_examples_of_objects_fit_their_schemas(document: dict[str, Any]) -> None:
    with_example = {n: s for n, s in document["components"]["schemas"].items() if "example" in s}
    assert {"Forecast", "BatchRequest", "BatchAnswer", "ScoresAnswer", "ContinuityAnswer"} <= set(
        with_example
    )
    for schema in with_example.values():
        check(document, schema, schema["example"])


async def test_answers_fit_what_is_documented(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    for path in (
        "symbols",
        "forecasts/{symbol}",
        "features/{symbol}",
        "scores/{symbol}",
        "continuity/{symbol}",
    ):
        answer = await client.get("/v1/" + path.format(symbol="BTCUSDT"))
        documented = document["paths"]["/v1/" + path]["get"]["responses"]["200"]["content"]
        check(document, documented["application/json"]["schema"], answer.json())
    answer = await client.post("/v1/forecasts", json={"symbols": ["BTCUSDT", "NOPE"]})
    documented = document["paths"]["/v1/forecasts"]["post"]["responses"]["200"]["content"]
    check(document, documented["application/json"]["schema"], answer.json())


def test_a_wrong_answer_would_not_fit(document: dict[str, Any]) -> None:
    wrong = document["components"]["schemas"]["Forecast"]["example"] | {"price": "78123.45"}
    with pytest.raises(jsonschema.ValidationError):
        check(document, document["components"]["schemas"]["Forecast"], wrong)


def test_a_symbol_has_the_states_that_the_supervisor_gives(document: dict[str, Any]) -> None:
    entry = document["components"]["schemas"]["SymbolEntry"]
    assert set(entry["properties"]["state"]["enum"]) == {state.value for state in SymbolState}


def test_kinds_of_problems_differ_in_name_and_their_examples_are_complete() -> None:
    assert len({kind.name for kind in problems.KINDS}) == len(problems.KINDS)
    for kind in problems.KINDS:
        assert {"type", "title", "status", "detail", "instance"} <= set(kind.example)
