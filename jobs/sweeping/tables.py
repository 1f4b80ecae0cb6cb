"""A sweep for people: a line for each trial as it ends, a table at the end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from features import durations
from jobs.sweeping.search import FAILED, STOPPED, Row
from jobs.sweeping.trial_spec import TrialSpec

_SHOWN = 12
_NUMBERS = ("objective", "skill", "Sharpe", "return", "fills")


def line_of(row: Row, trials: int, best: Row | None) -> str:
    """A trial that has ended, in one line."""
    head = f"trial {row['number'] + 1} of {trials}"
    if row["status"] == FAILED:
        return f"{head} failed: {row['problem']}"
    spec = TrialSpec.from_dict(row["spec"])
    ended = f", stopped after {row['folds']} folds" if row["status"] == STOPPED else ""
    so_far = f"; best {number(best['objective'])} (trial {best['number'] + 1})" if best else ""
    what = f"{row['point']['features']} {spec.horizon} {spec.model_text} {spec.rule}"
    return f"{head}: {what}: {number(row['objective'])}{ended}{so_far}"


def show(console: Console, manifest: Mapping[str, Any], rows: Mapping[int, Row]) -> None:
    """Print the best trials, what held-out data say of the winner, and where the time went."""
    console.print(_table(manifest, rows))
    for text in lines_of(manifest):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def lines_of(manifest: Mapping[str, Any]) -> list[str]:
    """The verdict, in sentences."""
    counts = manifest["counts"]
    told = f"{counts['trials']} trials: {counts['finished']} whole, {counts['stopped']} stopped early"
    lines = [f"{told}, {counts['failed']} failed"]
    lines += [f"{name}: {why}" for name, why in manifest["left_out"].items()]
    winner = manifest["winner"]
    if winner is None:
        return [*lines, f"no winner: {manifest['why_no_winner']}", _time(manifest)]
    luck = manifest["luck"]
    lines.append(
        f"winner: trial {winner['number'] + 1}; deflated Sharpe {share(luck['deflated_sharpe'])} after "
        f"{luck['trials']} trials, probability of overfitting {share(luck['overfitting_probability'])}"
    )
    lines.append(_held_out(manifest["holdout"]))
    if manifest["published"]:
        lines.append(f"published as model {manifest['published']}; not promoted")
    lines += [manifest["next"]] if manifest["next"] else []
    return [*lines, _time(manifest)]


def _held_out(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return "held out: nothing"
    if "problem" in score:
        return f"held out: {score['problem']}"
    bounds = f"{number(score['skill_low'])} to {number(score['skill_high'])}"
    looks = score["looks_before"]
    again = f"; {looks} other sweeps had looked there before" if looks else ""
    return (
        f"held out, from {day(score['start_ns'])} on, scored once at {day(score['at_ns'])}: skill "
        f"{number(score['skill'])} ({bounds} at 90 %), Sharpe {plain(score['sharpe'])}, return "
        f"{share(score['total_return'], 2)}{again}"
    )


def _time(manifest: Mapping[str, Any]) -> str:
    split = manifest["split"]
    parts = ", ".join(f"{name} {split[name]:.1f} s" for name in ("data", "learn", "score"))
    return (
        f"{manifest['seconds']:.1f} s; of the processes' time: {parts} "
        f"({share(split['learn'] / total if (total := sum(split.values())) else None)} learning)"
    )


def _table(manifest: Mapping[str, Any], rows: Mapping[int, Row]) -> Table:
    settings = manifest["settings"]
    period = f"{day(manifest['periods']['folds'][0][0])} to {day(manifest['periods']['folds'][-1][1])}"
    table = Table(
        title=f"best by {settings['objective']}, {len(manifest['periods']['folds'])} folds, {period}"
    )
    for name in ("trial", "bars", "horizon", "features", "model", "rule", *_NUMBERS, "folds"):
        table.add_column(name, justify="right" if name in (*_NUMBERS, "trial", "folds") else "left")
    scored = [row for row in rows.values() if row["status"] != FAILED]
    order = sorted(scored, key=lambda row: (row["status"] == STOPPED, -_known(row["objective"])))
    for row in order[:_SHOWN]:
        spec = TrialSpec.from_dict(row["spec"])
        table.add_row(
            str(row["number"] + 1),
            durations.text(spec.bars.interval_ns) if spec.bars.interval_ns else spec.sampling,
            spec.horizon,
            str(row["point"]["features"]),
            spec.model_text,
            spec.rule,
            number(row["objective"]),
            number(row["skill"]),
            plain(row["sharpe"]),
            share(row["total_return"], 2),
            f"{row['fills']:,}",
            str(row["folds"]),
        )
    if len(order) > _SHOWN:
        table.caption = f"{len(order) - _SHOWN} more in trials.parquet"
    return table


def _known(value: float | None) -> float:
    return float("-inf") if value is None else value


def number(value: float | None) -> str:
    """A skill, or another number about 0."""
    return "-" if value is None else f"{value:+.5f}"


def plain(value: float | None) -> str:
    """A number with two decimals."""
    return "-" if value is None else f"{value:.2f}"


def share(value: float | None, decimals: int = 0) -> str:
    """A share as percent."""
    return "-" if value is None else f"{100.0 * value:.{decimals}f} %"


def day(ns: int) -> str:
    """A time in UTC, to the minute."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
