"""A trained model as one piece: for each horizon, trees for the mean, the interval and the direction.

    package = ModelPackage(feature_set.digest, feature_set.columns, {"5m": heads}, 0.9, probe)
    package.opinion("5m", row, scale)       # (expected, lower, upper, p_up)

Made by `jobs.train`, stored by the registry, asked by `features.model_slots` at every bar. Trees are trained
on outcomes in units of the horizon's `ReturnScale` at the time of asking, so one model fits symbols of any
volatility. Some rows with what the model said of them when it was packed travel along: bytes that predict
anything else where they are loaded are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import state
from features.errors import DataError, ModelRefused, SnapshotError
from features.models.trees import TreeEnsemble

_VERSION = 1
_KIND = "model"
_WHERE = "model package"
_AGAIN = "fetch it again, or train it again"
_P_UP = 3
_P_UP_TOLERANCE = 1e-6
"""Probabilities go through exp, which may round otherwise on another machine; sums don't."""


@dataclass(frozen=True, slots=True)
class Heads:
    """The trees of one horizon. All but `up` speak in units of the horizon's scale."""

    mean: TreeEnsemble
    lower: TreeEnsemble | None = None
    upper: TreeEnsemble | None = None
    up: TreeEnsemble | None = None
    slope: float = 1.0
    """What the mean is multiplied by: how far its record goes, 0 for a model that has shown no skill."""

    def ensembles(self) -> dict[str, TreeEnsemble]:
        """Those there are, by name."""
        named = {"mean": self.mean, "lower": self.lower, "upper": self.upper, "up": self.up}
        return {name: trees for name, trees in named.items() if trees is not None}


class ModelPackage:
    """One trained model version. Never changes; may be used by several threads."""

    def __init__(
        self,
        feature_digest: str,
        columns: Sequence[str],
        horizons: Mapping[str, Heads],
        coverage: float,
        probe: NDArray[np.float64],
        bars: str = "",
    ) -> None:
        """`probe` (p, k) has the rows that are checked on loading; `bars` is the `BarSpec.pace` of what it
        was trained on, "" where that is not known.

        Raises DataError for heads of other columns, half an interval, or a slope out of [0, 1].
        """
        self.feature_digest = feature_digest
        self.columns = tuple(columns)
        self.bars = bars
        self.horizons = dict(horizons)
        self.coverage = float(coverage)
        """Share of outcomes that is meant to lie between lower and upper."""
        self.probe = np.array(probe, np.float64, order="C").reshape(-1, len(self.columns))
        if not self.horizons:
            raise DataError("a model without a horizon", _WHERE)
        for name, heads in self.horizons.items():
            if not 0.0 <= heads.slope <= 1.0:
                raise DataError(f"slope {heads.slope} is not in [0, 1]", f"{_WHERE}, {name}")
            if (heads.lower is None) != (heads.upper is None):
                raise DataError("an interval with one bound", f"{_WHERE}, {name}")
            if any(trees.columns != self.columns for trees in heads.ensembles().values()):
                raise DataError("its trees are of other features", f"{_WHERE}, {name}")

    def opinion(
        self, horizon: str, x_raw: NDArray[np.float64], scale: float
    ) -> tuple[float, float, float, float]:
        """Expected, lower and upper log return over the horizon, and the probability of a rise.

        `x_raw` (k,) are the features as they are, NaN missing; `scale` is the horizon's usual size of a
        return. Always lower <= expected <= upper; what the model has no trees for is NaN.
        """
        heads = self.horizons[horizon]
        expected = heads.slope * heads.mean.predict_row(x_raw) if heads.slope else 0.0
        lower = upper = p_up = math.nan
        if heads.lower is not None and heads.upper is not None:
            ends = heads.lower.predict_row(x_raw), heads.upper.predict_row(x_raw)
            lower, upper = min(*ends, expected), max(*ends, expected)
        if heads.up is not None:
            p_up = heads.up.predict_row(x_raw)
        return expected * scale, lower * scale, upper * scale, p_up

    def opinions(
        self, horizon: str, rows: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """`opinion` for each of `rows` (n, k) with its `scale` (n,): the same bits, shape (n, 4)."""
        heads = self.horizons[horizon]
        out = np.full((len(rows), 4), np.nan)
        expected = heads.slope * heads.mean.predict(rows) if heads.slope else np.zeros(len(rows))
        out[:, 0] = expected * scale
        if heads.lower is not None and heads.upper is not None:
            ends = heads.lower.predict(rows), heads.upper.predict(rows)
            out[:, 1] = np.minimum(np.minimum(*ends), expected) * scale
            out[:, 2] = np.maximum(np.maximum(*ends), expected) * scale
        if heads.up is not None:
            out[:, _P_UP] = heads.up.predict(rows)
        return out

    def to_bytes(self) -> bytes:
        """The whole model, with a checksum; equal models give equal bytes."""
        blocks = {"probe": self.probe.tobytes()}
        named = {}
        for i, (name, heads) in enumerate(self.horizons.items()):
            ensembles = heads.ensembles()
            named[name] = {"slope": heads.slope.hex(), "heads": list(ensembles)}
            blocks[f"{i}.said"] = self._said(name).tobytes()
            blocks |= {f"{i}.{head}": trees.to_bytes() for head, trees in ensembles.items()}
        head = {
            "feature_digest": self.feature_digest,
            "columns": list(self.columns),
            "bars": self.bars,
            "coverage": self.coverage.hex(),
            "horizons": named,
        }
        return state.pack(_KIND, _VERSION, "", {"head": json.dumps(head).encode()} | blocks)

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelPackage:
        """What `to_bytes` wrote.

        Raises ModelRefused for damaged data, for that of a newer version, and for a model that says of its
        probe rows here anything else than it did when it was packed.
        """
        try:
            blocks = state.unpack(_KIND, _VERSION, "", data)
            head = json.loads(blocks["head"])
            columns = tuple(head["columns"])
            horizons = {
                name: _heads(blocks, i, entry) for i, (name, entry) in enumerate(head["horizons"].items())
            }
            probe = np.frombuffer(blocks["probe"]).reshape(-1, len(columns))
            coverage = float.fromhex(head["coverage"])
            package = cls(head["feature_digest"], columns, horizons, coverage, probe, head["bars"])
            said = [np.frombuffer(blocks[f"{i}.said"]).reshape(-1, 4) for i in range(len(horizons))]
        except SnapshotError as error:
            raise ModelRefused(error.problem, _WHERE, _AGAIN) from None
        except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise ModelRefused(f"this is no model: {error}", _WHERE, _AGAIN) from None
        for name, expected in zip(horizons, said, strict=True):
            package._compare(name, expected)
        return package

    @property
    def digest(self) -> str:
        """Identity: equal digests give equal opinions."""
        return state.digest(self.to_bytes())

    def _said(self, horizon: str) -> NDArray[np.float64]:
        return self.opinions(horizon, self.probe, np.ones(len(self.probe)))

    def _compare(self, horizon: str, expected: NDArray[np.float64]) -> None:
        said = self._said(horizon)
        exact = np.array_equal(said[:, :_P_UP], expected[:, :_P_UP], equal_nan=True)
        near = said.shape == expected.shape and np.allclose(
            said[:, _P_UP], expected[:, _P_UP], rtol=0.0, atol=_P_UP_TOLERANCE, equal_nan=True
        )
        if not (exact and near):
            raise ModelRefused(
                f"at {horizon} it says something else than when it was packed", _WHERE, "train it again"
            )


def _heads(blocks: dict[str, bytes], place: int, entry: dict[str, Any]) -> Heads:
    found = {head: TreeEnsemble.from_bytes(blocks[f"{place}.{head}"]) for head in entry["heads"]}
    return Heads(**found, slope=float.fromhex(entry["slope"]))
