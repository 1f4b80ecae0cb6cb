"""Errors as HTTP answers: problem details after RFC 9457.

`KINDS` lists every kind of problem that the API answers with. Its names are stable: programs tell
problems apart by `type`, people read `title` and `detail`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from features.errors import NotWarm, TickcastError, UnknownHorizon, UnknownSymbol
from serve_app.errors import InvalidRequest, Recovering, SupervisorUnreachable
from serve_app.responses import ProblemBytes

_LONGEST_ECHO = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem."""

    name: str
    status: int
    title: str
    meaning: str
    """What has happened and what the caller can do, for people."""
    detail: str
    """An example of what it says."""
    members: Mapping[str, Any] = field(default_factory=dict)
    """Examples of what it tells beside the members that every problem has."""
    at: str = "/v1/forecasts/BTCUSDT"
    """An example of an address that it is told at."""

    @property
    def uri(self) -> str:
        return f"/problems/{self.name}"

    @property
    def example(self) -> dict[str, Any]:
        return Problem(self, self.detail, dict(self.members)).as_dict(self.at)


_FIELD_FAULT = {"field": "query.horizn", "problem": "this route has no such parameter; use only: horizon"}
INVALID_REQUEST = Kind(
    "invalid-request",
    422,
    "The request can't be used",
    "A parameter or the body is not as documented. Correct the fields that `errors` names.",
    "query.horizn: this route has no such parameter; use only: horizon",
    {"errors": [_FIELD_FAULT]},
)
UNKNOWN_SYMBOL = Kind(
    "unknown-symbol",
    404,
    "This symbol is not watched",
    "This installation does not watch the symbol. `known_symbols` has at most 20, the most alike first.",
    "symbol 'BTCUSD' is not watched; use one of: BTCUSDT, ETHUSDT",
    {"symbol": "BTCUSD", "known_symbols": ["BTCUSDT", "ETHUSDT"]},
    "/v1/forecasts/BTCUSD",
)
UNKNOWN_HORIZON = Kind(
    "unknown-horizon",
    422,
    "No forecast is made at this horizon",
    "Ask for one of `valid_horizons`.",
    "no forecast is made at horizon '5m'; use one of: 10s, 60s",
    {
        "horizon": "5m",
        "valid_horizons": ["10s", "60s"],
        "errors": [{"field": "horizon", "problem": "no forecast is made at horizon '5m'"}],
    },
)
NOT_WARM = Kind(
    "not-warm",
    503,
    "There is no forecast yet",
    "The symbol has not seen enough of the market yet. Ask again after `retry_after_s` seconds.",
    "BTCUSDT has no forecast yet: 41 of 60 bars seen; ask again in 19 s",
    {"symbol": "BTCUSDT", "retry_after_s": 19.0},
)
RECOVERING = Kind(
    "recovering",
    503,
    "The symbol can't answer now",
    "Its actor restarts, can't be reached, or restores its state and catches up with what it missed. "
    "It resumes where it stopped. Ask again after `retry_after_s` seconds; the others are answered.",
    "BTCUSDT can't answer now: its state is being restored; ask again in 1 s",
    {"symbol": "BTCUSDT", "state": "recovering", "retry_after_s": 1.0},
)
SUPERVISOR_UNREACHABLE = Kind(
    "supervisor-unreachable",
    503,
    "The supervisor does not answer",
    "Nobody can say now which symbols are watched. Ask again after `retry_after_s` seconds.",
    "the supervisor does not answer: its actor is restarting; ask again in 1 s",
    {"retry_after_s": 1.0},
    "/v1/symbols",
)
NOT_READY = Kind(
    "not-ready",
    503,
    "No symbol is live",
    "Not one symbol can be asked yet. `not_live` says why.",
    "1 symbols are watched and none is live",
    {
        "live": [],
        "not_live": [{"symbol": "BTCUSDT", "state": "starting", "reason": "connecting"}],
        "retry_after_s": 1.0,
    },
    "/readyz",
)
NOT_FOUND = Kind(
    "not-found",
    404,
    "There is nothing at this address",
    "The routes are listed at /docs.",
    "there is nothing at '/v1/forecast'",
    at="/v1/forecast",
)
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "This address does not take this method",
    "The header `Allow` has the methods that it takes.",
    "use GET",
)
BODY_TOO_LARGE = Kind(
    "body-too-large",
    413,
    "The body is too large",
    "Ask for fewer symbols per request.",
    "the body is larger than this route takes",
    at="/v1/forecasts",
)
INTERNAL_ERROR = Kind(
    "internal-error",
    500,
    "The server failed",
    "A fault of ours. The log of the API has the details under the time of the answer.",
    "an unexpected error",
)
KINDS = (
    INVALID_REQUEST,
    UNKNOWN_SYMBOL,
    UNKNOWN_HORIZON,
    NOT_WARM,
    RECOVERING,
    SUPERVISOR_UNREACHABLE,
    NOT_READY,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, ready to be told."""

    kind: Kind
    detail: str
    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def as_dict(self, instance: str) -> dict[str, Any]:
        """The members of RFC 9457 and our own. `instance` is the path that was asked for."""
        return {
            "type": self.kind.uri,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": quote(instance[:_LONGEST_ECHO], errors="replace"),
            **self.members,
        }

    def response(self, instance: str) -> Response:
        headers = dict(self.headers)
        if "retry_after_s" in self.members:
            # RFC 9110 has whole seconds only; 0 would mean at once.
            headers["Retry-After"] = str(max(1, math.ceil(self.members["retry_after_s"])))
        return ProblemBytes(msgspec.json.encode(self.as_dict(instance)), self.kind.status, headers)


def problem_of(error: TickcastError) -> Problem:
    """The problem that an error is told as."""
    detail = f"{error.problem}; {error.fix}" if error.fix else error.problem
    members: dict[str, Any]
    match error:
        case UnknownSymbol():
            members = {"symbol": error.symbol, "known_symbols": list(error.known)}
            return Problem(UNKNOWN_SYMBOL, detail, members)
        case UnknownHorizon():
            horizon = printable(error.horizon)
            problem = f"no forecast is made at horizon {horizon!r}"
            members = {
                "horizon": horizon,
                "valid_horizons": list(error.valid),
                "errors": [{"field": "horizon", "problem": problem}],
            }
            return Problem(UNKNOWN_HORIZON, f"{problem}; {error.fix}", members)
        case InvalidRequest():
            errors = [{"field": printable(error.field), "problem": detail}]
            return Problem(INVALID_REQUEST, f"{printable(error.field)}: {detail}", {"errors": errors})
        case NotWarm():
            members = {"symbol": error.symbol, "retry_after_s": error.retry_after_s}
            return Problem(NOT_WARM, detail, members)
        case Recovering():
            members = {
                "symbol": error.symbol,
                "state": error.state,
                "retry_after_s": error.retry_after_s,
            }
            return Problem(RECOVERING, detail, members)
        case SupervisorUnreachable():
            return Problem(SUPERVISOR_UNREACHABLE, detail, {"retry_after_s": error.retry_after_s})
    _log.error("no answer is defined for %r", error)
    return Problem(INTERNAL_ERROR, "an error that the API does not expect")


def printable(text: str) -> str:
    """Text of a caller, short and free of what JSON can't carry, to be told back."""
    return text[:_LONGEST_ECHO].encode("utf-8", "replace").decode()


def install(app: FastAPI) -> None:
    """Make the app answer every error with a problem."""
    app.add_exception_handler(TickcastError, _answer_known)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, TickcastError)
    return problem_of(error).response(request.scope["path"])


async def _answer_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # The values that were sent are not told back: they can be large, or no JSON.
    errors = [
        {"field": printable(".".join(map(str, fault["loc"]))), "problem": fault["msg"]}
        for fault in error.errors()[:20]
    ]
    detail = "; ".join(f"{fault['field']}: {fault['problem']}" for fault in errors)
    return Problem(INVALID_REQUEST, detail, {"errors": errors}).response(request.scope["path"])


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            problem = Problem(NOT_FOUND, f"there is nothing at {printable(path)!r}")
        case 405:
            allowed = headers.get("Allow", "")
            problem = Problem(METHOD_NOT_ALLOWED, f"use {allowed}" if allowed else "use another", {}, headers)
        case 413:
            problem = Problem(BODY_TOO_LARGE, "the body is larger than this route takes", {}, headers)
        case status if status < 500:
            problem = Problem(INVALID_REQUEST, error.detail)
        case _:
            problem = Problem(INTERNAL_ERROR, error.detail)
    return problem.response(path)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    # The server logs the error itself; what it says may not be for strangers.
    return Problem(INTERNAL_ERROR, "an unexpected error").response(request.scope["path"])
