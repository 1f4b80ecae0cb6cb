"""What every feature in the catalogue must keep; a new feature is found and checked by itself."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from features.bars import BarBuilder, Bars, BarSpec
from features.catalogue import CATALOGUE
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet, FeatureSpec
from features.ticks import Ticks
from tests.unit.features.feature_references import REFERENCES, reference
from tests.unit.features.feature_streams import every_feature, jumps, market, plain_bars

EVERY = every_feature()
LONG = every_feature(60)
# Differences of nearly equal numbers, as a share of the largest value: what is left of 16 digits.
SHARE_LOST = {
    "macd": 1e-12,
    "zscore": 1e-12,
    "autocorrelation": 1e-12,
    "trend": 1e-12,
    "realised_skew": 1e-12,
    "signed_volume": 1e-6,
}

STREAMS = {
    "usual": lambda: market(),
    "one long session": lambda: market(seed=3, sessions=1),
    "price 1e5, tick 1e-2": lambda: market(seed=4, price=1e5, tick=1e-2),
    "price 1e-8, tick 1e-12": lambda: market(seed=5, price=1e-8, tick=1e-12),
    "constant": lambda: plain_bars(np.full(300, 0.1)),
}


@functools.cache
def stream(name: str) -> Bars:
    return STREAMS[name]()


@functools.cache
def computed(name: str, feature_set: FeatureSet) -> np.ndarray:
    return FeaturePipeline(feature_set).update(stream(name)).matrix


def columns_of(feature_set: FeatureSet, spec: FeatureSpec, matrix: np.ndarray) -> np.ndarray:
    first = feature_set.columns.index(spec.columns[0])
    return matrix[:, first : first + len(spec.columns)].T


def assert_close(spec: FeatureSpec, got: np.ndarray, want: np.ndarray, price: float) -> None:
    for row, expected in zip(got, want, strict=True):
        known = np.abs(expected[np.isfinite(expected)])
        largest = known.max() if known.size else 0.0
        # A log of a price ratio can't be finer than the last digit of the ratio.
        last_digit = 1e-15 * price if spec.entry.unit == "price" else 4e-15
        absolute = max(SHARE_LOST.get(spec.name, 0.0) * largest, last_digit)
        np.testing.assert_allclose(row, expected, rtol=1e-9, atol=absolute)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("spec", [*EVERY.specs, *LONG.specs], ids=lambda spec: spec.text)
def test_equals_its_plain_reference_on_every_prefix_and_session(spec: FeatureSpec, name: str) -> None:
    feature_set = EVERY if spec in EVERY.specs else LONG
    got = columns_of(feature_set, spec, computed(name, feature_set))
    assert_close(spec, got, reference(spec, stream(name)), price=float(stream(name).column("close")[0]))


def test_every_feature_has_a_reference() -> None:
    assert set(REFERENCES) == set(CATALOGUE)


def test_real_trades_give_the_reference_values(shared: Path) -> None:
    path = shared / "data/trades/us_equity_ticks_2013-10-07_09.parquet"
    table = next(parquet.ParquetFile(path).iter_batches(20_000)).to_pandas()
    table = table[table["symbol"] == table["symbol"].iloc[0]] if "symbol" in table else table
    columns = {name: table[name].to_numpy() for name in ("ts_ns", "price", "size")}
    bars = BarBuilder(BarSpec.parse("time:10s")).update(Ticks.from_columns(len(table), **columns))
    assert len(bars) > 100
    matrix = FeaturePipeline(EVERY).update(bars).matrix
    for spec in EVERY.specs:
        assert_close(spec, columns_of(EVERY, spec, matrix), reference(spec, bars), price=100.0)


@pytest.mark.parametrize("spec", EVERY.specs, ids=lambda spec: spec.text)
def test_is_nan_before_it_is_warm_and_finite_after(spec: FeatureSpec) -> None:
    for bars in (stream("usual"), stream("constant"), jumps()):
        features = FeaturePipeline(FeatureSet((spec,))).update(bars)
        values = features.matrix
        assert not np.isinf(values).any()
        assert np.isnan(values[~features.warm]).all() or spec.entry.may_lack
        if not spec.entry.may_lack:
            assert np.isfinite(values[features.warm]).all()


@pytest.mark.parametrize("spec", EVERY.specs, ids=lambda spec: spec.text)
def test_never_looks_ahead(spec: FeatureSpec) -> None:
    bars = stream("usual")
    other = Bars(bars.times.copy(), bars.values.copy())
    other.values[:, 250:] *= 3.0
    other.times[:2, 250:] += 7_000_000_000
    outputs = [FeaturePipeline(FeatureSet((spec,))).update(b).matrix for b in (bars, other)]
    assert outputs[0][:250].tobytes() == outputs[1][:250].tobytes()
    assert outputs[0][250:].tobytes() != outputs[1][250:].tobytes() or spec.name in _SCALE_FREE


# What tripled prices, volumes and book leave as it was, bar 250 apart.
_SCALE_FREE = {"last_side", "spread", "quote_imbalance", "microprice", "implied_mid_gap", "day_of_week"}


@pytest.mark.parametrize("spec", EVERY.specs, ids=lambda spec: spec.text)
def test_its_value_does_not_depend_on_its_neighbours_in_the_set(spec: FeatureSpec) -> None:
    alone = FeaturePipeline(FeatureSet((spec,))).update(stream("usual")).matrix
    together = columns_of(EVERY, spec, computed("usual", EVERY))
    assert np.ascontiguousarray(alone.T).tobytes() == np.ascontiguousarray(together).tobytes()


@pytest.mark.parametrize("spec", EVERY.specs, ids=lambda spec: spec.text)
def test_a_new_session_starts_it_anew(spec: FeatureSpec) -> None:
    bars = stream("usual")
    start = int(np.flatnonzero(np.diff(bars.session))[0]) + 1
    whole = FeaturePipeline(FeatureSet((spec,))).update(bars).matrix[start:]
    fresh = FeaturePipeline(FeatureSet((spec,))).update(bars[start:]).matrix
    assert (whole.tobytes() == fresh.tobytes()) != (spec.name == "obv")


@pytest.mark.parametrize("level,tick", [(1e5, 1e-2), (1e-8, 1e-12)])
def test_windows_do_not_drift_in_a_million_bars(level: float, tick: float) -> None:
    steps = np.random.default_rng(7).integers(-2, 3, 1_000_000)
    close = level + tick * np.clip(np.cumsum(steps), -5000, 5000)
    feature_set = FeatureSet.parse(["sma:50", "rolling_std:50", "zscore:333", "bollinger:20", "trend:100"])
    matrix = FeaturePipeline(feature_set).update(plain_bars(close)).matrix[-400:]
    tail = plain_bars(close[-1000:])
    for spec in feature_set.specs:
        want = reference(spec, tail)[:, -400:]
        got = columns_of(feature_set, spec, matrix)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())


def test_a_window_of_zeros_after_large_values_sums_to_exactly_zero() -> None:
    volume = np.append(np.random.default_rng(1).lognormal(20.0, 5.0, 100), np.zeros(30))
    bars = plain_bars(np.full(130, 5.0), volume=volume, buy_volume=volume, realised_variance=volume)
    specs = ["flow_imbalance:20", "signed_volume:20", "realised_vol:20", "vwap_gap:20", "buy_ratio:20"]
    assert FeaturePipeline(FeatureSet.parse(specs)).update(bars).matrix[-1].tolist() == [0, 0, 0, 0, 0.5]
