"""Errors of the API, beside those of `features.errors`.

TickcastError
    InvalidRequest           a part of the request can't be used; names the field
    Recovering               a watched symbol can't answer now, and will again
    SupervisorUnreachable    nobody can say now which symbols are watched
"""

from __future__ import annotations

from features.errors import TickcastError

RECOVERING = "recovering"
"""State of a symbol that says itself that it is not back yet, whatever the supervisor last saw."""


class InvalidRequest(TickcastError):
    """A part of the request can't be used. `field` names it, as in "query.horizon"."""

    def __init__(self, field: str, problem: str, fix: str = "") -> None:
        Exception.__init__(self, field, problem, fix)
        self.field = field
        self.problem = problem
        self.where = field
        self.fix = fix


class Recovering(TickcastError):
    """A watched symbol can't answer now; `retry_after_s` says when to ask again.

    `state` is what the supervisor says of the symbol, "" where it was not asked; `RECOVERING` where the
    symbol's actor answers and says so.
    """

    def __init__(self, symbol: str, retry_after_s: float, reason: str = "", state: str = "") -> None:
        Exception.__init__(self, symbol, retry_after_s, reason, state)
        self.symbol = symbol
        self.retry_after_s = retry_after_s
        self.reason = reason
        self.state = state
        self.problem = f"{symbol} can't answer now: {reason}" if reason else f"{symbol} can't answer now"
        self.where = ""
        self.fix = f"ask again in {retry_after_s:g} s"


class SupervisorUnreachable(TickcastError):
    """Nobody can say now which symbols are watched; `retry_after_s` says when to ask again."""

    def __init__(self, retry_after_s: float, reason: str = "") -> None:
        Exception.__init__(self, retry_after_s, reason)
        self.retry_after_s = retry_after_s
        self.reason = reason
        silence = "the supervisor does not answer"
        self.problem = f"{silence}: {reason}" if reason else silence
        self.where = ""
        self.fix = f"ask again in {retry_after_s:g} s"
