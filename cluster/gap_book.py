"""The accounts of one symbol's gaps: which are open, filled, given up or repaired, and the notes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from cluster.event_order import NOTES_KEPT, Note, NoteEvent, Recorded
from cluster.id_ranges import IdRanges
from cluster.order_counters import OrderCounters
from cluster.venues.base import Trade
from features.ticks import NO_ID

_MOST_RANGES = 10_000


class GapBook:
    """Counts gaps as trades are fed on in the order of their ids. At most one gap is open at a time."""

    def __init__(self, counts: OrderCounters) -> None:
        self.lost = IdRanges(_MOST_RANGES)
        """Ids given up and still missing."""
        self._counts = counts
        self._open: _OpenGap | None = None
        self._notes: deque[Note] = deque(maxlen=NOTES_KEPT)

    def declare(self, first_id: int, last_id: int) -> None:
        """The ids first to last need REST. A gap that is open goes on to there."""
        if self._open is None:
            self._begin(first_id)
        assert self._open is not None
        if self._open.last_id is None:
            self._open.last_id = last_id
            self.note(NoteEvent.GAP_FOUND, self._open.first_id, last_id, last_id - self._open.first_id + 1)

    def fed_from_rest(self, trade_id: int) -> None:
        """A trade that REST brought has been fed on."""
        self._pass(trade_id)
        if self._open is None:
            self._begin(trade_id)
        assert self._open is not None
        self._open.filled += 1
        self._open.newest_id = trade_id
        self._counts.trades_filled += 1

    def fed_from_socket(self, trade_id: int) -> None:
        """A trade that the socket brought has been fed on: a gap without a known end ends before it."""
        if self._open is not None and self._open.last_id is None:
            self.end()
        self._pass(trade_id)

    def reached(self, last_id: int) -> None:
        """All that could be has been fed on, up to `last_id`."""
        self._pass(last_id + 1)

    def end(self) -> None:
        """The open gap has no more ids than have been fed on; nothing if none is open."""
        gap = self._open
        if gap is None:
            return
        last_id = gap.newest_id if gap.last_id is None else gap.last_id
        self.declare(gap.first_id, last_id)
        self._open = None
        self._counts.gaps_filled += 1
        self.note(NoteEvent.GAP_FILLED, gap.first_id, last_id, gap.filled)

    def give_up(self, first_id: int, last_id: int) -> None:
        """The rest of the open gap, these ids, is lost."""
        self.declare(first_id, last_id)
        self._open = None
        self.lost.add(first_id, last_id)
        self._counts.gaps_given_up += 1
        self._counts.trades_given_up += last_id - first_id + 1
        self.note(NoteEvent.GAP_GIVEN_UP, first_id, last_id, last_id - first_id + 1)

    def repaired(self, trades: Sequence[Trade]) -> None:
        """Trades that had been given up are to be stored."""
        self._counts.trades_repaired += len(trades)
        self._counts.seen += len(trades)
        ids = IdRanges()
        ids.extend((trade.trade_id, trade.trade_id) for trade in trades)
        for first, last in ids.as_list():
            self.note(NoteEvent.GAP_REPAIRED, first, last, last - first + 1)

    def begin_series(self, first_id: int) -> None:
        """The venue counts anew from here: what was lost before can't come any more."""
        self._counts.ids_restarted += 1
        self._open = None
        self.lost.clear()
        self.note(NoteEvent.IDS_RESTARTED, first_id, NO_ID, 0)

    def replay(self, notes: Iterable[Recorded]) -> None:
        """Bring `lost` up to date from notes that were kept, oldest first."""
        for note in notes:
            if note.event == NoteEvent.GAP_GIVEN_UP and note.first_id != NO_ID:
                self.lost.add(note.first_id, note.last_id)
            elif note.event == NoteEvent.GAP_REPAIRED:
                self.lost.remove_range(note.first_id, note.last_id)
            elif note.event == NoteEvent.IDS_RESTARTED:
                self.lost.clear()

    def note(self, event: NoteEvent, first_id: int, last_id: int, trades: int) -> None:
        """Write a line for the record."""
        self._notes.append(Note(event, first_id, last_id, trades))

    def take_notes(self) -> list[Note]:
        """Remove and return the notes, oldest first; at most 10,000."""
        notes = list(self._notes)
        self._notes.clear()
        return notes

    def _pass(self, trade_id: int) -> None:
        """The open gap ends before this id, if it is known to."""
        if self._open is not None and self._open.last_id is not None and self._open.last_id < trade_id:
            self.end()

    def _begin(self, first_id: int) -> None:
        self._open = _OpenGap(first_id)
        self._counts.gaps_found += 1


class _OpenGap:
    """A gap that is being filled. `last_id` is None while it isn't known where it ends."""

    __slots__ = ("filled", "first_id", "last_id", "newest_id")

    def __init__(self, first_id: int) -> None:
        self.first_id = first_id
        self.last_id: int | None = None
        self.newest_id = first_id
        self.filled = 0
