"""Reads a report like a browser and a careful reader do, for tests."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np

_ALONE = {"meta", "br", "hr", "img", "input", "link"}


class Reading(HTMLParser):
    """Everything that a test asks of a page. Raises AssertionError for tags that are not balanced."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.headings: list[tuple[str, str]] = []
        self.ids: list[str] = []
        self.referred: list[str] = []
        self.addresses: list[str] = []
        self.charts: dict[str, Any] = {}
        self.rows: list[list[str]] = []
        self.captions: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.options: list[str] = []
        self.text = ""
        self._figure = ""
        self._said = ""
        self._rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in _ALONE:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.referred += str(given.get(name) or "").split()
        self.addresses += [str(given[name]) for name in ("src", "href", "action") if given.get(name)]
        if tag == "figure":
            self._figure = str(given["id"])
        if tag == "tr":
            self.rows.append([])
            self._rows.append(self.rows[-1])
        if tag in ("h1", "h2", "h3", "td", "th", "caption", "option", "script", "style"):
            self._said = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()
        if tag in ("h1", "h2", "h3"):
            self.headings.append((tag, self._said))
        elif tag in ("td", "th"):
            self.rows[-1].append(self._said)
        elif tag == "caption":
            self.captions.append(self._said)
            self.tables[self._said] = self._rows = []
        elif tag == "option":
            self.options.append(self._said)
        elif tag == "script" and self._figure:
            self.charts[self._figure] = json.loads(self._said)
        elif tag == "figure":
            self._figure = ""

    def handle_data(self, data: str) -> None:
        self._said += data
        if not {"script", "style"} & set(self.open):
            self.text += data

    def row(self, *first: str) -> list[str]:
        """The only row that begins with these cells."""
        found = [row for row in self.rows if tuple(row[: len(first)]) == first]
        assert len(found) == 1, f"{len(found)} rows begin with {first}"
        return found[0]

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the table whose caption begins so, its head left out."""
        return next(rows[1:] for title, rows in self.tables.items() if title.startswith(caption))

    def view(self, chart: str, label: str) -> dict[str, Any]:
        """One view of a chart, its traces by name with their numbers unpacked."""
        view = next(one for one in self.charts[chart]["views"] if one["label"] == label)
        traces = {}
        for trace in view["traces"]:
            traces[trace["name"]] = trace | {axis: unpacked(trace[axis]) for axis in ("x", "y")}
        return view | {"traces": traces}


def read(html: str) -> Reading:
    """The page without Plotly's own code, which no test is about."""
    scripts = re.findall(r"<script>.*?</script>", html, re.S)
    assert len(scripts) == 2 and "plotly.js" in scripts[0][:200]
    return Reading(html.replace(scripts[0], "", 1))


def unpacked(values: Any) -> Any:
    """Numbers as report.js unpacks them; times in ms."""
    if not isinstance(values, dict):
        return np.asarray(values)
    if "f32" in values:
        return np.frombuffer(base64.b64decode(values["f32"]), "<f4").astype(np.float64)
    offsets = np.frombuffer(base64.b64decode(values["u32"]), "<u4").astype(np.int64)
    return values["start"] + offsets * values["unit"]


def check(html: str) -> Reading:
    """What must hold of every report: balanced, labelled, unique names, and nothing from elsewhere."""
    page = read(html)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.referred) <= set(page.ids)
    assert all(address.startswith("#") and address[1:] in page.ids for address in page.addresses)
    without_plotly = html.replace(re.findall(r"<script>.*?</script>", html, re.S)[0], "", 1)
    assert not re.search(r"https?:|//\w+\.\w|@import|url\(", without_plotly)
    assert [level for level, _ in page.headings].count("h1") == 1
    assert all(page.captions)
    assert all(view["text"] for chart in page.charts.values() for view in chart["views"])
    assert "nan" not in re.findall(r"[a-z]+", page.text.lower())
    return page
