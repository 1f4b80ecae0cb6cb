"""Changes of what a symbol's slots are to hold, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cluster.registry import Pointer, Registry
from cluster.storage.lake import Lake
from features.engine import EngineSpec
from features.errors import ConfigError
from features.model_slots import as_plain, slot_name
from jobs.promotion import evidence
from jobs.promotion.gate import GateSpec, Judgement


@dataclass(slots=True)
class Change:
    """What was done about one symbol."""

    venue: str
    symbol: str
    action: str
    """"promoted", "shadowed", "rolled back", "cleared", "unchanged", "refused", "failed" or "status"."""
    version: int = 0
    reason: str = ""
    wanted: Mapping[int, int] | None = None
    """What the slots are to hold now; None where nothing was asked of the actors."""
    judgement: Judgement | None = None
    more: dict[str, Any] = field(default_factory=dict)
    """Further plain values."""
    lines: list[str] = field(default_factory=list)
    """The same for people."""
    waiting: bool = False
    """The actor does not have it yet, as far as the lake shows; only if that was asked for."""

    @property
    def changed(self) -> bool:
        """Whether the symbol's slots are to hold something else than before."""
        return self.action in ("promoted", "shadowed", "rolled back", "cleared")

    @property
    def refused(self) -> bool:
        """Whether what was asked for was not done."""
        return self.action in ("refused", "failed")

    def is_met(self, versions: Mapping[str, int]) -> bool:
        """Whether slots that hold these versions hold what they should."""
        wanted = self.wanted or {}
        return all(versions.get(slot_name(slot), 0) == version for slot, version in wanted.items()) and all(
            not version or name in {slot_name(slot) for slot in wanted} for name, version in versions.items()
        )

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        slots = {slot_name(slot): version for slot, version in sorted((self.wanted or {}).items())}
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "action": self.action,
            "version": self.version,
            "reason": self.reason,
            "slots": slots,
            "gate": self.judgement.as_dict() if self.judgement else None,
            "waiting": self.waiting,
        } | self.more

    def __str__(self) -> str:
        what = f" version {self.version}" if self.version else ""
        lines = [f"{self.symbol}: {self.action}{what}{f', {self.reason}' if self.reason else ''}"]
        if self.judgement:
            lines += [f"    {one}" for one in self.judgement.findings]
            lines += [f"    from {self.judgement.evidence}"] if self.judgement.evidence else []
        return "\n".join(lines + self.lines)


class Desk:
    """Changes pointers, each on the condition that nobody else has since the decision was made."""

    def __init__(self, lake: Lake, registry: Registry, gate: GateSpec) -> None:
        self.lake = lake
        self.registry = registry
        self.gate = gate

    def shadow(
        self, venue: str, symbol: str, now: Pointer, slot: int, version: int, spec: EngineSpec | None
    ) -> Change:
        """Put a version into a challenger's slot. Raises ModelRefused, ModelMissing, ConfigError."""
        if slot < 1 or (spec is not None and slot > spec.challengers):
            there = spec.challengers if spec is not None else "at least 1"
            raise ConfigError(f"slot {slot} is no challenger's", "--slot", f"{symbol} has {there} of them")
        self._check(version, spec)
        if now.slots.get(slot) == version:
            return Change(venue, symbol, "unchanged", version, "it is there already", now.slots)
        made = self.registry.point(venue, symbol, slot, version, now.number, "shadow")
        return Change(venue, symbol, "shadowed", version, f"in {slot_name(slot)}", made.slots)

    def promote(
        self,
        venue: str,
        symbol: str,
        now: Pointer,
        version: int,
        spec: EngineSpec | None,
        judgement: Judgement | None,
    ) -> Change:
        """Make a version champion if the judgement allows it; None: without one."""
        if now.champion == version:
            return Change(venue, symbol, "unchanged", version, "it is the champion already", now.slots)
        if judgement is not None and not judgement.passed:
            return Change(venue, symbol, "refused", version, judgement.reason, None, judgement)
        self._check(version, spec)
        why = "forced" if judgement is None else judgement.reason
        made = self.registry.point(venue, symbol, 0, version, now.number, why)
        return Change(venue, symbol, "promoted", version, why, made.slots, judgement)

    def rollback(self, venue: str, symbol: str, now: Pointer) -> Change:
        """Make the champion before the present one champion again."""
        made = self.registry.rollback(venue, symbol, now.number)
        reason = f"instead of version {now.champion}" if made.champion else "no champion, as at first"
        return Change(venue, symbol, "rolled back", made.champion, reason, made.slots)

    def clear(self, venue: str, symbol: str, now: Pointer, slot: int) -> Change:
        """Empty a slot."""
        if slot not in now.slots:
            return Change(venue, symbol, "unchanged", 0, f"{slot_name(slot)} is empty", now.slots)
        made = self.registry.point(venue, symbol, slot, 0, now.number, "clear")
        return Change(venue, symbol, "cleared", now.slots[slot], f"from {slot_name(slot)}", made.slots)

    def status(self, venue: str, symbol: str) -> Change:
        """What is to be in the slots, what is, and how the duels go."""
        past = self.registry.history(venue, symbol)
        state = evidence.live_state(self.lake, venue, symbol)
        more: dict[str, Any] = {"pointers": [one.as_dict() for one in past], "live": None, "duels": []}
        lines = [f"    to hold: {_named(past[0].slots) if past else 'nothing'}"]
        if state is not None:
            more["live"], more["sequence"] = state.versions, state.sequence
            more["duels"] = [as_plain(duel) for duel in state.engine.duels()]
            held = ", ".join(f"{name} {version}" for name, version in state.versions.items() if version)
            lines.append(f"    held after {state.sequence:,} ticks: {held or 'nothing'}")
        return Change(venue, symbol, "status", more=more, lines=lines)

    def _check(self, version: int, spec: EngineSpec | None) -> None:
        """A model that the actors would refuse is refused here."""
        model = self.registry.load(version)
        if spec is not None:
            evidence.check_fits(spec, model)


def _named(slots: Mapping[int, int]) -> str:
    return ", ".join(f"{slot_name(slot)} {version}" for slot, version in sorted(slots.items())) or "nothing"
