"""The order of one symbol's trades, for venues whose trade ids go up by one.

    order = TradeOrder("BTCUSDT", hold_limit=50_000)
    feed_on(order.accept(events))            # trades in id order, each once
    if order.waiting:                        # an id jumped: later events are held
        feed_on(order.fill(trades_of_rest))  # or order.give_up()

What goes out: trades in the order of their ids, each once, and what a venue could not give back as a
`Gap`. A quote goes out after every trade that came before it and before every later quote.

What each connection has said is known exactly, so that a trade that came twice is told apart: said
twice by one connection (`duplicates`), or by another one or REST before (`overlapped`).

A venue that begins its ids anew is recognised by a trade that steps back in ids and is more than a
minute later in time than any trade known. A delayed or repeated trade can't be: its time is its own.
Trades of a new series that come within that minute are taken for repeated ones and dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cluster.event_order import EventOrder, FedEvent, Gap, Hole, Note, NoteEvent, Recorded
from cluster.gap_book import GapBook
from cluster.gap_policy import GapPolicy
from cluster.id_ranges import IdRanges
from cluster.order_counters import OrderCounters
from cluster.overlap import OverlapOrder
from cluster.venues.base import Connected, Disconnected, Event, Quote, Trade, TradeIds, Venue
from features import state
from features.ticks import NO_ID

_MOST_RANGES = 10_000
_REPORTED_RANGES = 100
_NEW_SERIES_NS = 60_000_000_000
_NOT_NOW = -2
"""No trade has this id: nothing takes the short way."""
_KIND, _VERSION = "trade order", 1


class TradeOrder:
    """Keeps an `EventOrder` by consecutive trade ids."""

    def __init__(self, symbol: str, hold_limit: int) -> None:
        self.counts = OrderCounters()
        self.first_id = NO_ID
        """Id of the first trade ever fed on; NO_ID before it."""
        self.last_id = NO_ID
        self.newest_ts_ns = 0
        self.interrupted = False
        self.connected_ns = 0
        self.late: list[Trade] = []
        self._symbol = symbol
        self._hold_limit = hold_limit
        # Held trades by id, their ids, and which of them REST brought.
        self._ahead: dict[int, Trade] = {}
        self._ahead_ids = IdRanges()
        self._from_rest: set[int] = set()
        # Held quotes, each with the highest id known when it came.
        self._followers: deque[tuple[int, Trade | Quote]] = deque()
        # For each jump of ids: the first id that it skipped, and when we saw it.
        self._jumps: list[tuple[int, int]] = []
        # Ids up to the highest one that the connection of now has not said.
        self._unsaid = IdRanges(_MOST_RANGES)
        self._catch_up_from: int | None = None
        self._book = GapBook(self.counts)

    def accept(self, events: Iterable[Event]) -> list[FedEvent]:
        """Take what the feed hands over; gives what may be fed on now, in order."""
        fed: list[FedEvent] = []
        symbol = self._symbol
        next_id, newest_ns = self._next_id(), self.newest_ts_ns
        for event in events:
            if type(event) is Trade and event.trade_id == next_id and event.symbol == symbol:
                next_id += 1
                if event.ts_ns > newest_ns:
                    newest_ns = event.ts_ns
                fed.append(event)
            elif type(event) is Quote and next_id != _NOT_NOW and event.symbol == symbol:
                fed.append(event)
            else:
                self._run_on(next_id, newest_ns)
                self._take(event, fed)
                next_id, newest_ns = self._next_id(), self.newest_ts_ns
        self._run_on(next_id, newest_ns)
        return fed

    @property
    def known(self) -> bool:
        """Some trade has been fed on, here or before a restart."""
        return self.last_id != NO_ID

    @property
    def waiting(self) -> Hole | None:
        """The first hole that held events wait for."""
        # One look at each: `report` may be called from another thread.
        first_id, ahead, jump = self.last_id + 1, self._ahead_ids.as_list(1), self._jumps[:1]
        return Hole(first_id, ahead[0][0] - 1, jump[0][1]) if ahead and jump else None

    @property
    def wanted(self) -> Hole | None:
        """From the first id that is waited for to the last; some between may be here."""
        hole = self.waiting
        return hole and Hole(hole.first_id, self._ahead_ids.last_range[0] - 1, hole.opened_ns)

    @property
    def held(self) -> int:
        """How many events are held."""
        return len(self._ahead) + len(self._followers)

    @property
    def full(self) -> bool:
        """As many are held as may be: read no more until some have been fed on."""
        return len(self._ahead) + len(self._followers) >= self._hold_limit

    @property
    def catch_up_due(self) -> bool:
        """No trade has come since the connection was renewed: only REST knows whether we missed one."""
        return self._catch_up_from == self.last_id and not self._ahead

    @property
    def lost(self) -> list[tuple[int, int]]:
        """Ranges of ids given up and still missing, lowest first; the newest 10,000."""
        return self._book.lost.as_list()

    def declare_gap(self) -> None:
        """Called when REST is about to be asked for the hole that is waited for: it counts as a gap."""
        hole = self.waiting
        if hole is not None:
            self._book.declare(hole.first_id, hole.last_id)

    def fill(self, trades: Sequence[Trade], more: bool = False) -> list[FedEvent]:
        """Take trades that REST gave; of those that are waited for, gives what may be fed on now.

        Others are ignored, also those of a new series of ids: they are later than what was held.
        """
        if not self._ahead:
            return []
        highest, latest_ns = self._ahead_ids.last, self.newest_ts_ns + _NEW_SERIES_NS
        for trade in trades:
            if self.last_id < trade.trade_id < highest and trade.ts_ns <= latest_ns:
                self._hold_from_rest(trade)
        fed = self._release()
        if not self._ahead:
            self._book.end()
        return fed

    def catch_up(self, trades: Sequence[Trade]) -> list[FedEvent]:
        """Take the trades that REST gave after `last_id`; gives what may be fed on now.

        Once events are held, only what they wait for is taken: the socket will say the rest.
        """
        if self._ahead or self.last_id == NO_ID:
            return self.fill(trades)
        for trade in trades:
            if trade.trade_id > self.last_id:
                self._hold_from_rest(trade)
        fed = self._release()
        if self._catch_up_from is not None:
            self._catch_up_from = self.last_id
        return fed

    def caught_up(self) -> None:
        """Called at the end of a catch-up: REST has no more, or does not answer."""
        self._catch_up_from = None
        if not self._ahead:
            self._book.end()

    def give_up(self) -> list[FedEvent]:
        """The first hole can't be filled: a `Gap`, then what may be fed on now. Nothing if none waits."""
        hole = self.waiting
        if hole is None:
            return []
        self._book.give_up(hole.first_id, hole.last_id)
        after = self._ahead[hole.last_id + 1]
        self.last_id = hole.last_id
        fed = [Gap(hole.first_id, hole.last_id, after.ts_ns, after.received_ns), *self._release()]
        if not self._ahead:
            self._book.end()
        return fed

    def repair(self, trades: Sequence[Trade]) -> list[Trade]:
        """Of trades fetched later, those that were given up and are still missing: to be stored."""
        found = [trade for trade in trades if self._book.lost.remove(trade.trade_id)]
        for trade in found:
            self._unsaid.add(trade.trade_id, trade.trade_id)
        self._book.repaired(found)
        return found

    def take_late(self) -> list[Trade]:
        """Remove and return the trades that the socket said after they had been given up."""
        late, self.late = self.late, []
        return late

    def take_notes(self) -> list[Note]:
        """Remove and return what has happened since the last call, oldest first; at most 10,000."""
        return self._book.take_notes()

    def report(self) -> dict[str, Any]:
        """Counters, `first_id`, `last_id`, `held`, `waiting` [first, last], `open_gaps` (the first 100)."""
        hole = self.waiting
        return {
            **self.counts.as_dict(),
            "first_id": self.first_id,
            "last_id": self.last_id,
            "held": self.held,
            "waiting": hole and [hole.first_id, hole.last_id],
            "open_gaps": [list(gap) for gap in self._book.lost.as_list(_REPORTED_RANGES)],
        }

    def counters(self) -> tuple[int, ...]:
        """What a tick log needs to note with a batch so that `resume` can go on after it: 15 numbers."""
        return (self.first_id, self.last_id, self.newest_ts_ns, *self.counts.kept())

    def resume(self, counters: Sequence[int]) -> None:
        """Go on from what `counters` was; numbers after the 15 are ignored. Called before any event, as
        often as wanted: the last call counts."""
        self.first_id, self.last_id, self.newest_ts_ns = counters[:3]
        self.counts.take_over(counters[3:])
        self.interrupted = self.known

    def resume_notes(self, notes: Iterable[Recorded]) -> None:
        """Bring `lost` up to date from notes that were kept, oldest first."""
        self._book.replay(notes)

    def resumed(self) -> None:
        """Called after the last `resume` and `resume_notes`: what was noted ahead of the ticks is undone.

        A gap is noted before the ticks behind it are logged. Killed in between, it will be found anew.
        """
        self._book.lost.cut_after(self.last_id)

    def snapshot(self) -> bytes:
        """The whole state: `counters` and `lost`."""
        lost = np.array(self.lost, np.int64).reshape(-1, 2)
        arrays = state.pack_arrays(counters=np.array(self.counters(), np.int64), lost=lost)
        return state.pack(_KIND, _VERSION, self._symbol, {"order": arrays})

    def restore(self, data: bytes) -> None:
        """Take over what `snapshot` gave. Called on a new object. Raises SnapshotError."""
        arrays = state.unpack_arrays(state.unpack(_KIND, _VERSION, self._symbol, data)["order"])
        self.resume(arrays["counters"].tolist())
        self._book.lost.extend(arrays["lost"].tolist())

    def _next_id(self) -> int:
        """The id that may take the short way."""
        return _NOT_NOW if self._ahead or self.last_id == NO_ID else self.last_id + 1

    def _run_on(self, next_id: int, newest_ns: int) -> None:
        """Trades up to the one before `next_id` have been fed on the short way."""
        if next_id > self.last_id + 1:
            self.counts.seen += next_id - 1 - self.last_id
            self.last_id = next_id - 1
            self.newest_ts_ns = newest_ns
            self._book.fed_from_socket(self.last_id)

    def _take(self, event: Event, fed: list[FedEvent]) -> None:
        """One event, the long way."""
        if isinstance(event, Trade | Quote):
            if event.symbol != self._symbol:
                self.counts.other_symbols += 1
            elif isinstance(event, Quote) or event.trade_id == NO_ID:
                self._follow(event, fed)
            else:
                self._take_trade(event, fed)
        elif isinstance(event, Connected):
            self._begin_connection(event.at_ns)
        elif isinstance(event, Disconnected):
            self.interrupted = True

    def _take_trade(self, trade: Trade, fed: list[FedEvent]) -> None:
        trade_id = trade.trade_id
        if self.last_id == NO_ID:
            self.first_id, self.last_id = trade_id, trade_id - 1
        elif trade_id <= self.last_id:
            self._take_old(trade, fed)
            return
        elif trade_id in self._ahead:
            self._count_repeated(trade_id)
            return
        elif self._ahead and trade_id < self._ahead_ids.last:
            self.counts.reordered += 1
            self._unsaid.remove(trade_id)
            self._book.note(NoteEvent.REORDERED, trade_id, trade_id, 1)
        self._hold(trade)
        fed.extend(self._release())

    def _take_old(self, trade: Trade, fed: list[FedEvent]) -> None:
        """A trade whose turn has passed."""
        trade_id = trade.trade_id
        if trade.ts_ns > self.newest_ts_ns + _NEW_SERIES_NS:
            self._begin_series(trade, fed)
        elif trade_id < self.first_id:
            self.counts.before_start += 1
        elif self._book.lost.remove(trade_id):
            self._unsaid.remove(trade_id)
            self._book.repaired([trade])
            self.late.append(trade)
        else:
            self._count_repeated(trade_id)

    def _follow(self, event: Trade | Quote, fed: list[FedEvent]) -> None:
        """What has no id keeps its place behind the trades that came before it."""
        if self._ahead:
            self._followers.append((self._ahead_ids.last, event))
        else:
            self._feed_follower(event, fed)

    def _feed_follower(self, event: Trade | Quote, fed: list[FedEvent]) -> None:
        self.counts.seen += type(event) is Trade
        fed.append(event)

    def _hold(self, trade: Trade) -> None:
        """Put a new trade in its place, after noting a jump."""
        trade_id = trade.trade_id
        expected = (self._ahead_ids.last if self._ahead else self.last_id) + 1
        if trade_id > expected:
            self.counts.holes += 1
            self._jumps.append((expected, trade.received_ns))
        self._ahead[trade_id] = trade
        self._ahead_ids.add(trade_id, trade_id)
        self.newest_ts_ns = max(self.newest_ts_ns, trade.ts_ns)

    def _hold_from_rest(self, trade: Trade) -> None:
        trade_id = trade.trade_id
        if trade_id not in self._ahead and trade.symbol == self._symbol:
            self._hold(trade)
            self._from_rest.add(trade_id)
            self._unsaid.add(trade_id, trade_id)

    def _release(self) -> list[FedEvent]:
        """Feed on what waits for nothing any more."""
        fed: list[FedEvent] = []
        ahead, followers, from_rest = self._ahead, self._followers, self._from_rest
        while True:
            while followers and followers[0][0] <= self.last_id:
                self._feed_follower(followers.popleft()[1], fed)
            trade = ahead.pop(self.last_id + 1, None)
            if trade is None:
                break
            self.last_id += 1
            self.counts.seen += 1
            fed.append(trade)
            if self.last_id in from_rest:
                from_rest.remove(self.last_id)
                self._book.fed_from_rest(self.last_id)
            else:
                self._book.fed_from_socket(self.last_id)
        self._ahead_ids.remove_to(self.last_id)
        self._forget_jumps()
        self._book.reached(self.last_id)
        return fed

    def _forget_jumps(self) -> None:
        """Only the jump that the first hole belongs to and those after it matter."""
        jumps, done = self._jumps, 0
        if not self._ahead:
            jumps.clear()
        while done + 1 < len(jumps) and jumps[done + 1][0] <= self.last_id + 1:
            done += 1
        del jumps[:done]

    def _begin_connection(self, at_ns: int) -> None:
        self.connected_ns = at_ns
        if self.last_id == NO_ID:
            return
        highest = self._ahead_ids.last if self._ahead else self.last_id
        self._unsaid.clear()
        self._unsaid.add(self.first_id, highest)
        if self.interrupted:
            self._catch_up_from = highest
        self.interrupted = False

    def _begin_series(self, trade: Trade, fed: list[FedEvent]) -> None:
        """The venue counts anew: nothing of the old series can come any more."""
        while self._ahead:
            fed.extend(self.give_up())
        self._book.begin_series(trade.trade_id)
        fed.append(Gap(NO_ID, NO_ID, trade.ts_ns, trade.received_ns))
        self._unsaid.clear()
        self.first_id, self.last_id = trade.trade_id, trade.trade_id - 1
        self._hold(trade)
        fed.extend(self._release())

    def _count_repeated(self, trade_id: int) -> None:
        if self._unsaid.remove(trade_id):
            self.counts.overlapped += 1
        else:
            self.counts.duplicates += 1


def order_of(venue: Venue, symbol: str, policy: GapPolicy) -> EventOrder:
    """The order that fits what a venue's trade ids say."""
    if venue.facts.trade_ids is TradeIds.CONSECUTIVE:
        return TradeOrder(symbol, policy.hold_limit)
    can_ask = venue.recent_request(symbol, 0) is not None
    overlap_ns = round(policy.time_overlap_s * 1e9)
    return OverlapOrder(symbol, policy.hold_limit, venue.facts.trade_ids, can_ask, overlap_ns)
