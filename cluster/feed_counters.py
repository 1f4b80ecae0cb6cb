"""What a feed has seen, counted: every parsed event falls in exactly one of the kinds."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from cluster.venues.base import (
    Ack,
    Event,
    Heartbeat,
    Ignored,
    Malformed,
    Quote,
    Refusal,
    Shutdown,
    Trade,
    Unknown,
)

_KEPT = 8
_RARE = {
    Heartbeat: "heartbeats",
    Ack: "acks",
    Refusal: "refusals",
    Shutdown: "shutdowns",
    Ignored: "ignored",
    Malformed: "malformed",
    Unknown: "unknown",
}


@dataclass(slots=True)
class FeedCounters:
    """Running totals since the feed began; read them at any time."""

    messages: int = 0
    bytes: int = 0
    trades: int = 0
    quotes: int = 0
    heartbeats: int = 0
    acks: int = 0
    refusals: int = 0
    shutdowns: int = 0
    ignored: int = 0
    malformed: int = 0
    unknown: int = 0
    batches: int = 0
    """Batches handed to the consumer."""
    attempts: int = 0
    """Handshakes begun."""
    connections: int = 0
    """Handshakes that succeeded."""
    reconnects: int = 0
    """Connections that followed one that ended unasked."""
    switches: int = 0
    """Connections that took over from one that was still open."""
    stale: int = 0
    """Connections given up because nothing came any more; also among `disconnects`."""
    set_aside: int = 0
    """Events of a replacement connection that died before it took over; the old one had them too."""
    disconnects: Counter[str] = field(default_factory=Counter)
    """Connections that ended unasked, and handshakes that failed, by reason."""
    last_unreadable: deque[Malformed | Unknown] = field(default_factory=lambda: deque(maxlen=_KEPT))
    last_refusals: deque[Refusal] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def count(self, event: Event) -> None:
        """Count one parsed event."""
        kind = type(event)
        if kind is Trade:
            self.trades += 1
        elif kind is Quote:
            self.quotes += 1
        else:
            self._count_rare(event)

    def _count_rare(self, event: Event) -> None:
        name = _RARE[type(event)]
        setattr(self, name, getattr(self, name) + 1)
        if isinstance(event, Malformed | Unknown):
            self.last_unreadable.append(event)
        elif isinstance(event, Refusal):
            self.last_refusals.append(event)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a status page or metrics; texts are bounded."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        plain["disconnects"] = dict(self.disconnects)
        plain["last_unreadable"] = [f"{type(e).__name__}: {e.excerpt}" for e in self.last_unreadable]
        plain["last_refusals"] = [f"{e.code}: {e.message}" for e in self.last_refusals]
        return plain
