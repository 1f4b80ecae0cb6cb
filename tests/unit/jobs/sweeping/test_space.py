from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import ConfigError
from features.models.catalogue import LearnerSpec
from jobs.history.spec import HistorySpec
from jobs.sweeping.defaults import default_space
from jobs.sweeping.domains import Domain
from jobs.sweeping.space import Space, load, parse_space
from jobs.sweeping.trial_spec import TrialSpec
from tests.unit.jobs.sweeping.lakes import SPACE

DEFAULTS = default_space(HistorySpec("candles:1m"))


class Drawn:
    """Suggests by a number between 0 and 1."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.asked: list[str] = []

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.append(name)
        return choices[int(self.share * (len(choices) - 1))]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.asked.append(name)
        return low + self.share * (high - low)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.asked.append(name)
        return low + int(self.share * (high - low))


def made(given: dict[str, Any], *words: str) -> Space:
    return parse_space(given, words, DEFAULTS)


@pytest.mark.parametrize(
    ("given", "kind", "values"),
    [
        ("choice(1m, 5m)", "choice", ("1m", "5m")),
        (["a", 2, 0.5], "choice", ("a", 2, 0.5)),
        ("loguniform(1, 1e3)", "loguniform", (1.0, 1000.0)),
        ("int(2, 8)", "int", (2, 8)),
        (7, "choice", (7,)),
        ("0.5", "choice", (0.5,)),
    ],
)
def test_a_setting_is_read_and_written(given: Any, kind: str, values: tuple[Any, ...]) -> None:
    domain = Domain.parse(given, "x")
    assert (domain.kind, domain.values) == (kind, values)
    assert Domain.parse(domain.text, "x") == domain


@pytest.mark.parametrize(
    "given",
    [
        "loguniform(0, 1)",
        "loguniform(1, inf)",
        "uniform(2, 1)",
        "uniform(a, b)",
        "uniform(1)",
        "int(0.5, 2)",
        "choice()",
        "choice(a, a)",
        [],
        [[1]],
        None,
        True,
    ],
)
def test_what_is_no_setting_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"space\.place"):
        Domain.parse(given, "space.place")


@given(share=st.floats(0.0, 1.0))
def test_every_point_of_the_defaults_is_a_trial(share: float) -> None:
    for source in ("candles:1m", "candles:1d", "trades"):
        space = parse_space({}, [], default_space(HistorySpec(source)))
        spec = space.spec(space.draw(Drawn(share)))
        assert TrialSpec.from_dict(spec.as_dict()) == spec
        assert spec.horizon_ns % (spec.bars.interval_ns or 1) == 0


def test_only_the_parameters_of_what_was_chosen_are_asked() -> None:
    by = Drawn(0.0)
    point = made(SPACE).draw(by)
    assert point["model"] == "ridge" and point["ridge.memory"] == 0.999
    of_ridge = ["sampling", "horizon", "features", "model", "ridge.penalty", "rule"]
    assert by.asked == [*of_ridge, "forecast.limit_bps"]
    spec = made(SPACE).spec(point)
    assert spec.model == str(LearnerSpec.parse("ridge:1,0.999")) and spec.rule == "forecast:0,1"


def test_words_change_a_file(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("horizon: [5m, 15m]\nmodel: {ridge: {penalty: 10}}\n")
    space = made(load(file), "horizon=5m", "ridge.penalty=loguniform(1, 100)", "rule=choice(long, flat)")
    assert space.horizon.values == ("5m",) and space.model["ridge"]["penalty"].kind == "loguniform"
    assert list(space.rule) == ["long", "flat"]
    assert made({}, "model=choice(xgboost)").model["xgboost"]["max_depth"].values == (2, 5)
    assert list(made({}, "features=short").features) == ["short"]


@pytest.mark.parametrize(
    ("given", "words", "message"),
    [
        ({"horizons": "5m"}, [], "did you mean 'horizon'"),
        ({"model": {"rigde": {}}}, [], "did you mean 'ridge'"),
        ({"model": {"ridge": {"penalti": 1}}}, [], "ridge has no penalti"),
        ({"model": {"ridge": {"penalty": "uniform(-1, 5)"}}}, [], "space.model.ridge.penalty"),
        ({"model": {"xgboost": {"max_deep": 3}}}, [], "did you mean max_depth"),
        ({"rule": {"forecast": {"limit": 1}}}, [], "forecast takes no limit"),
        ({"rule": {"crossover": {"fast": 5}}}, [], "slow is missing"),
        ({"features": {"a": ["log_retrun:1"]}}, [], "space.features.a"),
        ({"features": {"a": "rsi:14"}}, [], "is no list of features"),
        ({"sampling": "2m", "horizon": "5m"}, [], "sampling 2m, horizon 5m"),
        ({"horizon": "soon"}, [], "horizon soon"),
        ({}, ["horizon"], "can't be read"),
        ({}, ["features=many"], "'many' is unknown"),
        ({}, ["lightgbn.rounds=3"], "lightgbn"),
        ({"model": []}, [], "names nothing"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(
    given: dict[str, Any], words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(given, *words)


@pytest.mark.parametrize("text", ["- a\n", "a: [", "just words"])
def test_a_file_that_is_no_space_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"space\.yaml"):
        load(file)
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.yaml")


def test_ranges_that_may_cross_are_allowed() -> None:
    space = made({"rule": {"crossover": {"fast": "int(2, 20)", "slow": "int(10, 50)"}}})
    assert space.spec(space.draw(Drawn(0.0))).rule.startswith("crossover:2,10")


def test_the_example_in_the_docs_is_a_space() -> None:
    space = made(load(Path(__file__).resolve().parents[4] / "docs/sweep.yaml"))
    assert space.spec(space.draw(Drawn(0.5))).sampling == "time:1m"
    assert space.spec(space.draw(Drawn(1.0))).train_spec().library == "lightgbm"
