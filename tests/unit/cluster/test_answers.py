"""What an actor answers: the newest of each horizon, renewed at once, and kept over a restart."""

from __future__ import annotations

import asyncio

import msgspec

from cluster.answers import Answers
from features.engine import Step, SymbolEngine
from tests.unit.cluster.stream_logs import SPEC, stream


def step() -> Step:
    return SymbolEngine(SPEC).update(stream(400))


def answers() -> Answers:
    return Answers(SymbolEngine(SPEC).feature_set.columns)


def test_the_newest_forecast_of_every_horizon_is_kept_as_json() -> None:
    made, one = step(), answers()
    assert one.publish(made, 5)
    assert list(one.by_horizon) == ["5s"]
    said = msgspec.json.decode(one.by_horizon["5s"])
    assert said["made_at_ns"] == made.forecasts[-1].made_at_ns
    assert (one.sequence, one.known_ns) == (1, 5)


def test_a_step_without_forecasts_renews_nothing() -> None:
    one = answers()
    assert not one.publish(SymbolEngine(SPEC).update(stream(3)), 5)
    assert (one.sequence, one.by_horizon) == (0, {})


async def test_who_waits_hears_of_a_renewal_at_once() -> None:
    one = answers()
    waiting = asyncio.create_task(one.wait_beyond(0, 30.0))
    await asyncio.sleep(0)
    one.publish(step(), 5)
    await asyncio.wait_for(waiting, 1.0)


async def test_waiting_ends_when_the_time_is_up() -> None:
    await asyncio.wait_for(answers().wait_beyond(0, 0.01), 1.0)


def test_features_are_those_of_the_newest_bar_and_missing_ones_none() -> None:
    made, one = step(), answers()
    assert one.features("AAA")["at_ns"] is None
    one.publish(made, 5)
    said = one.features("AAA")
    assert said["at_ns"] == made.bars.end_ns[-1]
    assert said["warm"] == (None not in said["values"].values())


def test_a_restart_goes_on_with_the_same_answers_and_counts_on() -> None:
    one, other = answers(), answers()
    one.publish(step(), 5)
    other.restore(one.snapshot())
    assert other.by_horizon == one.by_horizon
    assert other.features("AAA") == one.features("AAA")
    other.publish(step(), 6)
    assert other.sequence == 2


def test_with_other_features_the_old_values_are_not_shown() -> None:
    one, other = answers(), Answers(("ema:3",))
    one.publish(step(), 5)
    other.restore(one.snapshot())
    assert other.features("AAA")["values"] == {"ema:3": None}
