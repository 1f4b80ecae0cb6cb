"""The indicators that have a public implementation agree with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import talib

from features.bars import Bars
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from tests.unit.features.feature_streams import market

BARS: Bars = market(seed=11, sessions=1)
OPEN, HIGH, LOW, CLOSE, VOLUME = (BARS.column(c).copy() for c in ("open", "high", "low", "close", "volume"))
SERIES = pd.Series(CLOSE)


def feature(text: str) -> np.ndarray:
    return FeaturePipeline(FeatureSet.parse([text])).update(BARS).matrix.T


CASES = {
    "sma:20": lambda: [talib.SMA(CLOSE, 20)],
    "rsi:14": lambda: [talib.RSI(CLOSE, 14)],
    "atr:14": lambda: [talib.ATR(HIGH, LOW, CLOSE, 14)],
    "natr:14": lambda: [talib.NATR(HIGH, LOW, CLOSE, 14) / 100],
    "roc:10": lambda: [talib.ROC(CLOSE, 10)],
    "momentum:10": lambda: [talib.MOM(CLOSE, 10)],
    "obv": lambda: [talib.OBV(CLOSE, VOLUME)],
    "stochastic:14,3": lambda: list(talib.STOCHF(HIGH, LOW, CLOSE, 14, 3)),
}


@pytest.mark.parametrize("text", CASES)
def test_equals_talib_from_the_first_value_on(text: str) -> None:
    np.testing.assert_allclose(feature(text), CASES[text](), rtol=1e-9, atol=1e-9)


def test_bollinger_is_made_of_the_bands_of_talib() -> None:
    upper, middle, lower = talib.BBANDS(CLOSE, 20, 2.0, 2.0)
    position, width = feature("bollinger:20,2")
    np.testing.assert_allclose(width, (upper - lower) / middle, rtol=1e-6)
    np.testing.assert_allclose(position, (CLOSE - lower) / (upper - lower), rtol=1e-6, atol=1e-6)


def test_macd_is_seeded_like_pandas_and_meets_talib_later() -> None:
    line = SERIES.ewm(span=12, adjust=False).mean() - SERIES.ewm(span=26, adjust=False).mean()
    signal = line.ewm(span=9, adjust=False).mean()
    got = feature("macd:12,26,9")
    np.testing.assert_allclose(got[:, 33:], np.array([line, signal, line - signal])[:, 33:], atol=1e-11)
    np.testing.assert_allclose(got[:, 400:], np.array(talib.MACD(CLOSE, 12, 26, 9))[:, 400:], atol=1e-9)


def test_ema_equals_pandas() -> None:
    want = SERIES.ewm(span=20, adjust=False, min_periods=20).mean()
    np.testing.assert_allclose(feature("ema:20")[0], want, rtol=1e-12)


def test_autocorrelation_equals_pandas() -> None:
    returns = np.log(pd.Series(BARS.column("reference"))).diff()
    want = returns.rolling(30).corr(returns.shift(1))
    np.testing.assert_allclose(feature("autocorrelation:30,1")[0], want, rtol=1e-6, atol=1e-8)
