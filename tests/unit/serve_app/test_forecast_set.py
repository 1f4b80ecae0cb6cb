"""How ready-made forecasts are cut to an answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import NotWarm, UnknownHorizon
from serve_app.errors import Recovering
from serve_app.forecast_set import ForecastSet
from tests.unit.serve_app.fake_directory import (
    RECEIVED_NS,
    forecast,
    forecasts_answer,
    not_ready_answer,
    recovering_answer,
)

READY = ForecastSet.read(forecasts_answer("BTCUSDT", ["10s", "60s"]), ["10s", "60s"])


@given(st.integers(-(10**12), 10**18))
def test_the_age_is_added_without_changing_anything_else(later_ns: int) -> None:
    answer = json.loads(READY.one("60s", RECEIVED_NS + later_ns))
    age_s = answer.pop("age_s")
    assert age_s == pytest.approx(max(later_ns, 0) / 1e9, abs=0.00051)
    assert answer == forecast("BTCUSDT", "60s")


def test_white_space_around_the_object_does_no_harm() -> None:
    told = forecasts_answer("A", ["10s"])
    told["by_horizon"]["10s"] += b" \n"
    assert json.loads(ForecastSet.read(told, []).one("10s", RECEIVED_NS))["age_s"] == 0


def test_all_horizons_come_in_the_actors_order() -> None:
    assert [json.loads(each)["horizon"] for each in READY.all(RECEIVED_NS)] == ["10s", "60s"]


@pytest.mark.parametrize("asked", ["1m", "60000ms", "60s"])
def test_a_horizon_is_found_by_its_length(asked: str) -> None:
    assert json.loads(READY.one(asked, RECEIVED_NS))["horizon"] == "60s"


@pytest.mark.parametrize("asked", ["", "5m", "60", "0s", "-60s", "NaN", "6²s", "9" * 5000 + "s", "\ud800"])
def test_any_other_horizon_is_refused_with_the_valid_ones(asked: str) -> None:
    with pytest.raises(UnknownHorizon) as refused:
        READY.one(asked, RECEIVED_NS)
    assert refused.value.valid == ("10s", "60s")


def test_a_symbol_that_is_not_ready_says_when_to_ask_again() -> None:
    forecasts = ForecastSet.read(not_ready_answer("A", "41 of 60 bars seen", 19.0), ["10s"])
    for ask in (lambda: forecasts.one("10s", RECEIVED_NS), lambda: forecasts.all(RECEIVED_NS)):
        with pytest.raises(NotWarm, match="41 of 60 bars seen") as refused:
            ask()
        assert refused.value.retry_after_s == 19.0


def test_a_symbol_that_catches_up_says_so_and_its_old_forecasts_are_not_told() -> None:
    forecasts = ForecastSet.read(recovering_answer("A", "trades 5 to 9 are missing"), ["10s"])
    for ask in (lambda: forecasts.one("10s", RECEIVED_NS), lambda: forecasts.all(RECEIVED_NS)):
        with pytest.raises(Recovering, match="trades 5 to 9 are missing") as refused:
            ask()
        assert (refused.value.state, refused.value.retry_after_s) == ("recovering", 1.0)
    with pytest.raises(UnknownHorizon):
        forecasts.one("5m", RECEIVED_NS)


def test_a_wrong_horizon_is_refused_before_the_symbol_is_ready() -> None:
    forecasts = ForecastSet.read(not_ready_answer("A", "", 19.0), ["10s"])
    with pytest.raises(UnknownHorizon):
        forecasts.one("5m", RECEIVED_NS)


def test_one_horizon_can_be_warm_before_another() -> None:
    forecasts = ForecastSet.read(forecasts_answer("A", ["10s"]), ["10s", "60s"])
    assert forecasts.one("10s", RECEIVED_NS)
    with pytest.raises(NotWarm):
        forecasts.one("60s", RECEIVED_NS)
