"""Charts as plain values: what report.js hands to Plotly when a chart comes into view.

Colours are names of the page's own, so that a chart follows the reader's light or dark theme: "@1" to "@8"
for series, "@text", "@quiet", "@line", "@ground", "@good", "@warn", "@bad"; "@1/0.2" is one with an opacity.
Numbers go as base64 of float32, times as offsets, a third of the size of text.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jobs.reporting.markup import Html, join, tag

Plain = dict[str, Any]
_SERIES = 8
_MS = 1_000_000
_MOST_OFFSET = 2**32 - 1


@dataclass(frozen=True, slots=True)
class View:
    """One state of a chart: charts of a group show the views of the same label together."""

    label: str
    traces: list[Plain]
    text: str
    """What is to be seen, in words: the text alternative."""
    layout: Plain = field(default_factory=dict)
    group: str = ""
    """Heading in the list of views."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its title, and one or more views."""

    identity: str
    title: str
    views: Sequence[View]
    layout: Plain = field(default_factory=dict)
    height: int = 360
    """Pixels."""

    def markup(self) -> Html:
        """The figure: title, place for the chart, text alternative, and the data."""
        first = self.views[0]
        heading = tag("h3", self.title, id=f"{self.identity}-title")
        place = tag(
            "div",
            class_="chart",
            role="img",
            style=f"height:{self.height}px",
            aria_labelledby=f"{self.identity}-title",
            aria_describedby=f"{self.identity}-text",
        )
        words = tag("figcaption", first.text, id=f"{self.identity}-text")
        content = [heading, place, words, _data(self)]
        return tag("figure", join(content), id=self.identity, data_chart="")


def chooser(identity: str, label: str, views: Sequence[View], charts: Sequence[str]) -> Html:
    """A list that chooses what the named charts show; nothing where there is one view."""
    if len(views) < 2:
        return Html("")
    groups: dict[str, list[Html]] = {}
    for view in views:
        groups.setdefault(view.group, []).append(tag("option", view.label, value=view.label))
    made = [
        tag("optgroup", join(options), label=name) if name else join(options)
        for name, options in groups.items()
    ]
    select = tag("select", join(made), id=identity, data_charts=" ".join(charts))
    return tag("p", join([tag("label", label, for_=identity), Html(" "), select]), class_="chooser")


def series(place: int) -> str:
    """The colour of one of several series."""
    return f"@{place % _SERIES + 1}"


def line(name: str, x: Plain, y: ArrayLike, colour: str, **more: Any) -> Plain:
    """A line through points."""
    style = {"color": colour, "width": 1.6} | more.pop("line", {})
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": numbers(y), "line": style} | more


def band(name: str, x: Plain, low: ArrayLike, high: ArrayLike, colour: str, **more: Any) -> list[Plain]:
    """The space between two lines."""
    none = {"width": 0, "color": colour}
    common = {"type": "scatter", "mode": "lines", "x": x, "line": none, "hoverinfo": "skip"} | more
    return [
        common | {"y": numbers(low), "showlegend": False, "name": f"{name}, lower"},
        common | {"y": numbers(high), "name": name, "fill": "tonexty", "fillcolor": f"{colour}/0.18"},
    ]


def bars(name: str, x: Any, y: ArrayLike, colour: str, **more: Any) -> Plain:
    """Columns."""
    return {"type": "bar", "name": name, "x": x, "y": numbers(y), "marker": {"color": colour}} | more


def points(
    name: str, x: Any, y: ArrayLike, colour: str, error: ArrayLike | None = None, **more: Any
) -> Plain:
    """Points with a line through them, and bars of error where given."""
    made = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": numbers(y),
        "line": {"color": colour, "width": 1.2},
        "marker": {"color": colour, "size": 7},
    }
    if error is not None:
        made["error_y"] = {
            "type": "data",
            "array": numbers(error),
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        }
    return made | more


def reference(name: str, x: Any, y: Any, **more: Any) -> Plain:
    """A dotted line to compare with."""
    style = {"color": "@quiet", "width": 1.2, "dash": "dot"}
    made = {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": style}
    return made | {"hoverinfo": "skip"} | more


def axis(title: str, **more: Any) -> Plain:
    """An axis with a title."""
    return {"title": {"text": title}} | more


def times(ns: ArrayLike) -> Plain:
    """Times (n,) in UTC ns for an axis, exact to the millisecond, or to the second beyond 49 days."""
    ms = np.asarray(ns, np.int64) // _MS
    start = int(ms.min()) if len(ms) else 0
    unit = 1 if not len(ms) or int(ms.max()) - start <= _MOST_OFFSET else 1_000
    offsets = ((ms - start) // unit).astype("<u4")
    return {"start": start, "unit": unit, "u32": base64.b64encode(offsets.tobytes()).decode()}


def numbers(values: ArrayLike) -> Plain:
    """Numbers (n,) to seven digits; what is not finite is left out of the drawing."""
    array: NDArray[np.float64] = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        small = array.astype("<f4")
    return {"f32": base64.b64encode(small.tobytes()).decode()}


def _data(chart: Chart) -> Html:
    values = {
        "layout": chart.layout,
        "views": [
            {"label": view.label, "text": view.text, "traces": view.traces, "layout": view.layout}
            for view in chart.views
        ],
    }
    return script_data(values)


def script_data(values: Any) -> Html:
    """Plain values inside the page: no text in them can end the element that they are in."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for character, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(character, escaped)
    return tag("script", Html(text), type="application/json")
