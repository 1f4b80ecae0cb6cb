"""How far a number from a time series may be off by chance: the stationary bootstrap.

    found = interval(daily_returns, "sharpe")
    found.lower, found.upper            # at 90 % by default
    interval(gains_of_a - gains_of_b)   # is the mean difference of two forecasters real?

Blocks of random, geometric length are drawn from the series with replacement, so that resamples hang together
like the series does (Politis & Romano 1994, "The stationary bootstrap", Journal of the American Statistical
Association 89). The mean length is chosen from the autocorrelation unless it is given. Equal seeds give equal
numbers. Formulas: docs/trading.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import ConfigError, DataError
from features.kernels import bootstrap as kernel
from features.plain import finite_values

NAN = math.nan
Statistic = Callable[[NDArray[np.float64]], float]
"""A number of a series (n,), or of several side by side (n, k), whose rows are drawn together."""
_NAMED = {"mean": kernel.MEAN, "sharpe": kernel.SHARPE, "total_return": kernel.SUM}
_LEAST_ROWS = 4
_LAGS_BELOW = 5
"""Lags in a row whose correlation must be insignificant; K_N of the 2004 paper, at any length in use."""


@dataclass(frozen=True, slots=True)
class BootstrapSpec:
    """How resamples are drawn. Raises ConfigError for what can't be."""

    draws: int = 2_000
    coverage: float = 0.9
    seed: int = 0
    block: float | None = None
    """Mean length of blocks, 1 for independent rows; None chooses it: `block_length`."""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ConfigError(f"{self.draws} draws can't be", "bootstrap.draws", "use 1000 or more")
        if not 0.0 < self.coverage < 1.0:
            raise ConfigError(f"{self.coverage} is no coverage", "bootstrap.coverage", "use one like 0.9")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"{self.seed} is no seed", "bootstrap.seed", "use a whole number from 0")
        if self.block is not None and not 1.0 <= self.block < math.inf:
            raise ConfigError(f"blocks of {self.block} can't be", "bootstrap.block", "use 1 or more")


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic, and between which values chance leaves it. All NaN below four rows."""

    estimate: float
    lower: float
    upper: float
    """Percentiles of the resamples."""
    coverage: float
    standard_error: float
    share_above_zero: float
    """Of the resamples; near 1 or 0 the sign is beyond doubt."""
    rows: int
    draws: int
    """Resamples that had a finite statistic."""
    block: float
    """Mean length of the blocks."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: None for NaN."""
        return finite_values(asdict(self))


def interval(
    values: ArrayLike, statistic: str | Statistic = "mean", spec: BootstrapSpec | None = None
) -> Interval:
    """The percentile interval of a statistic of a series (n,), or of rows (n, k) where it is a function.

    Named statistics run compiled: "mean"; "sharpe", mean over standard deviation of one period;
    "total_return", the compound of simple returns. Rows that are not finite are left out. Raises ConfigError
    for an unknown name, DataError for other shapes.
    """
    spec = spec or BootstrapSpec()
    series = np.require(values, np.float64, ["C", "W"])
    if series.ndim not in (1, 2) or (series.ndim == 2 and not callable(statistic)):
        raise DataError(f"values have shape {series.shape}", "bootstrap", "a named statistic takes (n,)")
    finite = np.isfinite(series)
    known = series[finite.all(axis=1) if series.ndim == 2 else finite]
    n = len(known)
    if n < _LEAST_ROWS:
        return Interval(NAN, NAN, NAN, spec.coverage, NAN, NAN, n, 0, NAN)
    block = spec.block if spec.block is not None else block_length(known)
    if callable(statistic):
        estimate = float(statistic(known))
        drawn = _of_function(known, statistic, block, spec)
    else:
        estimate, drawn = _of_name(known, statistic, block, spec)
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(estimate, NAN, NAN, spec.coverage, NAN, NAN, n, 0, block)
    tail = 50.0 * (1.0 - spec.coverage)
    lower, upper = np.percentile(drawn, [tail, 100.0 - tail])
    return Interval(
        estimate=estimate,
        lower=float(lower),
        upper=float(upper),
        coverage=spec.coverage,
        standard_error=float(drawn.std()),
        share_above_zero=float(np.mean(drawn > 0.0)),
        rows=n,
        draws=len(drawn),
        block=block,
    )


def resample_rows(n: int, block: float, seed: int, draw: int) -> NDArray[np.int64]:
    """The rows of one resample of n rows, (n,): the same for equal arguments, whatever else is drawn."""
    rows = np.empty(n, np.int64)
    kernel.rows(n, float(block), seed, draw, rows)
    return rows


def block_length(values: ArrayLike) -> float:
    """Mean block length that lets the variance of the mean be estimated best; the largest of the columns'.

    At least 1, at most min(3 sqrt(n), n / 3). Politis & White 2004, "Automatic block-length selection for the
    dependent bootstrap", Econometric Reviews 23, with the correction of Patton, Politis & White 2009, 28.
    """
    series = np.asarray(values, np.float64)
    if series.ndim == 2:
        return max(block_length(column) for column in series.T)
    n = len(series)
    if n < _LEAST_ROWS or series.min() == series.max():
        return 1.0
    most_lag = min(math.ceil(math.sqrt(n)) + _LAGS_BELOW, n - 1)
    x = series - series.mean()
    covariance = np.array([x[: n - lag] @ x[lag:] for lag in range(most_lag + 1)]) / n
    bandwidth = _bandwidth(np.abs(covariance / covariance[0]), n, most_lag)
    lags = np.arange(1, bandwidth + 1)
    # A flat-topped window: 1 up to half the bandwidth, falling to 0 at its end.
    weighted = 2.0 * np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth)) * covariance[1 : bandwidth + 1]
    slope, level = float(lags @ weighted), float(covariance[0] + weighted.sum())
    longest = float(math.ceil(min(3.0 * math.sqrt(n), n / 3.0)))
    if level == 0.0:
        return longest
    best = math.pow(abs(slope / level), 2.0 / 3.0) * math.pow(n, 1.0 / 3.0)
    return min(max(best, 1.0), longest)


def _bandwidth(correlation: NDArray[np.float64], n: int, most_lag: int) -> int:
    """Twice the last lag after which some in a row are insignificant, at most `most_lag`."""
    small = correlation < 2.0 * math.sqrt(math.log10(n) / n)
    for lag in range(most_lag - _LAGS_BELOW + 1):
        if small[lag + 1 : lag + 1 + _LAGS_BELOW].all():
            return min(2 * max(lag, 1), most_lag)
    return most_lag


def _of_name(
    known: NDArray[np.float64], name: str, block: float, spec: BootstrapSpec
) -> tuple[float, NDArray[np.float64]]:
    if name not in _NAMED:
        raise ConfigError(
            f"unknown statistic {name!r}", "bootstrap", f"use one of: {', '.join(_NAMED)}, or a function"
        )
    total = name == "total_return"
    # A loss of all or more is the end: a share of 1e-300 is left.
    series = np.log(np.maximum(1.0 + known, 1e-300)) if total else known
    drawn = np.empty(spec.draws)
    kernel.statistics(series, _NAMED[name], float(block), spec.seed, drawn)
    if total:
        return math.expm1(float(series.sum())), np.expm1(drawn)
    mean = float(known.mean())
    if name == "mean":
        return mean, drawn
    still = known.min() == known.max()
    return NAN if still else mean / float(known.std(ddof=1)), drawn


def _of_function(
    known: NDArray[np.float64], statistic: Statistic, block: float, spec: BootstrapSpec
) -> NDArray[np.float64]:
    rows = np.empty(len(known), np.int64)
    drawn = np.empty(spec.draws)
    for draw in range(spec.draws):
        kernel.rows(len(known), float(block), spec.seed, draw, rows)
        drawn[draw] = statistic(known[rows])
    return drawn
