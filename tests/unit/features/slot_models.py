"""Tiny trained models for tests of the slots, and a shelf of them."""

from __future__ import annotations

import numpy as np

from features.engine import EngineSpec
from features.errors import ModelMissing
from features.kernels.trees import NAN_LEFT
from features.model_slots import Model
from features.models.package import Heads, ModelPackage
from features.models.trees import LIGHTGBM, Tree, TreeEnsemble
from features.spec import FeatureSet


def leaning(
    spec: EngineSpec,
    slope: float,
    horizons: tuple[str, ...] | None = None,
    feature: int | str = 1,
    width: float | None = None,
) -> ModelPackage:
    """A model for the engine of a spec: `slope` scales up where a feature is above 0.5, down below -0.5.

    With an interval of `width` scales to both sides, where one is given.
    """
    features = FeatureSet.parse(spec.features)
    column = features.columns.index(feature) if isinstance(feature, str) else feature

    def trees(shift: float) -> TreeEnsemble:
        steps = [_step(column, -0.5, shift - slope, shift), _step(column, 0.5, 0.0, slope)]
        return TreeEnsemble.build(LIGHTGBM, features.columns, steps, 0.0)

    heads = Heads(trees(0.0)) if width is None else Heads(trees(0.0), trees(-width), trees(width))
    probe = np.eye(len(features.columns))
    named = dict.fromkeys(horizons or spec.horizons, heads)
    return ModelPackage(features.digest, features.columns, named, spec.coverage, probe, spec.bars.pace)


def _step(column: int, threshold: float, below: float, above: float) -> Tree:
    """One question; a missing feature counts as 0."""
    flags = NAN_LEFT if threshold > 0.0 else 0
    return Tree(
        column=np.array([column, 0, 0], np.int32),
        value=np.array([threshold, below, above]),
        left=np.array([1, -1, -1], np.int32),
        right=np.array([2, -1, -1], np.int32),
        flags=np.array([flags, 0, 0], np.int32),
    )


class Shelf:
    """Models by version."""

    def __init__(self, **models: Model) -> None:
        """`v3=model` is version 3."""
        self.models = {int(name[1:]): model for name, model in models.items()}

    def get(self, version: int) -> Model:
        """The model of a version."""
        try:
            return self.models[version]
        except KeyError:
            raise ModelMissing(version, "the shelf") from None
