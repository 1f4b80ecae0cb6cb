from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.storage.objects import open_store
from cluster.storage.store_spec import StoreSpec
from features import dataset
from features.bars import Bars
from features.errors import DataError
from jobs.sweeping.cache import PREFIX, ArrayCache
from jobs.sweeping.job import SweepJob
from jobs.sweeping.trial_spec import TrialSpec
from tests.unit.jobs.history.candle_rows import MINUTE_NS, START_NS
from tests.unit.jobs.sweeping.lakes import VENUE, job_of, lake_of, settings, walk

PAIR = (VENUE, "A")
UNTIL_NS = START_NS + 400 * MINUTE_NS
SPEC = TrialSpec("time:2m", "6m", ("log_return:1", "zscore:4"), "naive", "long")


def prepared(folder: Path, rows: pa.Table) -> SweepJob:
    lake_of(folder, A=rows)
    job = job_of(folder, folder / "out", settings())
    span, problem, _ = job.span(PAIR)
    assert (span, problem) == ((START_NS + MINUTE_NS, START_NS + rows.num_rows * MINUTE_NS), "")
    assert job.prepare(PAIR, UNTIL_NS)[0] == ""
    return job


def test_everything_is_computed_once(tmp_path: Path) -> None:
    job = prepared(tmp_path, walk(500, 1))
    # Two samplings: each with its bars, two sets of features and two horizons.
    again = job_of(tmp_path, tmp_path / "out", settings(seed=9))
    assert again.span(PAIR)[2].computed == 0
    spent = again.prepare(PAIR, UNTIL_NS)[1]
    assert (spent.computed, spent.found) == (0, 2 * (1 + 2 + 2))
    # Another held-out period has labels of its own, and nothing else.
    assert again.prepare(PAIR, UNTIL_NS + MINUTE_NS)[1].computed == 2 * 2
    assert job.data.rows(PAIR, SPEC, UNTIL_NS).x is not None


def test_rows_are_the_questions_of_an_engine(tmp_path: Path) -> None:
    job = prepared(tmp_path, walk(500, 2))
    rows = job.data.rows(PAIR, SPEC, UNTIL_NS)
    bars = Bars(rows.bars.times.copy(), rows.bars.values.copy())
    expected = dataset.build(bars, SPEC.feature_set, SPEC.horizon_ns)
    made = rows.dataset(np.arange(len(rows)) >= len(rows) - len(expected))
    assert len(expected) == len(rows) - 9 and np.isfinite(expected.y).sum() > 100
    for name in ("x", "y", "scale", "made_at_ns", "due_ns", "session"):
        assert np.array_equal(getattr(made, name), getattr(expected, name), equal_nan=True), name


def test_nothing_from_the_held_out_period_on_is_seen(tmp_path: Path) -> None:
    first, other = walk(500, 3), walk(500, 4)
    known = int(np.searchsorted(first.column("end_ns").to_numpy(), UNTIL_NS))
    changed = pa.concat_tables([first[:known], other[known:]])
    found = [
        prepared(tmp_path / name, rows).data.rows(PAIR, SPEC, UNTIL_NS)
        for name, rows in (("a", first), ("b", changed))
    ]
    assert found[0].bars.end_ns[-1] < UNTIL_NS and len(found[0]) > 150
    for name in ("x", "y", "scale"):
        ours, theirs = (getattr(one, name) for one in found)
        assert np.array_equal(ours, theirs, equal_nan=True), name
    assert np.array_equal(found[0].bars.values, found[1].bars.values, equal_nan=True)


def test_what_is_missing_or_damaged_is_computed_again(tmp_path: Path) -> None:
    job = prepared(tmp_path, walk(500, 5))
    before = job.data.rows(PAIR, SPEC, UNTIL_NS).x.copy()
    files = sorted((tmp_path / "out" / PREFIX).glob("*-x.npy"))
    files[0].write_bytes(b"damaged")
    files[1].unlink()
    fresh = job_of(tmp_path, tmp_path / "out", settings())
    assert fresh.prepare(PAIR, UNTIL_NS)[1].computed == 2
    assert np.array_equal(fresh.data.rows(PAIR, SPEC, UNTIL_NS).x, before, equal_nan=True)
    for file in files:
        file.unlink()
    with pytest.raises(DataError, match="are not there"):
        fresh.data.rows(PAIR, SPEC, UNTIL_NS)


def test_a_symbol_without_bars_says_so(tmp_path: Path) -> None:
    lake_of(tmp_path, A=walk(500, 6), B=walk(1, 6)[:1])
    job = job_of(tmp_path, tmp_path / "out", settings(space={"sampling": "2m", "horizon": "4m"}))
    assert job.span((VENUE, "B"))[:2] == (None, "no bars in this period")


def test_a_copy_of_a_far_lake_is_mapped_from_a_folder(tmp_path: Path) -> None:
    store = open_store(StoreSpec(uri=str(tmp_path / "far")))
    store.prepare()
    one, two = (ArrayCache(store, tmp_path / name, is_store=False) for name in ("one", "two"))
    kept = one.put("x", np.arange(6.0).reshape(2, 3))
    assert kept.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    found = two.get("x")
    assert found is not None and np.array_equal(found, kept)
    assert (tmp_path / "two" / PREFIX / "x.npy").exists() and two.get("y") is None
