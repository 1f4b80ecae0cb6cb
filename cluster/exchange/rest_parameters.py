"""Query parameters of REST requests, checked as the venue checks them.

Error codes and texts: binance-spot-api-docs `errors.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cluster.exchange.klines import INTERVALS
from cluster.exchange.wire import MICROSECOND_NS, MILLISECOND_NS

MAX_LIMIT = 1000
_DEFAULT_LIMIT = 500
_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}")
_NUMBER = re.compile(r"[0-9]{1,20}")
_FIRST_MICROSECOND_TIME = 10**14
"""Times of 15 digits and more are microseconds: as milliseconds they would lie after the year 5000."""


class RequestError(Exception):
    """A request that gets an error answer: HTTP status, the venue's code and text."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code = code
        self.message = message
        self.status = status


class Parameters:
    """The query of one request."""

    def __init__(self, query: Mapping[str, str], allowed: tuple[str, ...]) -> None:
        """Raises RequestError for a parameter that the endpoint does not have."""
        if extra := set(query) - set(allowed):
            read = len(query) - len(extra)
            raise RequestError(
                -1104,
                f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(query)}'.",
            )
        self._query = query

    def symbol(self, known: Mapping[str, int]) -> int:
        """The number of the symbol asked for."""
        symbol = self._required("symbol")
        if symbol in known:
            return known[symbol]
        if not _SYMBOL.fullmatch(symbol):
            raise _illegal("symbol", "^[A-Z0-9-_.]{1,20}$")
        raise RequestError(-1121, "Invalid symbol.")

    def interval(self) -> str:
        """A kline interval."""
        interval = self._required("interval")
        if interval not in INTERVALS:
            raise RequestError(-1120, "Invalid interval.")
        return interval

    def number(self, name: str) -> int | None:
        """A whole number, or None where it was not sent."""
        text = self._query.get(name)
        if text is None:
            return None
        if not text:
            raise RequestError(-1105, f"Parameter '{name}' was empty.")
        if not _NUMBER.fullmatch(text):
            raise _illegal(name, "^[0-9]{1,20}$")
        return int(text)

    def limit(self) -> int:
        """How many rows at most: 500 unless sent, never above 1000."""
        limit = self.number("limit")
        if limit == 0:
            raise RequestError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(_DEFAULT_LIMIT if limit is None else limit, MAX_LIMIT)

    def start_ns(self) -> int | None:
        """`startTime`, sent in milliseconds or microseconds: the first nanosecond of it."""
        time = self.number("startTime")
        return None if time is None else time * _unit_ns(time)

    def end_ns(self) -> int | None:
        """`endTime`, included: the last nanosecond of it."""
        time = self.number("endTime")
        return None if time is None else (time + 1) * _unit_ns(time) - 1

    def times(self) -> tuple[int | None, int | None]:
        """Start and end. Raises RequestError when they are the wrong way round."""
        start_ns, end_ns = self.start_ns(), self.end_ns()
        if start_ns is not None and end_ns is not None and start_ns > end_ns:
            raise RequestError(-1127, "End time must be after start time.")
        return start_ns, end_ns

    def _required(self, name: str) -> str:
        text = self._query.get(name)
        if text is None:
            raise RequestError(
                -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            )
        if not text:
            raise RequestError(-1105, f"Parameter '{name}' was empty.")
        return text


def _unit_ns(time: int) -> int:
    return MICROSECOND_NS if time >= _FIRST_MICROSECOND_TIME else MILLISECOND_NS


def _illegal(name: str, legal: str) -> RequestError:
    return RequestError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
