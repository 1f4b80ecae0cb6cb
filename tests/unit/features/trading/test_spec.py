"""Settings as they are written, and what is said about those that can't be."""

from __future__ import annotations

import pickle

import pytest

from features.errors import SpecError
from features.trading.spec import TradingSpec


def test_text_reads_back_and_names_only_what_differs() -> None:
    spec = TradingSpec.parse("capital=1e6, fee_bps=2.5,use_book=no,sizing=units:1234567.5,latency_bars=3")
    assert spec == TradingSpec(1e6, 2.5, use_book=False, sizing="units:1234567.5", latency_bars=3)
    assert spec.text == ("capital=1000000.0,fee_bps=2.5,use_book=no,latency_bars=3,sizing=units:1234567.5")
    assert TradingSpec.parse(spec.text) == spec
    assert TradingSpec().text == ""
    assert TradingSpec.parse("") == TradingSpec()


def test_equal_settings_have_one_form_and_one_digest() -> None:
    assert TradingSpec(capital=100_000, sizing="capital:1.0") == TradingSpec()
    assert TradingSpec(capital=100_000, sizing="capital:1").digest() == TradingSpec().digest()
    assert TradingSpec(sizing="units:2").digest() == TradingSpec(sizing="units:2.0").digest()
    assert TradingSpec(fee_bps=1).digest() != TradingSpec(fee_bps=2).digest()
    assert pickle.loads(pickle.dumps(TradingSpec())) == TradingSpec()


def test_a_decision_is_not_filled_at_its_own_price_unless_asked() -> None:
    assert TradingSpec().latency_bars == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fees=1", "trading: 'fees=1' is no setting; write name=value with one of: capital, fee_bps, "),
        ("fee_bps", "trading: 'fee_bps' is no setting"),
        ("fee_bps=x", "trading.fee_bps: fee_bps = 'x' can't be read; use a number"),
        ("latency_bars=1.5", "trading.latency_bars: latency_bars = '1.5' can't be read; use a whole number"),
        ("use_book=maybe", "trading.use_book: use_book = 'maybe' can't be read; use yes or no"),
        ("fee_bps=1,fee_bps=2", "trading: fee_bps is given twice; leave one out"),
        ("capital=0", "trading.capital: capital = 0.0 can't be; use a number above zero"),
        ("capital=nan", "trading.capital: capital = nan can't be"),
        ("fee_bps=-1", "trading.fee_bps: fee_bps = -1.0 can't be; use 0 to 2000"),
        ("latency_bars=-1", "trading.latency_bars: latency_bars = -1 can't be; use a whole number, 0 to "),
        ("sizing=lots:1", 'trading.sizing: \'lots:1\' is no sizing; write "capital", "capital:0.5" or '),
        ("sizing=units:0", "trading.sizing: 'units:0' is no sizing"),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        TradingSpec.parse(text)
    assert str(caught.value).startswith(said)
