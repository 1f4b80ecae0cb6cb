"""From rows to a model: trains all heads of all horizons, judges them, and packs what may be used.

    trained = train({"5m": rows}, feature_set, TrainSpec())
    trained.package, trained.horizons["5m"]

Knows no lake and no Ray. `rows` may be of one symbol, or of several put together: targets are in units of
each symbol's own scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.dataset import Dataset
from features.errors import DataError
from features.models.package import Heads, ModelPackage
from features.models.trees import TreeEnsemble
from features.spec import FeatureSet
from jobs.training import boosting, evaluation
from jobs.training.boosting import LOWER, UPPER
from jobs.training.conversion import probe_rows
from jobs.training.parts import Parts, cut
from jobs.training.spec import MEAN, QUANTILES, UP, TrainSpec

_PROBE_ROWS = 64
_SHOWN = 10


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came of a training."""

    package: ModelPackage | None
    """None where no horizon had anything to learn from."""
    horizons: dict[str, dict[str, Any]]
    """By horizon, as plain JSON values: rows, metrics, or why it was skipped."""

    @property
    def skipped(self) -> str | None:
        """Why there is no package."""
        if self.package is not None:
            return None
        return "; ".join(f"{name}: {one['skipped']}" for name, one in self.horizons.items()) or "no horizon"


def train(
    rows: Mapping[str, Dataset],
    feature_set: FeatureSet,
    spec: TrainSpec,
    report: Callable[[str], None] = lambda text: None,
    bars: str = "",
) -> Trained:
    """Train a model for each horizon of `rows` that has enough of them; `bars` is the pace of their bars.

    Equal rows, settings and seed give a package of equal digest. Raises ConfigError where the library refuses
    its parameters.
    """
    found: dict[str, dict[str, Any]] = {}
    horizons: dict[str, Heads] = {}
    probe = np.zeros((0, len(feature_set.columns)))
    for name, part in rows.items():
        try:
            parts = cut(part, spec)
        except DataError as error:
            found[name] = {"rows": int(part.known.sum()), "skipped": error.problem}
            continue
        report(f"{name}: {len(parts.train):,} rows")
        horizons[name], found[name] = _horizon(parts, feature_set.columns, spec)
        if not len(probe):
            probe = probe_rows(boosting.clean(parts.train.x), spec.seed, _PROBE_ROWS)
    if not horizons:
        return Trained(None, found)
    package = ModelPackage(feature_set.digest, feature_set.columns, horizons, spec.coverage, probe, bars)
    return Trained(package, found)


def _horizon(parts: Parts, columns: tuple[str, ...], spec: TrainSpec) -> tuple[Heads, dict[str, Any]]:
    """The heads of one horizon, and how they did on the rows that judge."""
    names = [MEAN, *((LOWER, UPPER) if QUANTILES in spec.heads else ()), *((UP,) if UP in spec.heads else ())]
    trees = {name: boosting.fit(name, parts, columns, spec) for name in names}
    judge, x = parts.judge, boosting.clean(parts.judge.x)
    said = {name: ensemble.predict(x) for name, ensemble in trees.items()}
    overlap = evaluation.overlap_of(judge)
    slope = evaluation.slope(said[MEAN], judge.target(), judge.made_at_ns, overlap)
    expected = slope.trusted * said[MEAN]
    metrics: dict[str, Any] = {
        "raw": evaluation.judge_mean(said[MEAN], judge, spec.seed),
        "mean": evaluation.judge_mean(expected, judge, spec.seed),
        "slope": {
            "estimate": slope.estimate,
            "standard_error": slope.standard_error,
            "trusted": slope.trusted,
        },
        "train_mse": float(
            ((parts.train.target() - trees[MEAN].predict(boosting.clean(parts.train.x))) ** 2).mean()
        ),
        "train_mse_naive": float((parts.train.target() ** 2).mean()),
    }
    if LOWER in trees:
        ends = np.minimum(said[LOWER], said[UPPER]), np.maximum(said[LOWER], said[UPPER])
        usual = [
            boosting.constant(parts.train.target(), boosting.quantile(head, spec.coverage))
            for head in (LOWER, UPPER)
        ]
        metrics["interval"] = evaluation.judge_interval(
            np.minimum(ends[0], expected),
            np.maximum(ends[1], expected),
            judge,
            spec.coverage,
            (usual[0], usual[1]),
        )
    if UP in trees:
        metrics["up"] = evaluation.judge_up(said[UP], judge, float((parts.train.y > 0.0).mean()))
    heads = Heads(trees[MEAN], trees.get(LOWER), trees.get(UPPER), trees.get(UP), slope.trusted)
    return heads, _summary(parts, trees, overlap) | metrics


def _summary(parts: Parts, trees: dict[str, TreeEnsemble], overlap: int) -> dict[str, Any]:
    sizes = {
        name: len(part)
        for name, part in (("train", parts.train), ("stop", parts.stop), ("judge", parts.judge))
    }
    return {
        "rows": sum(sizes.values()),
        "parts": sizes,
        "judged_from_ns": int(parts.judge.made_at_ns[0]),
        "overlap": overlap,
        "trees": {name: ensemble.trees for name, ensemble in trees.items()},
        "importance": dict(list(trees[MEAN].importance().items())[:_SHOWN]),
    }
