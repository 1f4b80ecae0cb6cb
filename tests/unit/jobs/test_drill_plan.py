"""The plan of a drill: every kind, a third kills, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ConfigError
from jobs.drill_plan import PER_TRADE, DrillKind, DrillSpec, plan


@given(seed=st.integers(0, 2**32), faults=st.integers(10, 60), store=st.sampled_from(["s3", "folder"]))
def test_every_plan_keeps_what_is_promised(seed: int, faults: int, store):
    spec = DrillSpec(seed=seed, faults=faults, seconds=1_000.0, store=store)
    planned = plan(spec)
    kinds = Counter(fault.kind for fault in planned)
    assert len(planned) == faults
    assert set(kinds) == set(spec.kinds())
    assert kinds[DrillKind.STORE_DOWN] == (store == "s3")
    assert all(0.2 <= fault.pause_s <= 2.0 for fault in planned)
    for fault in planned:
        of_all = fault.kind in (
            DrillKind.KILL_SUPERVISOR,
            DrillKind.STORE_DOWN,
            DrillKind.RESTART_EXCHANGE,
        )
        assert (fault.symbol == "") == of_all and (of_all or fault.symbol in spec.symbols)
        assert 1 <= fault.count <= (5 if fault.kind in PER_TRADE else 1)


@pytest.mark.parametrize("seed", range(20))
def test_a_third_are_kills_and_every_symbol_gets_its_share(seed: int):
    kills = Counter(f.symbol for f in plan(DrillSpec(seed=seed)) if f.kind is DrillKind.KILL_ACTOR)
    assert kills == dict.fromkeys(DrillSpec().symbols, 2)


def test_the_store_goes_down_early_enough_for_other_faults_beside_it():
    for seed in range(50):
        planned = plan(DrillSpec(seed=seed))
        at = [fault.kind for fault in planned].index(DrillKind.STORE_DOWN)
        assert at < 12 and planned[at].seconds == 30.0


def test_the_same_seed_is_the_same_plan():
    assert plan(DrillSpec(seed=1)) == plan(DrillSpec(seed=1)) != plan(DrillSpec(seed=2))


@pytest.mark.parametrize(
    "bad",
    [
        {"faults": 9},
        {"faults": 8, "store": "folder"},
        {"symbols": ()},
        {"symbols": ("A", "A")},
        {"seconds": 0.0},
        {"rate": -1.0},
        {"store": "tape"},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad: dict):
    with pytest.raises(ConfigError):
        DrillSpec(**bad)


def test_a_tape_that_ends_before_the_faults_is_refused():
    with pytest.raises(ConfigError, match="the tape ends before the last fault"):
        plan(DrillSpec(seconds=10.0))
