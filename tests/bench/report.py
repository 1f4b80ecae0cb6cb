"""Results as text: Markdown tables with medians, spreads and ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from tests.bench.sampling import FOREIGN_LIMIT_CORES, Results
from tests.bench.suite import Benchmark, Column, Table

Rows = Mapping[str, Mapping[str, list[float]]]


def text(benchmark: Benchmark, results: Results) -> str:
    """Everything that one benchmark found out, ready to be printed."""
    parts = [f"## {benchmark.name}: {benchmark.title}", ""]
    for table in benchmark.tables:
        lines = _table(table, results.rows)
        if lines:
            parts += [f"**{table.title}**", "", *lines, ""]
    parts += [f"- {note}" for note in results.notes]
    parts += [f"- FAILED {failure}" for failure in results.failures]
    if results.foreign_cores:
        typical, most = statistics.median(results.foreign_cores), max(results.foreign_cores)
        loud = " (more than this machine should carry beside a benchmark: trust the ratios only)"
        parts.append(
            f"- CPU that other processes took meanwhile: {typical:.2f} cores (median), {most:.2f} (most)"
            f"{loud if typical > FOREIGN_LIMIT_CORES else ''}"
        )
    return "\n".join([*parts, ""])


def summary(results: Results) -> dict[str, dict[str, dict[str, float | int]]]:
    """Median, minimum, maximum and count of every metric of every row."""
    return {
        row: {
            metric: {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "n": len(values),
            }
            for metric, values in metrics.items()
        }
        for row, metrics in results.rows.items()
    }


def _table(table: Table, rows: Rows) -> list[str]:
    """The table's lines; none when nothing of it was measured."""
    wanted = table.rows or tuple(row for row in rows if row.startswith(table.prefix))
    metrics = {column.metric for column in table.columns}
    shown = [row for row in wanted if metrics & rows.get(row, {}).keys()]
    if not shown:
        return []
    head: list[str] = [table.first]
    for column in table.columns:
        head.append(f"{column.title}, median (min-max)" if column.spread else column.title)
        if column.against:
            head.append(f"× {column.against.removeprefix(table.prefix)}")
    body = [
        [
            row.removeprefix(table.prefix),
            *(cell for column in table.columns for cell in _cells(column, row, rows)),
        ]
        for row in shown
    ]
    return aligned(head, body)


def aligned(head: list[str], body: list[list[str]]) -> list[str]:
    """The lines of a Markdown table, its columns as wide as they have to be."""
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (head, rule, *body)
    ]


def _cells(column: Column, row: str, rows: Rows) -> list[str]:
    values = rows[row].get(column.metric)
    if not values:
        return ["", ""] if column.against else [""]
    median = statistics.median(values)
    shown = number(median)
    if column.spread and len(values) > 1:
        shown += f" ({number(min(values))}-{number(max(values))})"
    if not column.against:
        return [shown]
    other = rows.get(column.against, {}).get(column.metric)
    base = statistics.median(other) if other else math.nan
    return [shown, number(median / base) if base else ""]


def number(value: float) -> str:
    """A number as a person reads it: three digits, more before the point."""
    if not math.isfinite(value):
        return "-"
    if value == 0.0:
        return "0"
    size = abs(value)
    if size < 1e-3:
        return f"{value:.0e}"
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}"
