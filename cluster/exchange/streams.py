"""What one connection is subscribed to, and the commands that change it. No sockets here.

Commands, answers and error codes: binance-spot-api-docs `web-socket-streams.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cluster.exchange.bulletin import Channel, Stream
from cluster.exchange.source import Instrument
from cluster.exchange.wire import MICROSECOND_NS, MILLISECOND_NS, Dialect

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class RefusedCommand(Exception):
    """A command that gets an error answer; `code` is the venue's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the URL of a connection asks for."""

    dialect: Dialect
    names: tuple[str, ...]


def parse_endpoint(target: str) -> Endpoint | None:
    """`/ws`, `/ws/a/b` or `/stream?streams=a/b`, with `timeUnit`; None for any other path."""
    parts = urlsplit(target)
    query = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    micro = query.get("timeunit", "").upper() == "MICROSECOND"
    dialect = Dialect(unit_ns=MICROSECOND_NS if micro else MILLISECOND_NS)
    path = unquote(parts.path).rstrip("/")
    if path == "/stream":
        return Endpoint(replace(dialect, combined=True), _split(query.get("streams", "")))
    if path == "/ws" or path.startswith("/ws/"):
        return Endpoint(dialect, _split(path.removeprefix("/ws")))
    return None


def stream_table(instruments: Sequence[Instrument]) -> dict[str, Stream]:
    """All streams that have data, by name."""
    return {
        instrument.stream_symbol + channel.value: Stream(number, channel)
        for number, instrument in enumerate(instruments)
        for channel in Channel
    }


class Subscriptions:
    """The streams of one connection. Unknown names are taken and give no data, as at the venue."""

    def __init__(self, table: Mapping[str, Stream], endpoint: Endpoint, limit: int) -> None:
        self.dialect = endpoint.dialect
        self.streams: frozenset[Stream] = frozenset()
        self._table = table
        self._limit = limit
        self._names: dict[str, None] = {}
        self._replace(endpoint.names)

    def answer(self, text: str | bytes) -> str:
        """Carry out one command; gives the answer to send."""
        number: Any = None
        try:
            command = _parse(text)
            number = command.get("id")
            result = self._carry_out(command, number)
        except RefusedCommand as refused:
            error = {"code": refused.code, "msg": refused.message}
            return json.dumps(error if number is None else {**error, "id": number}, separators=(",", ":"))
        return json.dumps({"result": result, "id": number}, separators=(",", ":"))

    def _carry_out(self, command: Mapping[str, Any], number: Any) -> Any:
        if "method" not in command:
            raise RefusedCommand(2, "Invalid request: missing field `method`")
        method = command["method"]
        if method not in _METHODS:
            expected = ", ".join(f"`{name}`" for name in _METHODS)
            problem = f"Invalid request: unknown variant `{method}`, expected one of {expected}"
            raise RefusedCommand(2, problem)
        if not _is_request_id(number):
            raise RefusedCommand(
                2, "Invalid request: request ID must be an integer, a short alphanumeric text or null"
            )
        params = command.get("params", [])
        if not isinstance(params, list):
            raise RefusedCommand(2, "Invalid request: params must be a list")
        match method:
            case "LIST_SUBSCRIPTIONS":
                return list(self._names)
            case "SET_PROPERTY" | "GET_PROPERTY":
                return self._property(method, params)
            case _:
                return self._change(method, params)

    def _change(self, method: str, params: list[Any]) -> None:
        if not params:
            raise RefusedCommand(2, "Invalid request: missing field `params`")
        if not all(isinstance(name, str) for name in params):
            raise RefusedCommand(2, "Invalid request: stream names must be strings")
        if method == "SUBSCRIBE":
            self._replace([*self._names, *params])
        else:
            self._replace([name for name in self._names if name not in params])

    def _property(self, method: str, params: list[Any]) -> bool | None:
        wanted = 2 if method == "SET_PROPERTY" else 1
        if len(params) > wanted:
            raise RefusedCommand(2, "Invalid request: too many parameters")
        if len(params) < wanted or not isinstance(params[0], str):
            raise RefusedCommand(2, "Invalid request: property name must be a string")
        if params[0] != "combined":
            raise RefusedCommand(0, "Unknown property")
        if method == "GET_PROPERTY":
            return self.dialect.combined
        if not isinstance(params[1], bool):
            raise RefusedCommand(1, "Invalid value type: expected Boolean")
        self.dialect = replace(self.dialect, combined=params[1])
        return None

    def _replace(self, names: Iterable[str]) -> None:
        unique = dict.fromkeys(names)
        if len(unique) > self._limit:
            raise RefusedCommand(2, f"Invalid request: more than {self._limit} streams on one connection")
        self._names = unique
        self.streams = frozenset(self._table[name] for name in unique if name in self._table)


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        command = json.loads(text)
    except json.JSONDecodeError as error:
        raise RefusedCommand(
            3, f"Invalid JSON: expected value at line {error.lineno} column {error.colno}"
        ) from None
    except UnicodeDecodeError:
        raise RefusedCommand(3, "Invalid JSON: not UTF-8") from None
    if not isinstance(command, dict):
        raise RefusedCommand(2, "Invalid request: expected an object")
    return command


def _is_request_id(number: Any) -> bool:
    if isinstance(number, str):
        return len(number) <= 36 and number.isalnum()
    return number is None or (isinstance(number, int) and not isinstance(number, bool))


def _split(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split("/") if name)
