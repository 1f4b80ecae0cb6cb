"""Bars in plain Python, one event after the other, written from the rules in `features.bars`.

Slow and obvious. The compiled kernel is tested against it: same columns, same counters, same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from features.bars import BAR_COLUMNS, BarSpec
from features.ticks import Kind, Ticks

NAN = math.nan


@dataclass
class OpenBar:
    """The bar that is being filled; `price` is the last close, carried into it."""

    start_ns: int
    end_ns: int
    price: float
    high: float = -math.inf
    low: float = math.inf
    first: float = NAN
    flows: list[tuple[float, float, int]] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)
    quotes: int = 0
    events: int = 0


class ReferenceBars:
    """Feeds events one by one; `rows` holds (five times, values by column name) of every closed bar."""

    def __init__(self, spec: BarSpec) -> None:
        self.spec = spec
        self.rows: list[tuple[list[int], dict[str, float]]] = []
        names = "trades quotes heartbeats gaps late out_of_order rejected crossed bars filled"
        self.counters = dict.fromkeys(names.split(), 0)
        self.session = 0
        self.last_id = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        """What a session's end and a gap forget."""
        self.bar: OpenBar | None = None
        self.price = NAN  # last price; NaN before a session's first
        self.close_ns = 0
        self.closed_before_ns = -(10**30)  # a trade older than this belongs to a closed bar
        self.last_ns = 0
        self.trade_ns = -(10**30)
        self.empty_in_a_row = 0
        self.direction = 0
        self.book = {"bid": NAN, "ask": NAN, "bid_size": NAN, "ask_size": NAN}
        self.sides = {"last_side": 0.0, "last_buy": NAN, "last_sell": NAN}

    def feed(self, ticks: Ticks) -> ReferenceBars:
        """Take in a batch."""
        for event in ticks.records:
            self._event(event)
        return self

    @property
    def started(self) -> bool:
        return not math.isnan(self.price)

    def mid(self) -> float:
        """Mid of an uncrossed book, else NaN."""
        bid, ask = self.book["bid"], self.book["ask"]
        return 0.5 * (bid + ask) if bid <= ask else NAN

    def _event(self, event) -> None:  # type: ignore[no-untyped-def]
        ts, kind = int(event["ts_ns"]), Kind(int(event["kind"]))
        price, size = float(event["price"]), float(event["size"])
        if kind is Kind.TRADE and not (1e-100 < price < 1e100 and 0.0 <= size < 1e100):
            self.counters["rejected"] += 1
            return
        if kind is Kind.GAP:
            self.counters["gaps"] += 1
            self._end_session(close=True)
            return
        self._pass_time(ts)
        if kind is Kind.HEARTBEAT:
            self.counters["heartbeats"] += 1
            return
        late = self.started and ts < self.closed_before_ns
        in_order = not late and not (self.started and ts < self.close_ns)
        side = 0
        if kind is Kind.QUOTE:
            self.counters["quotes"] += 1
            self._quote(event)
            price = self.mid() if self.spec.price == "mid" else NAN
        else:
            self.counters["trades"] += 1
            if ts >= self.trade_ns:
                self.trade_ns, self.last_id = ts, int(event["trade_id"])
            side = self._side(int(event["side"]), price, in_order)
            if late:
                self.counters["late"] += 1
            elif not in_order:
                self.counters["out_of_order"] += 1
        paid = price
        if self.spec.price == "mid" and kind is Kind.TRADE:
            price = NAN
        if not self.started:
            if math.isnan(price):
                return
            self.price, self.last_ns = price, ts
        if self.bar is None:
            self._open(ts)
        self._enter(kind, ts, price, late, in_order)
        if kind is Kind.TRADE and size > 0.0:
            assert self.bar is not None
            self.bar.flows.append((paid, size, side))
            if in_order and side:
                self.sides["last_side"] = float(side)
                self.sides["last_buy" if side > 0 else "last_sell"] = paid
        self._close_full_event_bar()

    def _pass_time(self, ts: int) -> None:
        """Close what ends at or before this event."""
        if not self.started:
            return
        if self.spec.kind != "time":
            if ts - self.last_ns > self.spec.session_gap_ns:
                self._end_session(close=True)
            return
        while self.started and self.bar is not None and ts >= self.bar.end_ns:
            end = self.bar.end_ns
            self._close(end)
            if self.empty_in_a_row >= self.spec.max_fill:
                self._end_session(close=False)
            else:
                self.bar = OpenBar(end, end + self.spec.interval_ns, self.price)
                self.closed_before_ns = end

    def _open(self, ts: int) -> None:
        if self.spec.kind == "time":
            start = ts // self.spec.interval_ns * self.spec.interval_ns
            self.bar = OpenBar(start, start + self.spec.interval_ns, self.price)
            self.closed_before_ns = start
            return
        first = not self.rows or self.rows[-1][0][2] != self.session
        start = ts if first else max(ts, self.rows[-1][0][1])
        self.bar = OpenBar(start, start, self.price)

    def _enter(self, kind: Kind, ts: int, price: float, late: bool, in_order: bool) -> None:
        bar = self.bar
        assert bar is not None
        bar.events += 1
        bar.quotes += kind is Kind.QUOTE
        self.last_ns = max(self.last_ns, ts)
        if math.isnan(price) or late:
            return
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        if in_order:
            bar.first = price if math.isnan(bar.first) else bar.first
            if price != self.price:
                bar.moves.append(math.log(price / self.price))
            self.price, self.close_ns = price, ts

    def _close_full_event_bar(self) -> None:
        bar, kind = self.bar, self.spec.kind
        if bar is None or kind == "time":
            return
        reached = {
            "tick": float(len(bar.flows)),
            "volume": total(size for _, size, _ in bar.flows),
            "dollar": total(size * price for price, size, _ in bar.flows),
        }[kind]
        if reached >= self.spec.size:
            self._close(self.last_ns)
            self.closed_before_ns = self.close_ns
            self.bar = None

    def _quote(self, event) -> None:  # type: ignore[no-untyped-def]
        for side in ("bid", "ask"):
            if 1e-100 < event[side] < 1e100:
                self.book[side] = float(event[side])
                self.book[f"{side}_size"] = float(event[f"{side}_size"])
        self.counters["crossed"] += self.book["bid"] > self.book["ask"]

    def _side(self, said: int, price: float, in_order: bool) -> int:
        """The venue's word; for trades in order the quote rule, then the tick rule."""
        if not in_order:
            return said
        if self.started and price != self.price:
            self.direction = 1 if price > self.price else -1
        mid = self.mid()
        if said:
            return said
        if price > mid:
            return 1
        return -1 if price < mid else self.direction

    def _end_session(self, close: bool) -> None:
        if self.started:
            if close and self.bar is not None and self.bar.events:
                self._close(max(self.last_ns, self.bar.start_ns))
            self.session += 1
        self._begin_anew()

    def _close(self, end_ns: int) -> None:
        bar = self.bar
        assert bar is not None
        priced = not math.isnan(bar.first)
        filled = bar.events == 0
        volume = total(size for _, size, _ in bar.flows)
        notional = total(size * paid for paid, size, _ in bar.flows)
        mid = self.mid()
        values = {
            "open": bar.first if priced else bar.price,
            "high": bar.high if priced else bar.price,
            "low": bar.low if priced else bar.price,
            "close": self.price,
            "volume": volume,
            "buy_volume": total(size for _, size, side in bar.flows if side > 0),
            "sell_volume": total(size for _, size, side in bar.flows if side < 0),
            "trades": len(bar.flows),
            "buys": sum(side > 0 for _, _, side in bar.flows),
            "sells": sum(side < 0 for _, _, side in bar.flows),
            "vwap": notional / volume if notional else self.price,
            "realised_variance": total(move * move for move in bar.moves),
            "reference": self.price if math.isnan(mid) else mid,
            "quotes": bar.quotes,
            "filled": float(filled),
        }
        times = [bar.start_ns, end_ns, self.session, self.last_ns, self.last_id]
        self.rows.append((times, {**values, **self.book, **self.sides}))
        self.counters["bars"] += 1
        self.counters["filled"] += filled
        self.empty_in_a_row = self.empty_in_a_row + 1 if filled else 0

    def matrix(self) -> list[list[float]]:
        """Values of all bars, a list for each of BAR_COLUMNS."""
        return [[float(values[name]) for _, values in self.rows] for name in BAR_COLUMNS]

    def times(self) -> list[list[int]]:
        """Start, end, session, last event, last trade id: a list each."""
        return [[times[row] for times, _ in self.rows] for row in range(5)]


def total(numbers) -> float:  # type: ignore[no-untyped-def]
    """Sum from left to right; `sum` itself compensates for rounding from Python 3.12 on."""
    result = 0.0
    for number in numbers:
        result += number
    return result
