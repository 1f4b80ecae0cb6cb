"""A generated market: seeded, endless, several correlated symbols, in blocks of ten seconds.

Each symbol has an efficient log price that moves by a common factor, by noise of its own and by the
trades: every aggressor pushes it a little, spread over the seconds that follow. So the order flow of
the last seconds says something about the next ten, but only a few per cent of their variance.
Volatility goes through regimes (calm, normal, storm) that all symbols share; orders come in bursts
that excite themselves (Hawkes 1971, drawn as a branching process); sides follow each other;
trades are at the quotes, so prices bounce between bid and ask on a grid of ticks.

Same seed, symbols and start: the same events, bit for bit, whoever listens. A symbol's own draws do
not depend on the other symbols.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cluster.exchange.source import Events, Instrument
from features.errors import ConfigError
from features.ticks import Kind, Ticks

STEP_NS = 100_000_000
STEPS = 100
BLOCK_S = STEPS * STEP_NS / 1e9
STEP_S = STEP_NS / 1e9

_REGIMES = ("calm", "normal", "storm")
_VOLATILITY = np.array([0.5, 1.0, 2.5])
_ACTIVITY = np.array([0.6, 1.0, 2.5])
_SPREAD = np.array([0.8, 1.0, 3.0])
_LEAVE_PER_STEP = STEP_S / np.array([180.0, 300.0, 60.0])
_NEXT = np.array([[0.0, 1.0, 0.0], [0.7, 0.0, 0.3], [0.0, 1.0, 0.0]])

_COMMON_SHARE = 0.6
"""Part of the noise variance that all symbols share: their returns correlate by about as much."""
_BRANCHING = 0.5
"""Orders that an order brings about, on average (the branching ratio of the Hawkes process)."""
_EXCITE_S = 1.5
_FILLS_PER_ORDER = 1.25
_SIDE_PERSISTENCE = 0.7
"""Probability that an order has the side of the one before, as its own doing."""
_IMPACT_S = 6.0
"""Time constant with which an order's impact on the price arrives."""
_KEPT_PER_STEP = np.exp(-STEP_S / _IMPACT_S)
_LEAN_PER_ORDER = 0.12
"""How much an order whose impact is still to come tilts the log sizes of bid and ask."""
_SIZE_DECIMALS = 5

_KNOWN = {
    "BTCUSDT": (60_000.0, 0.05),
    "ETHUSDT": (3_000.0, 0.8),
    "BNBUSDT": (600.0, 2.0),
    "SOLUSDT": (150.0, 10.0),
}
_OTHER = (100.0, 10.0)


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """Settings of a generated market.

    `trades_per_s` is the average per symbol, `rates` overrides it by symbol. `volatility` is per
    second in a normal regime (1e-4: one basis point). `flow_impact` is what one order moves the
    price in the end, as a multiple of the noise of a second divided by the root of orders a second;
    0.2 makes flow explain 1 to 3 % of the next ten seconds. From `regime_change_at_s` seconds after
    the start the flow pushes the other way. `start_ns` fixes the first event time; else it is
    `history_s` seconds before the wall clock: the past goes out first, as fast as clients take it.
    """

    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")
    seed: int = 0
    trades_per_s: float = 8.0
    rates: Mapping[str, float] = field(default_factory=dict)
    volatility: float = 1e-4
    spread_bps: float = 0.4
    flow_impact: float = 0.2
    regime_change_at_s: float | None = None
    start_ns: int | None = None
    history_s: float = 0.0
    live = True

    def __post_init__(self) -> None:
        if not self.symbols or len({symbol.lower() for symbol in self.symbols}) != len(self.symbols):
            raise ConfigError(f"symbols {list(self.symbols)} can't be used", fix="name each one once")
        if unknown := sorted(set(self.rates) - set(self.symbols)):
            raise ConfigError(f"rates for unknown symbols {unknown}", fix="name only symbols of the market")
        for name in ("trades_per_s", "volatility", "spread_bps"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} {value} can't be used", fix="give a number above zero")
        if any(not 0 < rate < float("inf") for rate in self.rates.values()):
            raise ConfigError(f"rates {dict(self.rates)} can't be used", fix="give numbers above zero")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} can't be used", fix="give 0 or more")

    @property
    def repeatable(self) -> bool:
        """Whether it begins at a time of its own, and not at the wall clock's."""
        return self.start_ns is not None

    def open(self, now_ns: int) -> Market:
        """The market from its first event on."""
        history_ns = int(self.history_s * 1e9)
        return Market(self, now_ns - history_ns if self.start_ns is None else self.start_ns)


class Market:
    """A generated market as a `Source`."""

    name = "market"

    def __init__(self, spec: MarketSpec, start_ns: int) -> None:
        self.instruments = tuple(Instrument(symbol, tick_size="0.01") for symbol in spec.symbols)
        self.start_ns = start_ns
        self.left_out: dict[str, int] = {}
        self._weather = _Weather(np.random.default_rng([spec.seed, 0]))
        self._symbols = [_SymbolMarket(spec, symbol) for symbol in spec.symbols]
        self._block = 0

    def next_events(self) -> Events:
        """The events of the next ten seconds, all symbols, in order of time."""
        regime, common = self._weather.next_block()
        first_step = self._block * STEPS
        start_ns = self.start_ns + first_step * STEP_NS
        parts = [symbol.next_block(start_ns, first_step, regime, common) for symbol in self._symbols]
        self._block += 1
        numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
        ticks = Ticks.concat(parts)
        order = np.argsort(ticks.ts_ns, kind="stable")
        return Events(numbers[order], ticks[order])


class _Weather:
    """What all symbols share: the regime and the common noise of each step."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._regime = _REGIMES.index("normal")

    def next_block(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Regime and standard normal common noise, both (STEPS,)."""
        leave = self._random.random(STEPS)
        where = self._random.random(STEPS)
        regime = np.empty(STEPS, dtype=np.int64)
        for step in range(STEPS):
            if leave[step] < _LEAVE_PER_STEP[self._regime]:
                self._regime = int(np.searchsorted(np.cumsum(_NEXT[self._regime]), where[step], side="right"))
            regime[step] = self._regime
        return regime, self._random.standard_normal(STEPS)


class _SymbolMarket:
    """One symbol: its price, its orders and its quotes, block after block."""

    def __init__(self, spec: MarketSpec, symbol: str) -> None:
        price, self._mean_size = _KNOWN.get(symbol, _OTHER)
        self._random = np.random.default_rng([spec.seed, 1, crc32(symbol.encode())])
        self._ticks_per_unit = 100
        self._log_price = float(np.log(price))
        self._orders_per_s = spec.rates.get(symbol, spec.trades_per_s) / _FILLS_PER_ORDER
        self._noise = spec.volatility * np.sqrt(STEP_S)
        self._half_spread = spec.spread_bps / 2e4
        self._impact = spec.flow_impact * spec.volatility / np.sqrt(self._orders_per_s)
        self._flips_at_step = (
            None if spec.regime_change_at_s is None else round(spec.regime_change_at_s / STEP_S)
        )
        self._flow = 0.0
        self._side = 1
        self._echoes_s = np.zeros(0)
        self._trade_id = 0

    def next_block(
        self,
        start_ns: int,
        first_step: int,
        regime: NDArray[np.int64],
        common: NDArray[np.float64],
    ) -> Ticks:
        """Quotes and trades of one block."""
        at_s = self._order_times(regime)
        sides = self._order_sides(len(at_s))
        step = np.minimum((at_s / STEP_S).astype(np.int64), STEPS - 1)
        flow = self._flow_per_step(np.bincount(step, sides, STEPS).astype(np.float64))
        push = self._push(flow, first_step)
        bid, ask = self._quotes(regime, common, push)
        quotes = self._quote_ticks(start_ns, bid, ask, push)
        trades = self._trade_ticks(start_ns, at_s, step, sides, bid, ask)
        # Quotes first: a trade in the instant of a step happens at that step's quotes.
        return Ticks.concat([quotes, trades])

    def _order_times(self, regime: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds into the block: Poisson ancestors, each with generations of echoes after it."""
        per_step = self._orders_per_s * (1 - _BRANCHING) * STEP_S * _ACTIVITY[regime]
        ancestors = np.repeat(np.arange(STEPS), self._random.poisson(per_step)) * STEP_S
        ancestors = ancestors + self._random.random(len(ancestors)) * STEP_S
        generation = np.concatenate([self._echoes_s - BLOCK_S, ancestors])
        self._echoes_s = generation[generation >= BLOCK_S]
        generation = generation[generation < BLOCK_S]
        born = [generation]
        while len(generation):
            parents = np.repeat(generation, self._random.poisson(_BRANCHING, len(generation)))
            children = parents + self._random.exponential(_EXCITE_S, len(parents))
            later = children >= BLOCK_S
            self._echoes_s = np.concatenate([self._echoes_s, children[later]])
            generation = children[~later]
            born.append(generation)
        return np.sort(np.concatenate(born))

    def _order_sides(self, count: int) -> NDArray[np.int64]:
        """+1 or -1: each repeats the one before with `_SIDE_PERSISTENCE`."""
        turns = np.where(self._random.random(count) < _SIDE_PERSISTENCE, 1, -1)
        sides = self._side * np.cumprod(turns)
        if count:
            self._side = int(sides[-1])
        return sides

    def _flow_per_step(self, signed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Orders whose impact has not arrived yet, before each step: a decaying sum of sides."""
        powers = _KEPT_PER_STEP ** np.arange(STEPS + 1)
        after = np.cumsum(np.concatenate([[self._flow], signed]) / powers) * powers
        self._flow = float(after[-1])
        return np.asarray(after[:-1])

    def _push(self, flow: NDArray[np.float64], first_step: int) -> NDArray[np.float64]:
        """Which way the flow pushes the price: its own way, or the other after the change."""
        if self._flips_at_step is None:
            return flow
        return np.where(first_step + np.arange(STEPS) >= self._flips_at_step, -flow, flow)

    def _quotes(
        self, regime: NDArray[np.int64], common: NDArray[np.float64], push: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Best bid and ask of each step, in ticks."""
        own = self._random.standard_normal(STEPS)
        drift = self._impact * (1 - _KEPT_PER_STEP) * push
        noise = np.sqrt(_COMMON_SHARE) * common + np.sqrt(1 - _COMMON_SHARE) * own
        path = self._log_price + np.cumsum(drift + self._noise * _VOLATILITY[regime] * noise)
        now = np.concatenate([[self._log_price], path[:-1]])
        self._log_price = float(path[-1])
        in_ticks = np.exp(now) * self._ticks_per_unit
        half = in_ticks * self._half_spread * _SPREAD[regime]
        bid = np.maximum(np.floor(in_ticks - half), 1).astype(np.int64)
        ask = np.maximum(np.ceil(in_ticks + half).astype(np.int64), bid + 1)
        return bid, ask

    def _quote_ticks(
        self, start_ns: int, bid: NDArray[np.int64], ask: NDArray[np.int64], push: NDArray[np.float64]
    ) -> Ticks:
        """One quote per step; the heavier side is the one the price is about to leave behind."""
        lean = _LEAN_PER_ORDER * push
        noise = self._random.standard_normal((2, STEPS)) * 0.8
        return Ticks.from_columns(
            STEPS,
            ts_ns=start_ns + np.arange(STEPS) * STEP_NS,
            bid=bid / self._ticks_per_unit,
            ask=ask / self._ticks_per_unit,
            bid_size=self._sizes(8 * self._mean_size * np.exp(noise[0] + lean)),
            ask_size=self._sizes(8 * self._mean_size * np.exp(noise[1] - lean)),
            kind=int(Kind.QUOTE),
        )

    def _trade_ticks(
        self,
        start_ns: int,
        at_s: NDArray[np.float64],
        step: NDArray[np.int64],
        sides: NDArray[np.int64],
        bid: NDArray[np.int64],
        ask: NDArray[np.int64],
    ) -> Ticks:
        """The fills of the orders; a later fill of an order may be one tick worse than the first."""
        fills = self._random.geometric(1 / _FILLS_PER_ORDER, len(at_s))
        order = np.repeat(np.arange(len(at_s)), fills)
        first = np.cumsum(fills) - fills
        walked = (np.arange(len(order)) > first[order]) & (self._random.random(len(order)) < 0.3)
        walked = np.maximum.accumulate(np.where(walked, order, -1)) == order
        side = sides[order]
        ticks = np.where(side > 0, ask[step[order]], bid[step[order]]) + side * walked
        sizes = self._mean_size * np.exp(self._random.standard_normal(len(order)) * 1.1 - 0.6)
        ids = self._trade_id + 1 + np.arange(len(order))
        self._trade_id += len(order)
        return Ticks.from_columns(
            len(order),
            ts_ns=start_ns + (at_s[order] * 1e6).astype(np.int64) * 1_000,
            trade_id=ids,
            price=ticks / self._ticks_per_unit,
            size=self._sizes(sizes),
            side=side,
            kind=int(Kind.TRADE),
        )

    def _sizes(self, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rounded to the size grid and never zero; exact decimals."""
        units = 10**_SIZE_DECIMALS
        return np.asarray(np.maximum(np.round(sizes * units), 1) / units)
