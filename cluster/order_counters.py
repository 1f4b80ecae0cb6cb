"""What the order of a symbol's trades has cost so far, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

_KEPT = (
    "seen",
    "duplicates",
    "overlapped",
    "reordered",
    "holes",
    "gaps_filled",
    "gaps_given_up",
    "trades_filled",
    "trades_given_up",
    "trades_repaired",
    "ids_restarted",
    "before_start",
)
_kept_of = attrgetter(*_KEPT)


@dataclass(slots=True)
class OrderCounters:
    """Running totals; read them at any time. Their words: a hole is a jump of ids, which may close by
    itself; a gap is one that needed REST."""

    seen: int = 0
    """Different trades fed on or stored."""
    duplicates: int = 0
    """Trades that one connection said more than once."""
    overlapped: int = 0
    """Trades that a connection said after another one or REST had: expected, never fed on twice."""
    reordered: int = 0
    """Trades that came over the socket after a later one, in time for their place."""
    holes: int = 0
    """Times that an id jumped. After a restart, one that was open then may count again."""
    gaps_found: int = 0
    """Stretches for which REST was needed: `gaps_filled` + `gaps_given_up` + at most one open now."""
    gaps_filled: int = 0
    """Gaps of which every trade was fed on in its place."""
    gaps_given_up: int = 0
    """Gaps that could not be filled, or not whole: each was fed on as a `Gap`."""
    trades_filled: int = 0
    """Trades that REST brought and that were fed on in their place."""
    trades_given_up: int = 0
    """Trades in gaps that were given up."""
    trades_repaired: int = 0
    """Trades that came after later ones had been fed on: stored, not fed on."""
    ids_restarted: int = 0
    """Times that the venue began its ids anew; each was fed on as a `Gap`."""
    before_start: int = 0
    """Trades older than the first one ever seen, dropped."""
    other_symbols: int = 0
    """Trades and quotes of another symbol, dropped. Not part of the state."""

    @property
    def missing(self) -> int:
        """Trades that were given up and have not come since."""
        return max(0, self.trades_given_up - self.trades_repaired)

    def as_dict(self) -> dict[str, int]:
        """All of them as plain values, with `missing`."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"missing": self.missing}

    def kept(self) -> tuple[int, ...]:
        """What is part of the state: 12 numbers. A gap that is open now is found again, so it is left out."""
        values: tuple[int, ...] = _kept_of(self)
        return values

    def take_over(self, kept: Sequence[int]) -> None:
        """Go on from what `kept` gave; what comes after its 12 numbers is ignored."""
        for name, value in zip(_KEPT, kept, strict=False):
            setattr(self, name, int(value))
        self.gaps_found = self.gaps_filled + self.gaps_given_up
