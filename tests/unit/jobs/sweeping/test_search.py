from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.sweeping.halving import LEAST_TRIALS, REDUCTION, Halving
from jobs.sweeping.search import DONE, FAILED, FINISHED, STOPPED, WAITING, Row, Search, Suggestion
from tests.unit.jobs.sweeping import lakes

FOLDS = 4


def outcome(given: Suggestion, search: Search) -> Row:
    """What a made-up trial comes to: it depends on its point alone, and ends where it is told to."""
    random = np.random.default_rng(len(str(given.point)) + given.number)
    base: dict[str, Any] = {"number": given.number, "point": dict(given.point), "spec": given.spec.as_dict()}
    if given.number % 7 == 3:
        return base | {"status": FAILED, "problem": "made up"}
    by_fold: list[float | None] = []
    while len(by_fold) < FOLDS:
        by_fold.append(float(random.normal()))
        if search.stops(len(by_fold), by_fold[-1] or 0.0):
            break
    status = FINISHED if len(by_fold) == FOLDS else STOPPED
    return base | {"status": status, "objective": by_fold[-1], "by_fold": by_fold}


def swept(
    known: dict[int, Row], kept: list[Row], at_once: int = 1, seed: int = 0, least: int = 10**9
) -> dict[int, Row]:
    """Run a search whose trials finish in some order, `at_once` of them under way; it dies after `least`."""
    random = np.random.default_rng(seed)
    search = Search(lakes.settings(trials=20, round_trials=6), FOLDS, known, kept.append)
    running: list[Suggestion] = []
    finished = 0
    while True:
        found = search.next() if len(running) < at_once else WAITING
        if isinstance(found, Suggestion):
            running.append(found)
            continue
        if found == DONE and not running:
            return search.rows
        search.finish(outcome(running.pop(int(random.integers(len(running)))), search))
        finished += 1
        if finished == least:
            return search.rows


@pytest.fixture(scope="module")
def undisturbed() -> dict[int, Row]:
    return swept({}, [])


def test_every_trial_is_run_once_and_some_are_stopped(undisturbed: dict[int, Row]) -> None:
    assert list(undisturbed) == list(range(20))
    assert {row["status"] for row in undisturbed.values()} == {FINISHED, STOPPED, FAILED}
    points = [str(row["point"]) for row in undisturbed.values()]
    assert len(set(points)) > 15


@settings(deadline=None, max_examples=8)
@given(at_once=st.integers(1, 9), seed=st.integers(0, 99))
def test_neither_concurrency_nor_order_changes_a_row(
    undisturbed: dict[int, Row], at_once: int, seed: int
) -> None:
    found = swept({}, [], at_once, seed)
    assert dict(sorted(found.items())) == undisturbed


@settings(deadline=None, max_examples=8)
@given(least=st.integers(1, 19), at_once=st.integers(1, 4))
def test_a_search_that_was_killed_comes_to_the_same(
    undisturbed: dict[int, Row], least: int, at_once: int
) -> None:
    first: list[Row] = []
    swept({}, first, at_once, 1, least)
    again: list[Row] = []
    rows = swept({row["number"]: row for row in first}, again, at_once, 2)
    assert dict(sorted(rows.items())) == undisturbed
    assert len(first) + len(again) == 20


def test_another_seed_tries_something_else(undisturbed: dict[int, Row]) -> None:
    search = Search(lakes.settings(seed=6), FOLDS, {}, [].append)
    found = search.next()
    assert isinstance(found, Suggestion) and dict(found.point) != undisturbed[0]["point"]


def test_a_point_that_can_not_be_is_a_row() -> None:
    space = lakes.SPACE | {"rule": {"crossover": {"fast": "int(10, 20)", "slow": "int(5, 12)"}}}
    kept: list[Row] = []
    search = Search(lakes.settings(space=space), FOLDS, {}, kept.append)
    while isinstance(found := search.next(), Suggestion):
        search.finish(outcome(found, search))
    assert found == DONE and len(kept) == 6
    assert any("is not below slow" in row.get("problem", "") for row in kept)


def test_a_closed_search_gives_nothing_out() -> None:
    search = Search(lakes.settings(), FOLDS, {}, [].append)
    search.closed = True
    assert search.next() == DONE


@given(values=st.lists(st.floats(-1.0, 1.0), min_size=LEAST_TRIALS, max_size=40), value=st.floats(-1.0, 1.0))
def test_halving_keeps_the_best_third(values: list[float], value: float) -> None:
    halving = Halving(4)
    for one in values:
        halving.take_in([one, 0.0, one, 0.0])
    better = sum(one > value for one in values)
    assert halving.stops(1, value) == (better >= max(1, len(values) // REDUCTION))
    assert halving.stops(3, value) == halving.stops(1, value)
    assert not halving.stops(2, value) and not halving.stops(4, value)
    assert halving.stops(1, float("nan"))


def test_nobody_is_stopped_before_there_is_somebody_to_compare_with() -> None:
    halving = Halving(4)
    for _ in range(LEAST_TRIALS - 1):
        halving.take_in([1.0])
    assert not halving.stops(1, -1.0)
    halving.take_in([None])
    assert halving.stops(1, -1.0)
