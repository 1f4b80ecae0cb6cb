"""What is trained, and how: the settings of one training, whatever rows it is given."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from features.errors import SpecError
from features.models.trees import LIBRARIES, XGBOOST

MEAN, QUANTILES, UP = "mean", "quantiles", "up"
HEADS = (MEAN, QUANTILES, UP)
Number = float | int | str
LEAST_ROWS = 200
"""Rows with an outcome below which a horizon is not trained."""

DEFAULTS: dict[str, dict[str, Number]] = {
    "xgboost": {
        "learning_rate": 0.05,
        "max_depth": 4,
        "max_bin": 256,
        "subsample": 0.7,
        "colsample_bytree": 0.7,
        "reg_lambda": 1.0,
    },
    "lightgbm": {
        "learning_rate": 0.05,
        "num_leaves": 15,
        "max_bin": 255,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "feature_fraction": 0.7,
        "lambda_l2": 1.0,
    },
}
"""Shallow trees from samples: what holds where there is little to learn."""
_MORE: dict[str, tuple[str, ...]] = {
    "xgboost": (
        "min_child_weight",
        "max_leaves",
        "grow_policy",
        "gamma",
        "reg_alpha",
        "max_delta_step",
        "colsample_bylevel",
        "colsample_bynode",
    ),
    "lightgbm": (
        "min_data_in_leaf",
        "min_sum_hessian_in_leaf",
        "max_depth",
        "min_gain_to_split",
        "lambda_l1",
        "feature_fraction_bynode",
        "path_smooth",
        "extra_trees",
    ),
}


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """One training. Raises SpecError for what can't be."""

    library: str = XGBOOST
    heads: tuple[str, ...] = HEADS
    """"mean" is always trained; "quantiles" are the ends of an interval, "up" the probability of a rise."""
    coverage: float = 0.9
    valid_fraction: float = 0.2
    """Of the time, at its end: the first half of it stops the training, the second judges the model."""
    rounds: int = 500
    early_stop: int = 30
    """Rounds without a better loss after which no more trees are added."""
    embargo_ns: int = 0
    """Time left out between the labels of one part and the rows of the next."""
    parameters: tuple[tuple[str, Number], ...] = ()
    """The library's own, where they differ from `DEFAULTS`."""
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    """"cuda": XGBoost computes on the GPU. LightGBM's wheel can't."""

    def __post_init__(self) -> None:
        if self.library not in LIBRARIES:
            raise SpecError(f"unknown library {self.library!r}", "library", f"use {' or '.join(LIBRARIES)}")
        unknown = sorted(set(self.heads) - set(HEADS))
        if unknown or MEAN not in self.heads:
            raise SpecError(
                f"heads {','.join(self.heads)} can't be",
                "heads",
                "use mean, and quantiles and up where wanted",
            )
        for name, least, most in (
            ("coverage", 0.5, 0.999),
            ("valid_fraction", 0.02, 0.8),
            ("rounds", 1, 100_000),
            ("early_stop", 1, 100_000),
            ("seed", 0, 2**31 - 1),
            ("threads", 1, 1024),
        ):
            if not least <= getattr(self, name) <= most:
                raise SpecError(f"{name} {getattr(self, name)} is not in [{least}, {most}]", name)
        if self.device not in ("cpu", "cuda"):
            raise SpecError(f"unknown device {self.device!r}", "device", "use cpu or cuda")
        known = (*DEFAULTS[self.library], *_MORE[self.library])
        for name, _ in self.parameters:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                fix = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
                raise SpecError(f"{self.library} has no parameter {name!r} here", "parameter", fix)

    def all_parameters(self) -> dict[str, Number]:
        """Those given, and the defaults for the others."""
        return DEFAULTS[self.library] | dict(self.parameters)


def parse_parameters(texts: Sequence[str]) -> tuple[tuple[str, Number], ...]:
    """Read ["max_depth=4", "grow_policy=lossguide"]. Raises SpecError."""
    found: dict[str, Number] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value) or name in found:
            raise SpecError(f"{text!r} can't be read", "parameter", 'write "max_depth=4", each once')
        found[name] = _number(value)
    return tuple(sorted(found.items()))


def _number(text: str) -> Number:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
