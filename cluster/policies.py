"""Decisions about symbol actors, as pure functions of what was observed.

The supervisor observes and carries out; it decides nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SymbolState(Enum):
    """Where a watched symbol stands, as `status` and the API show it."""

    STARTING = "starting"
    """Its actor has not answered yet since it was asked for."""
    LIVE = "live"
    """Its actor answers and receives data."""
    RECOVERING = "recovering"
    """Its actor is being restarted, its connection renewed, or it can't take in ticks for now."""
    FAILED = "failed"
    """Its actor could not go on; `reason` says why. It is tried again, ever more slowly."""


class Action(Enum):
    """What to do about an actor."""

    LEAVE = "leave"
    REPLACE = "replace"
    """End what is left of it and start it anew."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check of one actor has seen."""

    answered: bool
    silent_s: float
    """Time since it last answered, or since it was started."""
    feed: str = "closed"
    connected: bool = False
    """Its connection is open, if quiet."""
    ever_received: bool = False
    failure: str = ""
    stuck_s: float = 0.0
    """Its event loop has not come round for so long, though its status thread answers."""
    recovering: str = ""
    """What keeps it from answering after a restart; empty when nothing does."""
    trouble: str = ""
    """What keeps it from taking in ticks; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an actor."""

    start_s: float = 60.0
    """Until its first answer: processes are slow to start on a busy machine."""
    silence_s: float = 20.0
    """Between answers, before it counts as hung."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """State and action, with the reason in words."""

    state: SymbolState
    action: Action
    reason: str = ""


def judge(seen: Observation, answered_before: bool, patience: Patience) -> Verdict:
    """What state a symbol is in, and what to do about its actor, which Ray holds for alive."""
    if not seen.answered:
        if not answered_before:
            hung = seen.silent_s > patience.start_s
            reason = f"its actor has not started within {patience.start_s:g} s" if hung else ""
            return Verdict(SymbolState.STARTING, Action.REPLACE if hung else Action.LEAVE, reason)
        hung = seen.silent_s > patience.silence_s
        reason = f"its actor has not answered for {seen.silent_s:.0f} s"
        return Verdict(SymbolState.RECOVERING, Action.REPLACE if hung else Action.LEAVE, reason)
    if seen.failure:
        return Verdict(SymbolState.FAILED, Action.REPLACE, seen.failure)
    if seen.stuck_s > patience.silence_s:
        reason = f"its actor has been stuck for {seen.stuck_s:.0f} s"
        return Verdict(SymbolState.RECOVERING, Action.REPLACE, reason)
    waits = seen.recovering or seen.trouble
    if waits:
        return Verdict(SymbolState.RECOVERING, Action.LEAVE, waits)
    if seen.feed == "live" or (seen.connected and seen.ever_received):
        return Verdict(SymbolState.LIVE, Action.LEAVE)
    if seen.ever_received:
        return Verdict(SymbolState.RECOVERING, Action.LEAVE, f"its feed is {seen.feed}")
    return Verdict(SymbolState.STARTING, Action.LEAVE, f"its feed is {seen.feed}")
