from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import TickcastError
from features.walk_forward import WalkForwardSpec
from jobs.sweeping.settings import periods_of
from tests.unit.jobs.sweeping.lakes import settings

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE


@given(days=st.integers(2, 400), folds=st.integers(1, 12), share=st.floats(0.0, 0.9))
def test_folds_fill_the_time_before_what_is_held_out(days: int, folds: int, share: float) -> None:
    found = periods_of(settings(folds=folds, holdout=str(share)), DAY, (1 + days) * DAY)
    assert len(found.folds) == folds
    assert found.folds[-1][1] == found.holdout_ns
    assert all(end == start for (_, end), (start, _) in zip(found.folds, found.folds[1:], strict=False))
    assert found.folds[0][0] > found.first_ns
    assert found.has_holdout == (int(days * DAY * share) > 0)


def test_a_walk_of_the_users_own() -> None:
    walk = WalkForwardSpec(10 * DAY, 3 * DAY, rolling=True, embargo_ns=MINUTE)
    found = periods_of(settings(walk_forward=walk, holdout="5d"), 0, 30 * DAY)
    assert found.folds[0] == (10 * DAY, 13 * DAY) and found.folds[-1] == (22 * DAY, 25 * DAY)
    assert (found.embargo_ns, found.window_ns, found.holdout_ns) == (MINUTE, 10 * DAY, 25 * DAY)


def test_the_embargo_is_the_longest_horizon_unless_told() -> None:
    assert settings(embargo="").embargo_ns() == 6 * MINUTE
    assert settings(embargo="0").embargo_ns() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"trials": 0},
        {"folds": 0},
        {"seed": -1},
        {"round_trials": 0},
        {"holdout": "1.0"},
        {"holdout": "soon"},
        {"holdout": "-0.1"},
        {"objective": "luck"},
        {"embargo": "soon"},
    ],
)
def test_what_can_not_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TickcastError):
        settings(**changes)


def test_no_room_is_refused() -> None:
    with pytest.raises(TickcastError, match="holdout"):
        periods_of(settings(holdout="40d"), 0, 30 * DAY)
    with pytest.raises(TickcastError, match="walk-forward"):
        periods_of(settings(walk_forward=WalkForwardSpec(40 * DAY, DAY)), 0, 30 * DAY)


def test_everything_that_decides_is_in_the_identity() -> None:
    changes: list[dict[str, Any]] = [{}, {"seed": 6}, {"trials": 7}, {"folds": 3}, {"holdout": "1d"}]
    changes += [{"objective": "sharpe"}, {"words": ["horizon=4m"]}, {"round_trials": 2}, {"embargo": "0"}]
    ids = [settings(**one).run_id({}, {"a": "1"}) for one in changes]
    assert len(set(ids)) == len(ids)
    assert settings().run_id({}, {"a": "1"}) == ids[0] != settings().run_id({}, {"a": "2"})
