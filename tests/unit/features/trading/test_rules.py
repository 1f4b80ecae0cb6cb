"""Each rule on streams of a few bars, and against plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.errors import DataError, SnapshotError, SpecError
from features.trading.rules import RULES, Rule, RuleSpec
from tests.unit.features.trading.account_reference import minute_bars, random_walk

NAN = math.nan


def targets(text: str, close: list[float], expected: list[float] | None = None, **columns: object) -> list:
    return Rule(RuleSpec.parse(text)).update(minute_bars(close, **columns), expected).tolist()


# Specs


@pytest.mark.parametrize("name", RULES)
def test_every_rule_reads_its_own_text(name: str) -> None:
    full = {
        "crossover": "crossover:20,100",
        "ema_crossover": "ema_crossover:20,100",
        "momentum": "momentum:60",
        "reversal": "reversal:2,60",
        "forecast": "forecast:8",
        "forecast_size": "forecast_size:20",
    }
    spec = RuleSpec.parse(full.get(name, name))
    assert RuleSpec.parse(spec.text) == spec
    assert spec.needs_forecast == name.startswith("forecast")


def test_arguments_left_out_are_filled_in() -> None:
    assert RuleSpec.parse("forecast:8").text == "forecast:8,1"
    assert RuleSpec.parse("crossover:20,100").digest() == RuleSpec.parse("crossover:20,100,1e-4").digest()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("buy", "rule: unknown rule 'buy'; use one of: long, flat, crossover, "),
        ("buy:x", "rule: 'buy:x': 'x' is not a number; use one of: long, flat, "),
        ("long:1", "rule: long: 1 arguments are too many; long takes no arguments"),
        (
            "crossover:20",
            "rule: crossover: argument slow is missing; crossover takes (fast: whole number, 1 to ",
        ),
        ("crossover:100,20", "rule: crossover: fast = 100 is not below slow = 20; "),
        ("crossover:a,b", "rule: 'crossover:a,b': 'a' is not a number; crossover takes ("),
        ("momentum:1.5", "rule: momentum: n = 1.5 is not a whole number; "),
        ("forecast:-1", "rule: forecast: limit_bps = -1 is out of range; "),
        ("reversal:1,20,2", "rule: reversal: exit = 2 is not below enter = 1; "),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        RuleSpec.parse(text)
    assert str(caught.value).startswith(said)


# Rules


def test_long_and_flat_never_change() -> None:
    assert targets("long", [1.0, NAN, 2.0]) == [1, 1, 1]
    assert targets("flat", [1.0, NAN, 2.0]) == [0, 0, 0]


def test_crossover_takes_the_side_of_the_fast_mean_once_the_slow_one_is_full() -> None:
    assert targets("crossover:1,3", [1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 2.0, 3.0]) == [0, 0, 1, 1, -1, -1, 1, 1]


def test_equal_means_are_a_tie_whatever_the_rounding() -> None:
    assert set(targets("crossover:7,30", [100.1] * 300)) == {0.0}
    assert set(targets("ema_crossover:7,30", [100.1] * 300)) == {0.0}
    assert targets("crossover:1,2,100", [100.0, 101.0, 103.0, 107.0]) == [0, 0, 0, 1]


def test_ema_crossover_agrees_with_plain_averages() -> None:
    close = random_walk(300, 21).tolist()
    fast = slow = close[0]
    wanted = []
    for age, price in enumerate(close, start=1):
        fast += 2 / 6 * (price - fast)
        slow += 2 / 21 * (price - slow)
        wanted.append(0.0 if age < 20 else math.copysign(1.0, fast - slow))
    assert targets("ema_crossover:5,20", close) == wanted


def test_momentum_takes_the_side_of_the_last_return_beyond_the_limit() -> None:
    assert targets("momentum:2", [10.0, 11.0, 12.0, 11.0, 10.0]) == [0, 0, 1, 0, -1]
    assert targets("momentum:1,100", [100.0, 102.0, 102.5, 100.0]) == [0, 1, 0, -1]


def test_reversal_goes_against_far_closes_and_leaves_near_the_mean() -> None:
    close = random_walk(400, 22).tolist()
    target, wanted = 0.0, []
    for i in range(len(close)):
        if i >= 19:
            window = np.array(close[i - 19 : i + 1])
            z = (window[-1] - window.mean()) / window.std()
            if abs(z) > 1.5:
                target = -math.copysign(1.0, z)
            elif (target > 0 and z >= -0.5) or (target < 0 and z <= 0.5):
                target = 0.0
        wanted.append(target)
    assert targets("reversal:1.5,20,0.5", close) == wanted
    assert {-1.0, 0.0, 1.0} == set(wanted)
    assert set(targets("reversal:1,5", [100.1] * 50)) == {0.0}


def test_a_forecast_is_followed_while_it_is_beyond_the_limit() -> None:
    expected = [2e-4, 1e-4, -2e-4, NAN, 2e-4]
    assert targets("forecast:1.5", [10.0] * 5, expected) == [1, 0, -1, 0, 1]


def test_a_forecast_is_held_renewed_and_turned() -> None:
    expected = [2e-4, 0, 2e-4, 0, 0, 0, -2e-4, 2e-4, NAN, NAN, NAN]
    assert targets("forecast:1,3", [10.0] * 11, expected) == [1, 1, 1, 1, 1, 0, -1, 1, 1, 1, 0]


def test_forecast_size_is_a_share_moved_by_steps() -> None:
    expected = [5e-4, 5.5e-4, 20e-4, -10e-4, 0.5e-4, NAN]
    assert targets("forecast_size:10,1,0.1", [10.0] * 6, expected) == [0.5, 0.5, 1, -1, 0, 0]


# What all rules do


@pytest.mark.parametrize("text", ["crossover:1,3", "ema_crossover:1,3", "momentum:2", "reversal:0.5,3"])
def test_windows_begin_anew_in_a_session(text: str) -> None:
    close = [10.0, 11.0, 13.0, 20.0, 18.0, 15.0]
    first, second = targets(text, close[:3]), targets(text, close[3:])
    assert targets(text, close, session=[4, 4, 4, 5, 5, 5]) == first + second
    assert first[-1] != 0 and second[-1] != 0


@pytest.mark.parametrize("void", [NAN, 0.0, -1.0, math.inf])
@pytest.mark.parametrize(
    "text",
    ["crossover:1,3", "ema_crossover:1,3", "momentum:2", "reversal:0.5,3", "forecast:1,2", "forecast_size:5"],
)
def test_a_bar_without_a_price_leaves_everything_as_it_was(text: str, void: float) -> None:
    close = [10.0, 11.0, 13.0, 12.0, 9.0, 15.0]
    expected = [0.0, 3e-4, 0.0, 0.0, -3e-4, 0.0]
    whole = targets(text, close, expected)
    holed = targets(text, [*close[:3], void, *close[3:]], [*expected[:3], 9e-4, *expected[3:]])
    assert holed == [*whole[:3], whole[2], *whole[3:]]


def test_forecasts_must_be_there_and_of_the_same_length() -> None:
    with pytest.raises(DataError, match="forecast:8,1 needs expected returns; give one for each bar"):
        targets("forecast:8", [1.0, 2.0])
    with pytest.raises(DataError, match=r"rule: expected returns have shape \(1,\), not \(2,\)"):
        targets("forecast:8", [1.0, 2.0], [0.0])


def test_a_snapshot_of_another_rule_is_refused() -> None:
    with pytest.raises(SnapshotError, match="other settings"):
        Rule.restore(RuleSpec.parse("momentum:3"), Rule(RuleSpec.parse("momentum:2")).snapshot())
