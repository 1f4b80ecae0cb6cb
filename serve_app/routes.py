"""The routes under /v1 and the two that tell health."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query
from pydantic import BaseModel
from starlette.responses import Response

from serve_app import problems, schemas
from serve_app.continuity import ContinuityAnswer
from serve_app.direct_route import DirectRoute
from serve_app.limited_route import LimitedRoute
from serve_app.problems import Kind, Problem, printable, problem_of
from serve_app.responses import JsonBytes, MetricsBytes
from serve_app.router import SYMBOL_PATTERN, ForecastRouter, Refusal

MOST_BODY_BYTES = 64 * 1024
_NOT_READY_RETRY_S = 1.0
_READS_SYMBOL = (
    problems.UNKNOWN_SYMBOL,
    problems.INVALID_REQUEST,
    problems.RECOVERING,
    problems.SUPERVISOR_UNREACHABLE,
    problems.INTERNAL_ERROR,
)

Symbol = Annotated[
    str,
    Path(
        description="Name of the symbol; lower case will do where it is unambiguous. Write `/` as `%2F`.",
        pattern=f"^{SYMBOL_PATTERN}$",
        examples=["BTCUSDT"],
    ),
]
Horizon = Annotated[
    str | None,
    Query(description="One horizon; without it, the answer has all of them.", examples=["60s"]),
]


def add_routes(app: FastAPI, router: ForecastRouter) -> None:
    """Add every route for programs."""
    _add_forecast_route(app, router)
    _add_batch_route(app, router)
    _add_symbol_routes(app, router)
    _add_health_routes(app, router)
    _add_metrics_route(app, router)


def _add_forecast_route(app: FastAPI, router: ForecastRouter) -> None:
    async def forecast(symbol: Symbol, horizon: Horizon = None) -> Response:
        """The newest forecast of a symbol at one horizon, or at all of them.

        `age_s` says how old the newest market event behind it is. Requests for one symbol that arrive
        together share one look at the model.
        """
        if horizon is None:
            return JsonBytes(await router.forecasts(symbol))
        return JsonBytes(await router.forecast(symbol, horizon))

    # First in the list, since it is asked for most.
    app.router.routes.insert(
        0,
        DirectRoute(
            "/v1/forecasts/{symbol:path}",
            forecast,
            summary="Forecast of one symbol",
            tags=["forecasts"],
            responses=_answers(
                schemas.Forecast | schemas.SymbolForecasts,
                {
                    "one horizon": schemas.FORECAST_EXAMPLE,
                    "all horizons": _example(schemas.SymbolForecasts),
                },
                *_READS_SYMBOL,
                problems.UNKNOWN_HORIZON,
                problems.NOT_WARM,
            ),
        ),
    )


def _add_batch_route(app: FastAPI, router: ForecastRouter) -> None:
    async def forecasts_of_many(asked: schemas.BatchRequest) -> Response:
        """Forecasts of up to 100 symbols at once.

        Symbols do not fail each other: those without a forecast are in `problems`, and the status is 200
        even if all are.
        """
        objects, refusals = await router.batch(asked.symbols, asked.horizons)
        told = msgspec.json.encode([_told(refusal) for refusal in refusals])
        return JsonBytes(b'{"forecasts":[%b],"problems":%b}' % (b",".join(objects), told))

    app.router.routes.append(
        LimitedRoute(
            "/v1/forecasts",
            forecasts_of_many,
            most_bytes=MOST_BODY_BYTES,
            summary="Forecasts of many symbols",
            tags=["forecasts"],
            responses=_answers(
                schemas.BatchAnswer,
                {"two symbols": _example(schemas.BatchAnswer)},
                problems.INVALID_REQUEST,
                problems.BODY_TOO_LARGE,
                problems.SUPERVISOR_UNREACHABLE,
                problems.INTERNAL_ERROR,
            ),
        )
    )


def _add_symbol_routes(app: FastAPI, router: ForecastRouter) -> None:
    @app.get(
        "/v1/symbols",
        summary="All watched symbols",
        tags=["symbols"],
        responses=_answers(
            schemas.SymbolsAnswer,
            {"one symbol": _example(schemas.SymbolsAnswer)},
            problems.SUPERVISOR_UNREACHABLE,
            problems.INTERNAL_ERROR,
        ),
    )
    async def symbols() -> Response:
        """The symbols that are watched, their horizons and how they are."""
        entries = await router.symbols()
        rows = [{"symbol": name, **entry} for name, entry in sorted(entries.items())]
        return JsonBytes(msgspec.json.encode({"symbols": rows}))

    async def features(symbol: Symbol) -> Response:
        """The newest value of every feature, as the models saw it."""
        return JsonBytes(await router.features(symbol))

    async def scores(symbol: Symbol) -> Response:
        """How every model did against the naive forecast, over its lifetime and recently."""
        return JsonBytes(await router.scores(symbol))

    async def continuity(symbol: Symbol) -> Response:
        """What was seen of the symbol's trades, what is missing, and how its ticks are stored."""
        return JsonBytes(await router.continuity(symbol))

    for path, endpoint, answer, summary in (
        ("/v1/features/{symbol:path}", features, schemas.FeaturesAnswer, "Features of one symbol"),
        ("/v1/scores/{symbol:path}", scores, schemas.ScoresAnswer, "Scores of one symbol"),
        ("/v1/continuity/{symbol:path}", continuity, ContinuityAnswer, "Continuity of one symbol"),
    ):
        documented = _answers(answer, {"example": _example(answer)}, *_READS_SYMBOL, problems.NOT_WARM)
        app.router.routes.append(
            DirectRoute(path, endpoint, summary=summary, tags=["symbols"], responses=documented)
        )


def _add_health_routes(app: FastAPI, router: ForecastRouter) -> None:
    @app.get(
        "/healthz",
        summary="Is the process alive?",
        tags=["health"],
        responses=_answers(schemas.Health, {"alive": _example(schemas.Health)}),
    )
    async def healthz() -> Response:
        """Always 200 while the process can answer at all. Asks nobody else."""
        return JsonBytes(b'{"status":"ok"}')

    @app.get(
        "/readyz",
        summary="Can forecasts be asked for?",
        tags=["health"],
        responses=_answers(
            schemas.Ready,
            {"one of two": _example(schemas.Ready)},
            problems.NOT_READY,
            problems.SUPERVISOR_UNREACHABLE,
        ),
    )
    async def readyz() -> Response:
        """200 once the supervisor answers and at least one symbol is live. Names those that are not."""
        readiness = await router.readiness()
        told = {"live": readiness.live, "not_live": readiness.not_live}
        if readiness.live:
            return JsonBytes(msgspec.json.encode({"status": "ready", **told}))
        detail = f"{len(readiness.not_live)} symbols are watched and none is live"
        problem = Problem(problems.NOT_READY, detail, {**told, "retry_after_s": _NOT_READY_RETRY_S})
        return problem.response("/readyz")


def _add_metrics_route(app: FastAPI, router: ForecastRouter) -> None:
    kinds = (problems.SUPERVISOR_UNREACHABLE, problems.INTERNAL_ERROR)
    text = {"schema": {"type": "string"}, "examples": _named({"one metric": schemas.METRICS_EXAMPLE})}
    answer = {"description": "The answer", "content": {MetricsBytes.media_type: text}}

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        tags=["health"],
        response_class=MetricsBytes,
        responses={200: answer, **_problems(*kinds)},
    )
    async def metrics() -> Response:
        """Counters and states of all symbols and nodes, at most a second old. The unknown is left out."""
        return MetricsBytes(await router.metrics())


def _told(refusal: Refusal) -> dict[str, Any]:
    symbol = printable(refusal.symbol)
    told = problem_of(refusal.error).as_dict(f"/v1/forecasts/{symbol}") | {"symbol": symbol}
    return told if refusal.horizon is None else told | {"horizon": printable(refusal.horizon)}


def _example(model: type[BaseModel]) -> Any:
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    return extra["example"]


def _answers(model: Any, examples: dict[str, Any], *kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: what it answers with, and every problem that it can tell of."""
    answer = {
        "model": model,
        "description": "The answer",
        "content": {"application/json": {"examples": _named(examples)}},
    }
    return {200: answer, **_problems(*kinds)}


def _problems(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, by status."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status in sorted({kind.status for kind in kinds}):
        same = [kind for kind in kinds if kind.status == status]
        documented[status] = {
            "description": " / ".join(kind.title for kind in same),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/ProblemAnswer"},
                    "examples": _named({kind.name: kind.example for kind in same}),
                }
            },
        }
        if status == 503:
            documented[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}
            }
    return documented


def _named(examples: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in examples.items()}
