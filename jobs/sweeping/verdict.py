"""What a sweep comes to: its winner, how much of it is luck, and its one look at what was held out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import plain
from features.models.package import ModelPackage
from features.trading import overfitting
from features.trading.bootstrap import BootstrapSpec, interval
from features.trading.performance import sharpe_ratio
from features.trading.rules import RuleSpec
from jobs.backtesting.settings import digest
from jobs.sweeping.data import Pair, Rows, Wanted
from jobs.sweeping.forecasters import TreeForecaster, forecaster_of
from jobs.sweeping.job import SweepJob
from jobs.sweeping.scoring import ForecastScore, Trading, total_return, yearly_sharpe
from jobs.sweeping.search import FAILED, FINISHED, Row
from jobs.sweeping.settings import Periods
from jobs.sweeping.trial_spec import TrialSpec
from jobs.training.evaluation import by_moment

Floats = NDArray[np.float64]
_DRAWS = 1_000
_LEAST_BLOCKS = 4


def winner_of(rows: Mapping[int, Row]) -> Row | None:
    """The whole trial with the highest objective, the first of equals; None where no trial is whole."""
    whole = [row for row in rows.values() if row["status"] == FINISHED and row["objective"] is not None]
    return max(whole, key=lambda row: (row["objective"], -row["number"])) if whole else None


def luck_of(rows: Mapping[int, Row], winner: Row) -> dict[str, float | int | None]:
    """How likely the winner's returns are luck, given all that was tried, as plain values.

    `deflated_sharpe` is the probability that its true Sharpe ratio is above what the best of so many trials
    reaches without skill. `overfitting_probability` is the share of splits of the time in which the best
    trial of one half is at or below the median in the other.
    """
    tried = [row for row in rows.values() if row["status"] != FAILED]
    series = {row["number"]: np.array(row["returns"]) for row in tried}
    sharpes = [sharpe_ratio(values) for values in series.values()]
    deflated = overfitting.deflated_sharpe(series[winner["number"]], sharpes, float(len(tried)))
    whole = [row for row in tried if row["status"] == FINISHED]
    return {
        "trials": len(tried),
        "deflated_sharpe": plain.finite(deflated),
        "overfitting_probability": _overfitting(whole),
        "whole_trials": len(whole),
    }


def _overfitting(whole: Sequence[Row]) -> float | None:
    """The probability of backtest overfitting over trials that have all folds."""
    if len(whole) < 2:
        return None
    ends = np.unique(np.concatenate([np.array(row["returns_end_ns"], np.int64) for row in whole]))
    matrix = np.zeros((len(ends), len(whole)))
    for place, row in enumerate(whole):
        matrix[np.searchsorted(ends, np.array(row["returns_end_ns"], np.int64)), place] = row["returns"]
    blocks = min(16, len(matrix) // 4 // 2 * 2)
    if blocks < _LEAST_BLOCKS:
        return None
    return plain.finite(overfitting.backtest_overfitting(matrix, blocks).probability)


@dataclass(frozen=True, eq=False)
class Looked:
    """The score on the held-out period, and the model that was scored, where it was trained from rows."""

    score: dict[str, Any]
    package: ModelPackage | None


def look(job: SweepJob, pairs: Sequence[Pair], periods: Periods, winner: Row) -> Looked:
    """Train the winner on all before the held-out period, and score it there.

    An online learner learns on during the period, as it would live. Raises DataError.
    """
    spec = TrialSpec.from_dict(winner["spec"])
    until_ns = max(periods.last_ns + 1, periods.holdout_ns)
    wanted = Wanted((spec.sampling,), (spec.features,), (spec.horizon,))
    for pair in pairs:
        job.data.prepare(pair, wanted, until_ns)
    start_ns = periods.holdout_ns
    rows = [job.data.rows(pair, spec, until_ns) for pair in pairs]
    forecaster = forecaster_of(spec, rows, periods)
    package = None
    if isinstance(forecaster, TreeForecaster):
        package, expected = forecaster.publishable(start_ns, until_ns)
    elif periods.has_holdout:
        expected = forecaster.fold(start_ns, until_ns)
    if not any(one.place(start_ns) < len(one) for one in rows):
        return Looked({"problem": "there are no bars in it"}, package)
    score, bounds = _scored(rows, start_ns, expected)
    trading = Trading(RuleSpec.parse(spec.rule), job.settings.trading, rows, periods.period)
    trading.fold(start_ns, until_ns, expected)
    returns = trading.returns()
    found = {
        "trial": winner["number"],
        "start_ns": start_ns,
        "end_ns": periods.last_ns,
        "at_ns": time.time_ns(),
        "answers": score.count,
        "symbols": len(rows),
        "skill": plain.finite(score.skill),
        "hit_rate": plain.finite(score.hit_rate),
        "sharpe": plain.finite(yearly_sharpe(returns)),
        "total_return": plain.finite(total_return(returns)),
        "fills": trading.fills,
    }
    return Looked(found | bounds, package)


def _scored(
    rows: Sequence[Rows], start_ns: int, expected: Sequence[Floats]
) -> tuple[ForecastScore, dict[str, float | None]]:
    """The score of forecasts from `start_ns` on, and the interval of the skill at 90 %.

    The interval is a block bootstrap over the moments of asking, whose gains are summed over the symbols.
    """
    score = ForecastScore()
    gains, times = [], []
    for one, said in zip(rows, expected, strict=True):
        part = slice(one.place(start_ns), len(one))
        gain = score.add(one, part, said)
        known = np.isfinite(gain)
        gains.append(gain[known])
        times.append(one.bars.end_ns[part][known])
    if not score.count or not score.naive > 0.0:
        return score, {"skill_low": None, "skill_high": None}
    moments = np.concatenate(times)
    order = np.argsort(moments, kind="stable")
    series = by_moment(np.concatenate(gains)[order], moments[order])
    found = interval(series, "mean", BootstrapSpec(draws=_DRAWS))
    unit = len(series) / score.naive
    return score, {
        "skill_low": plain.finite(found.lower * unit),
        "skill_high": plain.finite(found.upper * unit),
    }


def look_once(
    job: SweepJob,
    pairs: Sequence[Pair],
    periods: Periods,
    winner: Row,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The score on the held-out period: the one that is stored, else that of a first and only look.

    The model that is scored is kept beside it.
    """
    results = job.open_results()
    kept = results.holdout()
    if kept is not None:
        say("the held-out period was scored before: its score stays")
        return kept
    before = results.look(_identity(job, periods)) if periods.has_holdout else 0
    looked = look(job, pairs, periods, winner)
    if looked.package is not None:
        results.put_package(looked.package.to_bytes())
    return results.put_holdout(looked.score | {"looks_before": before})


def _identity(job: SweepJob, periods: Periods) -> str:
    """What is held out: of equal identity are equal periods of equal data."""
    values = {"data": dict(job.digests), "start_ns": periods.holdout_ns, "end_ns": periods.last_ns}
    return digest(values)[:16]
