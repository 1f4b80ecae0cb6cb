"""Is a Sharpe ratio luck? What is left of it after its length, its tails and the number of trials.

    probabilistic_sharpe(returns)               # chance that the true Sharpe ratio is above 0
    deflated_sharpe(returns, trial_sharpes)     # the same, against the best that so many trials give by luck
    backtest_overfitting(matrix)                # chance that the best in sample is below the median outside

All Sharpe ratios here are of one period, not annualised: mean / standard deviation of the period returns, as
`features.trading.performance.sharpe_ratio` gives. Returns that are not finite are left out. What can't be
computed is NaN. Formulas, sources and how to read the numbers: docs/trading.md.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.errors import ConfigError, DataError
from features.trading.performance import moments, sharpe_ratio

NAN = math.nan
_NORMAL = NormalDist()
_EULER_GAMMA = 0.5772156649015329
_MOST_BLOCKS = 20
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class SharpeEvidence:
    """What is known of one Sharpe ratio: the ratio, the number of returns, their shape."""

    sharpe: float
    """Of one period."""
    count: int
    skew: float = 0.0
    kurtosis: float = 3.0
    """3 for a normal distribution."""

    @classmethod
    def of(cls, returns: ArrayLike) -> SharpeEvidence:
        """From period returns, (n,)."""
        values = np.asarray(returns, np.float64)
        known = values[np.isfinite(values)]
        return cls(sharpe_ratio(known), len(known), *moments(known))

    @property
    def variance(self) -> float:
        """Of the estimated ratio, times (count - 1) (Mertens 2002); NaN where it is not above zero."""
        variance = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return variance if variance > 0.0 else NAN

    @property
    def standard_error(self) -> float:
        """Of the estimated ratio; NaN below two returns."""
        return math.sqrt(self.variance / (self.count - 1)) if self.count > 1 else NAN

    def above(self, benchmark: float = 0.0) -> float:
        """Probabilistic Sharpe ratio: probability that the true ratio is above `benchmark`.

        Bailey & Lopez de Prado (2012), "The Sharpe ratio efficient frontier", Journal of Risk 15(2), eq. 11.
        """
        error = self.standard_error
        return _cdf((self.sharpe - benchmark) / error) if error > 0.0 else NAN

    def least_count(self, benchmark: float = 0.0, confidence: float = 0.95) -> float:
        """Minimum track record length: returns needed for the ratio to be above `benchmark` at a confidence.

        Infinite where the ratio is not above it. Same paper, eq. 13.
        """
        _check_share("confidence", confidence)
        if not self.sharpe > benchmark:
            return NAN if math.isnan(self.sharpe) else math.inf
        away = _NORMAL.inv_cdf(confidence) / (self.sharpe - benchmark)
        return 1.0 + self.variance * (away * away)


def probabilistic_sharpe(returns: ArrayLike, benchmark: float = 0.0) -> float:
    """Probability that the Sharpe ratio behind these period returns is above `benchmark`."""
    return SharpeEvidence.of(returns).above(benchmark)


def expected_max_sharpe(trials: float, variance: float) -> float:
    """Highest Sharpe ratio that `trials` independent tries without any skill lead one to expect.

    `variance` is that of the trials' ratios. 0 for one trial. Bailey & Lopez de Prado (2014), "The deflated
    Sharpe ratio", Journal of Portfolio Management 40(5), eq. 1. Raises ConfigError below one trial.
    """
    if not trials >= 1.0:
        raise ConfigError(f"{trials} trials can't be", "overfitting.trials", "use 1 or more")
    if not variance >= 0.0:
        return NAN
    if trials == 1.0:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER_GAMMA) * first + _EULER_GAMMA * second)


def deflated_sharpe(returns: ArrayLike, trial_sharpes: ArrayLike, trials: float | None = None) -> float:
    """Probability that the winner's Sharpe ratio is above what the best of the trials reaches by luck.

    `trial_sharpes` are those of all that was tried, the winner's too. `trials` is their number, unless they
    hang together and fewer count: `independent_trials`.
    """
    known = np.asarray(trial_sharpes, np.float64)
    known = known[np.isfinite(known)]
    count = float(len(known)) if trials is None else trials
    variance = float(known.var(ddof=1)) if len(known) > 1 else 0.0
    return SharpeEvidence.of(returns).above(expected_max_sharpe(max(count, 1.0), variance))


def independent_trials(matrix: ArrayLike) -> float:
    """How many independent trials the columns of period returns (n, k) are worth, between 1 and k.

    Interpolated by their mean correlation: r + (1 - r) k (the 2014 paper, appendix 3). Columns that are
    constant, or not finite everywhere, count as trials of their own.
    """
    values = _matrix(matrix)
    k = values.shape[1]
    if k < 2:
        return float(k)
    moving = [column for column in values.T if np.isfinite(column).all() and np.ptp(column) > 0.0]
    if len(moving) < 2:
        return float(k)
    correlation = np.corrcoef(np.array(moving))
    mean = (float(correlation.sum()) - float(np.trace(correlation))) / (k * (k - 1))
    return float(max(1.0, k - max(mean, 0.0) * (k - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """What combinatorially symmetric cross-validation found, a value for each of its splits."""

    probability: float
    """Share of splits whose winner in sample is at or below the median outside."""
    logits: NDArray[np.float64]
    """Logit of the winner's relative rank outside; above 0: better than the median."""
    sharpe_inside: NDArray[np.float64]
    sharpe_outside: NDArray[np.float64]
    """The winner's Sharpe ratio in sample and outside."""
    probability_of_loss: float
    """Share of splits whose winner lost money outside."""
    slope: float
    """Of the winner's ratio outside on that inside; below 0: what looked better did worse."""


def backtest_overfitting(matrix: ArrayLike, blocks: int = 16) -> Overfitting:
    """Probability of backtest overfitting of picking the best of k variants by Sharpe ratio.

    `matrix` (n, k) holds the period returns of all that was tried, rows in order of time; values that are not
    finite count as 0. The rows are cut into `blocks` equal parts, without the oldest that don't fit; every
    half of the parts is the sample once, the other half its outside. Variants that are all the same give NaN.
    Bailey, Borwein, Lopez de Prado & Zhu (2015), "The probability of backtest overfitting", Journal of
    Computational Finance 20(4).

    Raises ConfigError for blocks that are not even and 2 to 20, DataError below 2 rows a block or 2 variants.
    """
    if blocks not in range(2, _MOST_BLOCKS + 1, 2):
        raise ConfigError(f"{blocks} blocks can't be", "overfitting.blocks", f"use 2, 4 ... {_MOST_BLOCKS}")
    values = _matrix(matrix)
    size, k = len(values) // blocks, values.shape[1]
    if size < 2 or k < 2:
        raise DataError(
            f"{values.shape[0]} periods of {k} variants are too few for {blocks} blocks",
            "overfitting",
            "use fewer blocks, shorter periods or more variants",
        )
    values = np.where(np.isfinite(values), values, 0.0)[len(values) - size * blocks :]
    # Around the mean of each column: sums of squares of a half must not lose digits to the level.
    middle = values.mean(axis=0)
    parts = (values - middle).reshape(blocks, size, k)
    inside = _halves(blocks)
    sums, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    n = size * blocks // 2
    in_sample = _sharpes(inside @ sums, inside @ squares, n, middle)
    outside = _sharpes((1.0 - inside) @ sums, (1.0 - inside) @ squares, n, middle)
    rows = np.arange(len(inside))
    winner = in_sample.argmax(axis=1)
    won, kept = in_sample[rows, winner], outside[rows, winner]
    # Ties take the middle rank, so that equal variants are no winners.
    below = (outside < kept[:, None]).sum(axis=1)
    equal = (outside == kept[:, None]).sum(axis=1)
    rank = (below + (equal + 1) / 2.0) / (k + 1)
    logits = np.log(rank / (1.0 - rank))
    return Overfitting(
        probability=float(np.mean(logits <= _TINY)) if np.ptp(values, axis=1).any() else NAN,
        logits=logits,
        sharpe_inside=won,
        sharpe_outside=kept,
        probability_of_loss=float(np.mean(kept < 0.0)),
        slope=_slope(won, kept),
    )


def _halves(blocks: int) -> NDArray[np.float64]:
    """Every half of the blocks as a row of ones and zeros."""
    chosen = list(itertools.combinations(range(blocks), blocks // 2))
    halves = np.zeros((len(chosen), blocks))
    halves[np.arange(len(chosen))[:, None], np.array(chosen)] = 1.0
    return halves


def _sharpes(
    sums: NDArray[np.float64], squares: NDArray[np.float64], n: int, middle: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sharpe ratios from sums around `middle`; 0 where nothing moved."""
    mean = sums / n
    variance = (squares - sums * mean) / (n - 1)
    least = _TINY * (squares / n + _TINY * middle**2)
    still = variance <= least
    return np.where(still, 0.0, (mean + middle) / np.sqrt(np.where(still, 1.0, variance)))


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    moves = x - x.mean()
    under = float(moves @ moves)
    return float(moves @ (y - y.mean())) / under if under > 0.0 else NAN


def _matrix(matrix: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2:
        raise DataError(f"returns have shape {values.shape}, not (periods, variants)", "overfitting")
    return values


def _cdf(x: float) -> float:
    return _NORMAL.cdf(x) if math.isfinite(x) else NAN


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ConfigError(f"{value} is no {name}", f"overfitting.{name}", "use one like 0.95")
