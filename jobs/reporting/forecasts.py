"""What a report knows of forecasts, wherever they come from: the ledger's scores, evidence of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features import durations
from features.forecaster import MIXTURE
from jobs.reporting.answers import Chunks, Evidence, boil_down
from jobs.reporting.rolling_skill import Panes

Score = Mapping[str, Any]
"""As `features.ledger.Score.as_dict` gives it."""


@dataclass(frozen=True, slots=True)
class SymbolForecasts:
    """One symbol: the ledger's scores, and what its answers show by horizon."""

    venue: str
    symbol: str
    scores: Sequence[Score] = ()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    """By horizon; those without a single answer are left out."""
    remark: str = ""
    """Why there is nothing to score, or less than one may expect."""
    rows: int = 0
    """Bars or forecasts that it had."""

    def score(self, horizon: str, model: str = MIXTURE) -> Score | None:
        """A model's score at a horizon, the forecast's own unless said; None where nothing was scored."""
        for score in self.scores:
            if score["model"] == model and score["horizon"] == horizon and score["count"]:
                return score
        return None


@dataclass(frozen=True, slots=True)
class Forecasts:
    """All symbols of a report."""

    symbols: Sequence[SymbolForecasts]
    horizons: Sequence[str]
    coverage: float
    """What the intervals state."""
    start_ns: int
    end_ns: int

    def panes(self, horizon: str) -> Panes:
        """How the period is cut for a horizon."""
        return Panes.of(self.start_ns, self.end_ns, durations.parse_ns(horizon))

    @property
    def names(self) -> Mapping[tuple[str, str], str]:
        """What symbols are called: with the venue only where two venues have one of the same name."""
        seen: dict[str, int] = {}
        for one in self.symbols:
            seen[one.symbol] = seen.get(one.symbol, 0) + 1
        return {
            (one.venue, one.symbol): one.symbol if seen[one.symbol] == 1 else f"{one.symbol} ({one.venue})"
            for one in self.symbols
        }


def evidence_of(
    chunks: Mapping[str, Chunks], bars: Mapping[str, int], start_ns: int, end_ns: int
) -> dict[str, Evidence]:
    """The evidence of one symbol by horizon, from its answers and the horizons' lengths in bars."""
    found = {}
    for horizon, source in chunks.items():
        panes = Panes.of(start_ns, end_ns, durations.parse_ns(horizon))
        evidence = boil_down(source, panes, bars[horizon])
        if evidence.answers:
            found[horizon] = evidence
    return found
