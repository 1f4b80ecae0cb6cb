"""A batch of ticks keeps every event as it came."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import DataError
from features.ticks import COLUMNS, DTYPE, NO_ID, Kind, Side, TickBuffer, Ticks, in_time_order

_FLOATS = st.floats(allow_nan=True, allow_infinity=True)
_INTS = st.integers(-(2**63), 2**63 - 1)


def test_a_record_is_80_bytes_without_unnamed_padding() -> None:
    assert DTYPE.itemsize == 80
    assert sum(DTYPE[name].itemsize for name in DTYPE.names or ()) == 80


def test_each_kind_of_event_fills_its_columns_and_leaves_the_rest_missing() -> None:
    buffer = TickBuffer()
    buffer.trade(1, 2, 3, 100.5, 0.25, Side.SELLER)
    buffer.quote(4, 5, 99.0, 101.0, 7.0, 8.0)
    buffer.heartbeat(6, 7)
    buffer.gap(8, 9)
    ticks = buffer.take()
    assert ticks.kind.tolist() == [Kind.TRADE, Kind.QUOTE, Kind.HEARTBEAT, Kind.GAP]
    assert ticks.ts_ns.tolist() == [1, 4, 6, 8]
    assert ticks.received_ns.tolist() == [2, 5, 7, 9]
    assert ticks.trade_id.tolist() == [3, NO_ID, NO_ID, NO_ID]
    assert ticks.side.tolist() == [Side.SELLER, 0, 0, 0]
    assert (ticks.price[0], ticks.size[0]) == (100.5, 0.25)
    assert (ticks.bid[1], ticks.ask[1], ticks.bid_size[1], ticks.ask_size[1]) == (99.0, 101.0, 7.0, 8.0)
    for name in ("price", "size"):
        assert np.isnan(getattr(ticks, name)[1:]).all()
    for name in ("bid", "ask", "bid_size", "ask_size"):
        assert np.isnan(getattr(ticks, name)[[0, 2, 3]]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(_INTS, _INTS, _INTS, _FLOATS, _FLOATS, st.integers(-1, 1)), max_size=40))
def test_the_buffer_grows_and_gives_back_every_bit(trades) -> None:  # type: ignore[no-untyped-def]
    buffer = TickBuffer(capacity=2)
    for trade in trades:
        buffer.trade(*trade)
    assert len(buffer) == len(trades)
    ticks = buffer.take()
    names = ("ts_ns", "received_ns", "trade_id", "price", "size", "side")
    want = Ticks.from_columns(len(trades), **{n: [t[i] for t in trades] for i, n in enumerate(names)})
    assert ticks.to_bytes() == want.to_bytes()
    assert Ticks.from_bytes(ticks.to_bytes()).to_bytes() == ticks.to_bytes()


def test_a_taken_batch_does_not_change_when_the_buffer_is_used_again() -> None:
    buffer = TickBuffer()
    buffer.heartbeat(1, 1)
    first = buffer.take()
    assert len(buffer) == 0
    buffer.quote(2, 2, 1.0, 2.0, 3.0, 4.0)
    second = buffer.take()
    assert (first.ts_ns.tolist(), first.kind.tolist()) == ([1], [Kind.HEARTBEAT])
    assert (second.ts_ns.tolist(), second.kind.tolist()) == ([2], [Kind.QUOTE])


def test_columns_left_out_are_missing() -> None:
    ticks = Ticks.from_columns(2, price=[1.0, 2.0])
    assert ticks.trade_id.tolist() == [NO_ID, NO_ID]
    assert ticks.kind.tolist() == [Kind.TRADE, Kind.TRADE]
    assert np.isnan(ticks.size).all()


def test_unknown_columns_and_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match=r"unknown tick columns \['prize'\]") as error:
        Ticks.from_columns(1, prize=[1.0])
    assert all(name in str(error.value) for name in COLUMNS)
    with pytest.raises(DataError, match=r"'price' has shape \(3,\), not \(2,\)"):
        Ticks.from_columns(2, price=[1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="81 bytes are not a whole number of 80-byte ticks"):
        Ticks.from_bytes(bytes(81))


def test_a_slice_is_a_view_a_mask_is_a_copy_and_concat_keeps_the_order() -> None:
    ticks = Ticks.from_columns(4, ts_ns=[3, 1, 2, 1], price=[1.0, 2.0, 3.0, 4.0])
    assert np.shares_memory(ticks[1:3].records, ticks.records)
    assert not np.shares_memory(ticks[ticks.ts_ns == 1].records, ticks.records)
    assert Ticks.concat([ticks[2:], ticks[:2]]).price.tolist() == [3.0, 4.0, 1.0, 2.0]
    assert len(Ticks.concat([])) == 0


def test_in_time_order_keeps_the_order_of_one_instant() -> None:
    late = Ticks.from_columns(2, ts_ns=[5, 1], price=[1.0, 2.0])
    more = Ticks.from_columns(2, ts_ns=[1, 5], price=[3.0, 4.0])
    assert in_time_order([late, more]).price.tolist() == [2.0, 3.0, 1.0, 4.0]


def test_missing_is_never_zero() -> None:
    assert math.isnan(Ticks.from_columns(1).bid[0])
    assert NO_ID != 0
