"""Trading rules: what is known at the end of a bar in, the position to hold out.

    rule = Rule(RuleSpec.parse("crossover:20,100"))
    targets = rule.update(bars)                     # (m,), each between -1 and 1
    rule = Rule(RuleSpec.parse("forecast:8,60"))
    targets = rule.update(bars, expected)           # expected log returns, made at the end of each bar

A rule sees a bar and those before it, never a later one. Its windows begin anew in every session, where its
target is 0 until they are full; a bar without a price leaves everything as it was. However bars are cut into
batches, the targets are the same to the last bit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features import state
from features.bars import Bars
from features.definition import Args, Argument, completed, number, read_args, window
from features.errors import DataError, SnapshotError, SpecError
from features.kernels import rules as kernel

_WHERE = "rule"
_SNAPSHOT_VERSION = 1
_BPS = 10_000.0
_TIE = Argument("band_bps", 0.0, _BPS, 1e-4, whole=False)
"""Two means closer than this count as equal; the default covers rounding and no more."""


@dataclass(frozen=True, slots=True)
class RuleKind:
    """One kind of rule: what it takes, what it does, and its kernel."""

    meaning: str
    run: Callable[..., None]
    arguments: tuple[Argument, ...] = ()
    state_size: Callable[[Args], int] = lambda args: 0
    """Numbers that it keeps of its own."""
    fixed: Args = ()
    """The kernel's arguments where the user gives none."""
    relation: Callable[[Args], str] = lambda args: ""
    """What is wrong with the arguments taken together, or nothing."""
    needs_forecast: bool = False


def _order(args: Args) -> str:
    return "" if args[0] < args[1] else f"fast = {number(args[0])} is not below slow = {number(args[1])}"


def _inside(args: Args) -> str:
    return "" if args[2] < args[0] else f"exit = {number(args[2])} is not below enter = {number(args[0])}"


RULES: dict[str, RuleKind] = {
    "long": RuleKind("1 always", kernel.constant, fixed=(1.0,)),
    "flat": RuleKind("0 always", kernel.constant, fixed=(0.0,)),
    "crossover": RuleKind(
        "1 where the mean of the last `fast` closes is above that of the last `slow`, -1 where it is below",
        kernel.crossover,
        (window(1, name="fast"), window(2, name="slow"), _TIE),
        lambda args: 2 + int(args[0]) + int(args[1]),
        relation=_order,
    ),
    "ema_crossover": RuleKind(
        "the same with exponential averages of these spans",
        kernel.ema_crossover,
        (window(1, name="fast"), window(2, name="slow"), _TIE),
        lambda args: 2,
        relation=_order,
    ),
    "momentum": RuleKind(
        "side of the log return of the last n bars where it is beyond `limit_bps`, else 0",
        kernel.momentum,
        (window(1), Argument("limit_bps", 0.0, _BPS, 0.0, whole=False)),
        lambda args: int(args[0]),
    ),
    "reversal": RuleKind(
        "against a close more than `enter` deviations from the mean of the last n, until it is within `exit`",
        kernel.reversal,
        (
            Argument("enter", 0.0, 100.0, whole=False),
            window(2),
            Argument("exit", 0.0, 100.0, 0.0, whole=False),
        ),
        lambda args: 3 + 2 * int(args[1]),
        relation=_inside,
    ),
    "forecast": RuleKind(
        "side of the expected return where it is beyond `limit_bps`, for `hold` bars or until it is so again",
        kernel.forecast,
        (Argument("limit_bps", 0.0, _BPS, whole=False), window(1, 1, "hold")),
        lambda args: 1,
        needs_forecast=True,
    ),
    "forecast_size": RuleKind(
        "expected return / `scale_bps`, at most 1; 0 within `limit_bps`; moved by no less than `step`",
        kernel.forecast_size,
        (
            Argument("scale_bps", 1e-6, _BPS, whole=False),
            Argument("limit_bps", 0.0, _BPS, 0.0, whole=False),
            Argument("step", 0.0, 1.0, 0.1, whole=False),
        ),
        needs_forecast=True,
    ),
}


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One rule and its arguments; those left out are filled in. Raises SpecError for what can't be."""

    name: str
    args: Args = ()

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise SpecError(f"unknown rule {self.name!r}", _WHERE, _usage(self.name))
        args = completed(self.kind.arguments, self.args, self.kind.relation, self._error)
        object.__setattr__(self, "args", args)

    @classmethod
    def parse(cls, text: str) -> RuleSpec:
        """Read "name" or "name:argument,argument"."""
        return cls(*read_args(text, _WHERE, _usage))

    @property
    def kind(self) -> RuleKind:
        """What it takes and does."""
        return RULES[self.name]

    @property
    def text(self) -> str:
        """The canonical form: equal text, equal rule."""
        return f"{self.name}:{','.join(number(a) for a in self.args)}" if self.args else self.name

    @property
    def needs_forecast(self) -> bool:
        """Whether `Rule.update` needs expected returns."""
        return self.kind.needs_forecast

    def digest(self) -> str:
        """Identity of the rule."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def _error(self, problem: str) -> SpecError:
        return SpecError(f"{self.name}: {problem}", _WHERE, _usage(self.name))


class Rule:
    """Says which position to hold over a stream of bars. Not for several threads."""

    def __init__(self, spec: RuleSpec) -> None:
        self.spec = spec
        self._args = np.array(spec.args or spec.kind.fixed, np.float64)
        self._state = np.zeros(kernel.OWN + spec.kind.state_size(spec.args))
        self._state[kernel.SESSION] = math.nan
        self._run = spec.kind.run

    def update(self, bars: Bars, expected: ArrayLike | None = None) -> NDArray[np.float64]:
        """Feed m bars, oldest first; returns their targets, (m,).

        `expected` (m,) are log returns forecast at the end of each bar, NaN where there is none, for rules
        that need them. Raises DataError, and takes in none, where they are missing or of another length.
        """
        close = np.require(bars.column("close"), None, ["C", "W"])
        session = np.require(bars.session, None, ["C", "W"])
        forecasts = self._forecasts(close, expected)
        targets = np.empty(len(bars))
        self._run(self._args, self._state, session, close, forecasts, targets)
        return targets

    def snapshot(self) -> bytes:
        """The whole state, to be restored by a rule of the same spec."""
        arrays = state.pack_arrays(state=self._state)
        return state.pack("rule", _SNAPSHOT_VERSION, self.spec.digest(), {"arrays": arrays})

    @classmethod
    def restore(cls, spec: RuleSpec, data: bytes) -> Rule:
        """The rule as it was. Raises SnapshotError for damaged, newer or another rule's data."""
        blocks = state.unpack("rule", _SNAPSHOT_VERSION, spec.digest(), data)
        rule = cls(spec)
        found: NDArray[Any] = state.unpack_arrays(blocks["arrays"])["state"]
        if found.shape != rule._state.shape:
            raise SnapshotError("its state has another size", _WHERE)
        rule._state = found
        return rule

    def digest(self) -> str:
        """Hash of the state."""
        return state.digest(self._state.tobytes())

    def _forecasts(self, close: NDArray[np.float64], expected: ArrayLike | None) -> NDArray[np.float64]:
        if not self.spec.needs_forecast:
            return close
        if expected is None:
            raise DataError(f"{self.spec.text} needs expected returns", _WHERE, "give one for each bar")
        forecasts = np.require(expected, np.float64, ["C", "W"])
        if forecasts.shape != close.shape:
            raise DataError(
                f"expected returns have shape {forecasts.shape}, not {close.shape}",
                _WHERE,
                "give one for each bar",
            )
        return forecasts


def _usage(name: str) -> str:
    if name not in RULES:
        return f"use one of: {', '.join(RULES)}"
    takes = "; ".join(argument.text() for argument in RULES[name].arguments)
    return f"{name} takes ({takes})" if takes else f"{name} takes no arguments"
