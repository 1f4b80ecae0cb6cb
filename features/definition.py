"""What the catalogue says about one feature: its arguments, outputs, state and meaning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from features.errors import SpecError

Args = tuple[float, ...]
MAX_WINDOW = 100_000
"""Longest window, in bars: a window keeps one to five numbers a bar in the state."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: between `low` and `high`, and `default` where it is left out."""

    name: str
    low: float
    high: float
    default: float | None = None
    whole: bool = True

    def text(self) -> str:
        """For example "n: whole number, 1 to 100000, default 14"."""
        kind = "whole number" if self.whole else "number"
        default = "" if self.default is None else f", default {number(self.default)}"
        return f"{self.name}: {kind}, {number(self.low)} to {number(self.high)}{default}"


@dataclass(frozen=True, slots=True)
class Feature:
    """One entry of the catalogue."""

    name: str
    opcode: int
    formula: str
    """Plain text; c is the close, p the reference price, r the log return of p over one bar."""
    unit: str
    inputs: tuple[str, ...]
    """The bar columns it reads, or "end_ns", "start_ns"."""
    source: str
    arguments: tuple[Argument, ...] = ()
    outputs: Callable[[Args], tuple[str, ...]] = lambda args: ("",)
    """Names of the outputs after the dot; a lone output has none."""
    state_size: Callable[[Args], int] = lambda args: 0
    """Numbers in the state."""
    warm_bars: Callable[[Args], int] = lambda args: 1
    """Bars of a session up to and including the first one with a value."""
    empty: str = ""
    """What it is where the formula would divide nothing by nothing, or has no input."""
    may_lack: bool = False
    """Whether it is NaN where its inputs are unknown, warm or not."""
    over_sessions: bool = False
    """Whether it goes on over the start of a session instead of beginning anew."""
    relation: Callable[[Args], str] = lambda args: ""
    """What is wrong with the arguments taken together, or nothing."""

    def usage(self) -> str:
        """What it takes, for messages: "rsi takes (n: whole number, 2 to 100000, default 14)"."""
        takes = "; ".join(argument.text() for argument in self.arguments)
        return f"{self.name} takes ({takes})" if takes else f"{self.name} takes no arguments"

    def complete(self, given: Args) -> Args:
        """All arguments, defaults filled in. Raises SpecError for a wrong count, type or range."""
        return completed(self.arguments, given, self.relation, self._error)

    def _error(self, problem: str) -> SpecError:
        return SpecError(f"{self.name}: {problem}", "features", self.usage())


def completed(
    arguments: Sequence[Argument],
    given: Args,
    relation: Callable[[Args], str],
    error: Callable[[str], SpecError],
) -> Args:
    """All arguments, defaults filled in; raises what `error` makes of a wrong count, type or range."""
    if len(given) > len(arguments):
        raise error(f"{len(given)} arguments are too many")
    args: list[float] = []
    for place, argument in enumerate(arguments):
        value = given[place] if place < len(given) else argument.default
        if value is None:
            raise error(f"argument {argument.name} is missing")
        if argument.whole and value != int(value):
            raise error(f"{argument.name} = {number(value)} is not a whole number")
        if not argument.low <= value <= argument.high:
            raise error(f"{argument.name} = {number(value)} is out of range")
        args.append(int(value) if argument.whole else float(value))
    problem = relation(tuple(args))
    if problem:
        raise error(problem)
    return tuple(args)


def read_args(text: str, where: str, usage: Callable[[str], str]) -> tuple[str, Args]:
    """Name and arguments of "name" or "name:argument,argument".

    Raises SpecError for what is not a finite number; `usage` says of a name what it takes.
    """
    name, colon, rest = text.strip().partition(":")
    args = []
    for part in rest.split(",") if colon else ():
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise SpecError(f"{text!r}: {part!r} is not a number", where, usage(name))
        args.append(value)
    return name, tuple(args)


def number(value: float) -> str:
    """The shortest text of a number: "20", "2", "2.5"."""
    return str(int(value)) if value == int(value) else repr(float(value))


def window(low: int = 1, default: int | None = None, name: str = "n", high: int = MAX_WINDOW) -> Argument:
    """A window in bars."""
    return Argument(name, low, high, default)
