"""How good a model is on rows that it has not seen: beside naive, and with how sure that is.

All numbers are in units of the horizon's scale, so that symbols can be compared and put together. Rows of one
moment hang together, and so do rows whose labels overlap: moments are summed up first, then the series of
moments is treated as what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.dataset import Dataset
from features.trading.bootstrap import BootstrapSpec, interval

Floats = NDArray[np.float64]

_DOUBT = 1.645
"""Standard errors below the estimate that the slope is cut to: its lower bound at 95 %, one-sided."""
_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Slope:
    """Of outcomes on forecasts: 1 where they are right on average, 0 where they know nothing."""

    estimate: float
    standard_error: float

    @property
    def trusted(self) -> float:
        """Its lower confidence bound, in [0, 1]: what a forecast is multiplied by."""
        bound = self.estimate - _DOUBT * self.standard_error
        return min(max(bound, 0.0), 1.0) if math.isfinite(bound) else 0.0


def slope(forecast: Floats, target: Floats, made_at_ns: NDArray[np.int64], overlap: int) -> Slope:
    """The slope through 0, with the standard error of Newey and West (1987) over twice the overlap of labels.

    NaN where the forecast is always 0.
    """
    power = float((forecast * forecast).sum())
    if power == 0.0:
        return Slope(math.nan, math.nan)
    estimate = float((forecast * target).sum()) / power
    moments = by_moment(forecast * (target - estimate * forecast), made_at_ns)
    n = len(moments)
    lags = min(2 * overlap, n - 1)
    variance = float(moments @ moments)
    for lag in range(1, lags + 1):
        variance += 2.0 * (1.0 - lag / (lags + 1.0)) * float(moments[lag:] @ moments[:-lag])
    # Few moments that do not overlap are an unsure witness: as the mixture doubts its experts.
    few = 1.0 + 10.0 * overlap / n
    return Slope(estimate, math.sqrt(max(variance, 0.0) * few) / power)


def by_moment(values: Floats, made_at_ns: NDArray[np.int64]) -> Floats:
    """Sums over the rows of equal time, which are neighbours, shape (moments,)."""
    starts = np.flatnonzero(np.diff(made_at_ns, prepend=made_at_ns[0] - 1))
    sums: Floats = np.add.reduceat(values, starts)
    return sums


def overlap_of(rows: Dataset) -> int:
    """How many moments a label spans, at least 1: the median over all rows."""
    times = np.unique(rows.made_at_ns)
    reach = np.searchsorted(times, times + int(np.median(rows.due_ns - rows.made_at_ns)))
    return max(1, int(np.median(reach - np.arange(len(times)))))


def judge_mean(forecast: Floats, rows: Dataset, seed: int) -> dict[str, float]:
    """Squared error beside naive's; the gain's interval at 90 % comes from a block bootstrap over moments."""
    target = rows.target()
    gain = forecast * (2.0 * target - forecast)
    moments = by_moment(gain, rows.made_at_ns)
    found = interval(moments, "mean", BootstrapSpec(draws=_DRAWS, seed=seed))
    naive = float((target * target).mean())
    # Of a moment's sum to a row's mean, in units of naive's error.
    unit = len(moments) / len(rows) / naive if naive > 0.0 else math.nan
    return {
        "rows": len(rows),
        "mse": float(((target - forecast) ** 2).mean()),
        "mse_naive": naive,
        "skill": found.estimate * unit,
        "skill_low": found.lower * unit,
        "skill_high": found.upper * unit,
        "sure": found.share_above_zero,
    }


def judge_interval(
    lower: Floats, upper: Floats, rows: Dataset, coverage: float, usual: tuple[float, float]
) -> dict[str, float]:
    """Coverage and pinball loss of both ends; the loss of the fixed interval `usual` is beside it."""
    target = rows.target()
    tail = 0.5 * (1.0 - coverage)
    loss = pinball(target - lower, tail) + pinball(target - upper, 1.0 - tail)
    fixed = pinball(target - usual[0], tail) + pinball(target - usual[1], 1.0 - tail)
    inside = (lower <= target) & (target <= upper)
    return {"coverage": float(inside.mean()), "pinball": loss, "pinball_fixed": fixed}


def pinball(errors: Floats, tail: float) -> float:
    """Mean loss of a quantile at `tail`; `errors` are outcome minus quantile (Koenker & Bassett 1978)."""
    return float(np.where(errors >= 0.0, tail * errors, (tail - 1.0) * errors).mean())


def judge_up(p_up: Floats, rows: Dataset, usual: float) -> dict[str, float]:
    """Brier score of the probability of a rise; that of the constant `usual` is beside it."""
    rose = rows.y > 0.0
    return {
        "brier": float(((p_up - rose) ** 2).mean()),
        "brier_fixed": float(((usual - rose) ** 2).mean()),
    }
