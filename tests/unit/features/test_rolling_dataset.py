"""A window over an engine's questions: the rows of the whole data set, whatever was forgotten."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from features.bars import Bars
from features.dataset import Dataset, build
from features.pipeline import FeaturePipeline
from features.rolling_dataset import RollingDataset
from features.spec import FeatureSet
from tests.unit.features.engine_runs import SECOND
from tests.unit.features.test_bulk import prices

FEATURES = FeatureSet.parse(["log_return:1", "zscore:4"])
HORIZONS = {"1s": SECOND, "7s": 7 * SECOND}
WINDOW_NS = 60 * SECOND


def rolled(bars: Bars, cuts: list[int], restore: bool = False) -> RollingDataset:
    pipeline, found = FeaturePipeline(FEATURES), RollingDataset(FEATURES, HORIZONS, WINDOW_NS, 4)
    edges = [0, *cuts, len(bars)]
    for low, high in pairwise(edges):
        found.add(bars[low:high], pipeline.update(bars[low:high]).matrix)
        if restore:
            other = RollingDataset(FEATURES, HORIZONS, WINDOW_NS, 4)
            other.load(found.snapshot())
            assert other.digest() == found.digest()
            found = other
    return found


def bits(rows: Dataset) -> list[bytes]:
    columns = (rows.x, rows.y, rows.scale, rows.made_at_ns, rows.due_ns, rows.session)
    return [np.ascontiguousarray(column).tobytes() for column in columns]


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("cuts", [[], [2, 3, 50, 51, 300], list(range(7, 400, 7))])
def test_rows_are_those_of_the_whole_data_set(horizon: str, cuts: list[int]) -> None:
    """Made within the window, answered by the time; features, outcome and scale to the last bit."""
    bars = prices(400, 9)
    whole = build(bars, FEATURES, HORIZONS[horizon], 4)
    for restore in (False, True):
        found = rolled(bars, cuts, restore)
        now = int(bars.end_ns[-1])
        for embargo_ns in (0, 5 * SECOND):
            want = whole[
                whole.known
                & (whole.due_ns <= now - embargo_ns)
                & (whole.made_at_ns > now - WINDOW_NS)
                & (whole.answered >= 0)
            ]
            got = found.dataset(horizon, now, embargo_ns)
            assert len(got) > 10
            assert bits(got) == bits(want)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """Memory does not grow with the span."""
    bars = prices(2_000, 3)
    assert len(rolled(bars, list(range(50, 2_000, 50)))) < 200
    assert len(rolled(bars[:2], [1])) == 0


def test_nothing_is_trained_on_that_was_not_known() -> None:
    """Asked for an earlier time than that of the newest bar, later answers are left out."""
    bars = prices(100, 4)
    found = rolled(bars, [])
    then = int(bars.end_ns[90])
    rows = found.dataset("7s", then)
    assert len(rows) and int(rows.due_ns.max()) <= then
