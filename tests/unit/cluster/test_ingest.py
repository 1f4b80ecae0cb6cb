"""Events become ticks, each trade once, on the venue's clock."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.ingest import Ingest
from cluster.venues.base import Connected, Disconnected, Heartbeat, Ignored, Quote, Trade, TradeIds
from features.bars import BarSpec
from features.engine import EngineSpec, SymbolEngine
from features.ticks import NO_ID

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LAG = 40_000_000


def ingest(ids: TradeIds = TradeIds.CONSECUTIVE, **bars: Any) -> Ingest:
    spec = EngineSpec(
        "BTCUSDT",
        bars=BarSpec(**({"kind": "time", "size": SECOND} | bars)),
        features=("log_return:1",),
        horizons=("1s",),
        models=("naive",),
        first_forecast_bars=1,
    )
    return Ingest(SymbolEngine(spec), "BTCUSDT", ids)


def trade(at_s: float, trade_id: int, price: float = 100.0, symbol: str = "BTCUSDT", lag: int = LAG) -> Trade:
    ts = START + round(at_s * SECOND)
    return Trade(symbol, ts, ts + lag, trade_id, price, 1.0, 1)


def quote(ts_ns: int, received_ns: int, symbol: str = "BTCUSDT") -> Quote:
    return Quote(symbol, ts_ns, received_ns, 99.0, 101.0, 5.0, 6.0)


def test_a_batch_of_events_becomes_bars_and_forecasts() -> None:
    feed = ingest()
    step = feed.feed([trade(0.2, 1), trade(0.7, 2, 101.0), trade(1.1, 3, 102.0)])
    assert step.bars.column("close").tolist() == [101.0]
    assert step.bars.column("trades").tolist() == [2.0]
    (forecast,) = step.forecasts
    assert (forecast.price, forecast.watermark_trade_id) == (101.0, 2)
    assert feed.received_ns == START + round(1.1 * SECOND) + LAG


def test_each_trade_counts_once() -> None:
    feed = ingest()
    feed.feed([trade(0.1, 1), trade(0.1, 1), trade(0.2, 2)])
    feed.feed([trade(0.1, 1), trade(0.2, 2), trade(0.3, 3)])
    assert feed.engine.builder.counters["trades"] == 3
    assert feed.continuity.report()["duplicates"] == 3


def test_a_gap_is_counted_and_trades_that_fill_it_late_are_taken_in() -> None:
    feed = ingest()
    feed.feed([trade(0.1, 1), trade(0.5, 5)])
    assert feed.continuity.holes == [(2, 4)]
    feed.feed([trade(0.2, 2, 90.0)])
    counters = feed.engine.builder.counters
    assert (counters["trades"], counters["out_of_order"]) == (3, 1)
    assert feed.continuity.report() == {"seen": 3, "duplicates": 0, "gaps": 1, "filled": 1, "missing": 2}


@pytest.mark.parametrize("ids", [TradeIds.NONE, TradeIds.UNIQUE])
def test_ids_that_do_not_count_up_say_nothing_about_gaps(ids: TradeIds) -> None:
    feed = ingest(ids)
    feed.feed([trade(0.1, 900), trade(0.2, 5), trade(0.3, 77_000)])
    assert feed.engine.builder.counters["trades"] == 3
    assert feed.continuity.report()["gaps"] == 0


def test_a_trade_without_an_id_is_always_taken_in() -> None:
    feed = ingest()
    feed.feed([trade(0.1, NO_ID), trade(0.2, NO_ID)])
    assert feed.engine.builder.counters["trades"] == 2
    assert feed.continuity.report()["seen"] == 0


def test_other_symbols_are_counted_and_left_out() -> None:
    feed = ingest()
    feed.feed([trade(0.1, 1, symbol="ETHUSDT"), quote(START, START, "ETHUSDT"), trade(0.2, 1)])
    assert feed.other_symbols == 2
    assert feed.engine.builder.counters["trades"] == 1
    assert feed.engine.builder.counters["quotes"] == 0
    assert feed.continuity.report()["seen"] == 1


def test_events_that_are_no_ticks_change_nothing() -> None:
    feed = ingest()
    before = feed.engine.digest()
    step = feed.feed([Connected(1), Heartbeat(1, 2), Ignored("x"), Disconnected("y", 3)])
    assert (len(step.bars), feed.received_ns) == (0, 0)
    assert feed.engine.digest() == before


def test_how_events_are_cut_into_batches_changes_nothing() -> None:
    quotes = [quote(START + i * SECOND, START + i * SECOND) for i in range(50)]
    trades = [trade(0.3 * i, i) for i in range(50)]
    events = [event for pair in zip(trades, quotes, strict=True) for event in pair]
    whole, single = ingest(), ingest()
    whole.feed(events)
    for event in events:
        single.feed([event])
    assert single.engine.digest() == whole.engine.digest()
    assert single.received_ns == whole.received_ns


@pytest.mark.parametrize("skew", [-3 * SECOND, 0, 3 * SECOND])
def test_a_quote_without_a_time_gets_the_venues_time_when_it_came(skew: int) -> None:
    feed = ingest()
    feed.feed([trade(0.5, 1, lag=skew + LAG)])
    received = START + round(0.8 * SECOND) + skew
    feed.feed([quote(received, received)])
    assert feed.engine.builder.last_event_ns == START + round(0.8 * SECOND) - LAG
    assert feed.received_ns == received


def test_a_quote_with_a_time_of_its_own_keeps_it() -> None:
    feed = ingest()
    feed.feed([trade(0.5, 1, lag=5 * SECOND), quote(START + SECOND // 2 + 7, START + 9 * SECOND)])
    assert feed.engine.builder.last_event_ns == START + SECOND // 2 + 7


def test_a_quote_before_the_venues_clock_is_known_keeps_ours() -> None:
    feed = ingest(price="mid")
    feed.feed([quote(START, START)])
    assert feed.engine.builder.last_event_ns == START


@pytest.mark.parametrize("skew", [-3 * SECOND, 0, 3 * SECOND])
def test_a_heartbeat_closes_the_bar_once_it_is_due_and_not_before(skew: int) -> None:
    feed, delay = ingest(), 250_000_000
    feed.feed([trade(0.5, 1, lag=skew + LAG)])
    due = START + SECOND + delay + skew + LAG
    assert feed.heartbeat(due - 1, delay) is None
    assert feed.engine.builder.counters["heartbeats"] == 0
    step = feed.heartbeat(due, delay)
    assert step is not None
    assert step.bars.end_ns.tolist() == [START + SECOND]
    assert len(step.forecasts) == 1
    assert feed.heartbeat(due, delay) is None
    assert feed.heartbeat(due + SECOND - 1, delay) is None
    assert feed.heartbeat(due + SECOND, delay) is not None


def test_there_is_no_heartbeat_before_a_price_after_a_session_or_for_event_bars() -> None:
    far = START + 10_000 * SECOND
    assert ingest().heartbeat(far, 0) is None
    ended = ingest(max_fill=3)
    ended.feed([trade(0.5, 1)])
    step = ended.heartbeat(far, 0)
    assert step is not None
    assert len(step.bars) == 4
    assert ended.heartbeat(far + SECOND, 0) is None
    events = ingest(kind="tick", size=5)
    events.feed([trade(0.5, 1)])
    assert events.heartbeat(far, 0) is None


def test_a_heartbeat_is_not_data() -> None:
    feed = ingest()
    feed.feed([trade(0.5, 1)])
    received = feed.received_ns
    feed.heartbeat(START + 5 * SECOND, 0)
    assert feed.received_ns == received
