"""What a feature is worth: the one that the prices follow stands out, and noise has nothing to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from features.bars import Bars
from features.engine import EngineSpec
from features.ticks import Ticks
from jobs.reporting.importance import importance_section
from jobs.reporting.page import Page
from jobs.reporting.permutation import History, Permuted, permuted
from tests.unit.features.engine_runs import market, small_spec
from tests.unit.jobs.backtesting.histories import candles, settings
from tests.unit.jobs.reporting.pages import check


def engine() -> EngineSpec:
    return replace(
        settings().engine, horizons=("1m",), features=("log_return:1", "rsi:3", "volume_intensity:5")
    )


def given(*batches: Bars | Ticks) -> History:
    def read() -> Iterator[Bars] | Iterator[Ticks]:
        return iter(batches)  # type: ignore[return-value]

    return read


def test_the_feature_that_prices_follow_stands_out() -> None:
    bars = candles(6_000)  # each move has 0.3 of the one before in it
    (found,) = permuted(engine(), [given(bars)])
    assert found.is_worth_something
    best = found.drop.argmax()
    assert found.columns[best] == "log_return:1"
    assert found.drop[best] > 3 * found.error[best]
    (volume,) = (place for place, name in enumerate(found.columns) if name.startswith("volume"))
    assert abs(found.drop[volume]) < 0.1 * found.drop[best]
    text = importance_section([], [found]).body
    assert "The model beats naive by" in text and "Most is lost without log_return:1" in text


def test_pieces_and_repetitions_change_no_bit() -> None:
    bars = candles(1_500)
    whole, pieces = (
        permuted(engine(), [given(*parts)]) for parts in ([bars], [bars[:1], bars[1:700], bars[700:]])
    )
    assert np.array_equal(whole[0].drop, pieces[0].drop) and whole[0].skill == pieces[0].skill


def test_noise_is_not_worth_anything_and_says_so() -> None:
    still = candles(3_000)
    random = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-3, 3_000)))
    noise = Bars.from_columns(
        still.start_ns, still.end_ns, open=close, high=close, low=close, close=close, volume=np.ones(3_000)
    )
    found = permuted(engine(), [given(noise)])
    assert not found[0].is_worth_something
    assert "does not beat naive" in importance_section([], found).body


def test_ticks_become_the_bars_of_the_engine() -> None:
    found = permuted(small_spec(), [given(market(900, seed=1)), given(market(900, seed=2))])
    assert [(one.horizon, one.symbols, one.problem) for one in found] == [("1s", 2, ""), ("3s", 2, "")]


@pytest.mark.parametrize("histories", [[], [given()], [given(candles(1))], [given(candles(30))]])
def test_too_little_is_a_sentence(histories: list[History]) -> None:
    found: list[Permuted] = permuted(engine(), histories)
    assert found[0].problem
    page = check(Page("t", "t", [importance_section([], found)]).html())
    assert "nothing could be trained" in page.text
