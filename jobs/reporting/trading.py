"""Equity, drawdown and position of trading rules: curves with few points, and the section that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.reporting import charts, wording
from jobs.reporting.charts import Chart, View, axis, chooser
from jobs.reporting.markup import Section, join, paragraph
from jobs.reporting.thinning import Thinner

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Curve = tuple[Ints, Floats]

_BUDGET = 160_000
"""Points of all curves of a report together."""
_MOST_POINTS, _LEAST_POINTS = 2_000, 120
_PANELS = ("equity", "drawdown", "position")


@dataclass(frozen=True, slots=True)
class RuleCurves:
    """What is drawn of one rule on one symbol, or on all."""

    rule: str
    equity: Curve
    """In % of the capital."""
    drawdown: Curve
    """Below the highest equity so far, in %; never above 0."""
    position: Curve | None
    """Its value as a multiple of the equity; None where there is no such number."""
    deepest: float
    """The deepest drawdown of all bars, as a share."""


def points_each(symbols: int, rules: int) -> int:
    """Points that one curve may have, so that a report stays small however much is in it."""
    share = _BUDGET // max(1, symbols * rules * len(_PANELS))
    return max(_LEAST_POINTS, min(_MOST_POINTS, share))


class CurveBuilder:
    """Takes the bars of one rule part by part; no more than the points to be drawn are kept."""

    def __init__(self, rule: str, capital: float, rows: int, most: int) -> None:
        """`rows` bars are to come, of which each curve keeps at most `most` points."""
        self._rule, self._capital, self._peak = rule, capital, capital
        self._thinners = {name: Thinner(rows, most) for name in _PANELS}
        self._deepest = 0.0
        self._has_position = False

    def add(
        self, end_ns: Ints, equity: Floats, position: Floats | None = None, price: Floats | None = None
    ) -> None:
        """The next bars, all (n,); the equity in quote currency, the position in units."""
        if not len(equity):
            return
        peaks = np.maximum(np.maximum.accumulate(equity), self._peak)
        self._peak = float(peaks[-1])
        fall = (peaks - equity) / peaks
        self._deepest = max(self._deepest, float(fall.max()))
        self._thinners["equity"].add(end_ns, 100.0 * equity / self._capital)
        self._thinners["drawdown"].add(end_ns, -100.0 * fall)
        if position is not None and price is not None:
            self._has_position = True
            own = np.where(equity > 0.0, equity, np.nan)
            held = np.where(position != 0.0, position * price / own, 0.0)
            self._thinners["position"].add(end_ns, held)

    def curves(self) -> RuleCurves:
        """What is to be drawn."""
        equity, drawdown, position = (self._thinners[name].curve() for name in _PANELS)
        return RuleCurves(
            self._rule, equity, drawdown, position if self._has_position else None, self._deepest
        )


def curves_section(found: Mapping[str, Sequence[RuleCurves]], left_out: int) -> Section:
    """The chart of all rules, a view for each name; `left_out` symbols have no view of their own."""
    views = [
        _view(name, curves) for name, curves in found.items() if any(len(one.equity[0]) for one in curves)
    ]
    if not views:
        return Section(
            "equity", "Equity", paragraph("No rule has seen a bar, so there is no curve.", "quiet")
        )
    chart = Chart("equity-chart", "Equity, drawdown and position after costs", views, height=640)
    note = (
        "Equity and drawdown in % of the capital, the position as a multiple of the equity. Of each stretch "
        "of a long curve the first, last, lowest and highest point are drawn, so no peak or trough is lost."
    )
    more = f" {wording.many(left_out, 'symbol')} more are in the tables alone." if left_out else ""
    parts = [paragraph(note + more), chooser("equity-view", "Show", views, [chart.identity]), chart.markup()]
    return Section("equity", "Equity", join(parts))


def _view(name: str, curves: Sequence[RuleCurves]) -> View:
    traces, said = [], []
    has_position = any(one.position is not None for one in curves)
    for place, one in enumerate(curves):
        colour = charts.series(place)
        common = {"legendgroup": one.rule}
        at, equity = one.equity
        if not len(at):
            continue
        traces.append(
            charts.line(one.rule, charts.times(at), equity, colour, hovertemplate="%{y:.2f} %", **common)
        )
        at, fall = one.drawdown
        below = {"yaxis": "y2", "showlegend": False, "hovertemplate": "%{y:.2f} %"} | common
        traces.append(charts.line(one.rule, charts.times(at), fall, colour, line={"width": 1.1}, **below))
        if one.position is not None and len(one.position[0]):
            at, held = one.position
            style = {"width": 1.0, "shape": "hv"}
            last = {"yaxis": "y3", "showlegend": False, "hovertemplate": "%{y:.2f}"} | common
            traces.append(charts.line(one.rule, charts.times(at), held, colour, line=style, **last))
        ends = float(equity[-1])
        said.append(
            f"{one.rule} ends at {wording.number(ends)} % of its capital, "
            f"{wording.number(float(equity.min()))} % at its lowest, {wording.number(float(equity.max()))} % "
            f"at its highest; its deepest fall is {wording.percent(one.deepest)}"
        )
    return View(name, traces, f"{name}: {'; '.join(said)}.", _panels(has_position))


def _panels(has_position: bool) -> charts.Plain:
    """Two or three charts over one axis of time."""
    lowest = "y3" if has_position else "y2"
    domains = [[0.46, 1.0], [0.24, 0.43], [0.0, 0.21]] if has_position else [[0.38, 1.0], [0.0, 0.34], None]
    layout = {
        "xaxis": {"type": "date", "anchor": lowest, "domain": [0, 1]},
        "yaxis": axis("Equity, %", domain=domains[0]),
        "yaxis2": axis("Drawdown, %", domain=domains[1], rangemode="tozero"),
    }
    if has_position:
        layout["yaxis3"] = axis("Position", domain=domains[2])
    return layout
