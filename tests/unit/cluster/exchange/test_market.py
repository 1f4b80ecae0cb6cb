"""A generated market is reproducible, looks like a market and is a little predictable."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.exchange.market import BLOCK_S, Market, MarketSpec
from features.errors import ConfigError
from features.ticks import COLUMNS, Kind, Ticks

START_NS = 1_700_000_000_000_000_000


def generate(market: Market, blocks: int) -> dict[str, Ticks]:
    """Some blocks, by symbol."""
    events = [market.next_events() for _ in range(blocks)]
    number = np.concatenate([e.symbol for e in events])
    ticks = Ticks.concat([e.ticks for e in events])
    return {i.symbol: ticks[number == n] for n, i in enumerate(market.instruments)}


def same(one: Ticks, two: Ticks) -> bool:
    """Whether two batches are equal, bit for bit, in every column."""
    return all(one.records[name].tobytes() == two.records[name].tobytes() for name in COLUMNS)


def flow_and_returns(ticks: Ticks) -> tuple[np.ndarray, np.ndarray]:
    """Signed trades of the last ten seconds, and the log return of the mid over the next ten."""
    quotes, trades = ticks[ticks.kind == Kind.QUOTE], ticks[ticks.kind == Kind.TRADE]
    mid = np.log((quotes.bid + quotes.ask) / 2)[:: round(BLOCK_S * 10)]
    flow = np.bincount((trades.ts_ns - START_NS) // 10_000_000_000, weights=trades.side, minlength=len(mid))
    return flow[: len(mid) - 2], np.diff(mid)[1:]


def test_the_same_seed_and_start_give_the_same_bits():
    spec = MarketSpec(seed=5)
    one, two = generate(spec.open(START_NS), 30), generate(spec.open(START_NS), 30)
    assert all(same(one[s], two[s]) for s in one)
    other = generate(MarketSpec(seed=6).open(START_NS), 30)
    assert not same(one["BTCUSDT"], other["BTCUSDT"])


def test_a_symbol_does_not_depend_on_which_others_there_are():
    both = generate(MarketSpec(("BTCUSDT", "ETHUSDT")).open(START_NS), 20)
    alone = generate(MarketSpec(("ETHUSDT",)).open(START_NS), 20)
    assert same(both["ETHUSDT"], alone["ETHUSDT"])


def test_events_are_in_order_with_consecutive_ids_on_the_tick_grid():
    market = MarketSpec(("BTCUSDT", "XY")).open(START_NS)
    before = START_NS
    for _ in range(30):
        events = market.next_events()
        assert events.ticks.ts_ns[0] >= before
        assert np.all(np.diff(events.ticks.ts_ns) >= 0)
        before = int(events.ticks.ts_ns[-1]) + 1
    for ticks in generate(MarketSpec(("BTCUSDT", "XY")).open(START_NS), 30).values():
        trades, quotes = ticks[ticks.kind == Kind.TRADE], ticks[ticks.kind == Kind.QUOTE]
        assert trades.trade_id.tolist() == list(range(1, len(trades) + 1))
        assert np.array_equal(trades.price, np.round(trades.price * 100) / 100)
        assert np.all(trades.size > 0)
        assert np.all(quotes.bid < quotes.ask)


def test_trades_come_at_the_rate_asked_for_and_in_bursts():
    spec = MarketSpec(("BTCUSDT", "ETHUSDT"), trades_per_s=5.0, rates={"ETHUSDT": 20.0})
    market = generate(spec.open(START_NS), 720)
    for symbol, rate in (("BTCUSDT", 5.0), ("ETHUSDT", 20.0)):
        trades = market[symbol][market[symbol].kind == Kind.TRADE]
        counts = np.bincount((trades.ts_ns - START_NS) // 1_000_000_000, minlength=7200)
        assert counts.mean() == pytest.approx(rate, rel=0.35)
        assert counts.var() > 1.5 * counts.mean()


def test_flow_explains_one_to_three_per_cent_of_the_next_ten_seconds():
    pairs = [flow_and_returns(t) for t in generate(MarketSpec(seed=3).open(START_NS), 8 * 360).values()]
    r2 = np.mean([np.corrcoef(*pair)[0, 1] ** 2 for pair in pairs])
    assert 0.008 < r2 < 0.04
    returns = np.corrcoef([r for _, r in pairs])
    assert np.all(returns > 0.3)


def test_a_regime_change_turns_the_flow_around():
    spec = MarketSpec(("BTCUSDT",), seed=1, flow_impact=0.6, regime_change_at_s=5_000.0)
    flow, returns = flow_and_returns(generate(spec.open(START_NS), 1000)["BTCUSDT"])
    assert np.corrcoef(flow[:490], returns[:490])[0, 1] > 0.1
    assert np.corrcoef(flow[510:], returns[510:])[0, 1] < -0.1


def test_the_queue_imbalance_says_where_the_price_goes():
    ticks = generate(MarketSpec(("BTCUSDT",), seed=2, flow_impact=0.6).open(START_NS), 720)["BTCUSDT"]
    quotes = ticks[ticks.kind == Kind.QUOTE]
    lean = np.log(quotes.bid_size / quotes.ask_size).reshape(-1, 100)[:, -10:].mean(axis=1)
    mid = np.log((quotes.bid + quotes.ask) / 2)[::100]
    assert np.corrcoef(lean[:-2], np.diff(mid)[1:])[0, 1] > 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {"symbols": ()},
        {"symbols": ("A", "a")},
        {"trades_per_s": 0.0},
        {"rates": {"X": 1.0}},
        {"volatility": float("nan")},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(fields):
    with pytest.raises(ConfigError):
        MarketSpec(**fields)
