"""What an order of events is: between a feed, which hands over what came, and an engine, which wants
every trade once and in the venue's order.

There are two: `trade_order.TradeOrder` where trade ids go up by one, `overlap.OverlapOrder` where they
don't. Both are pure and synchronous. `gap_keeper.GapKeeper` asks REST for what they wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import msgspec

from cluster.order_counters import OrderCounters
from cluster.venues.base import Event, Quote, Trade
from features.ticks import NO_ID


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Trades that are lost for good: the next event fed on doesn't follow the last one.

    The times are those of the first event after the gap. The ids are NO_ID where the venue's don't
    say what is missing.
    """

    first_id: int
    last_id: int
    ts_ns: int
    received_ns: int


class Hole(msgspec.Struct, frozen=True, gc=False):
    """What the held events wait for; ids are NO_ID where the venue's don't say.

    `opened_ns` is our clock when the event came that showed the hole. `since_ns` is the venue time from
    which on to ask where the ids don't say it.
    """

    first_id: int
    last_id: int
    opened_ns: int
    since_ns: int = 0

    @property
    def by_time(self) -> bool:
        """It has to be asked for by time, not by ids."""
        return self.first_id == NO_ID


class NoteEvent(StrEnum):
    """What is worth a line in the record."""

    GAP_FOUND = "gap_found"
    GAP_FILLED = "gap_filled"
    GAP_GIVEN_UP = "gap_given_up"
    GAP_REPAIRED = "gap_repaired"
    REORDERED = "reordered"
    IDS_RESTARTED = "ids_restarted"


class Note(msgspec.Struct, frozen=True, gc=False):
    """Something that happened to the order. `trades` is how many trades it concerns: missing, filled,
    given up, repaired or reordered; 0 where that isn't known. An id that isn't known is NO_ID."""

    event: NoteEvent
    first_id: int
    last_id: int
    trades: int


FedEvent: TypeAlias = Trade | Quote | Gap
"""What is fed on to the engine."""
NOTES_KEPT = 10_000
"""Notes that wait to be taken; older ones are forgotten."""


class Recorded(Protocol):
    """A note as it was kept: `event` is the value of a `NoteEvent`."""

    @property
    def event(self) -> str: ...

    @property
    def first_id(self) -> int: ...

    @property
    def last_id(self) -> int: ...


class EventOrder(Protocol):
    """The order of one symbol's events. What is held is no part of the state: nobody was told of it,
    so after a restart it is missing like anything else, and is fetched again."""

    counts: OrderCounters
    last_id: int
    """Id of the last trade fed on; NO_ID before the first."""
    newest_ts_ns: int
    """The latest venue time of any trade known."""
    interrupted: bool
    """The connection is gone, or we have just started: the next one begins with a catch-up."""

    @property
    def known(self) -> bool:
        """Some trade has been fed on, here or before a restart."""

    @property
    def waiting(self) -> Hole | None:
        """The first hole that held events wait for."""

    @property
    def wanted(self) -> Hole | None:
        """From the first id that is waited for to the last; some between may be here."""

    @property
    def held(self) -> int:
        """How many events are held."""

    @property
    def full(self) -> bool:
        """As many are held as may be: read no more until some have been fed on."""

    @property
    def catch_up_due(self) -> bool:
        """Nothing has come since the connection was renewed: only REST knows whether we missed something."""

    @property
    def connected_ns(self) -> int:
        """Our clock when the newest connection was made."""

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The gaps given up of which trades are still missing, lowest first; the newest 10,000."""

    @property
    def late(self) -> Sequence[Trade]:
        """Trades that came too late to be fed on, to be stored; `take_late` takes them."""

    def accept(self, events: Iterable[Event]) -> list[FedEvent]:
        """Take what the feed hands over; gives what may be fed on now, in order."""

    def declare_gap(self) -> None:
        """Called when REST is about to be asked for the hole that is waited for: it counts as a gap."""

    def fill(self, trades: Sequence[Trade], more: bool = False) -> list[FedEvent]:
        """Take trades that REST gave for what is waited for; gives what may be fed on now.

        Trades that are here already are ignored. `more`: the venue may have more after these.
        """

    def catch_up(self, trades: Sequence[Trade]) -> list[FedEvent]:
        """Take the trades that REST gave after `last_id`; gives what may be fed on now."""

    def caught_up(self) -> None:
        """Called at the end of a catch-up: REST has no more, or does not answer."""

    def give_up(self) -> list[FedEvent]:
        """The first hole can't be filled: a `Gap`, then what may be fed on now. Nothing if none waits."""

    def repair(self, trades: Sequence[Trade]) -> list[Trade]:
        """Of trades fetched later, those that were given up and are still missing: to be stored."""

    def take_late(self) -> list[Trade]:
        """Remove and return the late trades."""

    def take_notes(self) -> list[Note]:
        """Remove and return what has happened since the last call, oldest first."""

    def report(self) -> dict[str, Any]:
        """Counters and open holes as plain values."""

    def counters(self) -> tuple[int, ...]:
        """What a tick log needs to note with a batch so that `resume` can go on after it: 15 numbers."""

    def resume(self, counters: Sequence[int]) -> None:
        """Go on from what `counters` was; numbers after the 15 are ignored. Called before any event, as
        often as wanted: the last call counts."""

    def resume_notes(self, notes: Iterable[Recorded]) -> None:
        """Bring `lost` up to date from notes that were kept, oldest first."""

    def resumed(self) -> None:
        """Called after the last `resume` and `resume_notes`: what was noted ahead of the ticks is undone."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` gave. Raises SnapshotError."""
