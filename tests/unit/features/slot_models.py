"""Tiny trained models for tests of the slots, and a shelf of them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from features import model_slots
from features.engine import EngineSpec
from features.errors import ModelMissing
from features.model_slots import Model
from features.spec import FeatureSet


@dataclass(frozen=True)
class Leaning:
    """Expects `slope` scales times the sign of one feature; an interval only where `width` is given."""

    feature_digest: str
    columns: tuple[str, ...]
    horizons: tuple[str, ...]
    slope: float
    feature: int = 1
    width: float = math.nan

    def opinion(
        self, horizon: str, x_raw: NDArray[np.float64], scale: float
    ) -> tuple[float, float, float, float]:
        value = float(x_raw[self.feature])
        expected = self.slope * scale * float(np.sign(value)) if math.isfinite(value) else 0.0
        return expected, expected - self.width * scale, expected + self.width * scale, math.nan

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Leaning:
        values = json.loads(data)
        return cls(**values | {name: tuple(values[name]) for name in ("columns", "horizons")})


def leaning(
    spec: EngineSpec, slope: float, horizons: tuple[str, ...] | None = None, **more: float
) -> Leaning:
    """A model for the engine of a spec."""
    features = FeatureSet.parse(spec.features)
    return Leaning(features.digest, features.columns, horizons or spec.horizons, slope, **more)  # type: ignore[arg-type]


class Shelf:
    """Models by version."""

    def __init__(self, **models: Model) -> None:
        """`v3=model` is version 3."""
        self.models = {int(name[1:]): model for name, model in models.items()}

    def get(self, version: int) -> Model:
        try:
            return self.models[version]
        except KeyError:
            raise ModelMissing(version, "the shelf") from None


def read_leaning(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Let engines read `Leaning` models from snapshots."""
    monkeypatch.setattr(model_slots, "_unpacked", lambda data, name: Leaning.from_bytes(data))
