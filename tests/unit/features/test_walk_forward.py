"""Splits that let nothing of the test period into training; a learner that remembers shows what would."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import SpecError
from features.walk_forward import Split, WalkForwardSpec, purged_folds, splits

HORIZON = 20


def noise(seed: int, n: int = 3_000) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """A feature that drifts, the times of its rows, and the overlapping sums of noise that come after them.

    The feature knows nothing of the noise, but neighbours in it are neighbours in time.
    """
    random = np.random.default_rng(seed)
    steps = random.standard_normal(n + HORIZON)
    y = np.convolve(steps, np.ones(HORIZON), "valid")[1:]
    x = np.cumsum(random.standard_normal(n)) + 10.0 * np.arange(n)
    return x, np.arange(n, dtype=np.int64), y


def memory_skill(splits: Iterable[Split], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Share of naive's squared error that a learner saves who answers with the nearest row's label."""
    error = naive = 0.0
    for split in splits:
        nearest = np.abs(x[split.test][:, None] - x[split.train][None, :]).argmin(axis=1)
        error += float(((y[split.test] - y[split.train][nearest]) ** 2).sum())
        naive += float((y[split.test] ** 2).sum())
    return 1.0 - error / naive


def test_memory_is_caught_in_a_walk_forward() -> None:
    """Where labels are taken for known when they are made, noise seems foreseen; purged, it does not."""
    spec = WalkForwardSpec(train_ns=600, test_ns=5)
    leaked, honest = [], []
    for seed in range(3):
        x, made_at, y = noise(seed)
        leaked.append(memory_skill(splits(made_at, made_at, spec), x, y))
        honest.append(memory_skill(splits(made_at, made_at + HORIZON, spec), x, y))
    assert min(leaked) > 0.5 and max(honest) < 0.0


def test_memory_is_caught_in_folds() -> None:
    """The same with every run of rows tested once: purging is needed on both sides."""
    leaked, honest, half = [], [], []
    for seed in range(3):
        x, made_at, y = noise(seed)
        leaked.append(memory_skill(purged_folds(made_at, made_at, 300), x, y))
        honest.append(memory_skill(purged_folds(made_at, made_at + HORIZON, 300), x, y))
        one_sided = (
            Split(f.train[f.train > f.test[-1]], f.test, 0, 0) for f in purged_folds(made_at, made_at, 300)
        )
        half.append(memory_skill((f for f in one_sided if len(f.train)), x, y))
    assert min(leaked) > 0.5 and min(half) > 0.3 and max(honest) < 0.0


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(0, 80),
    train=st.integers(1, 60),
    test=st.integers(1, 30),
    rolling=st.booleans(),
    embargo=st.integers(0, 15),
)
def test_no_label_of_training_reaches_the_test_period(
    seed: int, n: int, train: int, test: int, rolling: bool, embargo: int
) -> None:
    """For rows in any order, with labels of any length; every row after the first training is tested once."""
    random = np.random.default_rng(seed)
    made_at = random.integers(0, 200, n)
    due = made_at + random.integers(1, 30, n)
    found = list(splits(made_at, due, WalkForwardSpec(train, test, rolling, embargo)))
    for split in found:
        assert len(split.test) and split.end_ns - split.start_ns == test
        assert ((made_at[split.test] >= split.start_ns) & (made_at[split.test] < split.end_ns)).all()
        assert (due[split.train] < split.start_ns - embargo).all()
        kept = due < split.start_ns - embargo
        if rolling:
            kept &= made_at >= split.start_ns - train
        assert split.train.tolist() == np.flatnonzero(kept).tolist()
    tested = np.concatenate([split.test for split in found]) if found else np.zeros(0)
    later = made_at >= made_at.min() + train if n else np.zeros(0, bool)
    assert sorted(tested.tolist()) == np.flatnonzero(later).tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(1, 60), folds=st.integers(2, 9), embargo=st.integers(0, 9))
def test_folds_do_not_overlap_what_they_train_on(seed: int, n: int, folds: int, embargo: int) -> None:
    """No label of training overlaps one of the test rows; each row is tested once."""
    random = np.random.default_rng(seed)
    made_at = random.integers(0, 100, n)
    due = made_at + random.integers(1, 20, n)
    found = list(purged_folds(made_at, due, folds, embargo))
    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(n))
    for split in found:
        for row in split.train.tolist():
            assert due[row] < made_at[split.test].min() or made_at[row] > due[split.test].max() + embargo


def test_specs_as_text() -> None:
    """As they are written on a command line."""
    spec = WalkForwardSpec.parse("train:30d, test:7d,embargo:1h,rolling")
    day = 86_400_000_000_000
    assert spec == WalkForwardSpec(30 * day, 7 * day, rolling=True, embargo_ns=day // 24)
    assert not WalkForwardSpec.parse("test:1h,train:1d").rolling
    for text in (
        "train:1d",
        "train:1d,test:x",
        "train:1d,test:1d,rolling:1",
        "train:1d,train:1d,test:1d",
        "",
    ):
        with pytest.raises(SpecError):
            WalkForwardSpec.parse(text)
    with pytest.raises(SpecError):
        WalkForwardSpec(0, 1)
    with pytest.raises(SpecError):
        list(purged_folds(np.zeros(3, np.int64), np.zeros(3, np.int64), 1))
