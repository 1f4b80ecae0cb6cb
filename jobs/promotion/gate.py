"""The gate: whether what a challenger has shown against the champion is enough to take its place.

It has to be better than the champion (naive, where there is none) at one horizon at least, beyond chance,
and worse beyond chance at none. Better is a smaller mean square error on the questions that both were asked,
by the Diebold-Mariano test with a long-run variance after Newey and West, as the ledger keeps it
(docs/scores.md), one-sided. With several horizons there are several chances to be lucky: the level is
divided by their number (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import ConfigError
from features.model_slots import Duel
from features.plain import finite_values


@dataclass(frozen=True, slots=True)
class GateSpec:
    """What is asked of a challenger."""

    level: float = 0.05
    """Chance, for each symbol, that a model no better than the champion passes."""
    min_answers: int = 500
    """Answered questions that both have in common, at every horizon."""

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 0.5:
            raise ConfigError(f"{self.level} is no level", "--level", "use one like 0.05")
        if self.min_answers < 1:
            raise ConfigError(f"{self.min_answers} is below 1", "--min-answers")


@dataclass(frozen=True, slots=True)
class Finding:
    """One horizon of a duel."""

    horizon: str
    answers: int
    saved: float
    """Share of the champion's mean square error that the challenger saves; below 0 it adds to it."""
    statistic: float
    """Diebold-Mariano; above 0 the challenger is better."""
    p_better: float
    """Chance of such a statistic, or a higher one, if the challenger were no better. NaN: not known."""

    @classmethod
    def of(cls, duel: Duel) -> Finding:
        """What the ledger has of it, over its lifetime."""
        found = duel.score.lifetime
        two_sided = found.dm_p / 2.0
        p_better = two_sided if found.dm > 0.0 else 1.0 - two_sided
        return cls(duel.score.horizon, duel.score.count, found.r2, found.dm, p_better)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, None for NaN."""
        numbers = {"saved": self.saved, "statistic": self.statistic, "p_better": self.p_better}
        return {"horizon": self.horizon, "answers": self.answers} | finite_values(numbers)

    def __str__(self) -> str:
        return (
            f"{self.horizon}: {self.answers:,} answers, {self.saved:+.2%} of the square error saved, "
            f"p = {self.p_better:.3g}"
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a challenger may take the champion's place, and why."""

    passed: bool
    reason: str
    champion: int
    """The version that it was compared with; 0: naive."""
    findings: tuple[Finding, ...] = ()
    evidence: str = ""
    """Where the numbers are from."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "champion": self.champion,
            "horizons": [one.as_dict() for one in self.findings],
            "evidence": self.evidence,
        }


def judge(duels: Sequence[Duel], champion: int, spec: GateSpec, evidence: str = "") -> Judgement:
    """Judge a challenger by its duels, one a horizon, with the champion of this version."""
    findings = tuple(Finding.of(duel) for duel in duels)
    passed, reason = _decide(findings, spec)
    return Judgement(passed, reason, champion, findings, evidence)


def _decide(findings: tuple[Finding, ...], spec: GateSpec) -> tuple[bool, str]:
    if not findings:
        return False, "it has not been compared with the champion at any horizon"
    few = [one for one in findings if one.answers < spec.min_answers]
    if few:
        names = ", ".join(f"{one.horizon} {one.answers:,}" for one in few)
        return False, f"too few answers yet: {names}; {spec.min_answers:,} are asked for"
    worse = [one for one in findings if one.p_better > 1.0 - spec.level]
    if worse:
        return False, f"it is worse than the champion at {', '.join(one.horizon for one in worse)}"
    level = spec.level / len(findings)
    better = [one for one in findings if one.p_better < level]
    if not better:
        return False, f"it is not better beyond chance at any horizon: no p below {level:.3g}"
    return True, f"it is better than the champion at {', '.join(one.horizon for one in better)}"
