"""One symbol under the supervisor's watch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ray.actor import ActorHandle

from cluster.backoff import Backoff
from cluster.policies import Action, SymbolState, Verdict

_SETTLED_S = 30.0
"""An actor that has been live for so long is sound: the next restart is prompt again."""


@dataclass(slots=True)
class Watched:
    """What is known of a symbol's actor."""

    backoff: Backoff
    actor: ActorHandle | None = None
    since: float = field(default_factory=time.monotonic)
    """When the actor was started or found, by the monotonic clock."""
    answered_at: float | None = None
    live_since: float | None = None
    verdict: Verdict = field(default_factory=lambda: Verdict(SymbolState.STARTING, Action.LEAVE))
    status: dict[str, Any] = field(default_factory=dict)
    node: str = ""
    """Where its actor is, or was."""
    started: int = 0
    """Actors started for it."""

    @property
    def replaced(self) -> int:
        """Actors that took the place of another."""
        return max(0, self.started - 1)

    @property
    def silent_s(self) -> float:
        """How long it has not answered."""
        return time.monotonic() - (self.answered_at or self.since)

    def begin(self, actor: ActorHandle) -> None:
        """There is an actor."""
        self.actor = actor
        self.since = time.monotonic()
        self.answered_at = self.live_since = None

    def lost(self, why: str) -> None:
        """The actor has ended."""
        self.actor = None
        if self.verdict.state is SymbolState.FAILED:
            return  # it said itself why
        self.verdict = Verdict(SymbolState.RECOVERING, Action.LEAVE, why)

    def settle(self) -> None:
        """Called while it is live."""
        now = time.monotonic()
        if self.live_since is None:
            self.live_since = now
        elif now - self.live_since > _SETTLED_S:
            self.backoff.reset()
