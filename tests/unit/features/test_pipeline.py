from __future__ import annotations

import numpy as np
import pytest

from features.bars import BAR_COLUMNS, Bars
from features.errors import DataError, SnapshotError
from features.kernels import run
from features.pipeline import FeaturePipeline
from features.spec import FeatureSet
from tests.unit.features.feature_streams import every_feature, market, plain_bars

EVERY = every_feature()
BARS = market()


def test_matrix_has_a_c_ordered_row_for_each_bar_and_a_column_for_each_output() -> None:
    matrix = FeaturePipeline(EVERY).update(BARS).matrix
    assert matrix.shape == (len(BARS), len(EVERY.columns))
    assert matrix.dtype == np.float64 and matrix.flags.c_contiguous


def test_no_bars_give_no_rows_and_change_nothing() -> None:
    pipeline = FeaturePipeline(EVERY)
    before = pipeline.digest()
    features = pipeline.update(BARS[:0])
    assert len(features) == 0 and features.matrix.shape == (0, len(EVERY.columns))
    assert pipeline.digest() == before


def test_warm_counts_the_bars_of_each_session() -> None:
    feature_set = FeatureSet.parse(["ema:3", "log_return:4"])
    bars = plain_bars(np.arange(1.0, 11.0), session=[0] * 6 + [1] * 4)
    features = FeaturePipeline(feature_set).update(bars)
    assert features.bars_in_session.tolist() == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert features.warm.tolist() == [False] * 4 + [True] * 2 + [False] * 4


def test_results_are_not_written_over_by_the_next_update() -> None:
    pipeline = FeaturePipeline(EVERY)
    first = pipeline.update(BARS[:1]).matrix
    copy = first.copy()
    pipeline.update(BARS[1:2])
    assert first.tobytes() == copy.tobytes()


def test_slices_and_read_only_bars_are_taken_as_they_are() -> None:
    whole = FeaturePipeline(EVERY).update(BARS).matrix
    frozen = Bars(BARS.times.copy(), BARS.values.copy())
    frozen.times.flags.writeable = frozen.values.flags.writeable = False
    assert FeaturePipeline(EVERY).update(frozen).matrix.tobytes() == whole.tobytes()
    assert FeaturePipeline(EVERY).update(BARS[:40]).matrix.tobytes() == whole[:40].tobytes()


def test_state_never_grows() -> None:
    pipeline = FeaturePipeline(EVERY)
    sizes = {len(pipeline.snapshot())}
    for at in range(0, len(BARS), 100):
        pipeline.update(BARS[at : at + 100])
        sizes.add(len(pipeline.snapshot()))
    assert len(sizes) == 1


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("column", ["close", "high", "low", "reference", "vwap"])
def test_a_bar_with_an_unusable_price_is_refused_and_changes_nothing(column: str, value: float) -> None:
    pipeline = FeaturePipeline(EVERY)
    pipeline.update(BARS[:30])
    before = pipeline.digest()
    bad = Bars(BARS.times[:, 30:50].copy(), BARS.values[:, 30:50].copy())
    bad.column(column)[7] = value
    with pytest.raises(DataError, match="bar 7 of the batch"):
        pipeline.update(bad)
    assert pipeline.digest() == before


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("column", ["volume", "buy_volume", "trades", "buys", "realised_variance"])
def test_a_bar_with_an_unusable_amount_is_refused(column: str, value: float) -> None:
    bad = Bars(BARS.times.copy(), BARS.values.copy())
    bad.column(column)[3] = value
    with pytest.raises(DataError, match="bar 3 of the batch"):
        FeaturePipeline(EVERY).update(bad)


def test_columns_that_no_feature_reads_are_not_checked() -> None:
    bars = plain_bars(np.ones(5), volume=np.nan)
    assert np.isfinite(FeaturePipeline(FeatureSet.parse(["sma:1"])).update(bars).matrix).all()


def test_bars_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match="have shape"):
        FeaturePipeline(EVERY).update(Bars(BARS.times, BARS.values[:-1]))
    assert len(BAR_COLUMNS) == len(BARS.values)


def test_a_restored_pipeline_goes_on_as_the_first_would_have() -> None:
    first = FeaturePipeline(EVERY)
    first.update(BARS[:333])
    second = FeaturePipeline.restore(EVERY, first.snapshot())
    assert second.digest() == first.digest()
    assert second.update(BARS[333:]).matrix.tobytes() == first.update(BARS[333:]).matrix.tobytes()
    assert second.digest() == first.digest()


def test_snapshots_that_do_not_fit_are_refused() -> None:
    data = FeaturePipeline(EVERY).snapshot()
    head, _, body = data.partition(b"\n")
    flipped = bytearray(data)
    flipped[-3] ^= 1
    cases = {
        "not a snapshot": b"hello",
        "of version 2": head.replace(b"features 1", b"features 2") + b"\n" + body,
        "damaged": data[:-8],
        "is damaged": bytes(flipped),
    }
    for message, case in cases.items():
        with pytest.raises(SnapshotError, match=message):
            FeaturePipeline.restore(EVERY, case)
    with pytest.raises(SnapshotError, match="of other features"):
        FeaturePipeline.restore(FeatureSet.parse(["rsi"]), data)


def test_the_compiled_kernel_is_cached_under_the_code_of_its_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run._fingerprint()
    assert run._fingerprint() == before
    monkeypatch.setattr(run.smoothing, "_FADED", 1e-100)
    assert run._fingerprint() != before
