"""A sweep as one HTML file, by the means of `jobs.reporting`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.reporting.markup import Section, bullets
from jobs.reporting.page import Page
from jobs.reporting.trials import Trial, TrialsTable
from jobs.sweeping import tables
from jobs.sweeping.search import Row


def write_report(manifest: Mapping[str, Any], rows: Mapping[int, Row], path: Path) -> int:
    """Write the report of a sweep; its size in bytes. Raises ConfigError where the file can't be written."""
    lines = tables.lines_of(manifest)
    verdict = Section("verdict", "What came of it", bullets(lines))
    folds = manifest["periods"]["folds"]
    period = f"{tables.day(folds[0][0])} to {tables.day(folds[-1][1])} UTC"
    return Page(
        "Sweep",
        f"{len(rows)} trials on {len(manifest['symbols'])} symbols, {len(folds)} folds from {period}. "
        f"Run {manifest['run_id']}.",
        [verdict, trials_table(manifest, rows).section()],
        f"python -m jobs.sweep; code {manifest['code_version']}. Past results say little about future ones.",
    ).write(path)


def trials_table(manifest: Mapping[str, Any], rows: Mapping[int, Row]) -> TrialsTable:
    """All trials, numbered from 1 as in the lines of progress."""
    winner = manifest["winner"]
    trials = [
        Trial(
            number + 1,
            row["point"],
            row.get("objective"),
            row["status"],
            sum(row.get("seconds", {}).values()),
            {name: row.get(name) for name in ("skill", "sharpe", "total_return", "hit_rate", "folds")},
        )
        for number, row in sorted(rows.items())
    ]
    return TrialsTable(
        trials,
        manifest["settings"]["objective"],
        None if winner is None else winner["number"] + 1,
        "The objective of trials that were stopped is that of fewer folds.",
    )
