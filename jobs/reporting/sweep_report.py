"""The report of a parameter sweep: its winner, how far it is luck, and every trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.reporting import wording
from jobs.reporting.markup import Section, bullets, definitions, details, join, tag
from jobs.reporting.page import Page
from jobs.reporting.trials import Trial, TrialsTable
from jobs.reporting.verdicts import card
from jobs.sweeping.results import SweepResults
from jobs.sweeping.tables import lines_of

_MEASURES = ("skill", "hit_rate", "sharpe", "total_return", "fills", "answers")


def write_sweep_report(results: SweepResults, path: Path) -> int:
    """Write the report of a finished sweep; its size in bytes. Raises DataError for one that is not."""
    return sweep_report(results).write(path)


def sweep_report(results: SweepResults) -> Page:
    """The report of a finished sweep. Raises DataError for one that is not."""
    manifest = results.manifest()
    table = trials_of(manifest, results.rows())
    sections = [_verdict(manifest), table.section(), _settings(manifest)]
    counts = manifest["counts"]
    return Page(
        "Parameter sweep",
        f"{wording.many(counts['trials'], 'trial')} by {manifest['settings']['objective']}. "
        f"Run {results.run_id}.",
        sections,
        f"python -m jobs.report --sweep {results.run_id}.",
    )


def trials_of(manifest: Mapping[str, Any], rows: Mapping[int, Mapping[str, Any]]) -> TrialsTable:
    """All trials of a sweep as a report shows them, numbered from 1 as the sweep says them."""
    winner = manifest["winner"]
    note = "Chosen on the folds alone; what was held out is scored once, for the winner."
    best = None if winner is None else int(winner["number"]) + 1
    return TrialsTable([_trial(row) for row in rows.values()], manifest["settings"]["objective"], best, note)


def _trial(row: Mapping[str, Any]) -> Trial:
    seconds = row.get("seconds")
    return Trial(
        number=int(row["number"]) + 1,
        settings=row["point"],
        value=row.get("objective"),
        state=str(row["status"]),
        seconds=sum(seconds.values()) if seconds else None,
        measures={name: row.get(name) for name in _MEASURES},
    )


def _verdict(manifest: Mapping[str, Any]) -> Section:
    lines = [f"{line[:1].upper()}{line[1:]}." for line in lines_of(manifest)]
    winner, held = manifest["winner"], manifest["holdout"]
    cards = []
    if winner is None:
        cards.append(card("Winner", ["There is no winner.", str(manifest["why_no_winner"])], "bad"))
    else:
        cards.append(card("Winner", _winner(winner, manifest)))
    if held is not None and "problem" not in held:
        low, high = held["skill_low"], held["skill_high"]
        tone = (
            "good" if low is not None and low > 0.0 else "bad" if high is not None and high < 0.0 else "quiet"
        )
        word = {"good": "beats naive", "bad": "is worse than naive", "quiet": "does not beat naive"}[tone]
        skill = wording.fine_percent(held["skill"])
        bounds = wording.interval(low, high, 100, 3)
        cards.append(card("On the period held out", [f"It {word}: skill {skill} (90 %: {bounds})."], tone))
    return Section("verdict", "Verdict", join([tag("div", join(cards), class_="verdicts"), bullets(lines)]))


def _winner(winner: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    luck = manifest["luck"] or {}
    deflated, overfitting = luck.get("deflated_sharpe"), luck.get("overfitting_probability")
    objective = manifest["settings"]["objective"]
    return [
        f"Trial {int(winner['number']) + 1}: {objective} {wording.significant(winner.get('objective'))}.",
        f"Chance that its Sharpe ratio is more than luck after {luck.get('trials', 0):,} trials: "
        f"{wording.percent(deflated, 1)}; that choosing by these trials is overfitting: "
        f"{wording.percent(overfitting, 1)}.",
    ]


def _settings(manifest: Mapping[str, Any]) -> Section:
    winner = manifest["winner"]
    groups = {"Sweep": manifest["settings"]}
    if winner is not None:
        groups["The winner's settings"] = winner["spec"]
    made = [
        details(title, definitions({name: wording.setting(value) for name, value in values.items()}))
        for title, values in groups.items()
    ]
    return Section("settings", "Settings", join(made))
