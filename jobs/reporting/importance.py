"""Which features trained models ask for: how many splits of their trees test each.

Splits say what a model looks at, not that it gains by it: whether the model is worth anything is the ledger's
matter. Learners that go on learning bar by bar have no such number, so none is shown for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.models.package import ModelPackage
from jobs.reporting import charts, wording
from jobs.reporting.charts import Chart, View, axis, chooser
from jobs.reporting.markup import Section, join, paragraph

_MOST_FEATURES = 30


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


def importance_section(found: Sequence[Importance]) -> Section:
    """A chart with a view for each model and horizon."""
    views = [_view(one) for one in found]
    if not views:
        text = "No trained model was in use. What learns bar by bar has no importance of features to show."
        return Section("importance", "Feature importance", paragraph(text, "quiet"))
    layout = {"xaxis": axis("Splits, %"), "yaxis": {"autorange": "reversed"}, "hovermode": "closest"}
    longest = max(min(len(one.splits), _MOST_FEATURES) for one in found)
    chart = Chart("importance-chart", "What the trees ask for", views, layout, 120 + 22 * max(longest, 4))
    note = (
        "Share of the splits that test a feature, in the trees of the mean. It says what a model looks at; "
        "whether that is worth anything, the scores say."
    )
    return Section(
        "importance",
        "Feature importance",
        join([paragraph(note), chooser("importance-view", "Show", views, [chart.identity]), chart.markup()]),
    )


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
