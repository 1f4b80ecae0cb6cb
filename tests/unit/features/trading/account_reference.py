"""The account's rules written down a second time, bar by bar in exact fractions, from docs/trading.md."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from features.bars import Bars
from features.trading.spec import TradingSpec

MINUTE_NS = 60_000_000_000


@dataclass
class ReferenceAccount:
    """Equity after each bar, fills as (bar, units), and the profit of each round trip."""

    spec: TradingSpec
    equity: list[Fraction] = field(default_factory=list)
    fills: list[tuple[int, Fraction]] = field(default_factory=list)
    pnl: list[Fraction] = field(default_factory=list)
    costs: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        self.cash, self.units = Fraction(self.spec.capital), Fraction(0)
        self.mark = self.mark_half = None
        self.trip_began = Fraction(self.spec.capital)
        self.wanted = self.held = 0.0
        self.waiting = [0.0] * self.spec.latency_bars
        self.session = None
        self.ruined = False

    def run(self, bars: Bars, targets: np.ndarray) -> ReferenceAccount:
        for i in range(len(bars)):
            self.bar(i, bars, float(targets[i]))
        return self

    def bar(self, i: int, bars: Bars, target: float) -> None:
        spec = self.spec
        if spec.flat_at_session_end and self.session not in (None, bars.session[i]):
            if self.units:
                self.fill(i, Fraction(0), self.mark, self.mark_half)
            self.wanted = self.held = 0.0
            self.waiting = [0.0] * spec.latency_bars
        self.session = bars.session[i]
        if not math.isnan(target):
            self.wanted = min(max(target, -1.0 if spec.allow_short else 0.0), 1.0)
        self.waiting.append(self.wanted)
        due = self.waiting.pop(0)
        row = {name: float(bars.column(name)[i]) for name in ("open", "close", "bid", "ask", "filled")}
        booked = spec.use_book and 0 < row["bid"] <= row["ask"] < math.inf
        if due != self.held and not self.ruined:
            price = row["close"] if spec.latency_bars == 0 else row["open"]
            if booked:
                self.order(i, due, *book(row))
            elif 0 < price < math.inf and not row["filled"]:
                self.order(i, due, Fraction(price), Fraction(price) * bps(spec.half_spread_bps))
        if booked:
            self.mark, self.mark_half = book(row)
        elif prices := [row[name] for name in ("close", "open") if 0 < row[name] < math.inf]:
            self.mark = Fraction(prices[0])
            self.mark_half = self.mark * bps(spec.half_spread_bps)
        equity = self.cash + (self.units * self.mark if self.units else 0)
        if self.units and equity <= 0:
            self.ruined = True
            self.fill(i, Fraction(0), self.mark, self.mark_half)
            equity = self.cash
        self.equity.append(equity)

    def order(self, i: int, due: float, value: Fraction, half: Fraction) -> None:
        self.held = due
        equity = self.cash + self.units * value
        if due == 0 or equity <= 0:
            after = Fraction(0)
        else:
            after = self.sized(Fraction(due) * Fraction(self.spec.size), equity, value, half)
        if after != self.units:
            self.fill(i, after, value, half)

    def sized(self, amount: Fraction, equity: Fraction, value: Fraction, half: Fraction) -> Fraction:
        most = Fraction(self.spec.max_position)
        if not self.spec.by_capital:
            if abs(amount) * value <= most * equity:
                return amount
            amount = most if amount > 0 else -most
        share = max(-most, min(most, amount))
        # The position whose value is `share` of the equity once the fill has been paid for.
        for side in (1, -1):
            price = value + side * half + side * value * bps(self.spec.slippage_bps)
            fee = abs(price) * bps(self.spec.fee_bps)
            lost = side * (price - value) + fee  # of the equity, for each unit traded
            after = (share * (equity + side * lost * self.units)) / (value + side * share * lost)
            if (after - self.units) * side > 0:
                return after
        return self.units

    def fill(self, i: int, after: Fraction, value: Fraction, half: Fraction) -> None:
        units = after - self.units
        side = 1 if units > 0 else -1
        price = value + side * half + side * value * bps(self.spec.slippage_bps)
        fee_rate = bps(self.spec.fee_bps)
        self.costs += abs(units) * (side * (price - value) + price * fee_rate)
        # A fill that changes sides is two: one that ends a round trip and one that begins the next.
        legs = [-self.units, after] if self.units * after < 0 else [units]
        for leg in legs:
            self.cash -= leg * price + abs(leg) * price * fee_rate
            self.units += leg
            if self.units == 0:
                self.pnl.append(self.cash - self.trip_began)
                self.trip_began = self.cash
        self.fills.append((i, units))


def bps(value: float) -> Fraction:
    return Fraction(value) / 10_000


def book(row: dict[str, float]) -> tuple[Fraction, Fraction]:
    bid, ask = Fraction(row["bid"]), Fraction(row["ask"])
    return (bid + ask) / 2, (ask - bid) / 2


def minute_bars(close: list[float] | np.ndarray, **columns: object) -> Bars:
    """Bars of a minute; each opens at the close before, unless opens are given."""
    close = np.asarray(close, float)
    ends = 1_600_000_020_000_000_000 + np.arange(1, len(close) + 1) * MINUTE_NS
    opens = np.concatenate([close[:1], close[:-1]])
    return Bars.from_columns(ends - MINUTE_NS, ends, **{"open": opens, "close": close} | columns)


def random_walk(n: int, seed: int, volatility: float = 2e-3) -> np.ndarray:
    """Closes in whole cents around 100."""
    steps = np.random.default_rng(seed).normal(0.0, volatility, n)
    return np.round(100.0 * np.exp(np.cumsum(steps)), 2)


def random_market(n: int, seed: int) -> tuple[Bars, np.ndarray]:
    """Bars with all that can happen: jumps, books, crossed ones, no prices, sessions; and targets."""
    random = np.random.default_rng(seed)
    close = random_walk(n, seed, 0.02)
    opens = np.round(close * np.exp(random.normal(0.0, 5e-3, n)), 2)
    half = np.round(random.uniform(0.0, 0.2, n), 2)
    bid, ask = close - half, close + half
    unbooked = random.random(n) < 0.5
    bid[unbooked] = ask[unbooked] = np.nan
    crossed = random.random(n) < 0.05
    bid[crossed], ask[crossed] = ask[crossed] + 0.01, bid[crossed]
    void = random.random(n) < 0.05
    opens[void & (random.random(n) < 0.5)] = np.nan
    close[void] = random.choice([np.nan, 0.0, -1.0, np.inf])
    bars = minute_bars(
        close,
        open=opens,
        bid=bid,
        ask=ask,
        filled=(random.random(n) < 0.1).astype(float),
        session=np.cumsum(random.random(n) < 0.03),
    )
    targets = random.choice([-1.0, -0.5, 0.0, 0.0, 0.25, 1.0, 1.0, 3.0, np.nan], n)
    stay = random.random(n) < 0.6
    targets[stay] = np.nan
    return bars, targets
