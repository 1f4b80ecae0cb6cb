"""The order of one symbol's events, for venues whose trade ids don't run on.

    order = OverlapOrder("ABC", hold_limit=50_000, ids=TradeIds.UNIQUE, can_ask=True)

Such a venue gives no way to see a hole. What can be known: after a connection was lost, trades may be
missing. If the venue serves trades by time, they are asked for from a little before the last one on:
an answer that reaches back to a trade we have leaves no hole, and what is new in it goes out before
the events of the new connection. Where it doesn't reach back, or there is nothing to ask, a `Gap` goes
out first.

With unique ids each trade goes out once: the newest 20,000 ids are remembered. Without ids every trade
goes out as it came.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cluster.event_order import NOTES_KEPT, FedEvent, Gap, Hole, Note, NoteEvent, Recorded
from cluster.order_counters import OrderCounters
from cluster.venues.base import Connected, Disconnected, Event, Quote, Trade, TradeIds
from features import state
from features.ticks import NO_ID

IDS_KEPT = 20_000
_KIND, _VERSION = "overlap order", 1
_BY_REST = -1
_NOBODY = (_BY_REST, 0)


class OverlapOrder:
    """Keeps an `EventOrder` by what overlaps. `can_ask`: the venue serves trades by time; `overlap_ns`:
    from so long before the last trade on they are asked for."""

    def __init__(
        self, symbol: str, hold_limit: int, ids: TradeIds, can_ask: bool, overlap_ns: int = 5_000_000_000
    ) -> None:
        self.counts = OrderCounters()
        self.last_id = NO_ID
        self.newest_ts_ns = 0
        self.interrupted = False
        self.connected_ns = 0
        self.late: list[Trade] = []
        self._symbol = symbol
        self._hold_limit = hold_limit
        self._unique = ids is TradeIds.UNIQUE
        self._can_ask = can_ask and self._unique
        self._overlap_ns = overlap_ns
        # Ids that came, oldest first, each with the number of the connection that said it and its time.
        self._said: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._connection = 0
        # Every trade that came with a later time is in `_said`.
        self._complete_after_ns = 0
        # REST is to be asked what came before the held events, or what came is behind a gap.
        self._asking = False
        self._since_ns = 0
        self._gap_due = False
        # Trades that REST has brought for the hole of now.
        self._filled = 0
        self._held: list[Trade | Quote] = []
        self._held_newest_ns = 0
        self._notes: deque[Note] = deque(maxlen=NOTES_KEPT)

    def accept(self, events: Iterable[Event]) -> list[FedEvent]:
        """Take what the feed hands over; gives what may be fed on now, in order."""
        fed: list[FedEvent] = []
        for event in events:
            if isinstance(event, Trade | Quote):
                self._take(event, fed)
            elif isinstance(event, Connected):
                self._begin_connection(event.at_ns)
            elif isinstance(event, Disconnected):
                self.interrupted = self.known
        return fed

    @property
    def known(self) -> bool:
        """Some trade has been fed on, here or before a restart."""
        return self.newest_ts_ns > 0

    @property
    def waiting(self) -> Hole | None:
        """A hole without ids, from the new connection on until REST has been asked."""
        return Hole(NO_ID, NO_ID, self.connected_ns, self._since_ns) if self._asking else None

    @property
    def wanted(self) -> Hole | None:
        """The same as `waiting`."""
        return self.waiting

    @property
    def held(self) -> int:
        """How many events are held."""
        return len(self._held)

    @property
    def full(self) -> bool:
        """As many are held as may be: read no more until some have been fed on."""
        return len(self._held) >= self._hold_limit

    @property
    def catch_up_due(self) -> bool:
        """Never: what a new connection may have missed is waited for from its beginning."""
        return False

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Always empty: what is missing has no ids to ask for."""
        return []

    def declare_gap(self) -> None:
        """Called when REST is about to be asked. It is a gap only if the answer has something new."""

    def fill(self, trades: Sequence[Trade], more: bool = False) -> list[FedEvent]:
        """Take the trades of one answer to what `waiting` asks for.

        With `more`, trades between this answer and the held ones may follow: `waiting` then asks for
        those from the newest of this answer on, unless that is no later than what it had asked for.
        """
        if not self._asking:
            return []
        page = sorted((t for t in trades if t.symbol == self._symbol), key=lambda trade: trade.ts_ns)
        held = {event.trade_id: event for event in self._held if isinstance(event, Trade)}
        known = [
            place
            for place, trade in enumerate(page)
            if trade.trade_id in self._said and trade.trade_id not in held
        ]
        self._gap_due = self._gap_due or not known
        new = self._new_of(page, known[-1] if known else -1)
        # Where the connection of now begins, REST has done its part: the socket says what comes after.
        now = [t.ts_ns for t in held.values() if self._said.get(t.trade_id, _NOBODY)[0] == self._connection]
        if now:
            new = [trade for trade in new if trade.ts_ns <= now[-1]]
        fed: list[FedEvent] = []
        until_ns = page[-1].ts_ns if page else 0
        if not more or (now and until_ns >= now[0]):
            self._finish(new, fed)
        elif until_ns > self._since_ns:
            self._release(new, until_ns, fed)
            self._since_ns = until_ns
        else:
            # A venue that always gives its newest trades has no more. One that gives the oldest has more
            # of that one instant than it can give.
            self._gap_due = self._gap_due or page[0].ts_ns >= self._since_ns
            self._finish(new, fed)
        return fed

    def catch_up(self, trades: Sequence[Trade]) -> list[FedEvent]:
        """Never called, since `catch_up_due` is False: `fill` does this here too."""
        return self.fill(trades)

    def caught_up(self) -> None:
        """Nothing to do: see `catch_up_due`."""

    def give_up(self) -> list[FedEvent]:
        """REST does not answer: a `Gap` goes out before the next trade, held or still to come."""
        fed: list[FedEvent] = []
        if self._asking:
            self._gap_due = True
            self._finish([], fed)
        return fed

    def repair(self, trades: Sequence[Trade]) -> list[Trade]:
        """Always empty: see `lost`."""
        return []

    def take_late(self) -> list[Trade]:
        """Remove and return trades that REST had and the socket had left out long before."""
        late, self.late = self.late, []
        return late

    def take_notes(self) -> list[Note]:
        """Remove and return what has happened since the last call, oldest first; at most 10,000."""
        notes = list(self._notes)
        self._notes.clear()
        return notes

    def report(self) -> dict[str, Any]:
        """Counters, `first_id`, `last_id`, `held`, `waiting` and `open_gaps`, as `TradeOrder` gives them."""
        return {
            **self.counts.as_dict(),
            "first_id": NO_ID,
            "last_id": self.last_id,
            "held": self.held,
            "waiting": [NO_ID, NO_ID] if self._asking else None,
            "open_gaps": [],
        }

    def counters(self) -> tuple[int, ...]:
        """What a tick log needs to note with a batch so that `resume` can go on after it: 15 numbers."""
        return (NO_ID, self.last_id, self.newest_ts_ns, *self.counts.kept())

    def resume(self, counters: Sequence[int]) -> None:
        """Go on from what `counters` was; numbers after the 15 are ignored. Called before any event, as
        often as wanted: the last call counts.

        Of the ids only the last one is known then: in an answer of REST, what is before it was seen.
        """
        _, self.last_id, self.newest_ts_ns = counters[:3]
        self.counts.take_over(counters[3:])
        self._said.clear()
        if self.last_id != NO_ID:
            self._said[self.last_id] = (self._connection, self.newest_ts_ns)
        self._complete_after_ns = self.newest_ts_ns
        self.interrupted = self.known

    def resume_notes(self, notes: Iterable[Recorded]) -> None:
        """Nothing to do: see `lost`."""

    def resumed(self) -> None:
        """Nothing to do: see `lost`."""

    def snapshot(self) -> bytes:
        """The whole state: `counters` and the ids that are remembered."""
        said = [(trade_id, ts_ns) for trade_id, (_, ts_ns) in self._said.items()]
        arrays = state.pack_arrays(
            counters=np.array(self.counters(), np.int64),
            said=np.array(said, np.int64).reshape(-1, 2),
            complete_after_ns=np.array([self._complete_after_ns], np.int64),
        )
        return state.pack(_KIND, _VERSION, self._symbol, {"order": arrays})

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` gave. Called on a new object. Raises SnapshotError."""
        arrays = state.unpack_arrays(state.unpack(_KIND, _VERSION, self._symbol, data)["order"])
        self.resume(arrays["counters"].tolist())
        self._said.clear()
        for trade_id, ts_ns in arrays["said"].tolist():
            self._said[trade_id] = (self._connection, ts_ns)
        self._complete_after_ns = int(arrays["complete_after_ns"][0])

    def _take(self, event: Trade | Quote, fed: list[FedEvent]) -> None:
        if event.symbol != self._symbol:
            self.counts.other_symbols += 1
        elif isinstance(event, Trade) and self._was_said(event, fed):
            pass
        elif self._asking:
            self._hold(event)
        else:
            self._feed(event, fed)

    def _hold(self, event: Trade | Quote) -> None:
        """Hold an event behind those that came before it, but a trade before the held ones that are later."""
        held, place = self._held, len(self._held)
        if isinstance(event, Trade):
            if event.ts_ns < self._held_newest_ns:
                later = (isinstance(one, Trade) and one.ts_ns > event.ts_ns for one in held)
                place = next(at for at, is_later in enumerate(later) if is_later)
            self._held_newest_ns = max(self._held_newest_ns, event.ts_ns)
        held.insert(place, event)

    def _was_said(self, trade: Trade, fed: list[FedEvent]) -> bool:
        """Whether a trade was seen before. One that a new connection begins with leaves no hole."""
        if not self._unique or trade.trade_id == NO_ID:
            return False
        said = self._said.get(trade.trade_id)
        if said is None:
            self._remember(trade, self._connection)
            return False
        if said[0] == self._connection:
            self.counts.duplicates += 1
            return True
        self.counts.overlapped += 1
        self._said[trade.trade_id] = (self._connection, trade.ts_ns)
        if not self._held_newest_ns:  # no trade is held
            self._gap_due = False
            if self._asking:
                self._finish([], fed)
        return True

    def _remember(self, trade: Trade, connection: int) -> None:
        self._said[trade.trade_id] = (connection, trade.ts_ns)
        if len(self._said) > IDS_KEPT:
            _, (_, forgotten_ns) = self._said.popitem(last=False)
            self._complete_after_ns = max(self._complete_after_ns, forgotten_ns)

    def _begin_connection(self, at_ns: int) -> None:
        self.connected_ns = at_ns
        self._connection += 1
        if self.interrupted:
            self._asking = self._can_ask
            self._since_ns = self.newest_ts_ns - self._overlap_ns
            self._gap_due = self._gap_due or not self._can_ask
        self.interrupted = False

    def _new_of(self, page: list[Trade], last_known: int) -> list[Trade]:
        """Of an answer in order of time, the trades to feed on. Those that the socket left out before
        `newest_ts_ns` are late; those before all that is remembered may have been seen."""
        new = []
        for place, trade in enumerate(page):
            if trade.trade_id in self._said:
                continue
            if (trade.ts_ns, place) > (self.newest_ts_ns, last_known):
                new.append(trade)
            elif trade.ts_ns > self._complete_after_ns:
                self._remember(trade, _BY_REST)
                self.late.append(trade)
                self.counts.trades_repaired += 1
                self.counts.seen += 1
        return new

    def _finish(self, new: list[Trade], fed: list[FedEvent]) -> None:
        """Feed on all that is held, with these trades of REST, and wait for no more."""
        self._asking = False
        self._release(new, None, fed)
        if self._filled:
            self.counts.gaps_filled += 1
            self._note(NoteEvent.GAP_FILLED, self._filled)
            self._filled = 0

    def _release(self, new: list[Trade], up_to_ns: int | None, fed: list[FedEvent]) -> None:
        """Feed on the trades of REST and the held events up to a venue time (None: all of these), each
        held trade behind those of REST that aren't later."""
        due, waiting = self._held, deque(new)
        times = [(place, e.ts_ns) for place, e in enumerate(due) if isinstance(e, Trade)]
        if up_to_ns is not None:
            times = [(place, ts_ns) for place, ts_ns in times if ts_ns <= up_to_ns]
            due = due[: times[-1][0] + 1] if times else []
        self._held = self._held[len(due) :]
        self._held_newest_ns = max((e.ts_ns for e in self._held if isinstance(e, Trade)), default=0)
        self._feed_up_to(times[0][1] if times else None, waiting, fed)
        for event in due:
            if isinstance(event, Trade):
                self._feed_up_to(event.ts_ns, waiting, fed)
            self._feed(event, fed)
        self._feed_up_to(None, waiting, fed)

    def _feed_up_to(self, ts_ns: int | None, waiting: deque[Trade], fed: list[FedEvent]) -> None:
        """Feed on the trades of REST up to a time, all of them without one."""
        due = []
        while waiting and (ts_ns is None or waiting[0].ts_ns <= ts_ns):
            due.append(waiting.popleft())
        self._feed_from_rest(due, fed)

    def _feed_from_rest(self, trades: list[Trade], fed: list[FedEvent]) -> None:
        for trade in trades:
            self._feed(trade, fed)
            self._remember(trade, _BY_REST)
            if not self._filled:
                self.counts.gaps_found += 1
                self._note(NoteEvent.GAP_FOUND, 0)
            self._filled += 1
            self.counts.trades_filled += 1

    def _feed(self, event: Trade | Quote, fed: list[FedEvent]) -> None:
        if isinstance(event, Trade):
            if self._gap_due:
                self._gap_due = False
                self.counts.gaps_found += 1
                self.counts.gaps_given_up += 1
                self._note(NoteEvent.GAP_FOUND, 0)
                self._note(NoteEvent.GAP_GIVEN_UP, 0)
                fed.append(Gap(NO_ID, NO_ID, event.ts_ns, event.received_ns))
            self.counts.seen += 1
            self.last_id = event.trade_id
            self.newest_ts_ns = max(self.newest_ts_ns, event.ts_ns)
        fed.append(event)

    def _note(self, event: NoteEvent, trades: int) -> None:
        self._notes.append(Note(event, NO_ID, NO_ID, trades))
