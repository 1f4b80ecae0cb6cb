"""Charts of the forecasts: skill as time goes by, and whether what they say of themselves holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from features import durations
from jobs.reporting import charts, wording
from jobs.reporting.answers import Evidence, Groups, together
from jobs.reporting.charts import Chart, View, axis, chooser
from jobs.reporting.forecasts import Forecasts
from jobs.reporting.markup import Cell, Column, Html, Section, details, join, paragraph, table, tag
from jobs.reporting.rolling_skill import Panes, rolling

ALL = "All symbols"
MOST_SYMBOLS = 40
"""Symbols with charts of their own; the others are in the tables and in what is drawn of all."""
_LEAST_DRAWN = 5
"""Answers that do not overlap below which a share is not drawn; the table has it."""
Named = tuple[str, str, Evidence]
"""Horizon, symbol or ALL, evidence."""


def skill_section(forecasts: Forecasts) -> Section:
    """Rolling skill and coverage."""
    views, covered = [], []
    for horizon, name, evidence in _all(forecasts):
        panes = forecasts.panes(horizon)
        views.append(_skill_view(horizon, name, evidence, panes))
        covered.append(_coverage_view(horizon, name, evidence, panes, forecasts.coverage))
    if not views:
        return Section("skill", "Skill over time", _nothing())
    made = [
        Chart(
            "skill-chart",
            "Skill against naive",
            views,
            {"yaxis": axis("Skill, % of naive's MSE", zeroline=True), "xaxis": {"type": "date"}},
        ),
        Chart(
            "coverage-chart",
            "Outcomes inside the interval",
            covered,
            {"yaxis": axis("Inside, %"), "xaxis": {"type": "date"}},
            height=260,
        ),
    ]
    note = (
        "Each point is the window that ends there. The band is a 95 % interval of one window; where it is "
        "above the dotted line of naive, the forecast was better, and windows overlap, so neighbours say "
        f"the same. In “{ALL}” each symbol counts by its own volatility."
    )
    return Section("skill", "Skill over time", join([paragraph(note), *_group("skill", views, made)]))


def calibration_section(forecasts: Forecasts) -> Section:
    """Reliability of p_up, outcome by decile of the forecast, coverage by decile of the width."""
    found = list(_all(forecasts))
    if not found:
        return Section("calibration", "Calibration", _nothing())
    up = [_p_up_view(*one) for one in found]
    made = [
        Chart(
            "forecast-chart",
            "Predicted and realised",
            [_forecast_view(*one) for one in found],
            _FORECAST_AXES,
            340,
        ),
        Chart(
            "width-chart",
            "Coverage by width",
            [_width_view(*one, forecasts.coverage) for one in found],
            {"xaxis": axis("Width of the interval, bps"), "yaxis": axis("Inside, %"), "hovermode": "closest"},
            340,
        ),
    ]
    has_p_up = any(evidence.by_p_up.count.any() for *_, evidence in found)
    if has_p_up:
        made.append(Chart("up-chart", "Probability of a rise", up, _UP_AXES, 340))
    note = (
        "Answers are sorted into ten groups of equal size within each symbol. Bars of error are 95 % "
        "intervals that count only as many answers as do not overlap."
    )
    none = (
        [] if has_p_up else [paragraph("The probability of a rise was not kept with these answers.", "quiet")]
    )
    parts = [paragraph(note), *_group("calibration", up, made), *none, *_tables(found)]
    return Section("calibration", "Calibration", join(parts))


_FORECAST_AXES = {
    "xaxis": axis("Forecast, bps"),
    "yaxis": axis("Outcome, bps"),
    "hovermode": "closest",
}
_UP_AXES = {
    "xaxis": axis("Said, %", range=[0, 100]),
    "yaxis": axis("Rose, %", range=[0, 100]),
    "hovermode": "closest",
}


def _group(identity: str, views: list[View], made: list[Chart]) -> list[Html]:
    """Charts with one list of views over them."""
    names = [one.identity for one in made]
    choose = chooser(f"{identity}-view", "Show", views, names)
    figures = join([one.markup() for one in made])
    return [choose, figures if identity == "skill" else tag("div", figures, class_="charts")]


def _all(forecasts: Forecasts) -> Iterator[Named]:
    """Horizon by horizon, all symbols together first where there are several."""
    for horizon in forecasts.horizons:
        found = [
            (forecasts.names[one.venue, one.symbol], one.evidence[horizon])
            for one in forecasts.symbols
            if horizon in one.evidence
        ]
        if len(found) > 1:
            yield horizon, ALL, together([evidence for _, evidence in found])
        for name, evidence in found[:MOST_SYMBOLS]:
            yield horizon, name, evidence


def _nothing() -> Html:
    return paragraph("No forecast has been answered, so there is nothing to draw.", "quiet")


def _view(
    horizon: str, name: str, traces: list[charts.Plain], text: str, layout: charts.Plain | None = None
) -> View:
    return View(f"{horizon}: {name}", traces, text, layout or {}, f"Horizon {horizon}")


def _skill_view(horizon: str, name: str, evidence: Evidence, panes: Panes) -> View:
    found = rolling(evidence.panes, panes)
    known = np.isfinite(found.skill)
    if not known.any():
        text = f"{name} at {horizon}: the period is too short for a curve; {evidence.answers:,} answers."
        return _view(horizon, name, [], text)
    at = charts.times(found.end_ns)
    edge = charts.times(found.end_ns[[0, -1]])
    traces = [
        *charts.band("95 %", at, 100 * found.low, 100 * found.high, "@1"),
        charts.reference("naive", edge, [0, 0]),
        charts.line("skill", at, 100 * found.skill, "@1", hovertemplate="%{y:.3f} %"),
    ]
    better, worse = np.mean(found.low[known] > 0.0), np.mean(found.high[known] < 0.0)
    window = durations_text(panes.window * panes.width_ns)
    text = (
        f"{name} at {horizon}, windows of {window}: skill between "
        f"{wording.fine_percent(float(np.nanmin(found.skill)))} and "
        f"{wording.fine_percent(float(np.nanmax(found.skill)))}, "
        f"{wording.fine_percent(evidence.panes.skill)} over the whole period. The band is above naive in "
        f"{wording.percent(float(better), 0)} of the windows, below in {wording.percent(float(worse), 0)}."
    )
    return _view(horizon, name, traces, text)


def _coverage_view(horizon: str, name: str, evidence: Evidence, panes: Panes, stated: float) -> View:
    found = rolling(evidence.panes, panes)
    known = found.coverage[np.isfinite(found.coverage)]
    if not len(known):
        return _view(horizon, name, [], f"{name} at {horizon}: too few intervals for a curve.")
    edge = charts.times(found.end_ns[[0, -1]])
    traces = [
        charts.reference("stated", edge, [100 * stated] * 2),
        charts.line(
            "inside", charts.times(found.end_ns), 100 * found.coverage, "@3", hovertemplate="%{y:.1f} %"
        ),
    ]
    text = (
        f"{name} at {horizon}: between {wording.percent(float(known.min()), 1)} and "
        f"{wording.percent(float(known.max()), 1)} of the outcomes of a window were inside the interval, "
        f"which states {wording.percent(stated, 0)}."
    )
    return _view(horizon, name, traces, text)


def _forecast_view(horizon: str, name: str, evidence: Evidence) -> View:
    groups = evidence.by_forecast
    has = groups.count > 0.0
    x, y, error = (1e4 * one[has] for one in (groups.mean_expected, groups.mean_found, groups.error))
    ends = [float(x.min()), float(x.max())]
    traces = [
        charts.reference("as predicted", ends, ends),
        charts.points(
            "outcome",
            charts.numbers(x),
            y,
            "@1",
            error,
            mode="markers",
            hovertemplate="%{x:.3f} → %{y:.3f} bps",
        ),
    ]
    text = (
        f"{name} at {horizon}: in the lowest group {wording.number(float(x[0]), 3)} bps were forecast and "
        f"{wording.number(float(y[0]), 3)} came; in the highest {wording.number(float(x[-1]), 3)} and "
        f"{wording.number(float(y[-1]), 3)}. On the dotted line, forecasts are right on average."
    )
    return _view(horizon, name, traces, text)


def _width_view(horizon: str, name: str, evidence: Evidence, stated: float) -> View:
    groups = evidence.by_width
    has = groups.count > 0.0
    if not has.any():
        return _view(horizon, name, [], f"{name} at {horizon}: no forecast came with an interval.")
    x, y, error = 1e4 * groups.mean_expected[has], 100 * groups.mean_found[has], 100 * groups.error[has]
    traces = [
        charts.reference("stated", [float(x.min()), float(x.max())], [100 * stated] * 2),
        charts.points("inside", charts.numbers(x), y, "@3", error, hovertemplate="%{x:.1f} bps: %{y:.1f} %"),
    ]
    text = (
        f"{name} at {horizon}: of the narrowest tenth of the intervals {wording.number(float(y[0]), 1)} % "
        f"held, of the widest {wording.number(float(y[-1]), 1)} %; {wording.percent(stated, 0)} are stated."
    )
    return _view(horizon, name, traces, text)


def _p_up_view(horizon: str, name: str, evidence: Evidence) -> View:
    groups = evidence.by_p_up
    has = groups.independent >= _LEAST_DRAWN
    if not has.any():
        return _view(
            horizon,
            name,
            [],
            f"{name} at {horizon}: nothing, or too little, was kept of the probability of a rise.",
        )
    x, y, error = 100 * groups.mean_expected[has], 100 * groups.mean_found[has], 100 * groups.error[has]
    traces = [
        charts.reference("as said", [0, 100], [0, 100]),
        charts.points(
            "rose", charts.numbers(x), y, "@4", error, hovertemplate="said %{x:.1f} %: %{y:.1f} % rose"
        ),
    ]
    total = groups.count[has].sum()
    off = float(np.sum(groups.count[has] * np.abs(x - y)) / total)
    text = (
        f"{name} at {horizon}: {wording.number(off, 2)} percentage points between what was said and the "
        f"share that rose, on average over {wording.count(float(total))} answers; the price rose in "
        f"{wording.percent(float(groups.found[has].sum() / total), 1)} and had not moved in "
        f"{wording.percent(evidence.unmoved / max(1, evidence.answers), 1)}."
    )
    return _view(horizon, name, traces, text)


def _tables(found: list[Named]) -> list[Html]:
    """The groups of each horizon as tables, all symbols together or the only one."""
    made, seen = [], set()
    for horizon, name, evidence in found:
        if horizon in seen:
            continue
        seen.add(horizon)
        made.append(
            details(
                f"The numbers: {horizon}, {name.lower() if name == ALL else name}",
                join(
                    [
                        _table(
                            "Deciles of the forecast",
                            "Forecast bps",
                            "Outcome bps",
                            evidence.by_forecast,
                            _bps,
                            _bps,
                        ),
                        _table(
                            "Deciles of the width", "Width bps", "Inside %", evidence.by_width, _bps, _share
                        ),
                        _table("Probability of a rise", "Said %", "Rose %", evidence.by_p_up, _share, _share),
                    ]
                ),
            )
        )
    return made


Write = Callable[[float], str]


def _bps(value: float) -> str:
    return wording.bps(value, 3)


def _share(value: float) -> str:
    return wording.number(100 * value, 1)


def _table(caption: str, said: str, came: str, groups: Groups, write_said: Write, write_came: Write) -> Html:
    columns = (Column("Group"), Column("Answers"), Column(said), Column(came), Column("± 95 %"))
    rows = []
    for i in np.flatnonzero(groups.count).tolist():
        values = [float(one[i]) for one in (groups.mean_expected, groups.mean_found, groups.error)]
        texts = [
            write(value) for write, value in zip((write_said, write_came, write_came), values, strict=True)
        ]
        cells = [Cell(text, value) for text, value in zip(texts, values, strict=True)]
        rows.append([Cell(f"{i + 1}", i), Cell(wording.count(groups.count[i]), groups.count[i]), *cells])
    return table(caption, columns, rows)


def durations_text(ns: float) -> str:
    """A length of time for people."""
    return wording.duration(ns / 1e9) if ns >= 1e6 else durations.text(int(ns))
