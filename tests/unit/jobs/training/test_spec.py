"""Settings of a training, and how they are written."""

from __future__ import annotations

from typing import Any

import pytest

from features.errors import SpecError
from jobs.training.spec import TrainSpec, parse_parameters


def test_parameters_as_text() -> None:
    """Whole numbers, numbers, words; in an order of their own, so that equal settings are equal."""
    found = parse_parameters(["max_depth=4", "learning_rate = 0.1", "grow_policy=lossguide"])
    assert dict(found) == {"max_depth": 4, "learning_rate": 0.1, "grow_policy": "lossguide"}
    assert found == parse_parameters(["grow_policy=lossguide", "learning_rate=0.1", "max_depth=4"])
    for texts in (["max_depth"], ["=4"], ["max_depth="], ["a=1", "a=2"]):
        with pytest.raises(SpecError):
            parse_parameters(texts)


def test_given_parameters_come_before_the_defaults() -> None:
    """Those that are not given stay."""
    spec = TrainSpec(parameters=parse_parameters(["max_depth=2"]))
    assert spec.all_parameters()["max_depth"] == 2
    assert spec.all_parameters()["subsample"] == TrainSpec().all_parameters()["subsample"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"library": "catboost"},
        {"heads": ("quantiles",)},
        {"heads": ("mean", "median")},
        {"coverage": 1.0},
        {"valid_fraction": 0.0},
        {"rounds": 0},
        {"seed": -1},
        {"threads": 0},
        {"device": "tpu"},
    ],
    ids=str,
)
def test_what_can_not_be(wrong: dict[str, Any]) -> None:
    """Is said by name."""
    with pytest.raises(SpecError):
        TrainSpec(**wrong)


def test_a_misspelt_parameter_is_refused() -> None:
    """The libraries would take no notice of it."""
    with pytest.raises(SpecError, match="did you mean max_depth"):
        TrainSpec(parameters=(("max_dept", 4),))
    with pytest.raises(SpecError, match="lightgbm has no parameter"):
        TrainSpec(library="lightgbm", parameters=(("colsample_bytree", 0.5),))
