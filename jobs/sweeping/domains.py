"""What one setting of a search space may be: some values, or a range.

    Domain.parse("loguniform(1, 10000)", "model.ridge.penalty")
    Domain.parse(["1m", "5m"], "sampling")
    Domain.parse(0.1, "…")          # one value: nothing to search

The forms are choice(a, b, …), uniform(low, high), loguniform(low, high), int(low, high) and
logint(low, high); both ends of a range belong to it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

from features.errors import ConfigError

Value = str | int | float
_FORM = re.compile(r"(choice|uniform|loguniform|int|logint)\((.*)\)", re.DOTALL)
_FIX = 'write a value, a list, or like "choice(1m, 5m)", "loguniform(1, 1000)" or "int(2, 8)"'


class Asked(Protocol):
    """What suggests values: a trial of Optuna."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """One of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """A whole number."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The values that a setting may have."""

    kind: str
    """"choice", "uniform", "loguniform", "int" or "logint"."""
    values: tuple[Value, ...]
    """The choices, or the least and the largest value."""

    @classmethod
    def parse(cls, given: Any, where: str) -> Domain:
        """Read a setting of the search space. Raises ConfigError, naming `where`."""
        if isinstance(given, list):
            return cls._choice(given, where)
        if isinstance(given, str) and (form := _FORM.fullmatch(given.strip())):
            kind = form[1]
            words = [read(word) for word in form[2].split(",") if word.strip()]
            return cls._choice(words, where) if kind == "choice" else cls._range(kind, words, where)
        return cls._choice([read(given) if isinstance(given, str) else given], where)

    @classmethod
    def _choice(cls, values: list[Any], where: str) -> Domain:
        if not values or not all(type(value) in (str, int, float) and value != "" for value in values):
            raise ConfigError(f"{values!r} are no choices", where, _FIX)
        if len(set(values)) < len(values):
            raise ConfigError("a choice is given twice", where, "leave one out")
        return cls("choice", tuple(values))

    @classmethod
    def _range(cls, kind: str, ends: list[Value], where: str) -> Domain:
        numbers = [end for end in ends if not isinstance(end, str) and math.isfinite(end)]
        if len(ends) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
            raise ConfigError(f"{kind} of {ends} is no range", where, f"write {kind}(low, high)")
        if kind.startswith("log") and numbers[0] <= 0:
            raise ConfigError(f"{kind} begins at {numbers[0]}, not above zero", where, "begin above zero")
        if kind in ("int", "logint"):
            if any(number != int(number) for number in numbers):
                raise ConfigError(f"{kind} takes whole numbers", where, "use uniform or loguniform")
            return cls(kind, tuple(int(number) for number in numbers))
        return cls(kind, tuple(float(number) for number in numbers))

    @property
    def is_fixed(self) -> bool:
        """Whether there is nothing to search."""
        return self.kind == "choice" and len(self.values) == 1

    @property
    def text(self) -> str:
        """The canonical form; `parse` reads it back."""
        return f"{self.kind}({', '.join(str(value) for value in self.values)})"

    def suggest(self, name: str, by: Asked) -> Value:
        """A value of this domain."""
        if self.is_fixed:
            return self.values[0]
        if self.kind == "choice":
            chosen: Value = by.suggest_categorical(name, list(self.values))
            return chosen
        low, high = self.values
        log = self.kind.startswith("log")
        if self.kind in ("int", "logint"):
            return by.suggest_int(name, int(low), int(high), log=log)
        drawn = by.suggest_float(name, float(low), float(high), log=log)
        # Four digits are what a person would write, and more than any score can tell apart.
        return min(max(float(f"{drawn:.4g}"), float(low)), float(high))


def read(word: str) -> Value:
    """A number where it is one, else the word."""
    text = word.strip().strip("\"'")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
