"""Each rule of `features.bars` by itself, on streams of a few ticks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.bars import BAR_COLUMNS, BarBuilder, Bars, BarSpec
from features.errors import DataError, SnapshotError, SpecError
from features.ticks import NO_ID, TickBuffer, Ticks
from tests.unit.features.bar_reference import ReferenceBars

SECOND = 1_000_000_000
NAN = math.nan
ONE_SECOND = BarSpec.parse("time:1s")


class Stream:
    """Ticks written as seconds since the start; trade ids count up from 1."""

    def __init__(self) -> None:
        self._buffer = TickBuffer()
        self._next_id = 1

    def trade(self, at: float, price: float, size: float = 1.0, side: int = 0) -> Stream:
        self._buffer.trade(round(at * SECOND), 0, self._next_id, price, size, side)
        self._next_id += 1
        return self

    def quote(self, at: float, bid: float, ask: float, sizes: tuple[float, float] = (1.0, 1.0)) -> Stream:
        self._buffer.quote(round(at * SECOND), 0, bid, ask, *sizes)
        return self

    def heartbeat(self, at: float) -> Stream:
        self._buffer.heartbeat(round(at * SECOND), 0)
        return self

    def gap(self, at: float) -> Stream:
        self._buffer.gap(round(at * SECOND), 0)
        return self

    def bars(self, spec: BarSpec = ONE_SECOND) -> tuple[Bars, dict[str, int]]:
        builder = BarBuilder(spec)
        return builder.update(self._buffer.take()), builder.counters


def column(bars: Bars, name: str) -> list[float]:
    return bars.column(name).tolist()


# Time bars


def test_a_time_bar_covers_its_start_and_not_its_end() -> None:
    bars, _ = Stream().trade(10.0, 100).trade(10.999, 101).trade(11.0, 102).heartbeat(12).bars()
    assert (bars.start_ns / SECOND).tolist() == [10, 11]
    assert (bars.end_ns / SECOND).tolist() == [11, 12]
    assert column(bars, "close") == [101, 102]


def test_time_bars_are_aligned_to_multiples_of_the_interval_since_1970() -> None:
    bars, _ = Stream().trade(127.3, 100).heartbeat(180).bars(BarSpec.parse("time:1m"))
    assert (bars.start_ns[0], bars.end_ns[0]) == (120 * SECOND, 180 * SECOND)


@pytest.mark.parametrize(
    "close",
    [
        lambda s: s.trade(11.0, 100),
        lambda s: s.quote(11.0, 99, 101),
        lambda s: s.heartbeat(11.0),
    ],
    ids=["trade", "quote", "heartbeat"],
)
def test_the_first_event_at_its_end_closes_a_time_bar(close: Callable[[Stream], Stream]) -> None:
    assert len(close(Stream().trade(10.5, 100)).bars()[0]) == 1


def test_a_rejected_trade_closes_nothing_and_changes_nothing() -> None:
    bad = [(0.0, 1.0), (-5.0, 1.0), (NAN, 1.0), (math.inf, 1.0), (5.0, -1.0), (5.0, NAN), (5.0, math.inf)]
    spoilt = Stream().trade(10, 100)
    for price, size in bad:
        spoilt.trade(99, price, size, 1)
    bars, counters = spoilt.heartbeat(11).bars()
    clean, _ = Stream().trade(10, 100).heartbeat(11).bars()
    assert bars.values.tobytes() == clean.values.tobytes()
    assert bars.times.tobytes() == clean.times.tobytes()
    assert (counters["rejected"], counters["trades"]) == (len(bad), 1)


def test_a_heartbeat_closes_the_bar_and_changes_nothing_else() -> None:
    stream = Stream().trade(10.2, 100, 2).heartbeat(10.9).heartbeat(11.7).trade(11.8, 101).heartbeat(12)
    bars, counters = stream.bars()
    assert column(bars, "close") == [100, 101]
    assert column(bars, "trades") == [1, 1]
    assert column(bars, "filled") == [0, 0]
    assert bars.last_event_ns.tolist() == [round(10.2 * SECOND), round(11.8 * SECOND)]
    assert counters["heartbeats"] == 3


def test_empty_intervals_are_filled_with_the_last_close_and_no_flow() -> None:
    bars, counters = Stream().trade(10, 100).trade(10.5, 103, 5, 1).trade(13, 104).bars()
    assert column(bars, "filled") == [0, 1, 1]
    for name in ("open", "high", "low", "close", "vwap", "reference"):
        assert column(bars[1:], name) == [103, 103]
    for name in ("volume", "buy_volume", "trades", "buys", "quotes", "realised_variance"):
        assert column(bars[1:], name) == [0, 0]
    assert counters["filled"] == 2


def test_a_session_ends_after_max_fill_empty_bars_and_the_next_price_opens_a_new_one() -> None:
    spec = BarSpec.parse("time:1s", max_fill=3)
    bars, _ = Stream().trade(10, 100).trade(1000, 200).heartbeat(1001).bars(spec)
    assert (bars.start_ns / SECOND).tolist() == [10, 11, 12, 13, 1000]
    assert bars.session.tolist() == [0, 0, 0, 0, 1]
    assert column(bars, "open")[-1] == 200


def test_an_event_interrupts_the_run_of_empty_bars() -> None:
    spec = BarSpec.parse("time:1s", max_fill=2)
    bars, _ = Stream().trade(10, 100).quote(12.5, 99, 101).trade(14, 102).heartbeat(15).bars(spec)
    assert column(bars, "filled") == [0, 1, 0, 1, 0]
    assert set(bars.session.tolist()) == {0}


def test_a_new_session_forgets_price_book_and_sides() -> None:
    spec = BarSpec.parse("time:1s", max_fill=1)
    stream = Stream().quote(9, 99, 101).trade(10, 100, 1, 1).trade(60, 200).heartbeat(61)
    bars, _ = stream.bars(spec)
    assert column(bars, "reference") == [100, 100, 200]
    assert math.isnan(column(bars, "bid")[-1])
    assert math.isnan(column(bars, "last_buy")[-1])
    assert column(bars, "last_side")[-1] == 0
    assert column(bars, "realised_variance")[-1] == 0


def test_a_gap_closes_the_open_bar_at_its_newest_event_and_ends_the_session() -> None:
    stream = Stream().trade(10.1, 100).trade(10.4, 101).gap(10.6).trade(10.7, 102).heartbeat(11)
    bars, counters = stream.bars()
    assert (bars.end_ns / SECOND).tolist() == [10.4, 11]
    assert bars.session.tolist() == [0, 1]
    assert column(bars, "open") == [100, 102]
    assert counters["gaps"] == 1


def test_a_gap_with_no_event_in_the_open_bar_closes_no_bar() -> None:
    bars, _ = Stream().trade(10.1, 100).heartbeat(11).gap(11.5).trade(11.6, 102).heartbeat(12).bars()
    assert bars.session.tolist() == [0, 1]


def test_a_gap_before_the_first_price_forgets_the_book() -> None:
    bars, _ = Stream().quote(9, 199, 201).gap(9.5).trade(10, 100).heartbeat(11).bars()
    assert column(bars, "reference") == [100]
    assert bars.session.tolist() == [0]


def test_quotes_before_the_first_price_make_the_book_but_no_bar() -> None:
    bars, _ = Stream().quote(5, 99, 102).trade(10, 100).heartbeat(11).bars()
    assert (bars.start_ns / SECOND).tolist() == [10]
    assert column(bars, "reference") == [100.5]
    assert column(bars, "quotes") == [0]


# Late and out of order


def test_a_late_trade_keeps_its_flow_and_loses_its_price() -> None:
    stream = Stream().trade(10, 100, 1, 1).trade(11, 102, 1, 1).trade(10.5, 90, 4, -1).heartbeat(12)
    bars, counters = stream.bars()
    assert column(bars, "volume") == [1, 5]
    assert column(bars, "sell_volume") == [0, 4]
    assert column(bars, "low") == [100, 102]
    assert column(bars, "last_side") == [1, 1]
    assert (counters["late"], counters["out_of_order"]) == (1, 0)


def test_a_late_trade_loses_its_price_even_when_none_is_newer() -> None:
    # The heartbeat closes [10, 11); then comes a trade of 10.9, newer than the one at 10.1.
    bars, counters = Stream().trade(10.1, 100).heartbeat(11).trade(10.9, 150, 3).heartbeat(12).bars()
    assert column(bars, "close") == [100, 100]
    assert column(bars, "high") == [100, 100]
    assert column(bars, "realised_variance") == [0, 0]
    assert column(bars, "volume") == [1, 3]
    assert column(bars, "filled") == [0, 0]
    assert counters["late"] == 1


def test_an_out_of_order_trade_widens_the_bar_and_leaves_the_close() -> None:
    bars, counters = Stream().trade(10.1, 100).trade(10.8, 101).trade(10.5, 99).heartbeat(11).bars()
    assert (column(bars, "low"), column(bars, "close")) == ([99], [101])
    assert (counters["late"], counters["out_of_order"]) == (0, 1)


def test_trades_of_one_instant_are_in_order() -> None:
    bars, counters = Stream().trade(10, 100).trade(10, 101).trade(10, 99).heartbeat(11).bars()
    assert column(bars, "close") == [99]
    assert counters["out_of_order"] == 0


def test_a_trade_older_than_the_close_of_the_event_bar_before_is_late() -> None:
    stream = Stream().trade(10, 100).trade(12, 101).trade(11, 50, 7).trade(13, 102)
    bars, counters = stream.bars(BarSpec.parse("tick:2"))
    assert column(bars, "low") == [100, 102]
    assert column(bars, "volume") == [2, 8]
    assert (counters["late"], counters["out_of_order"]) == (1, 0)


def test_the_watermark_is_the_newest_event_and_the_newest_trade_not_the_last_to_arrive() -> None:
    stream = Stream().trade(10.5, 100).trade(10.6, 100).trade(10.2, 100).quote(10.8, 99, 101).heartbeat(12)
    bars, _ = stream.bars()
    assert bars.last_event_ns.tolist() == [round(10.8 * SECOND)] * 2
    assert bars.last_trade_id.tolist() == [2, 2]


def test_bars_that_have_seen_no_trade_have_no_trade_id() -> None:
    bars, _ = Stream().quote(10, 99, 101).heartbeat(11).bars(BarSpec.parse("time:1s", price="mid"))
    assert bars.last_trade_id.tolist() == [NO_ID]


# Prices, sizes, sides, book


def test_a_trade_of_size_zero_is_a_price_without_flow() -> None:
    bars, _ = Stream().trade(10, 100, 2, 1).trade(10.5, 105, 0, -1).heartbeat(11).bars()
    assert (column(bars, "close"), column(bars, "high")) == ([105], [105])
    assert (column(bars, "trades"), column(bars, "volume"), column(bars, "vwap")) == ([1], [2], [100])
    assert column(bars, "last_side") == [1]


def test_sizes_too_small_for_a_product_give_the_close_as_vwap() -> None:
    bars, _ = Stream().trade(10, 1e-8, 5e-324).heartbeat(11).bars()
    assert column(bars, "vwap") == [1e-8]


def test_vwap_and_realised_variance() -> None:
    bars, _ = Stream().trade(9, 100).trade(10, 110, 1).trade(10.5, 121, 3).heartbeat(11).bars()
    assert column(bars, "vwap")[1] == pytest.approx((110 + 3 * 121) / 4)
    assert column(bars, "realised_variance")[1] == pytest.approx(2 * math.log(1.1) ** 2)


@pytest.mark.parametrize(
    ("price", "side"),
    [(100.6, 1), (100.4, -1), (100.5, 1), (100.0, -1)],
    ids=["above the mid", "below the mid", "at the mid after a rise", "at the bid"],
)
def test_the_quote_rule_then_the_tick_rule_name_the_aggressor(price: float, side: int) -> None:
    stream = Stream().trade(9, 100.2).quote(9.5, 100, 101).trade(10, price).heartbeat(11)
    bars, _ = stream.bars()
    assert column(bars, "last_side")[-1] == side


def test_the_tick_rule_keeps_the_sign_of_the_last_change() -> None:
    stream = Stream().trade(10, 100).trade(10.1, 101).trade(10.2, 101).trade(10.3, 100).trade(10.4, 100)
    bars, _ = stream.heartbeat(11).bars()
    assert (column(bars, "buys"), column(bars, "sells"), column(bars, "trades")) == ([2], [2], [5])


def test_the_venues_word_goes_before_every_rule() -> None:
    bars, _ = Stream().quote(9, 100, 101).trade(10, 100, 1, side=1).heartbeat(11).bars()
    assert column(bars, "buys") == [1]


def test_a_crossed_book_names_no_aggressor_gives_no_mid_and_is_counted() -> None:
    bars, counters = Stream().quote(9, 102, 101).trade(10, 100).heartbeat(11).bars()
    assert column(bars, "reference") == [100]
    assert column(bars, "last_side") == [0]
    assert counters["crossed"] == 1


def test_trades_late_or_out_of_order_get_no_side_by_rule() -> None:
    stream = Stream().quote(10, 99, 101).trade(10.5, 100.5).trade(10.2, 98).heartbeat(11)
    bars, _ = stream.bars()
    assert (column(bars, "buys"), column(bars, "sells"), column(bars, "trades")) == ([1], [0], [2])


@pytest.mark.parametrize("missing", [NAN, 0.0, -1.0, math.inf])
def test_a_missing_side_of_a_quote_leaves_that_side_as_it_was(missing: float) -> None:
    stream = Stream().trade(10, 100).quote(10.1, 99, 101, (5, 6)).quote(10.2, 98, missing, (7, 8))
    bars, _ = stream.heartbeat(11).bars()
    assert (column(bars, "bid"), column(bars, "bid_size")) == ([98], [7])
    assert (column(bars, "ask"), column(bars, "ask_size")) == ([101], [6])


def test_with_price_mid_quotes_move_the_close_and_trades_only_count() -> None:
    stream = Stream().quote(10, 99, 101).quote(10.2, 101, 103).trade(10.4, 150, 2, 1).heartbeat(11)
    bars, _ = stream.bars(BarSpec.parse("time:1s", price="mid"))
    assert [column(bars, name) for name in ("open", "high", "low", "close")] == [[100], [102], [100], [102]]
    assert (column(bars, "volume"), column(bars, "quotes"), column(bars, "vwap")) == ([2], [2], [150])


def test_with_price_mid_a_crossed_book_moves_nothing() -> None:
    stream = Stream().quote(10, 99, 101).quote(10.2, 105, NAN).heartbeat(11)
    bars, _ = stream.bars(BarSpec.parse("time:1s", price="mid"))
    assert (column(bars, "close"), column(bars, "reference")) == ([100], [100])


# Event bars


@pytest.mark.parametrize(
    ("spec", "sizes"),
    [("tick:2", [2, 2]), ("volume:3", [3, 4]), ("dollar:250", [3, 4])],
)
def test_event_bars_close_with_the_trade_that_reaches_the_threshold(spec: str, sizes: list[float]) -> None:
    stream = Stream().trade(10, 100, 1).trade(11, 100, 1 if spec == "tick:2" else 2)
    stream.trade(12, 100, 1).trade(13, 100, 1 if spec == "tick:2" else 3)
    bars, _ = stream.bars(BarSpec.parse(spec))
    assert column(bars, "volume") == sizes
    assert (bars.end_ns / SECOND).tolist() == [11, 13]
    assert (bars.start_ns / SECOND).tolist() == [10, 12]


def test_silence_ends_the_session_of_event_bars_and_closes_the_open_bar() -> None:
    spec = BarSpec.parse("tick:3", session_gap_ns=10 * SECOND)
    stream = Stream().trade(10, 100).trade(20, 101).trade(30.001, 102).trade(31, 103).trade(32, 104)
    bars, _ = stream.bars(spec)
    assert column(bars, "trades") == [2, 3]
    assert bars.session.tolist() == [0, 1]
    assert (bars.end_ns / SECOND).tolist() == [20, 32]


# Room, cuts, snapshots


@pytest.mark.parametrize("count", [63, 64, 65, 1000, 70_000])
def test_one_batch_may_close_any_number_of_bars(count: int) -> None:
    n = count + 1
    ticks = Ticks.from_columns(n, ts_ns=np.arange(n) * SECOND, price=100.0 + np.arange(n) % 7, size=1.0)
    bars = BarBuilder(ONE_SECOND).update(ticks)
    assert len(bars) == count
    assert (np.diff(bars.start_ns) == SECOND).all()
    np.testing.assert_array_equal(bars.column("close"), 100.0 + np.arange(count) % 7)


@pytest.mark.parametrize("first", [[], [9.0]], ids=["even", "odd"])
def test_one_trade_may_close_the_session_before_it_and_its_own_bar(first: list[float]) -> None:
    # Small and large trades by turns, each after a silence: two bars for every second trade.
    sizes = first + [0.1, 9.0] * 10_000
    ticks = Ticks.from_columns(len(sizes), ts_ns=SECOND * np.arange(len(sizes)), price=100.0, size=sizes)
    bars = BarBuilder(BarSpec("dollar", 500, session_gap_ns=SECOND // 2)).update(ticks)
    assert column(bars, "volume") == sizes
    assert bars.session.tolist() == list(range(len(sizes)))


def test_one_tick_after_a_long_silence_may_close_any_number_of_bars() -> None:
    spec = BarSpec.parse("time:1s", max_fill=100_000)
    bars, counters = Stream().trade(10, 100).trade(90_010, 101).bars(spec)
    assert len(bars) == counters["bars"] == 90_000
    assert (np.diff(bars.start_ns) == SECOND).all()


def test_the_layout_and_the_flags_of_the_records_do_not_matter() -> None:
    n = 40
    ticks = Ticks.from_columns(2 * n, ts_ns=np.arange(2 * n) * SECOND, price=100.0, size=1.0)
    want = BarBuilder(ONE_SECOND).update(Ticks(ticks.records[::2].copy()))
    frozen = ticks.records.copy()
    frozen.flags.writeable = False
    for records in (ticks.records[::2], frozen[::2]):
        assert BarBuilder(ONE_SECOND).update(Ticks(records)).values.tobytes() == want.values.tobytes()


def test_bars_handed_out_do_not_change_with_the_next_batch() -> None:
    builder = BarBuilder(ONE_SECOND)
    bars = builder.update(Ticks.from_columns(3, ts_ns=np.arange(3) * SECOND, price=[5, 6, 7], size=1))
    before = bars.values.tobytes()
    builder.update(Ticks.from_columns(3, ts_ns=np.arange(3, 6) * SECOND, price=[8, 9, 10], size=1))
    assert bars.values.tobytes() == before


def test_real_trades_give_what_the_plain_reference_gives(shared: Path) -> None:
    path = shared / "data" / "trades" / "us_equity_ticks_2013-10-07_09.parquet"
    table = pq.read_table(path, columns=["symbol", "ts_ns", "price", "size"])
    table = table.filter(pc.equal(table["symbol"], "SPY")).slice(0, 20_000)
    columns = {name: table[name].to_numpy().astype(float) for name in ("price", "size")}
    ticks = Ticks.from_columns(len(table), ts_ns=table["ts_ns"].cast("int64").to_numpy(), **columns)
    for spec in (ONE_SECOND, BarSpec.parse("dollar:1e6")):
        builder = BarBuilder(spec)
        bars = builder.update(ticks)
        reference = ReferenceBars(spec).feed(ticks)
        assert bars.times.tolist() == reference.times()
        np.testing.assert_allclose(bars.values, reference.matrix(), rtol=1e-12, atol=0)
        assert builder.counters == reference.counters


def test_what_the_open_bar_says_of_itself() -> None:
    builder = BarBuilder(ONE_SECOND)
    assert builder.open_bar_end_ns is None
    assert (math.isnan(builder.last_price), builder.last_event_ns) == (True, 0)
    builder.update(Ticks.from_columns(1, ts_ns=[10_300_000_000], price=[7.0], size=[1.0]))
    assert builder.open_bar_end_ns == 11 * SECOND
    assert (builder.last_price, builder.last_event_ns) == (7.0, 10_300_000_000)
    assert BarBuilder(BarSpec.parse("tick:1")).open_bar_end_ns is None


def test_a_snapshot_fits_only_bars_of_the_same_rules() -> None:
    data = BarBuilder(ONE_SECOND).snapshot()
    with pytest.raises(SnapshotError, match="other settings"):
        BarBuilder.restore(BarSpec.parse("time:2s"), data)
    with pytest.raises(SnapshotError, match="damaged"):
        BarBuilder.restore(ONE_SECOND, data[:-9])


# Specs and columns


def test_equal_rules_have_equal_identity_however_they_were_written() -> None:
    for one, other in ((BarSpec(), BarSpec.parse("time:1s")), (BarSpec("tick", 5), BarSpec.parse("tick:5"))):
        assert one == other
        assert one.digest() == other.digest()
    assert BarSpec.parse("tick:5").digest() != BarSpec.parse("tick:6").digest()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("second:1", "unknown bar kind 'second'; use one of: time, tick, volume, dollar"),
        ("tik:abc", "unknown bar kind 'tik'"),
        ("time:1x", "'1x' is not a duration"),
        ("time", "'' is not a duration"),
        ("tick:many", "bar size 'many' is not a number; write for example \"tick:100\""),
        ("volume:0", "bar size 0.0 is not above zero"),
        ("dollar:-3", "bar size -3.0 is not above zero"),
        ("tick:nan", "bar size nan is not above zero"),
        ("volume:inf", "bar size inf is not above zero and finite"),
    ],
)
def test_a_bar_spec_that_cannot_be_read_says_why(text: str, says: str) -> None:
    with pytest.raises(SpecError) as error:
        BarSpec.parse(text)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_fill": 0}, "max_fill 0 is below 1"),
        ({"session_gap_ns": 0}, "session_gap_ns 0 is below 1"),
        ({"price": "last"}, "unknown bar price 'last'; use trade or mid"),
        ({"size": 0.5}, "not whole nanoseconds"),
    ],
)
def test_bar_settings_that_cannot_be_used_say_why(settings: dict[str, object], says: str) -> None:
    with pytest.raises(SpecError) as error:
        BarSpec(**settings)  # type: ignore[arg-type]
    assert says in str(error.value)


def test_bars_from_columns_fill_in_what_is_missing() -> None:
    bars = Bars.from_columns([0, 10], [10, 20], close=[1.0, 2.0], volume=[3.0, 4.0])
    for name in ("open", "high", "low", "vwap", "reference"):
        assert column(bars, name) == [1.0, 2.0]
    assert column(bars, "volume") == [3.0, 4.0]
    assert column(bars, "trades") == [0.0, 0.0]
    assert np.isnan(bars.column("bid")).all()
    assert bars.end_ns.tolist() == bars.last_event_ns.tolist() == [10, 20]
    assert (bars.session.tolist(), bars.last_trade_id.tolist()) == ([0, 0], [NO_ID, NO_ID])


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"close": [1.0, 2.0], "volum": [1.0, 1.0]}, "unknown bar column 'volum'"),
        ({"close": [1.0, 2.0, 3.0]}, "bar column 'close' has shape (3,), not (2,)"),
        ({"close": [1.0, 2.0], "session": [1]}, "bar column 'session' has shape (1,), not (2,)"),
        ({"volume": [1.0, 1.0]}, "no column 'close'"),
    ],
)
def test_bars_from_wrong_columns_say_why(columns: dict[str, list[float]], says: str) -> None:
    with pytest.raises(DataError) as error:
        Bars.from_columns([0, 10], [10, 20], **columns)
    assert says in str(error.value)


def test_concat_of_no_bars_is_empty_and_slices_keep_the_columns() -> None:
    assert len(Bars.concat([])) == 0
    bars = Bars.from_columns([0, 10, 20], [10, 20, 30], close=[1.0, 2.0, 3.0])
    assert column(Bars.concat([bars[:1], bars[1:]]), "close") == [1.0, 2.0, 3.0]
    assert bars.values.shape == (len(BAR_COLUMNS), 3)


@pytest.mark.parametrize(
    "text", ["time:1s", "time:250ms", "time:1d", "tick:100", "volume:0.5", "dollar:1e+06"]
)
def test_the_pace_of_bars_is_what_parse_reads(text: str) -> None:
    assert BarSpec.parse(text).pace == text
