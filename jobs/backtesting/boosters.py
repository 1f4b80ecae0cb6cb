"""The trainer behind `--retrain`: gradient boosted trees, as `jobs.train` trains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.dataset import Dataset
from features.engine import EngineSpec
from features.errors import SpecError
from features.models.package import ModelPackage
from features.spec import FeatureSet
from jobs.backtesting.retrain import RetrainSpec, Trainer
from jobs.training.spec import MEAN, TrainSpec, parse_parameters
from jobs.training.trainer import train

_NUMBERS = {"rounds": int, "early_stop": int, "seed": int, "valid_fraction": float}


def train_spec(spec: RetrainSpec, coverage: float) -> TrainSpec:
    """The settings of every training: those of `TrainSpec` by name, anything else is the library's own.

    Only the mean is trained unless `heads=mean+quantiles+up` asks for more: the forecast needs no other.
    Raises SpecError.
    """
    try:
        own: dict[str, Any] = {
            name: _NUMBERS[name](value) for name, value in spec.options if name in _NUMBERS
        }
    except ValueError as error:
        raise SpecError(str(error), "retrain", "give numbers") from None
    heads = dict(spec.options).get("heads", MEAN).split("+")
    others = [f"{name}={value}" for name, value in spec.options if name not in (*_NUMBERS, "heads")]
    return TrainSpec(
        spec.library,
        tuple(heads),
        coverage,
        embargo_ns=spec.embargo_ns,
        parameters=parse_parameters(others),
        **own,
    )


def trainer_of(spec: RetrainSpec, coverage: float) -> Trainer:
    """What trains a model at each boundary. Raises SpecError for settings that can't be."""
    settings = train_spec(spec, coverage)

    def trained(rows: Mapping[str, Dataset], engine: EngineSpec) -> ModelPackage | None:
        features = FeatureSet.parse(list(engine.features))
        return train(rows, features, settings, bars=engine.bars.pace).package

    return trained
