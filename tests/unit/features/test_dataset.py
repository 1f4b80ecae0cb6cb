"""Data sets: what a row knows, and what it can't."""

from __future__ import annotations

import numpy as np
import pytest

from features import dataset
from features.bars import Bars
from features.dataset import Dataset, DatasetBuilder
from features.errors import DataError
from features.spec import FeatureSet

MINUTE_NS = 60_000_000_000
FEATURES = FeatureSet.parse(["log_return:1", "zscore:4"])


def minutes(close: np.ndarray, session: np.ndarray | int = 0) -> Bars:
    """Minutes without a hole."""
    ends = np.arange(1, len(close) + 1, dtype=np.int64) * MINUTE_NS
    return Bars.from_columns(ends - MINUTE_NS, ends, close=close, session=session)


def walk(n: int, seed: int = 0) -> np.ndarray:
    """A random walk of prices."""
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(seed).standard_normal(n) * 1e-3))


def test_outcomes_are_log_returns_over_the_horizon() -> None:
    """The last ones are open; a session that ends before makes them void."""
    close = walk(30)
    rows = dataset.build(minutes(close), FEATURES, 5 * MINUTE_NS)
    assert len(rows) == 21 and rows.x.shape == (21, 2)
    assert np.allclose(rows.y[:16], np.log(close[14:] / close[9:-5])) and np.isnan(rows.y[16:]).all()
    assert rows.answered.tolist() == [*range(5, 21), *[-1] * 5]
    session = np.arange(30) // 20
    void = dataset.build(minutes(close, session), FEATURES, 5 * MINUTE_NS)
    assert np.flatnonzero(~void.known).tolist() == [6, 7, 8, 9, 10, 16, 17, 18, 19, 20]
    assert void.answered[6:11].tolist() == [11] * 5


def test_nothing_depends_on_what_comes_later() -> None:
    """Other prices after a bar change no feature and no scale up to it, and no outcome known by then."""
    close = walk(300)
    whole = dataset.build(minutes(close), FEATURES, 5 * MINUTE_NS)
    for at in np.random.default_rng(3).integers(20, 280, 10).tolist():
        other = np.concatenate([close[:at], walk(300, seed=at)[at:]])
        changed = dataset.build(minutes(other), FEATURES, 5 * MINUTE_NS)
        n = at - 9
        assert changed.x[:n].tobytes() == whole.x[:n].tobytes()
        assert changed.scale[:n].tobytes() == whole.scale[:n].tobytes()
        assert changed.y[: n - 5].tobytes() == whole.y[: n - 5].tobytes()
        assert changed.digest() != whole.digest()


def test_targets_are_cut() -> None:
    """A leap counts for at most 20 scales."""
    close = walk(100)
    close[60:] *= 3.0
    target = dataset.build(minutes(close), FEATURES, MINUTE_NS).target()
    assert np.nanmax(target) == 20.0 and np.isnan(target[-1])


def test_no_rows() -> None:
    """No bars, and fewer than the engine waits for."""
    assert len(DatasetBuilder(FEATURES).build(MINUTE_NS)) == 0
    rows = dataset.build(minutes(walk(9)), FEATURES, MINUTE_NS)
    assert len(rows) == 0 and rows.x.shape == (0, 2)


def test_constant_prices_give_a_scale_above_zero() -> None:
    """One basis point, as the engine has it until a price has moved."""
    rows = dataset.build(minutes(np.full(50, 7.0)), FEATURES, MINUTE_NS)
    assert (rows.scale == 1e-4).all() and (rows.y[:-1] == 0.0).all()


def test_what_an_engine_refuses_is_refused() -> None:
    """A price that is none, and features that are not a row for each bar."""
    close = walk(20)
    close[5] = 0.0
    with pytest.raises(DataError, match="reference price"):
        dataset.build(minutes(close), FEATURES, MINUTE_NS)
    times, prices = np.zeros(3, np.int64), np.ones(3)
    with pytest.raises(DataError, match="shape"):
        DatasetBuilder(FEATURES).add(times, times, prices, np.zeros((2, 2)))


def test_rows_of_several_together() -> None:
    """In the order given, and some of them."""
    one, two = (dataset.build(minutes(walk(40, seed)), FEATURES, MINUTE_NS) for seed in (1, 2))
    both = Dataset.concat([one, two])
    assert len(both) == len(one) + len(two) and both[len(one) :].digest() == two.digest()
    assert len(both[both.known]) == len(both) - 2
