"""What goes over the wire: exact decimals, the venue's payloads, valid frames."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.streams import StreamReader

from cluster.exchange import wire
from features.ticks import Kind, Ticks


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_reads_back_as_the_same_float_and_has_no_exponent(value: float):
    text = wire.decimal(value)
    assert float(text) == value
    assert "e" not in text.lower()


def test_a_trade_has_the_venues_fields():
    trades = Ticks.from_columns(
        1, ts_ns=1723161255342_000_000, trade_id=3735683259, price=61837.63, size=0.02, side=-1
    )
    (text,) = wire.trade_texts("BTCUSDT", trades, wire.MILLISECOND_NS)
    recorded = (
        '{"e":"trade","E":1723161255342,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000",'
        '"q":"0.02000000","T":1723161255342,"m":true,"M":true}'
    )
    ours, theirs = json.loads(text), json.loads(recorded)
    assert list(ours) == list(theirs)
    assert ours | {"p": 0, "q": 0} == theirs | {"p": 0, "q": 0}
    assert (float(ours["p"]), float(ours["q"])) == (float(theirs["p"]), float(theirs["q"]))


@pytest.mark.parametrize(("side", "maker"), [(1, False), (-1, True), (0, None)])
def test_the_maker_flag_is_null_where_the_aggressor_is_unknown(side: int, maker: bool | None):
    trades = Ticks.from_columns(1, trade_id=1, price=1.0, size=1.0, side=side)
    assert json.loads(wire.trade_texts("A", trades, 1)[0])["m"] is maker
    assert wire.buyer_is_maker(side) is maker


def test_a_quote_without_sizes_reads_back_as_nan():
    quotes = Ticks.from_columns(1, bid=1.0, ask=2.0, kind=int(Kind.QUOTE))
    ticker = json.loads(wire.quote_texts("A", quotes, [7])[0])
    assert (ticker["u"], ticker["b"], ticker["a"]) == (7, "1.0", "2.0")
    assert math.isnan(float(ticker["B"])) and math.isnan(float(ticker["A"]))


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 255, 256, 1000, 65535])
def test_a_frame_is_what_a_websocket_library_reads(length: int):
    reader = StreamReader()
    reader.feed_data(wire.frame("x" * length).encode("latin-1"))
    parser = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as result:
        next(parser)
    assert bytes(result.value.value.data) == b"x" * length
    assert len(reader.buffer) == 0
