"""What models make of features: what it costs to shuffle one, and which ones trained trees ask for.

Shuffling says what a feature is worth (`jobs.reporting.permutation`). Splits say what a model looks at, not
that it gains by it: whether the model is worth anything is the ledger's matter. Learners that go on learning
bar by bar have no such number of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.models.package import ModelPackage
from jobs.reporting import charts, wording
from jobs.reporting.charts import Chart, View, axis, chooser
from jobs.reporting.markup import Html, Section, join, paragraph
from jobs.reporting.permutation import Permuted

_MOST_FEATURES = 30
_NO_MODEL = "No trained model was in use. What learns bar by bar has no importance of features to show."


@dataclass(frozen=True, slots=True)
class Importance:
    """What one model asks for at one horizon."""

    model: str
    """Its name in the report, like "model 7"."""
    horizon: str
    splits: Mapping[str, int]
    """Splits by column; columns never asked for may be left out."""


def of_package(name: str, package: ModelPackage) -> list[Importance]:
    """The importance in a model, horizon by horizon, from the trees of its mean."""
    return [Importance(name, horizon, heads.mean.importance()) for horizon, heads in package.horizons.items()]


def of_manifest(name: str, manifest: Mapping[str, Any]) -> list[Importance]:
    """The same from what a model's manifest says of it; empty where it says nothing."""
    metrics = manifest.get("metrics") or {}
    return [
        Importance(name, horizon, one["importance"])
        for horizon, one in metrics.items()
        if one.get("importance")
    ]


def importance_section(
    found: Sequence[Importance], shuffled: Sequence[Permuted] = (), otherwise: str = _NO_MODEL
) -> Section:
    """What shuffling costs, horizon by horizon, and the splits of trained models; `otherwise` without any."""
    parts = [*_shuffled(shuffled), *_splits(found)] or [paragraph(otherwise, "quiet")]
    return Section("importance", "Feature importance", join(parts))


_AXES = {"yaxis": {"autorange": "reversed"}, "hovermode": "closest", "showlegend": False}


def _shuffled(found: Sequence[Permuted]) -> list[Html]:
    if not found:
        return []
    views = [_shuffled_view(one) for one in found]
    longest = max(min(len(one.columns), _MOST_FEATURES) for one in found)
    layout = _AXES | {"xaxis": axis("Skill lost, % of naive's MSE")}
    chart = Chart("shuffle-chart", "What a feature is worth", views, layout, 120 + 22 * max(longest, 4))
    note = (
        "The learners of the run are mixed anew at every bar and can't be asked again. So boosted trees were "
        "trained for this report on the first part of the period and judged on the last, with each feature "
        "shuffled in turn: what the skill loses is what the feature holds for such a model."
    )
    return [paragraph(note), chooser("shuffle-view", "Show", views, [chart.identity]), chart.markup()]


def _shuffled_view(one: Permuted) -> View:
    if one.problem:
        return View(one.horizon, [], f"{one.horizon}: nothing could be trained, {one.problem}.")
    order = np.argsort(-one.drop, kind="stable")[:_MOST_FEATURES]
    names = [one.columns[place] for place in order]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": charts.numbers(100 * one.drop[order]),
        "y": names,
        "marker": {"color": "@1" if one.is_worth_something else "@quiet"},
        "error_x": {
            "type": "data",
            "array": charts.numbers(100 * one.error[order]),
            "color": "@text",
            "width": 3,
        },
        "hovertemplate": "%{y}: %{x:.4f} %<extra></extra>",
    }
    said = ", ".join(f"{one.columns[place]} {wording.fine_percent(one.drop[place])}" for place in order[:3])
    bounds = f"{wording.fine_percent(one.skill)} ± {wording.fine_percent(one.skill_error)}"
    worth = (
        f"The model beats naive by {bounds}."
        if one.is_worth_something
        else f"The model does not beat naive ({bounds}), so none of this can be relied on."
    )
    text = (
        f"{one.horizon}, {wording.many(one.symbols, 'symbol')}, {one.trained:,} rows trained on and "
        f"{one.judged:,} judged: {worth} Most is lost without {said}."
    )
    return View(one.horizon, [trace], text)


def _splits(found: Sequence[Importance]) -> list[Html]:
    if not found:
        return []
    views = [_view(one) for one in found]
    layout = _AXES | {"xaxis": axis("Splits, %")}
    longest = max(min(len(one.splits), _MOST_FEATURES) for one in found)
    chart = Chart(
        "importance-chart", "What trained models ask for", views, layout, 120 + 22 * max(longest, 4)
    )
    note = (
        "Share of the splits that test a feature, in the trees of the mean. It says what a model looks at; "
        "whether that is worth anything, the scores say."
    )
    return [paragraph(note), chooser("importance-view", "Show", views, [chart.identity]), chart.markup()]


def _view(one: Importance) -> View:
    total = sum(one.splits.values())
    ranked = sorted(one.splits.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked[:_MOST_FEATURES]
    label = f"{one.model}, {one.horizon}"
    if not total:
        return View(label, [], f"{label}: no split at all; the model says the same of everything.")
    shares = [100 * splits / total for _, splits in shown]
    names = [name for name, _ in shown]
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": charts.numbers(shares),
        "y": names,
        "marker": {"color": "@1"},
        "hovertemplate": "%{y}: %{x:.1f} %<extra></extra>",
    }
    said = ", ".join(f"{name} {wording.percent(splits / total, 1)}" for name, splits in ranked[:3])
    return View(label, [trace], f"{label}: {total:,} splits over {len(ranked)} features; most for {said}.")
