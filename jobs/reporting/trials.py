"""The table of a parameter sweep: every trial with its settings and what it came to.

TrialsTable(trials, value="median skill", best=3).section()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.reporting import charts, wording
from jobs.reporting.charts import Chart, View, axis
from jobs.reporting.markup import Cell, Column, Section, join, paragraph, table


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a sweep."""

    number: int
    settings: Mapping[str, object]
    """What was tried, by name; a setting that a trial doesn't have is left out."""
    value: float | None
    """What the sweep wanted to make large or small; None where the trial failed or was stopped before it."""
    state: str = "finished"
    """"finished", "stopped" or "failed"."""
    seconds: float | None = None
    measures: Mapping[str, float | None] = field(default_factory=dict)
    """Anything else that was measured."""


@dataclass(frozen=True, slots=True)
class TrialsTable:
    """All trials of one sweep, for a report."""

    trials: Sequence[Trial]
    value: str = "value"
    """What `Trial.value` is."""
    best: int | None = None
    """Number of the trial that was chosen."""
    note: str = ""
    """What else is to be said: how many trials, what the untouched period gave."""

    def section(self) -> Section:
        """A chart of the values in order of the trials, and the table."""
        if not self.trials:
            return Section("trials", "Parameter sweep", paragraph("No trial was run.", "quiet"))
        names = list(dict.fromkeys(name for one in self.trials for name in one.settings))
        measures = list(dict.fromkeys(name for one in self.trials for name in one.measures))
        columns = [
            Column("Trial"),
            Column(self.value),
            Column("State", False),
            *(Column(name, _all_numbers(self.trials, name)) for name in names),
            *(Column(name) for name in measures),
            Column("Took"),
        ]
        rows = [self._row(one, names, measures) for one in self.trials]
        parts = [paragraph(self.note)] if self.note else []
        parts += [self._chart().markup(), table("Every trial; the chosen one is green.", columns, rows)]
        return Section("trials", "Parameter sweep", join(parts))

    def _row(self, one: Trial, names: Sequence[str], measures: Sequence[str]) -> list[Cell]:
        tone = "good" if one.number == self.best else "quiet" if one.state != "finished" else ""
        settings = [_setting(one.settings.get(name)) for name in names]
        found = [one.measures.get(name) for name in measures]
        return [
            Cell(f"{one.number:,}", one.number, tone),
            Cell(wording.significant(one.value, 5), one.value, tone),
            Cell(one.state, tone="bad" if one.state == "failed" else ""),
            *settings,
            *(Cell(wording.significant(value), value) for value in found),
            Cell(wording.duration(one.seconds), one.seconds),
        ]

    def _chart(self) -> Chart:
        known = [one for one in self.trials if wording.is_known(one.value)]
        at, values = [one.number for one in known], [float(one.value or 0.0) for one in known]
        dots = charts.points(
            self.value, at, values, "@1", mode="markers", hovertemplate="trial %{x}: %{y:.5g}"
        )
        traces = [dots]
        chosen = [one for one in known if one.number == self.best]
        if chosen:
            style = {"color": "@good", "size": 13, "symbol": "circle-open", "line": {"width": 2}}
            only = [float(one.value or 0.0) for one in chosen]
            traces.append(
                charts.points("chosen", [chosen[0].number], only, "@good", mode="markers", marker=style)
            )
        text = f"{wording.many(len(self.trials), 'trial')}, {len(known):,} with a value"
        if values:
            text += f", from {wording.significant(min(values), 5)} to {wording.significant(max(values), 5)}"
        layout = {"xaxis": axis("Trial"), "yaxis": axis(self.value), "hovermode": "closest"}
        return Chart("trials-chart", "Value of each trial", [View("all", traces, f"{text}.")], layout, 300)


def _all_numbers(trials: Sequence[Trial], name: str) -> bool:
    values = [one.settings[name] for one in trials if one.settings.get(name) is not None]
    return bool(values) and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


def _setting(value: object) -> Cell:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Cell(wording.setting(value), float(value) if is_number else None)  # type: ignore[arg-type]
