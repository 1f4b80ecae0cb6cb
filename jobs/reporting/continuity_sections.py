"""How whole the trades of a period are: a sentence, a table, what happened, trades over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cluster.event_order import NoteEvent
from jobs.reporting import charts, wording
from jobs.reporting.charts import Chart, View, axis, chooser
from jobs.reporting.continuity import PANES, SymbolContinuity
from jobs.reporting.forecast_charts import MOST_SYMBOLS
from jobs.reporting.markup import Cell, Column, Html, Section, details, join, paragraph, table
from jobs.reporting.verdicts import card
from jobs.reporting.wording import many

Names = Mapping[tuple[str, str], str]
_MOST_HAPPENINGS = 500
_MOST_MARKS = 400
_COLOURS = {"bad": "@bad", "warn": "@warn", "good": "@good", "": "@quiet"}


def continuity_card(found: Sequence[SymbolContinuity]) -> Html:
    """The continuity of all symbols in a few words."""
    trades = sum(one.trades for one in found)
    seen, filled, given_up, opened = (
        sum(one.events[NoteEvent.GAP_FOUND] for one in found),
        sum(one.events[NoteEvent.GAP_FILLED] for one in found),
        sum(one.events[NoteEvent.GAP_GIVEN_UP] for one in found),
        sum(one.open_gaps for one in found),
    )
    lost = sum(missing(one) for one in found)
    first = (
        f"{many(trades, 'trade')} stored, {many(seen, 'gap')} found: {filled} filled, {given_up} given up."
    )
    lines = [first]
    if opened:
        lines.append(f"{many(opened, 'gap')} had no end within the period.")
    lines.append(
        "No trade is known to be missing." if not lost else f"{many(lost, 'trade')} known to be missing."
    )
    starts = sum(len(one.started_ns) for one in found)
    lines.append(
        f"{many(starts, 'start')} of actors, {many(sum(one.swaps for one in found), 'swap')} of models."
    )
    tone = "bad" if lost or given_up else "quiet" if opened or not trades else "good"
    return card("Continuity", lines, tone)


def missing(one: SymbolContinuity) -> int:
    """Trades that were given up in the period and have not been repaired in it."""
    return max(0, one.concerned[NoteEvent.GAP_GIVEN_UP] - one.concerned[NoteEvent.GAP_REPAIRED])


def continuity_section(
    found: Sequence[SymbolContinuity], names: Names, start_ns: int, end_ns: int
) -> Section:
    """Everything about the continuity of a period."""
    if not found:
        return Section("continuity", "Continuity", paragraph("There is no symbol to tell of.", "quiet"))
    parts = [table("Trades of the period as they are stored.", _COLUMNS, [_row(one, names) for one in found])]
    kept = [one for one in found if one.kept]
    if kept:
        caption = "Over the whole life, as of the newest checkpoint in the lake."
        parts.append(
            details(
                "Counters since the beginning",
                table(caption, _KEPT_COLUMNS, [_kept(one, names) for one in kept]),
            )
        )
    views = [_view(one, names, start_ns, end_ns) for one in found[:MOST_SYMBOLS] if one.trades]
    if views:
        layout = {
            "xaxis": {"type": "date"},
            "yaxis": axis("Trades", rangemode="tozero"),
            "hovermode": "closest",
        }
        chart = Chart("trades-chart", "Trades over time, and what happened", views, layout, 320)
        parts += [chooser("trades-view", "Show", views, [chart.identity]), chart.markup()]
    else:
        parts.append(paragraph("No trade lies in this period.", "quiet"))
    parts.append(_happenings(found, names))
    return Section("continuity", "Continuity", join(parts))


_COLUMNS = (
    Column("Symbol", False),
    Column("Trades", hint="Different trades stored"),
    Column("Quotes"),
    Column("Stored late", hint="Trades that came after later ones had been fed on: stored, not learned from"),
    Column("Reordered", hint="Trades put in their place"),
    Column("Gaps found"),
    Column("Filled"),
    Column("Given up"),
    Column("Open", hint="Found in the period, without an end in it"),
    Column("Trades filled", hint="Brought by REST, in their place"),
    Column("Missing", hint="Trades given up and not repaired in the period"),
    Column("Longest silence", hint="Between two trades, by the venue's clock"),
    Column("Lateness, median", hint="From the venue's stamp to ours; the difference of the clocks is in it"),
    Column("p99"),
    Column("Max."),
    Column("Starts", hint="Of the symbol's actor"),
    Column("New engines", hint="Starts without an earlier state"),
    Column("Swaps", hint="Of models"),
)


def _row(one: SymbolContinuity, names: Names) -> list[Cell]:
    events, concerned = one.events, one.concerned
    lost, given_up = missing(one), events[NoteEvent.GAP_GIVEN_UP]
    return [
        Cell(names[one.venue, one.symbol]),
        _count(one.trades),
        _count(one.quotes),
        _count(one.late),
        _count(events[NoteEvent.REORDERED]),
        _count(events[NoteEvent.GAP_FOUND]),
        _count(events[NoteEvent.GAP_FILLED]),
        _count(given_up, "bad"),
        _count(one.open_gaps, "warn"),
        _count(concerned[NoteEvent.GAP_FILLED]),
        _count(lost, "bad"),
        _length(one.longest_silence_s if one.trades > 1 else None),
        *(_length(one.lateness_s.get(name)) for name in ("median", "p99", "max")),
        _count(len(one.started_ns)),
        _count(one.fresh),
        _count(one.swaps),
    ]


_COUNTERS = {
    "seen": "Seen",
    "duplicates": "Duplicates",
    "overlapped": "Said by two connections",
    "reordered": "Reordered",
    "holes": "Holes",
    "gaps_found": "Gaps found",
    "gaps_filled": "Filled",
    "gaps_given_up": "Given up",
    "trades_filled": "Trades filled",
    "trades_given_up": "Trades given up",
    "trades_repaired": "Repaired",
    "ids_restarted": "Ids begun anew",
}
_KEPT_COLUMNS = (Column("Symbol", False), *(Column(title) for title in _COUNTERS.values()))


def _kept(one: SymbolContinuity, names: Names) -> list[Cell]:
    return [Cell(names[one.venue, one.symbol]), *(_count(one.kept[name]) for name in _COUNTERS)]


def _count(value: int, tone: str = "") -> Cell:
    return Cell(f"{value:,}", value, tone if value else "")


def _length(seconds: float | None) -> Cell:
    return Cell(wording.duration(seconds), seconds)


def _view(one: SymbolContinuity, names: Names, start_ns: int, end_ns: int) -> View:
    name = names[one.venue, one.symbol]
    width = (end_ns - start_ns) / PANES
    middles = (start_ns + width * (np.arange(PANES) + 0.5)).astype(np.int64)
    traces = [
        charts.bars(
            "trades", charts.times(middles), one.per_pane, "@1", hovertemplate="%{x}: %{y:,}<extra></extra>"
        )
    ]
    shown = one.happenings[:_MOST_MARKS]
    for what in dict.fromkeys(happening.what for happening in shown):
        own = [happening for happening in shown if happening.what == what]
        style = {"size": 10, "symbol": "diamond", "color": _COLOURS[own[0].tone]}
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": what,
                "x": charts.times([happening.at_ns for happening in own]),
                "y": [0] * len(own),
                "cliponaxis": False,
                "marker": style,
                "text": [happening.detail for happening in own],
                "hovertemplate": "%{x}: %{text}",
            }
        )
    said = ", ".join(
        f"{what} {count} times" if count > 1 else f"{what} once" for what, count in _counted(one)
    )
    empty = int(np.count_nonzero(one.per_pane == 0))
    text = (
        f"{name}: {many(one.trades, 'trade')}, {wording.moment(one.first_ns)} to "
        f"{wording.moment(one.last_ns)} UTC; {empty} of {PANES} columns of {wording.duration(width / 1e9)} "
        "are empty. " + (f"What happened: {said}." if said else "Nothing happened.")
    )
    return View(name, traces, text)


def _counted(one: SymbolContinuity) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for happening in one.happenings:
        counts[happening.what] = counts.get(happening.what, 0) + 1
    return list(counts.items())


def _happenings(found: Sequence[SymbolContinuity], names: Names) -> Html:
    lines = sorted(
        ((names[one.venue, one.symbol], happening) for one in found for happening in one.happenings),
        key=lambda line: line[1].at_ns,
    )
    if not lines:
        return paragraph("Nothing happened: no gap, no start of an actor, no swap of a model.", "quiet")
    columns = (
        Column("Time (UTC)", False),
        Column("Symbol", False),
        Column("What", False),
        Column("Detail", False),
    )
    rows = [
        [
            Cell(wording.moment(one.at_ns), one.at_ns / 1e9),
            Cell(name),
            Cell(one.what, tone=one.tone),
            Cell(one.detail),
        ]
        for name, one in lines
    ]
    return table("What happened, in order.", columns, rows, _MOST_HAPPENINGS)
