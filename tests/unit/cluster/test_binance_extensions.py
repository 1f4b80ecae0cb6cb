"""What the local exchange adds to Binance's protocol is understood."""

from __future__ import annotations

from cluster import venues
from cluster.venues.base import Trade


def test_a_trade_without_aggressor_has_side_unknown() -> None:
    raw = b'{"e":"trade","E":2,"s":"SPY","t":1,"p":"168.1","q":"100","T":1381154400000,"m":null,"M":true}'
    (event,) = venues.get("binance").parse(raw, 5)
    assert isinstance(event, Trade)
    assert event.side == 0


def test_symbols_are_kept_as_they_are_when_told_so() -> None:
    venue = venues.get("binance", verbatim_symbols=True)
    assert [venue.normalise_symbol(s) for s in ("BRK-A", "000001.SZ")] == ["BRK-A", "000001.SZ"]
    assert venues.get("binance").normalise_symbol("btc/usdt") == "BTCUSDT"
