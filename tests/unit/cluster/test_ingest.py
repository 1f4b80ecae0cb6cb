"""Ordered events become ticks: logged first, then learned from, on the venue's clock."""

from __future__ import annotations

from typing import Any

from cluster.errors import LogFull
from cluster.event_order import Gap
from cluster.ingest import Ingest
from cluster.venues.base import Quote, Trade
from features.bars import BarSpec
from features.engine import EngineSpec, Step, SymbolEngine
from features.ticks import NO_ID, Kind, Ticks
from tests.unit.features.slot_models import Shelf, leaning

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LAG = 40_000_000


class Memory:
    """A journal in memory; `full` makes it take nothing."""

    def __init__(self) -> None:
        self.next_sequence = 0
        self.full = False
        self.ticks: list[Ticks] = []
        self.counters: list[tuple[int, ...]] = []
        self.outputs: list[tuple[int, Step]] = []
        self.order: list[str] = []

    def append_ticks(self, ticks: Ticks, counters: tuple[int, ...]) -> int:
        self._check()
        self.order.append("ticks")
        self.ticks.append(ticks)
        self.counters.append(counters)
        self.next_sequence += len(ticks)
        return self.next_sequence - len(ticks)

    def append_output(self, sequence: int, step: Step) -> None:
        self._check()
        self.order.append("output")
        self.outputs.append((sequence, step))

    def _check(self) -> None:
        if self.full:
            raise LogFull("the disk is full", "log", "free some space")


def ingest(**bars: Any) -> tuple[Ingest, Memory]:
    spec = EngineSpec(
        "BTCUSDT",
        bars=BarSpec(**({"kind": "time", "size": SECOND} | bars)),
        features=("log_return:1",),
        horizons=("1s",),
        models=("naive",),
        first_forecast_bars=1,
    )
    journal = Memory()
    return Ingest(SymbolEngine(spec), journal), journal


def trade(at_s: float, trade_id: int, price: float = 100.0, lag: int = LAG) -> Trade:
    ts = START + round(at_s * SECOND)
    return Trade("BTCUSDT", ts, ts + lag, trade_id, price, 1.0, 1)


def quote(ts_ns: int, received_ns: int) -> Quote:
    return Quote("BTCUSDT", ts_ns, received_ns, 99.0, 101.0, 5.0, 6.0)


def test_a_batch_of_events_becomes_bars_and_forecasts() -> None:
    feed, _ = ingest()
    step = feed.feed([trade(0.2, 1), trade(0.7, 2, 101.0), trade(1.1, 3, 102.0)], ())
    assert step is not None
    assert step.bars.column("close").tolist() == [101.0]
    assert step.bars.column("trades").tolist() == [2.0]
    (forecast,) = step.forecasts
    assert (forecast.price, forecast.watermark_trade_id) == (101.0, 2)
    assert feed.received_ns == START + round(1.1 * SECOND) + LAG


def test_ticks_are_logged_with_the_counters_and_then_what_they_made() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.2, 1), trade(0.7, 2)], (7, 8))
    feed.feed([trade(1.1, 3), trade(1.2, 4)], (9, 10))
    assert journal.order == ["ticks", "ticks", "output"]
    assert journal.counters == [(7, 8), (9, 10)]
    ((sequence, step),) = journal.outputs
    assert sequence == 3, "the last tick of the batch that closed the bar"
    assert len(step.bars) == 1
    assert Ticks.concat(journal.ticks).trade_id.tolist() == [1, 2, 3, 4]


def test_a_full_log_holds_everything_back_and_loses_nothing() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.2, 1)], ())
    journal.full = True
    assert feed.feed([trade(0.3, 2), trade(1.1, 3)], ()) is None
    assert feed.feed([trade(1.2, 4)], ()) is None
    assert feed.waiting == 3
    assert "disk is full" in feed.problem
    assert feed.engine.builder.counters["trades"] == 1, "the engine has not seen what is not logged"
    journal.full = False
    step = feed.feed([], ())
    assert step is not None and len(step.bars) == 1
    assert feed.problem == ""
    assert Ticks.concat(journal.ticks).trade_id.tolist() == [1, 2, 3, 4]


def test_what_was_made_when_the_log_filled_up_is_written_later_in_its_place() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.2, 1)], ())
    append = journal.append_output

    def full(sequence: int, step: Step) -> None:
        raise LogFull("the disk is full")

    journal.append_output = full  # type: ignore[method-assign]
    step = feed.feed([trade(1.1, 2)], ())
    assert step is not None and len(step.bars) == 1
    journal.append_output = append  # type: ignore[method-assign]
    feed.feed([trade(1.2, 3)], ())
    assert journal.order == ["ticks", "ticks", "output", "ticks"]
    assert journal.outputs[0] == (1, step)


def test_a_gap_ends_the_session_and_is_logged_like_any_tick() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.2, 1), Gap(2, 9, START + SECOND, START + SECOND), trade(1.1, 10), trade(2.1, 11)], ())
    assert Ticks.concat(journal.ticks).kind.tolist() == [Kind.TRADE, Kind.GAP, Kind.TRADE, Kind.TRADE]
    assert feed.engine.builder.counters["gaps"] == 1
    ((_, step),) = journal.outputs
    assert step.bars.session.tolist() == [0, 1]


def test_a_trade_without_an_id_is_taken_in() -> None:
    feed, _ = ingest()
    feed.feed([trade(0.1, NO_ID), trade(0.2, NO_ID)], ())
    assert feed.engine.builder.counters["trades"] == 2


def test_a_quote_with_a_time_of_its_own_keeps_it() -> None:
    feed, journal = ingest()
    feed.feed([quote(START + 5, START + LAG)], ())
    assert journal.ticks[0].ts_ns.tolist() == [START + 5]


def test_a_quote_without_a_time_gets_the_venues_time_of_its_receipt() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.1, 1), quote(START + 2 * LAG, START + 2 * LAG)], ())
    assert journal.ticks[0].ts_ns.tolist()[1] == START + LAG


def test_trades_that_rest_brought_do_not_move_the_venues_clock() -> None:
    feed, journal = ingest()
    feed.feed([trade(0.0, 1, lag=3600 * SECOND)], (), live=False)
    assert feed.clock.lag_ns is None
    feed.feed([trade(0.1, 2), quote(START + 2 * LAG, START + 2 * LAG)], ())
    assert journal.ticks[1].ts_ns.tolist()[1] == START + LAG
    assert feed.worst_lag_ns == 3600 * SECOND


def test_a_heartbeat_closes_the_open_bar_once_the_venues_clock_has_passed_it() -> None:
    feed, journal = ingest()
    delay = SECOND // 4
    feed.feed([trade(0.5, 1)], ())
    end = START + SECOND
    assert feed.heartbeat(end + LAG + delay - 1, delay, ()) is None
    step = feed.heartbeat(end + LAG + delay, delay, (5,))
    assert step is not None and len(step.bars) == 1
    assert journal.ticks[-1].kind.tolist() == [Kind.HEARTBEAT]
    assert journal.counters[-1] == (5,)


def test_no_heartbeat_before_the_first_price_or_while_ticks_wait_for_the_log() -> None:
    feed, journal = ingest()
    assert feed.heartbeat(START + 100 * SECOND, 0, ()) is None
    feed.feed([trade(0.5, 1)], ())
    journal.full = True
    feed.feed([trade(0.6, 2)], ())
    assert feed.heartbeat(START + 100 * SECOND, 0, ()) is None


def test_event_bars_never_get_heartbeats() -> None:
    feed, _ = ingest(kind="tick", size=10)
    feed.feed([trade(0.5, 1)], ())
    assert feed.heartbeat(START + 100 * SECOND, 0, ()) is None


def test_live_and_one_batch_end_in_the_same_state() -> None:
    one, journal = ingest()
    for i in range(200):
        one.feed([trade(i * 0.13, i + 1, 100.0 + i % 7)], ())
    whole = SymbolEngine(one.engine.spec)
    whole.update(Ticks.concat(journal.ticks))
    assert one.engine.digest() == whole.digest()


def test_a_swap_is_logged_before_it_counts() -> None:
    one, journal = ingest()
    spec = one.engine.spec
    one.engine.shelf = Shelf(v7=leaning(spec, 0.2, feature=0))
    one.feed([trade(0, 1)], (1,))
    step = one.swap(START + SECOND, 0, 7, (1,))
    assert step is not None and not len(step.bars)
    logged = journal.ticks[-1]
    assert logged.kind.tolist() == [Kind.SWAP]
    assert (logged.side[0], logged.trade_id[0], logged.received_ns[0]) == (0, 7, START + SECOND)
    assert logged.ts_ns[0] == START + SECOND - LAG  # on the venue's clock, like all ticks
    assert one.engine.models.versions["champion"] == 7
    assert one.received_ns == START + LAG  # nothing has come from the venue


def test_a_swap_that_the_log_does_not_take_has_not_happened() -> None:
    one, journal = ingest()
    one.engine.shelf = Shelf(v7=leaning(one.engine.spec, 0.2, feature=0))
    journal.full = True
    assert one.swap(START, 0, 7, ()) is None
    assert (one.waiting, one.engine.models.versions["champion"]) == (0, 0)
    one.feed([trade(0, 1)], (1,))
    journal.full = False
    assert one.swap(START, 0, 7, ()) is None  # not before the ticks that wait
    one.feed((), (1,))
    assert one.swap(START, 0, 7, ()) is not None
    assert [batch.kind[0] for batch in journal.ticks] == [Kind.TRADE, Kind.SWAP]
