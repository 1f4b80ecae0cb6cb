"""What a simulated account may do and what it pays: `TradingSpec`.

    spec = TradingSpec.parse("capital=100000,fee_bps=5,latency_bars=1,sizing=units:1")
    spec.text           # what differs from the defaults, in the same form

What these settings mean for the money, with formulas: docs/trading.md.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from features.definition import number
from features.errors import SpecError

_WHERE = "trading"
MAX_LATENCY_BARS = 10_000
"""An account keeps one number for each bar of latency."""
_MOST_COST_BPS = 2_000.0
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class TradingSpec:
    """Costs, delay, size and limits of one account. Raises SpecError for what can't be."""

    capital: float = 100_000.0
    """Cash at the start, in quote currency."""
    fee_bps: float = 5.0
    """Paid on the filled value of every fill, so twice for a round trip."""
    half_spread_bps: float = 1.0
    """Half the spread where no book is known: buyers pay so much more, sellers get so much less."""
    slippage_bps: float = 1.0
    """Paid on top of the spread by every fill."""
    use_book: bool = True
    """Fill at ask and bid, and value positions at the mid, in bars whose book is known."""
    latency_bars: int = 1
    """A decision taken at the end of bar t is filled in bar t + latency_bars.

    With 1 the fill is the first price after the decision, so no price is used twice: once to decide
    and once to trade at. 0 fills at the very close that was decided on, which nobody can.
    """
    sizing: str = "capital"
    """What target 1 means: "capital" or "capital:0.5", that share of the equity; "units:10", so many units.

    The size is worked out when the order is filled, and stays until the target changes.
    """
    max_position: float = 1.0
    """Largest value of a position at its fill, as a multiple of the equity."""
    allow_short: bool = True
    """Where it is off, targets below 0 mean 0."""
    flat_at_session_end: bool = False
    """Close at the last price of each session and drop orders that wait, instead of carrying both on."""

    def __post_init__(self) -> None:
        for name in ("capital", "max_position"):
            self._check(name, 0.0 < getattr(self, name) < math.inf, "use a number above zero")
        for name in ("fee_bps", "half_spread_bps", "slippage_bps"):
            self._check(name, 0.0 <= getattr(self, name) <= _MOST_COST_BPS, "use 0 to 2000")
        whole = type(self.latency_bars) is int and 0 <= self.latency_bars <= MAX_LATENCY_BARS
        self._check("latency_bars", whole, f"use a whole number, 0 to {MAX_LATENCY_BARS}")
        kind, size = _sizing(self.sizing)
        # One form of equal settings: the text is the identity.
        object.__setattr__(
            self, "sizing", "capital" if (kind, size) == ("capital", 1.0) else f"{kind}:{number(size)}"
        )
        for field in fields(self):
            if field.type == "float":
                object.__setattr__(self, field.name, float(getattr(self, field.name)))

    @classmethod
    def parse(cls, text: str) -> TradingSpec:
        """Read "name=value,name=value"; what is left out has its default, so "" is all defaults."""
        kinds = {field.name: field.type for field in fields(cls)}
        values: dict[str, Any] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, equals, value = (word.strip() for word in part.partition("="))
            if not equals or name not in kinds:
                raise SpecError(
                    f"{part!r} is no setting", _WHERE, f"write name=value with one of: {', '.join(kinds)}"
                )
            if name in values:
                raise SpecError(f"{name} is given twice", _WHERE, "leave one out")
            values[name] = _value(name, str(kinds[name]), value)
        return cls(**values)

    @property
    def text(self) -> str:
        """What differs from the defaults; `parse` reads it back. Equal text, equal settings."""
        defaults = {field.name: field.default for field in fields(self)}
        return ",".join(
            f"{name}={_shown(value)}" for name, value in asdict(self).items() if value != defaults[name]
        )

    @property
    def by_capital(self) -> bool:
        """Whether sizes are shares of the equity, not units."""
        return _sizing(self.sizing)[0] == "capital"

    @property
    def size(self) -> float:
        """The share of the equity, or the units, that target 1 stands for."""
        return _sizing(self.sizing)[1]

    @property
    def cost_bps(self) -> float:
        """What one fill costs where no book is known: fee, half spread and slippage."""
        return self.fee_bps + self.half_spread_bps + self.slippage_bps

    def digest(self) -> str:
        """Identity of the settings."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def _check(self, name: str, fine: bool, fix: str) -> None:
        if not fine:
            raise SpecError(f"{name} = {getattr(self, name)!r} can't be", f"{_WHERE}.{name}", fix)


def _sizing(text: str) -> tuple[str, float]:
    kind, colon, size = text.strip().partition(":")
    try:
        amount = float(size) if colon else 1.0
    except ValueError:
        amount = math.nan
    if kind not in ("capital", "units") or not 0.0 < amount < math.inf:
        raise SpecError(
            f"{text!r} is no sizing", f"{_WHERE}.sizing", 'write "capital", "capital:0.5" or "units:10"'
        )
    return kind, amount


def _value(name: str, kind: str, text: str) -> Any:
    """A setting from the command line as its type. Raises SpecError."""
    try:
        if kind == "bool":
            return _FLAGS[text.lower()]
        return {"float": float, "int": int, "str": str}[kind](text)
    except (ValueError, KeyError):
        wanted = {"bool": "yes or no", "int": "a whole number"}.get(kind, "a number")
        raise SpecError(f"{name} = {text!r} can't be read", f"{_WHERE}.{name}", f"use {wanted}") from None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if not isinstance(value, str) else value
