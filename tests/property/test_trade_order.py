"""Whatever a connection does and however REST gives it back, each trade goes out once and in order."""

from __future__ import annotations

from typing import Any

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.event_order import FedEvent, Gap, Note
from cluster.trade_order import TradeOrder
from cluster.venues.base import Connected, Disconnected, Event, Quote, Trade

SYMBOL = "BTCUSDT"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000


def trade(trade_id: int) -> Trade:
    return Trade(SYMBOL, START_NS + trade_id * STEP_NS, START_NS, trade_id, 100.0, 1.0, 1)


def quote(number: int) -> Quote:
    return Quote(SYMBOL, START_NS + number, START_NS, 99.0, 101.0, float(number), 1.0)


class Stream:
    """A market, a connection that makes mistakes, REST, and the order under test, restarted at will."""

    def __init__(self, first_id: int) -> None:
        self.first_id = first_id
        self.published = first_id - 1
        self.quotes = 0
        self.order = TradeOrder(SYMBOL, 1_000_000)
        self.batch: list[Event] = []
        self.late_message: Trade | None = None
        # What the order has made of it.
        self.out: list[int] = []
        self.gaps: list[Gap] = []
        self.stored: list[int] = []
        self.notes: list[Note] = []
        self.quotes_out: list[int] = []
        # What a perfect observer knows: ids that were said, by the connection of now and at all.
        self.said: set[int] = set()
        self.known: set[int] = set()
        self.duplicates = self.overlapped = 0
        self.must_precede: dict[int, int] = {}

    def publish(self) -> Trade:
        self.published += 1
        return trade(self.published)

    def say(self, one: Trade) -> None:
        """A trade arrives; every event is a batch of its own until `flush` joins them."""
        self.batch.append(one)

    def quote(self) -> None:
        self.quotes += 1
        self.batch.append(quote(self.quotes))

    def flush(self) -> None:
        batch, self.batch = self.batch, []
        for one in batch:
            if isinstance(one, Trade):
                self._observe(one.trade_id)
            elif isinstance(one, Quote):
                self.must_precede[int(one.bid_size)] = max(self.known)
        self.take(self.order.accept(batch))
        late = self.order.take_late()
        self.stored += [one.trade_id for one in late]
        self.notes += self.order.take_notes()

    def _observe(self, trade_id: int) -> None:
        if trade_id in self.known:
            if trade_id in self.said:
                self.duplicates += 1
            else:
                self.overlapped += 1
        self.known.add(trade_id)
        self.said.add(trade_id)

    def take(self, fed: list[FedEvent]) -> None:
        for one in fed:
            if isinstance(one, Trade):
                self.out.append(one.trade_id)
                self.known.add(one.trade_id)
            elif isinstance(one, Gap):
                self.gaps.append(one)
                self.out += range(one.first_id, one.last_id + 1)
            else:
                number = int(one.bid_size)
                assert self.out[-1] >= self.must_precede[number], "a quote overtook a trade"
                self.quotes_out.append(number)

    def connect(self, planned: bool) -> None:
        self.flush()
        if not planned:
            self.late_message = None
            self.batch.append(Disconnected("network", START_NS))
        self.batch.append(Connected(START_NS))
        self.flush()
        self.said = set()

    def rest(self, first_id: int, size: int) -> list[Trade]:
        return [
            trade(i) for i in range(max(first_id, self.first_id), min(first_id + size, self.published + 1))
        ]

    def fill(self, size: int, skip: int = 0) -> None:
        self.flush()
        hole = self.order.waiting
        if hole is not None:
            page = self.rest(hole.first_id + skip, size)
            held_to = self.order._ahead_ids.last
            self.known |= {one.trade_id for one in page if one.trade_id < held_to}
            self.take(self.order.fill(page))
        self.notes += self.order.take_notes()

    def catch_up(self, size: int) -> None:
        self.flush()
        page = self.rest(self.order.last_id + 1, size)
        if not self.order.held:
            self.known |= {one.trade_id for one in page}
            self.take(self.order.catch_up(page))
            if len(page) < size:
                self.order.caught_up()
        self.notes += self.order.take_notes()

    def give_up(self) -> None:
        self.flush()
        self.take(self.order.give_up())
        self.notes += self.order.take_notes()

    def repair(self, size: int) -> None:
        self.flush()
        for first_id, _ in self.order.lost[:1]:
            repaired = [one.trade_id for one in self.order.repair(self.rest(first_id, size))]
            self.stored += repaired
            self.known |= set(repaired)
        self.notes += self.order.take_notes()

    def restart(self, from_log: bool) -> None:
        """The process dies: what it held and what had not been read is gone."""
        self.batch, self.late_message = [], None
        old, self.order = self.order, TradeOrder(SYMBOL, 1_000_000)
        if from_log:
            self.order.resume((*old.counters(), 0))
            self.order.resume_notes(self.notes)
        else:
            self.order.restore(old.snapshot())
        assert self.order.counters() == old.counters()
        assert self.order.lost == old.lost
        self.known = set(self.out) - {i for first, last in old.lost for i in range(first, last + 1)}
        self.duplicates, self.overlapped = old.counts.duplicates, old.counts.overlapped
        self.connect(planned=False)

    def do(self, name: str, size: int) -> None:
        match name:
            case "send":
                for _ in range(size):
                    one = self.publish()
                    self.say(one)
                    if self.late_message is not None:
                        self.say(self.late_message)
                        self.late_message = None
            case "quote":
                self.quote()
            case "drop":
                for _ in range(size):
                    self.publish()
            case "twice":
                one = self.publish()
                self.batch += [one, one]
            case "later":
                self.late_message = self.late_message or self.publish()
            case "again":
                self.say(trade(max(self.first_id, self.published - size)))
            case "flush":
                self.flush()
            case "cut":
                for _ in range(size):
                    self.publish()
                self.connect(planned=False)
            case "switch":
                self.connect(planned=True)
                for one in self.rest(self.published - size, size + 1):
                    self.say(one)
            case "fill":
                self.fill(size)
            case "fill_later":
                self.fill(size, skip=1)
            case "catch_up":
                self.catch_up(size)
            case "restart":
                self.restart(from_log=bool(size % 2))
            case "give_up":
                self.give_up()
            case "repair":
                self.repair(size)
        self._check()

    def finish(self, page: int = 7) -> None:
        """REST works and gives everything; no mistakes any more."""
        self.late_message = None
        self.flush()
        while self.order.waiting is not None:
            self.fill(page)
        while self.order.last_id < self.published:
            self.catch_up(page)
        self.order.caught_up()
        self._check()

    def _check(self) -> None:
        counts = self.order.counts
        assert self.out == list(range(self.first_id, self.first_id + len(self.out)))
        assert self.quotes_out == sorted(set(self.quotes_out))
        if not self.batch:
            assert (counts.duplicates, counts.overlapped) == (self.duplicates, self.overlapped)


MISTAKES = ["send", "send", "send", "quote", "drop", "twice", "later", "again", "flush", "cut", "switch"]
ANSWERS = ["fill", "fill_later", "catch_up", "restart"]
sizes = st.integers(1, 6)


def steps(names: list[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    return st.lists(st.tuples(st.sampled_from(names), sizes), max_size=60)


def begin(first_id: int) -> Stream:
    stream = Stream(first_id)
    stream.batch.append(Connected(START_NS))
    stream.do("send", 1)
    stream.flush()
    return stream


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 3), steps(MISTAKES + ANSWERS))
def test_every_trade_goes_out_once_and_in_order(first_id: int, plan: list[tuple[str, int]]) -> None:
    stream = begin(first_id)
    for name, size in plan:
        stream.do(name, size)
    stream.finish()
    counts = stream.order.counts
    assert stream.out == list(range(first_id, stream.published + 1))
    assert counts.seen == len(stream.out)
    assert (stream.order.held, counts.missing, counts.gaps_given_up, stream.gaps) == (0, 0, 0, [])
    assert counts.gaps_found == counts.gaps_filled
    assert stream.stored == []
    assert not any(name == "restart" for name, _ in plan) or counts.before_start == 0
    if not any(name == "restart" for name, _ in plan):
        assert stream.quotes_out == list(range(1, stream.quotes + 1))
    seen(f"filled {min(counts.trades_filled, 5)}")


@settings(max_examples=400, deadline=None)
@given(steps(MISTAKES + ANSWERS + ["give_up", "give_up", "repair"]))
def test_what_is_given_up_is_named_once_and_stored_when_it_comes(plan: list[tuple[str, int]]) -> None:
    stream = begin(1)
    for name, size in plan:
        stream.do(name, size)
    stream.finish()
    order, counts = stream.order, stream.order.counts
    given_up = {i for gap in stream.gaps for i in range(gap.first_id, gap.last_id + 1)}
    missing = {i for first, last in order.lost for i in range(first, last + 1)}
    assert stream.out == list(range(1, stream.published + 1)), "fed on or named in a gap"
    assert len(stream.stored) == len(set(stream.stored)), "nothing is stored twice"
    assert set(stream.stored) == given_up - missing
    assert counts.missing == len(missing)
    assert counts.seen == len(stream.out) - len(missing)
    assert counts.gaps_given_up == len(stream.gaps)
    assert counts.gaps_found == counts.gaps_filled + counts.gaps_given_up
    while order.lost:
        stream.repair(5)
    assert set(stream.stored) == given_up and counts.missing == 0
    seen(f"given up {min(len(stream.gaps), 5)}")


@settings(max_examples=100, deadline=None)
@given(steps(MISTAKES), st.integers(1, 50))
def test_how_events_are_cut_into_batches_changes_nothing(plan: list[tuple[str, int]], size: int) -> None:
    """The same events one by one and in batches: what goes out, the counters and the state are equal."""
    recorder = begin(1)
    recorder.flush = lambda: None  # type: ignore[method-assign]
    for name, amount in plan:
        recorder.do(name, amount)
    events = recorder.batch

    def run(batch: int) -> tuple[list[Any], dict[str, Any], bytes]:
        order = TradeOrder(SYMBOL, 1_000_000)
        out: list[Any] = [*order.accept([Connected(START_NS), trade(1)])]
        for at in range(0, len(events), batch):
            out += order.accept(events[at : at + batch])
        return out, order.report(), order.snapshot()

    assert run(1) == run(size)
