"""The text of `--faults`."""

from __future__ import annotations

from itertools import islice

import pytest

from cluster.exchange.fault_plan import CountedFault, FaultPlan, RandomFaults, TimedFault
from cluster.exchange.faults import FaultKind, FaultSpec
from features.errors import ConfigError


def test_a_plan_is_read_and_put_in_order():
    plan = FaultPlan.parse(
        "stall:seconds=3@20s, drop_connection@1.5s,drop:symbol=BTC-USD:count=5@5000trades,"
        "random:seed=7:every_s=15"
    )
    assert plan.timed == (
        TimedFault(1.5, FaultSpec(FaultKind.DROP_CONNECTION)),
        TimedFault(20.0, FaultSpec(FaultKind.STALL, seconds=3.0)),
    )
    assert plan.counted == (CountedFault(5000, FaultSpec(FaultKind.DROP, count=5, symbol="BTC-USD")),)
    assert plan.random == (RandomFaults(7, 15.0),)
    assert FaultPlan.parse("") == FaultPlan()


@pytest.mark.parametrize(
    "text",
    [
        "drop",
        "drop@5",
        "drop:count@5s",
        "drop:count=x@5s",
        "boom@5s",
        "random@5s",
        "random:every_s=0",
        "drop@xs",
    ],
)
def test_a_part_that_cannot_be_read_is_named(text: str):
    with pytest.raises(ConfigError) as error:
        FaultPlan.parse(f"drop@1s, {text}")
    assert error.value.where == text


def test_random_faults_are_the_same_for_the_same_seed():
    draw = [list(islice(RandomFaults(seed, 10.0).faults(), 50)) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]
    assert [f.at_s for f in draw[0]] == sorted(f.at_s for f in draw[0])
