"""The learners by name, as a config writes them: "ridge:100", "ew_mean", "river_linear:0.01"."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from features.definition import number
from features.errors import SpecError
from features.models import river_models
from features.models.base import Learner
from features.models.baselines import EwMean, Naive
from features.models.ridge import Ridge


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of learner: its numbers with defaults, and how to build one."""

    summary: str
    parameters: dict[str, float]
    build: Callable[[int, int, list[float]], Learner]
    """From (number of features, horizon in bars, parameters)."""
    ranges: tuple[tuple[float, float], ...] = ()
    """Least and largest value of each parameter."""

    def usage(self) -> str:
        """What it takes, for messages: "rate=0.0001 (1e-09 to 1)"."""
        limits = zip(self.parameters.items(), self.ranges, strict=True)
        texts = [f"{name}={default:g} ({low:g} to {high:g})" for (name, default), (low, high) in limits]
        return ", ".join(texts) or "no numbers"


LEARNERS: dict[str, Entry] = {
    "naive": Entry("no change", {}, lambda k, h, p: Naive()),
    "ew_mean": Entry(
        "exponentially weighted mean of past returns",
        {"rate": 1e-4},
        lambda k, h, p: EwMean(p[0]),
        ((1e-9, 1.0),),
    ),
    "ridge": Entry(
        "recursive least squares with a ridge penalty (times the horizon in bars) and forgetting",
        {"penalty": 300.0, "memory": 0.99999},
        lambda k, h, p: Ridge(k, p[0] * h, p[1]),
        ((1e-3, 1e9), (0.5, 1.0)),
    ),
    "river_linear": Entry(
        "River: StandardScaler | LinearRegression",
        {"rate": 0.001},
        lambda k, h, p: river_models.linear(k, p[0]),
        ((1e-9, 1.0),),
    ),
    "river_bayesian": Entry(
        "River: StandardScaler | BayesianLinearRegression",
        {"alpha": 100.0},
        lambda k, h, p: river_models.bayesian(k, p[0]),
        ((1e-3, 1e9),),
    ),
    "river_tree": Entry(
        "River: HoeffdingAdaptiveTreeRegressor",
        {"grace_period": 500.0},
        lambda k, h, p: river_models.tree(k, p[0]),
        ((1.0, 1e9),),
    ),
}


@dataclass(frozen=True, slots=True)
class LearnerSpec:
    """A learner as config names it."""

    name: str
    parameters: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> LearnerSpec:
        """Read "name" or "name:number,number"; parameters left out take their defaults."""
        name, _, rest = text.strip().partition(":")
        if name not in LEARNERS:
            near = difflib.get_close_matches(name, LEARNERS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise SpecError(f"unknown model {name!r}", "models", f"{hint}known are {', '.join(LEARNERS)}")
        defaults = LEARNERS[name].parameters
        try:
            given = [float(part) for part in rest.split(",")] if rest else []
        except ValueError:
            raise SpecError(f"model {text!r} has a parameter that is not a number", "models") from None
        limits = zip(given, LEARNERS[name].ranges, strict=False)
        if len(given) > len(defaults) or not all(low <= value <= high for value, (low, high) in limits):
            raise SpecError(
                f"model {text!r} can't be read", "models", f"{name} takes {LEARNERS[name].usage()}"
            )
        return cls(name, tuple(given + list(defaults.values())[len(given) :]))

    def __str__(self) -> str:
        numbers = ",".join(number(value) for value in self.parameters)
        return f"{self.name}:{numbers}" if numbers else self.name

    def build(self, features: int, horizon_bars: int) -> Learner:
        """A learner that knows nothing yet."""
        return LEARNERS[self.name].build(features, horizon_bars, list(self.parameters))
