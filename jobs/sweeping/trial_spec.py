"""One trial of a sweep: what is computed, learned and traded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from features import durations
from features.bars import BarSpec
from features.errors import SpecError
from features.models.catalogue import LEARNERS, LearnerSpec
from features.models.trees import LIBRARIES
from features.spec import FeatureSet
from features.trading.rules import RULES, RuleSpec
from jobs.sweeping.domains import Value
from jobs.training.spec import MEAN, TrainSpec

_OF_TRAINING = ("rounds", "early_stop", "valid_fraction", "seed")


@dataclass(frozen=True)
class TrialSpec:
    """Plain values that have been checked."""

    sampling: str
    """As a bar spec: "time:5m"."""
    horizon: str
    features: tuple[str, ...]
    model: str
    """A learner as the config has it, "ridge:300,0.9999", or the name of a boosting library."""
    rule: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """Of the boosting library; {} for learners."""

    @classmethod
    def of(
        cls,
        sampling: str,
        horizon: str,
        features: tuple[str, ...],
        model: str,
        parameters: Mapping[str, Value],
        rule: str,
        arguments: Mapping[str, Value],
    ) -> TrialSpec:
        """A trial from names and numbers. Raises SpecError for what can't be."""
        text = sampling if ":" in sampling else f"time:{sampling}"
        rule_text = _rule(rule, arguments)
        if model not in LIBRARIES:
            return cls(text, horizon, features, _learner(model, parameters), rule_text)
        spec = cls(text, horizon, features, model, rule_text, dict(parameters))
        spec.train_spec()
        return spec

    @property
    def is_batch(self) -> bool:
        """Whether its model is trained on rows of the past, and not online."""
        return self.model in LIBRARIES

    @property
    def bars(self) -> BarSpec:
        """How its bars are made."""
        return BarSpec.parse(self.sampling)

    @property
    def horizon_ns(self) -> int:
        """Length of its horizon."""
        return durations.parse_ns(self.horizon)

    @property
    def feature_set(self) -> FeatureSet:
        """Its features."""
        return FeatureSet.parse(self.features)

    def train_spec(self, heads: tuple[str, ...] = (MEAN,), embargo_ns: int = 0) -> TrainSpec:
        """How its model is trained, on one thread. Raises SpecError."""
        own: dict[str, Any] = {
            name: self.parameters[name] for name in _OF_TRAINING if name in self.parameters
        }
        others = {name: value for name, value in self.parameters.items() if name not in own}
        return TrainSpec(
            self.model, heads, embargo_ns=embargo_ns, parameters=tuple(sorted(others.items())), **own
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "sampling": self.sampling,
            "horizon": self.horizon,
            "features": list(self.features),
            "model": self.model,
            "parameters": dict(self.parameters),
            "rule": self.rule,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSpec:
        """The trial that `as_dict` has written."""
        return cls(**(dict(values) | {"features": tuple(values["features"])}))

    @property
    def model_text(self) -> str:
        """Model and parameters for people."""
        given = ", ".join(f"{name}={shown(value)}" for name, value in self.parameters.items())
        return f"{self.model} {given}".strip()


def shown(value: Value) -> str:
    """A value for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _learner(name: str, parameters: Mapping[str, Value]) -> str:
    if name not in LEARNERS:
        raise SpecError(f"unknown model {name!r}", "model", f"use one of: {', '.join(LEARNERS)}")
    defaults = LEARNERS[name].parameters
    unknown = sorted(set(parameters) - set(defaults))
    if unknown:
        raise SpecError(f"{name} has no {unknown[0]}", "model", f"it takes {LEARNERS[name].usage()}")
    numbers = ",".join(str(parameters.get(one, default)) for one, default in defaults.items())
    return str(LearnerSpec.parse(f"{name}:{numbers}" if numbers else name))


def _rule(name: str, arguments: Mapping[str, Value]) -> str:
    if name not in RULES:
        raise SpecError(f"unknown rule {name!r}", "rule", f"use one of: {', '.join(RULES)}")
    known = RULES[name].arguments
    unknown = sorted(set(arguments) - {argument.name for argument in known})
    if unknown:
        names = ", ".join(argument.name for argument in known) or "nothing"
        raise SpecError(f"{name} takes no {unknown[0]}", "rule", f"it takes {names}")
    numbers: list[str] = []
    for argument in known:
        value = arguments.get(argument.name, argument.default)
        if value is None:
            raise SpecError(f"{name}: {argument.name} is missing", "rule", f"give {argument.text()}")
        numbers.append(str(value))
    return RuleSpec.parse(f"{name}:{','.join(numbers)}" if numbers else name).text
